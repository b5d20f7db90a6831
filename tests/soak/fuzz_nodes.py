"""The nodes themselves: messages of the right type with anything in them, in any order; an odd reading must arrive.

One input is a list of steps [which, fields]; what is no message of its type is refused by the codec, as on the bus.
"""

from __future__ import annotations

import io
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import numpy as np
from rich.console import Console as Terminal

from bus.node import Gone, Lost, Node, Raw, Source, Stale, Synced
from nodes.console import Console
from nodes.console.paste import Shell
from nodes.console.screen import render
from schemas.base import PROFILES, Message, Samples, check_name
from schemas.codec import DecodeError, codec
from schemas.grammar import type_hash
from schemas.impact import (
    Assessment,
    Beat,
    Intervention,
    Mode,
    ModeRequest,
    Protection,
    ReactionResult,
    TeachAction,
    TeachRequest,
    Tunnel,
)
from schemas.machine import (
    Alarm,
    Cause,
    Execution,
    Fault,
    FeedHoldRequest,
    InjectRequest,
    MachineInfo,
    MachineState,
    Motion,
    MotionEvent,
    ResetRequest,
    SignalBlock,
    Signals,
    StopRequest,
)
from schemas.shop import JobSpec
from schemas.system import BagSplit, Diagnostics, RecorderStatus
from tests.nodes.impact_cortex.rig import ACCELEROMETER, DRIVE, MS, STILL, World, drive_block, machine_state
from tests.nodes.recorder.raws import START_NS, recording
from tests.nodes.sensory_cortex.stage import Stage
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import Target, scratch
from tests.soak.fuzz_wire import example

Door = tuple[type[Message], Callable[[Any], Any]]
MOST_STEPS = 30


def steps_of(data: bytes) -> list[Any]:
    """The steps of an input; none in what is no list of them."""
    try:
        found = msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")
    except Exception:  # no input
        return []
    return found[:MOST_STEPS] if isinstance(found, list) else []


def take(doors: Sequence[Door], step: Any) -> None:
    """Hand one message over, when it is one."""
    if not (isinstance(step, list) and len(step) == 2 and isinstance(step[0], int)):
        return
    kind, act = doors[step[0] % len(doors)]
    try:
        message = codec(kind).decode(msgpack.packb(step[1], unicode_errors="surrogatepass"))
    except (DecodeError, ValueError, OverflowError, TypeError):
        return
    act(message)


def plain(message: Message) -> Any:
    return msgpack.unpackb(codec(type(message)).encode(message))


