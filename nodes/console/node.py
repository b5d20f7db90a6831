"""Shows every machine of the domain in the terminal: states, protection, rates, losses, latency, interventions."""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING

from bus import EVERY, Node, parameter, subscription, timer
from nodes.console.board import Board, MachineBoard
from nodes.console.paste import Shell
from schemas import topics
from schemas.impact import Assessment, Intervention, Protection, ReactionResult
from schemas.machine import Alarm, MachineInfo, MachineState, MotionEvent
from schemas.system import BagSplit, Diagnostics, RecorderStatus, WebAddress

if TYPE_CHECKING:
    from rich.live import Live

MOST_CHARS = 1000


class Console(Node):
    """A live table on a terminal; lines of text where there is none."""

    color = parameter(True, doc="use colours")
    line_every_s = parameter(5.0, unit="s", ge=0.5, doc="without a terminal: seconds between two summaries")

    def on_configure(self) -> None:
        self.board = Board()
        self._live: Live | None = None
        self._said_ns = 0
        self._lines: list[str] = []
        # the command beside the interpreter that runs us, as the reader would type it
        rise = os.path.relpath(os.path.join(os.path.dirname(sys.executable), "rise"))
        self._shell = Shell(rise, str(getattr(self.context, "domain", "default")))  # a replay has none
        if sys.stdout.isatty():
            from rich.console import Console as Terminal
            from rich.live import Live

            terminal = Terminal(no_color=not self.color)
            # render() fits the terminal; what does not, because it was made smaller meanwhile, is cropped
            self._live = Live(console=terminal, auto_refresh=False, screen=False, vertical_overflow="crop")
            self._live.start()

    def _machine(self) -> MachineBoard:
        machine = self.board.machine(self.source.namespace)
        machine.heard_ns = self.now_ns()
        return machine

    @subscription(topics.MACHINE_STATE, namespace=EVERY)
    def on_state(self, state: MachineState) -> None:
        self._machine().state = state

    @subscription(topics.MACHINE_INFO, namespace=EVERY)
    def on_info(self, info: MachineInfo) -> None:
        self._machine().info = info

    @subscription(topics.ASSESSMENT, namespace=EVERY)
    def on_assessment(self, assessment: Assessment) -> None:
        self._machine().assessment = assessment

    @subscription(topics.PROTECTION, namespace=EVERY)
    def on_protection(self, protection: Protection) -> None:
        self._machine().brain = protection

    @subscription(topics.HAL_PROTECTION, namespace=EVERY)
    def on_hal_protection(self, protection: Protection) -> None:
        self._machine().hal = protection

    @subscription(topics.INTERVENTION, namespace=EVERY, cursor=None)
    def on_intervention(self, intervention: Intervention) -> None:
        machine = self._machine()
        machine.interventions.append(intervention)
        self._lines.append(f"{machine.name}: {intervention.reaction.value}: {intervention.reason}")

    @subscription(topics.REACTION_RESULT, namespace=EVERY)
    def on_reaction(self, result: ReactionResult) -> None:
        self._machine().results.append(result)

    @subscription(topics.MOTION, namespace=EVERY)
    def on_motion(self, event: MotionEvent) -> None:
        machine = self._machine()
        machine.motion.append(event)
        self._lines.append(f"{machine.name}: {event.phase.value} {event.travel_mm:.2f} mm {event.text}")

    @subscription(topics.ALARM, namespace=EVERY)
    def on_alarm(self, alarm: Alarm) -> None:
        # not `_machine()`: an alarm may be somebody else's, and is no sign of life of the machine
        self.board.machine(self.source.namespace).on_alarm(alarm)
        if alarm.text:
            self._lines.append(f"{self.source.namespace}: {alarm.level.value} {alarm.native_code} {alarm.text}")

    @subscription(topics.DIAGNOSTICS)
    def on_diagnostics(self, diagnostics: Diagnostics) -> None:
        self.board.on_diagnostics(diagnostics)

    @subscription(topics.RECORDER)
    def on_recorder(self, status: RecorderStatus) -> None:
        self.board.recorder = status

    @subscription(topics.BAG_CLOSED, cursor=None)
    def on_bag(self, bag: BagSplit) -> None:
        self.board.on_bag(bag)

    @subscription(topics.WEB_ADDRESS)
    def on_address(self, address: WebAddress) -> None:
        try:
            with open(address.file, encoding="utf-8") as file:
                self.board.dashboard = file.read(MOST_CHARS).strip()
        except (OSError, ValueError):  # the hub runs for somebody else, or could not write it: then without a key
            self.board.dashboard = address.url
        self._lines.append(f"dashboard: {self.board.dashboard}")

    @timer(0.25)
    def draw(self) -> None:
        now_ns = self.now_ns()
        if self._live is not None:
            from nodes.console.screen import render

            self._live.update(render(self.board, now_ns, self._shell, self._live.console), refresh=True)
            self._lines.clear()
            return
        for line in self._lines:
            self._print(line)
        self._lines.clear()
        if now_ns - self._said_ns > self.line_every_s * 1e9:
            self._said_ns = now_ns
            for name, m in sorted(self.board.machines.items()):
                rate = "no rate yet" if math.isnan(m.rate_hz) else f"{m.rate_hz:.0f} samples/s"
                state, why = m.protection(now_ns)
                self._print(
                    f"{name}: {m.state.execution.value if m.state else 'UNAVAILABLE'} {state.value} {why} "
                    f"{rate} lost {m.lost} "
                    f"decision p50 {m.decision_p50_ms:.2f} p99 {m.decision_p99_ms:.2f} ms"
                )

    def _print(self, line: str) -> None:
        try:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            # whoever read this has left (`make run | head`): no fault of the cell, which goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def on_shutdown(self) -> None:
        if self._live is not None:
            self._live.stop()
