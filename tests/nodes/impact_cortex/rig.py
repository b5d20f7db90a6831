"""A world for one node in a test: its clock is turned by hand, what it publishes and asks is kept in order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np

from bus.node import CallError, Outcome, Source
from nodes.impact_cortex import ImpactCortex
from schemas import topics
from schemas.base import Message, Samples, Service, Topic, resolve
from schemas.impact import Intervention, Mode, Protection
from schemas.machine import (
    ActionReply,
    ConditionLevel,
    ControllerMode,
    EmergencyStop,
    Execution,
    MachineInfo,
    MachineState,
    Motion,
    MotionEvent,
    MotionPhase,
    SignalBlock,
    SignalInfo,
    Signals,
)
from schemas.shop import JobRun
from schemas.system import LogLevel

M = TypeVar("M", bound=Message)
MS = 1_000_000
T0 = 1_700_000_000_000_000_000
DRIVE = (
    SignalInfo(
        name="spindle_speed_rpm", mtconnect_type="ROTARY_VELOCITY", unit="rpm", source="drive", topic="machine/samples"
    ),
    SignalInfo(name="spindle_load_pct", mtconnect_type="LOAD", unit="%", source="drive", topic="machine/samples"),
    SignalInfo(name="spindle_torque_nm", mtconnect_type="TORQUE", unit="Nm", source="drive", topic="machine/samples"),
    SignalInfo(name="x_load_pct", mtconnect_type="LOAD", unit="%", source="drive", topic="machine/samples"),
)
ACCELEROMETER = tuple(
    SignalInfo(
        name=f"{axis}_accel", mtconnect_type="ACCELERATION", unit="m/s²", source="accel", topic="machine/vibration"
    )
    for axis in "xyz"
)
HEARD_BY = {s.topic.name: s.method for s in ImpactCortex.interface.subscriptions}
OWN = {"job/spec": "on_spec", "job/run": "on_run", "impact/tunnel": "on_tunnel"}
"""what the node says and hears itself"""
STILL = np.tile(np.array([9.81, 0.0, 0.0], dtype=np.float32), (100, 1))


class World:
    """The Context of the node under test, and the machine it hears: cutting, unless the node goes on with a run.

    Args:
        earlier: what the node has kept of its last life; what the machine does then is the test's to say.
    """

    def __init__(
        self,
        signals: tuple[SignalInfo, ...] = DRIVE + ACCELEROMETER,
        earlier: JobRun | None = None,
        **parameters: Any,
    ) -> None:
        self.name, self.namespace, self.rng = "vmc1/impact_cortex", "vmc1", random.Random(1)
        self.now = T0
        self.published: list[Message] = []
        self.asked: list[str] = []
        self.reports: list[str] = []
        self.refuse: str | None = None
        """the answer of the HAL: None takes everything, "" does not answer, a text refuses"""
        self._waiting: list[tuple[Callable[[Outcome[Any]], None] | None, Outcome[Any]]] = []
        self._own: list[tuple[Topic[Any], Any]] = []
        """what it said and hears itself, not delivered yet"""
        self._rows = 0
        self._accel_rows = 0
        self._seq = 0
        self._accelerometer = ACCELEROMETER[0] in signals
        self._shaking: Iterator[Any] = iter(())
        self.node = ImpactCortex(self, parameters)
        self.node.on_configure()
        if earlier is not None:
            self.node.on_run(earlier)
        self.tell(topics.MACHINE_INFO, machine_info())
        self.tell(topics.SIGNALS, Signals(signals=signals))
        if earlier is None:
            self.state(Execution.ACTIVE, Motion.FEED)

    # --- Context ------------------------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        return self.now

    def resolve(self, name: str, namespace: str | None = None) -> str:
        return resolve(name, self.namespace if namespace is None else namespace)

    def publish(self, topic: Topic[Any], full_name: str, message: Message) -> None:
        self.published.append(message)
        if topic.name in OWN:
            self._own.append((topic, message))

    def call(
        self,
        service: Service[Any, Any],
        full_name: str,
        request: Message,
        timeout_s: float,
        then: Callable[[Outcome[Any]], None] | None,
    ) -> Future[Any]:
        self.asked.append(service.name)
        reply = ActionReply(
            accepted=self.refuse is None, action_id="a1", text=self.refuse or "taken", stamp_ns=self.now
        )
        outcome = Outcome(None, CallError.DEADLINE, "no answer in 0.1 s") if self.refuse == "" else Outcome(reply)
        self._waiting.append((then, outcome))
        return Future()

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        raise AssertionError("the logic engine has no second thread")

    def withdraw(self, full_name: str, key: str) -> None:
        raise AssertionError("the logic engine withdraws nothing")

    def log(self, level: LogLevel, text: str) -> None:
        pass

    def report(self, code: str, level: ConditionLevel, text: str) -> None:
        self.reports.append(text)

    def clear(self, code: str) -> None:
        pass

    # --- the machine --------------------------------------------------------------------------------------------------

    def _hear(self, topic: Topic[Any]) -> None:
        self._seq += 1
        self.node.source = Source("vmc1/sensory_cortex", f"vmc1/{topic.name}", self._seq, self.now)

    def tell(self, topic: Topic[M], message: M) -> None:
        """Let the node hear a message."""
        self._hear(topic)
        getattr(self.node, HEARD_BY[topic.name])(message)

    def time(self) -> None:
        """Let the node's timers run."""
        self.node.tick()
        self.node.look()

    def answer(self) -> None:
        """Let the HAL's replies arrive, and what the node hears of itself."""
        while self._own:
            topic, said = self._own.pop(0)
            self.node.source = Source(self.name, f"vmc1/{topic.name}", 1, self.now)
            getattr(self.node, OWN[topic.name])(said)
        while self._waiting:
            then, outcome = self._waiting.pop(0)
            if then is not None:
                then(outcome)

    def state(self, execution: Execution, motion: Motion = Motion.FEED) -> None:
        self.tell(topics.MACHINE_STATE, machine_state(self.now, execution, motion))

    def motion(self, phase: MotionPhase) -> None:
        event = MotionEvent(stamp_ns=self.now, phase=phase, action_id="a1", travel_mm=0.1, text="")
        self.tell(topics.MOTION, event)

    def samples(self, load_pct: float, ms: int, axis_pct: float = 12.0) -> None:
        """`ms` blocks of one row, a millisecond apart, with the timer in between."""
        for _ in range(ms):
            self.now += MS
            self.tell(topics.SAMPLES, drive_block(self.now, self._rows, load_pct, axis_pct))
            self._rows += 1
            self.answer()
            if self._rows % 10 == 0 and self._accelerometer:
                self._accelerate(next(self._shaking, STILL))
            if self._rows % 50 == 0:
                self.time()

    def vibration(self, rows: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        """The machine shakes by `rows` [n, 3] of 10 kHz, beside the samples of an ordinary cut."""
        self._shaking = iter([rows[i : i + 100] for i in range(0, len(rows), 100)])
        self.samples(40.0, len(rows) // 10)

    def _accelerate(self, rows: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        block = SignalBlock(
            stamp_ns=self.now, period_ns=100_000, source="accel", first_row=self._accel_rows, data=Samples(rows)
        )
        self.tell(topics.VIBRATION, block)
        self._accel_rows += len(rows)

    def tick(self, ms: int = 50) -> None:
        """Silence, with the timer at its end."""
        self.now += ms * MS
        self.time()
        self.answer()

    # --- what came of it ----------------------------------------------------------------------------------------------

    def said(self, cls: type[M]) -> list[M]:
        return [m for m in self.published if type(m) is cls]

    @property
    def reactions(self) -> list[tuple[str, str]]:
        """(task, reaction), in brackets when it was only said."""
        return [(i.task, f"({i.reaction})" if i.would_have else str(i.reaction)) for i in self.said(Intervention)]

    def protection(self) -> Protection:
        return self.said(Protection)[-1]


def cutting(**parameters: Any) -> World:
    """A machine half a second into an ordinary cut."""
    world = World(**{"mode": Mode.STOP, **parameters})
    world.samples(40.0, 600)
    assert world.reactions == []
    return world


def machine_info(**changes: Any) -> MachineInfo:
    words: dict[str, Any] = {
        "machine": "vmc1",
        "model": "mill",
        "simulated": True,
        "can_feed_hold": True,
        "can_stop": True,
        "stop_path": "drive",
        "last_stop_ms": float("nan"),
    }
    return MachineInfo(**{**words, **changes})


def machine_state(stamp_ns: int, execution: Execution, motion: Motion) -> MachineState:
    return MachineState(
        stamp_ns=stamp_ns,
        execution=execution,
        controller_mode=ControllerMode.AUTOMATIC,
        emergency_stop=EmergencyStop.ARMED,
        motion=motion,
        program="O1001",
        block_number=120,
        block="G1 X10",
        tool_number=1,
        tool_serial="em10-0001",
        part_count=0,
        spindle_speed_commanded_rpm=9549.0,
        feed_commanded_mm_min=1432.0,
        feed_override_pct=100.0,
        run_id="vmc1/sensory_cortex#1",
    )


def drive_block(stamp_ns: int, first_row: int, load_pct: float, axis_pct: float = 12.0, rows: int = 1) -> SignalBlock:
    data = np.tile(np.array([9549.0, load_pct, load_pct * 0.055, axis_pct], dtype=np.float32), (rows, 1))
    return SignalBlock(stamp_ns=stamp_ns, period_ns=MS, source="drive", first_row=first_row, data=Samples.take(data))