def _with_source(node: Node, topic: str, act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def heard(message: Any) -> Any:
        node.source = Source("vmc1/sensory_cortex", f"vmc1/{topic}", 1, START_NS, 7)
        return act(message)

    return heard


class Alive(ABC):
    """A node that lives through a batch of inputs; then it is looked at, and another one begins."""

    doors: list[Door]
    batch = 50

    def __init__(self) -> None:
        self.begin()

    @abstractmethod
    def begin(self) -> None:
        """Make the node, and its doors."""

    @abstractmethod
    def after(self) -> None:
        """What happens behind each input."""

    @abstractmethod
    def look(self) -> None:
        """What came of the batch."""

    def run(self, data: bytes) -> None:
        for step in steps_of(data):
            take(self.doors, step)
        self.after()

    def settle(self) -> None:
        try:
            self.look()
        finally:
            self.begin()

    def target(self, name: str, seeds: Sequence[Any]) -> Target:
        packed = [msgpack.packb(s) for s in seeds]
        return Target(name, self.run, (), packed, Grammar("msgpack"), settle=self.settle, batch=self.batch)


class _Impact(Alive):
    def begin(self) -> None:
        taught = {"name": "taught", "signal": "*_load_pct", "procedure": "tunnel", "error": 5.0, "reaction": "STOP"}
        self.world = world = World(mode=Mode.STOP, tasks=(taught,))
        self.node = node = world.node
        self.doors = [
            (SignalBlock, _with_source(node, "machine/samples", node.on_samples)),
            (SignalBlock, _with_source(node, "machine/vibration", node.on_vibration)),
            (Signals, node.on_signals), (MachineState, node.on_state), (MachineInfo, node.on_info),
            (MotionEvent, node.on_motion), (ModeRequest, node.set_mode), (Cause, self.pass_time), (Cause, self.link),
            (JobSpec, node.start_job), (JobSpec, _with_source(node, "job/spec", node.on_spec)),
            (Tunnel, _with_source(node, "impact/tunnel", node.on_tunnel)), (TeachRequest, node.teach),
        ]  # fmt: skip
        world.samples(60.0, 3)

    def pass_time(self, cause: Cause) -> None:
        self.world.tick(cause.seq % 5000 if cause.seq >= 0 else 50)

    def link(self, cause: Cause) -> None:
        source = Source("n", "vmc1/machine/samples", 1, 1, 7)
        event = (Lost(source, 1, cause.seq), Stale(source, 0.5), Gone(source, True), Synced(source))[cause.seq % 4]
        for told in (self.node.on_samples_link, self.node.on_vibration_link, self.node.on_state_link):
            told(event)

    def after(self) -> None:
        self.world.answer()

    def look(self) -> None:
        self.world.samples(300.0, 8)
        self.world.tick()
        for message in self.world.published:
            codec(type(message)).encode(message)


TUNNEL = Tunnel(
    tunnel_id="taught/spindle_load_pct/O1001", stamp_ns=1, task="taught", signal="spindle_load_pct", unit="%",
    program="O1001", version=1, runs=1, override_pct=100.0, step_s=0.05, taught_by="maria", reason="",
    stretches=bytes([1, 0, 0, 0, 120, 0, 0, 0]), band=Samples(np.full((16, 3), 40.0, dtype=np.float32)),
)  # fmt: skip


def impact() -> Target:
    """The logic engine."""
    world = World()
    blocks = [plain(drive_block(world.now + n * MS, n, 170.0)) for n in range(4)]
    names = plain(Signals(signals=DRIVE + ACCELEROMETER))
    shake = plain(SignalBlock(stamp_ns=1, period_ns=100_000, source="accel", first_row=0, data=Samples(STILL)))
    return _Impact().target("impact", [
        [[0, b] for b in blocks] + [[7, plain(Cause(publisher="", topic="", seq=200))]],
        [[2, names], [1, shake], [3, plain(example(MachineState))], [4, plain(example(MachineInfo))]],
        [[5, plain(example(MotionEvent))], [6, plain(example(ModeRequest))]],
        [[8, plain(Cause(publisher="", topic="", seq=n))] for n in range(4)],
        [[9, plain(example(JobSpec))], [10, plain(JobSpec(job_id="502", program="O1001"))]],
        [[11, plain(TUNNEL)], [0, blocks[0]], [3, plain(machine_state(world.now, Execution.ACTIVE, Motion.FEED))]],
        [[12, plain(TeachRequest(action=a, changed_by="a", reason="b", runs=1))] for a in TeachAction],
    ])  # fmt: skip


class _Sensory(Alive):
    def begin(self) -> None:
        self.stage = stage = Stage()
        node = stage.node
        self.doors = [
            (InjectRequest, node.inject), (FeedHoldRequest, node.feed_hold), (StopRequest, node.stop),
            (ResetRequest, node.reset), (Beat, node.on_beat), (Cause, lambda cause: stage.run(cause.seq % 5 / 1000)),
        ]  # fmt: skip

    def after(self) -> None:
        self.stage.run(0.001)

    def look(self) -> None:
        self.stage.run(0.05)
        self.stage.node.look()
        for _, topic, message in self.stage.sent:
            codec(topic.type).encode(message)


FAULTS = [(f, s) for f in Fault for s in ("x_mm", "drive", "x", "coolant_flow_l_min")]


def sensory() -> Target:
    """The simulated machine: what may be asked of it, and the beat of its logic engine."""
    kinds: list[type[Message]] = [InjectRequest, FeedHoldRequest, StopRequest, ResetRequest, Beat]
    one = [[n, plain(example(kind))] for n, kind in enumerate(kinds)]
    faults = [[0, plain(InjectRequest(fault=f, magnitude=2.0, signal=s, duration_s=0.5))] for f, s in FAULTS]
    pause = [5, plain(Cause(publisher="", topic="", seq=4))]
    return _Sensory().target("sensory", [one, *([a, pause, b] for a, b in itertools.pairwise(faults))])


class _Console(Alive):
    batch = 200  # it is the drawing that takes long
    kinds: tuple[type[Message], ...] = (
        MachineState, MachineInfo, Assessment, Protection, Protection, Intervention, ReactionResult, MotionEvent,
        Diagnostics, RecorderStatus, BagSplit, Alarm,
    )  # fmt: skip

    def begin(self) -> None:
        self.stage = Stage()
        self.node = node = Console(self.stage, {})
        node.on_configure()
        node._print = lambda line: None  # type: ignore[method-assign] # the lines of a console without a terminal
        acts: list[tuple[str, Callable[[Any], Any]]] = [
            ("machine/state", node.on_state), ("machine/info", node.on_info), ("impact/assessment", node.on_assessment),
            ("impact/protection", node.on_protection), ("machine/protection", node.on_hal_protection),
            ("impact/intervention", node.on_intervention), ("impact/reaction", node.on_reaction),
            ("machine/motion", node.on_motion), ("/diagnostics", node.on_diagnostics),
            ("/bag/status", node.on_recorder), ("/bag/closed", node.on_bag),
            ("alarm", node.on_alarm),
        ]  # fmt: skip
        self.doors = [(kind, _with_source(node, *act)) for kind, act in zip(self.kinds, acts, strict=True)]

    def after(self) -> None:
        self.stage.time_ns += 10**7

    def look(self) -> None:
        self.stage.time_ns += 10**10
        self.node.draw()
        terminal = Terminal(file=io.StringIO(), width=120, height=30)
        terminal.print(render(self.node.board, self.stage.time_ns, Shell(), terminal))


def console() -> Target:
    """The table in the terminal."""
    counts = plain(example(Diagnostics)) | {"node": "vmc1/impact_cortex"}
    counts["topics"][0] |= {"topic": "vmc1/machine/samples", "publisher": "x"}
    one = [[n, plain(example(kind))] for n, kind in enumerate(_Console.kinds)]
    return _Console().target("console", [one[:4], one[4:8], one[8:], [[8, counts], [8, counts | {"stamp_ns": 10**9}]]])


class _Recorder(Alive):
    def __init__(self) -> None:
        self.folder = scratch()
        super().__init__()

    def begin(self) -> None:
        for path in self.folder.glob("*"):
            path.unlink()
        self.made = recording(
            self.folder, [], black_box_after_s=0.1, black_box_before_s=0.1, reduce_idle=True, split_s=10**9
        )
        self.made.entries({"n": '{"name": "n", "publisher_id": 7}'})

    def after(self) -> None: ...

    def run(self, data: bytes) -> None:
        self.made.batch([raw for step in steps_of(data) if (raw := _raw(step)) is not None])

    def look(self) -> None:
        try:
            self.made.trigger("asked")
            self.made.sync()
        finally:
            self.made.close()


def _raw(step: Any) -> Raw | None:
    """What the bus would hand over; None for what it would not."""
    try:
        topic, type_name, qos, seq, stamp_ns, received_ns, payload, lost = step
        if not isinstance(payload, bytes):
            payload = msgpack.packb(payload, unicode_errors="surrogatepass")
        cls = KINDS.get(type_name)
        if not all(type(n) is int and 0 <= n < 2**63 for n in (seq, received_ns, lost)) or lost > seq:
            return None
        if type(stamp_ns) is not int or not -(2**63) <= stamp_ns < 2**63:
            return None
        type_name.encode()
        names = (check_name(topic), "n", 7, seq, stamp_ns, received_ns, payload, type_name)
        return Raw(*names, type_hash(cls) if cls else "0" * 16, str(qos) if qos in PROFILES else "EVENT", lost)
    except (TypeError, ValueError, AttributeError):
        return None


def recorder() -> Target:
    """The recorder, which hears payloads undecoded: [topic, type, qos, seq, stamp, received, payload, lost_first]."""

    def raw(topic: str, cls: type[Message], qos: str, seq: int, lost: int = 0, **changes: Any) -> list[Any]:
        payload = plain(example(cls)) | changes
        return [topic, cls.__name__, qos, seq, START_NS + seq, START_NS + seq * 10**10, payload, lost]

    steps = [
        [raw("vmc1/machine/state", MachineState, "LATCHED", n, execution=e) for n, e in ((1, "ACTIVE"), (2, "READY"))],
        [raw("vmc1/machine/samples", SignalBlock, "SENSOR", n, stamp_ns=n * 10**8) for n in (1, 2, 3, 5)],
        [raw("vmc1/alarm", Alarm, "LATCHED", 1, level="FAULT")],
        [raw("vmc1/impact/intervention", Intervention, "DURABLE", 1)],
        [raw("vmc1/machine/vibration", SignalBlock, "SENSOR", 1)],
        [raw("vmc1/machine/samples", SignalBlock, "SENSOR", 9, lost=3)],
    ]  # fmt: skip
    state = steps[0][:2]
    return _Recorder().target("recorder", [*steps, [*state, *steps[1]], [*state, *steps[2], *steps[1], *steps[3]]])


KINDS: dict[str, type[Message]] = {c.__name__: c for c in (MachineState, SignalBlock, Alarm, Intervention)}
