"""The simulated mill and the logic engine in one closed loop, stepped by hand: what is asked really stops the axes."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Any

from nodes.sensory_cortex.drivers import Setting
from nodes.sensory_cortex.drivers.simulator import Simulator, SimulatorOptions
from schemas import topics
from schemas.base import Message
from schemas.machine import (
    Execution,
    Fault,
    InjectRequest,
    MachineState,
    Motion,
    MotionEvent,
    MotionPhase,
    SignalBlock,
    Signals,
)
from tests.nodes.impact_cortex.rig import MS, T0, World

SITE = tomllib.loads((Path(__file__).parents[3] / "launch" / "site.toml").read_text())
VMC1: dict[str, Any] = SITE["machines"]["vmc1"]["impact_cortex"]


class MillWorld(World):
    """A World whose machine is the simulator, its cuts described as in the shipped site file."""

    def __init__(self, seed: int = 1, load_sensor: str = "drive_torque", **parameters: Any) -> None:
        described = {n: tuple(v) if isinstance(v, list) else v for n, v in VMC1.items()}
        super().__init__(signals=tuple(Simulator.signals), **{**described, **parameters})
        self._actions = 0
        options = SimulatorOptions(load_sensor=load_sensor)
        rng = random.Random(seed)
        setting = Setting("vmc1", "simulator", options, rng, self._next_action, lambda level, text: None)
        self.mill = Simulator(setting)
        self.mill.start(T0)
        self.loads: list[tuple[Motion, float]] = []
        self.happened: list[MotionEvent] = []
        self.heard: list[tuple[int, Message]] = []
        """everything that the node was told, and when"""
        self.met_in: Motion | None = None
        """what the machine did when the tool met a clamp"""
        self._revision = -1
        self._blocks = 0
        self._acted = 0
        self.tell(topics.SIGNALS, Signals(signals=tuple(Simulator.signals)))

    def _next_action(self) -> str:
        self._actions += 1
        return f"vmc1/sensory_cortex#{self._actions}"

    def run(self, ms: int) -> None:
        """Let time pass: state before samples, as the HAL publishes them; answers come at once."""
        for _ in range(ms):
            self.now += MS
            out = self.mill.advance(self.now)
            if self.mill.revision != self._revision:
                self._revision = self.mill.revision
                self._deliver(self.mill.state(self.now))
            for message in (*out, *self.mill.deferred()):
                self._deliver(message)
            acts, self._acted = self.asked[self._acted :], len(self.asked)
            for act in acts:
                self.mill.hold(self._next_action(), self.now, stop=act == "machine/stop")
            self.answer()
            self._blocks += 1
            if self._blocks % 50 == 0:
                self.time()

    def _deliver(self, message: Message) -> None:
        self.heard.append((self.now, message))
        if isinstance(message, MachineState):
            self.tell(topics.MACHINE_STATE, message)
        elif isinstance(message, MotionEvent):
            self.happened.append(message)
            if message.phase is MotionPhase.CONTACT:
                self.met_in = self.mill.mill.motion
            self.tell(topics.MOTION, message)
        elif isinstance(message, SignalBlock) and message.source == "drive":
            motion = self.mill.mill.motion
            self.loads.append((motion, float(message.data.array[-1, 0])))
            self.tell(topics.SAMPLES, message)
        elif isinstance(message, SignalBlock):
            self.tell(topics.VIBRATION, message)

    def inject(self, fault: Fault, magnitude: float = 1.0) -> None:
        assert self.mill.inject(InjectRequest(fault=fault, magnitude=magnitude), self.now).accepted

    def run_to(self, motion: Motion, ms: int, limit_ms: int = 60_000) -> None:
        """Until the program has been `ms` in this motion and is cutting."""
        held = 0
        for _ in range(limit_ms):
            self.run(1)
            mill = self.mill.mill
            held = (
                held + 1 if mill.motion is motion and mill.execution is Execution.ACTIVE and mill.cutting_nm > 0 else 0
            )
            if held >= ms:
                return
        raise AssertionError(f"no {motion} of {ms} ms within {limit_ms} ms")

    def at(self, phase: MotionPhase) -> MotionEvent:
        return next(e for e in self.happened if e.phase is phase)
