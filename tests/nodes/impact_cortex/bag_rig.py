"""A mill and its engine recorded into a bag, in process: every message, and the trace of every callback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bus.bag import BagWriter
from bus.node import Source, Stale
from bus.target import target_of
from bus.trace import Kind, TraceWriter, pack_link
from nodes.impact_cortex import ImpactCortex
from schemas import topics
from schemas.base import M, Message, Topic
from schemas.codec import codec
from schemas.grammar import definition
from schemas.impact import Intervention, Judgement, Mode, VerdictRequest
from schemas.system import TraceBlock
from tests.nodes.impact_cortex.mill_rig import MillWorld
from tests.nodes.impact_cortex.rig import HEARD_BY, T0

HAL, ENGINE = "vmc1/sensory_cortex", "vmc1/impact_cortex"
IDS = {HAL: 11, ENGINE: 12}
TRACE_NS = 100_000_000
AFTER_NS = 1000
"""one callback after the one before: those of a millisecond have times of their own, as in life"""


class BagWorld(MillWorld):
    """Records until `close`. The engine only observes: what it would ask for is not answered."""

    def __init__(self, path: Path, seed: int = 1, *, vibration: bool = True, **parameters: Any) -> None:
        self._writer = BagWriter(path)
        self._trace = TraceWriter()
        self._vibration = vibration
        self._trace_ns = T0 + TRACE_NS
        self._call_ns = T0
        self._seqs: dict[str, int] = {}
        self._trace.record(Kind.CONFIGURE, "on_configure", T0, IDS[ENGINE])
        super().__init__(seed, **{"mode": Mode.OBSERVE, **parameters})
        told = json.loads(json.dumps({n: getattr(self.node, n) for n in ImpactCortex.interface.parameters}))
        entry = {"name": ENGINE, "namespace": "vmc1", "target": target_of(ImpactCortex), "parameters": told}
        self._writer.node(entry)

    def now_ns(self) -> int:
        return self._call_ns

    def _call(self) -> int:
        self._call_ns = max(self._call_ns + AFTER_NS, self.now)
        return self._call_ns

    def _write(self, publisher: str, topic: Topic[Any], message: Message) -> int:
        full = f"{publisher if topic.name.startswith('node/') else 'vmc1'}/{topic.name.removeprefix('node/')}"
        seq = self._seqs[full] = self._seqs.get(full, 0) + 1
        number = self._writer.channel(
            full, publisher, IDS[publisher], definition(type(message)), topic.qos.name, first_seq=seq
        )
        payload = codec(type(message)).encode(message)
        self._writer.write(number, seq, self._call_ns + 100, self._call_ns, payload)
        return seq

    def tell(self, topic: Topic[M], message: M) -> None:
        if topic is topics.VIBRATION and not self._vibration:
            return
        now_ns = self._call()
        seq = self._write(HAL, topic, message)
        self._trace.record(Kind.MESSAGE, f"{HEARD_BY[topic.name]} vmc1/{topic.name}", now_ns, IDS[HAL], seq)
        super().tell(topic, message)
        if now_ns >= self._trace_ns:
            self._trace_ns += TRACE_NS
            self._take()

    def ask(self, method: str, request: Message) -> None:
        """Somebody calls a service of the engine."""
        payload = codec(type(request)).encode(request)
        self._trace.record(Kind.REQUEST, f"{method} console", self._call(), 0, 1, payload)
        getattr(self.node, method)(request)

    def change(self, name: str, value: Any) -> None:
        """Somebody sets a parameter of the engine."""
        self._trace.record(Kind.PARAMETER, name, self._call(), 0, 0, json.dumps(value).encode())
        self.node.__dict__[name] = value
        self.node.on_parameter(name)

    def lose_state(self) -> None:
        """The machine's state goes stale."""
        full = f"vmc1/{topics.MACHINE_STATE.name}"
        event = Stale(Source(HAL, full, 1, self._call(), IDS[HAL]), 3.0)
        self._trace.record(Kind.LINK, f"on_state_link {full}", self._call_ns, 0, 0, pack_link(event))
        self.node.on_state_link(event)

    def judge(self, intervention: Intervention, judgement: Judgement) -> None:
        """Somebody judges an intervention."""
        verdict = VerdictRequest(
            intervention_id=intervention.intervention_id, judgement=judgement, judged_by="maria", reason="seen"
        )
        self.ask("judge", verdict)

    def time(self) -> None:
        for timer in ("tick", "look"):
            self._trace.record(Kind.TIMER, timer, self._call())
            getattr(self.node, timer)()

    def publish(self, topic: Topic[Any], full_name: str, message: Message) -> None:
        super().publish(topic, full_name, message)
        self._write(ENGINE, topic, message)

    def _take(self) -> None:
        block = self._trace.take()
        if isinstance(block, TraceBlock):
            self._write(ENGINE, topics.NODE_TRACE, block)

    def close(self) -> None:
        """Finish the bag."""
        self._trace.record(Kind.SHUTDOWN, "on_shutdown", self._call())
        self._take()
        self._writer.close()
