"""The console without a terminal, as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from bus.host import Spec
from bus.node import Node, publisher, subscription, timer
from bus.testing import Domain
from schemas import topics
from schemas.machine import MotionEvent, MotionPhase
from schemas.system import Diagnostics
from tests.bus.live import node, until


class _Mover(Node):
    """Moves without end, and notes how the console is."""

    motion = publisher(topics.MOTION)

    def on_configure(self) -> None:
        self.console: list[Diagnostics] = []

    @timer(0.05)
    def move(self) -> None:
        self.motion.publish(
            MotionEvent(stamp_ns=self.now_ns(), phase=MotionPhase.AXES_STANDING, action_id="", travel_mm=1.5, text="")
        )

    @subscription(topics.DIAGNOSTICS)
    def on_diagnostics(self, diagnostics: Diagnostics) -> None:
        if diagnostics.node.endswith("console"):
            self.console.append(diagnostics)


def test_the_cell_goes_on_when_nobody_reads_the_console_any_more(domain: Domain) -> None:
    command = [sys.executable, "-P", "-m", "bus.run", "--domain", domain.name, "nodes.console"]
    with (
        domain.running(Spec(_Mover, namespace="vmc1")) as mover,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as console,
    ):
        assert console.stdout is not None
        assert console.stderr is not None
        assert console.stdout.readline() == b"vmc1: AXES_STANDING 1.50 mm \n"
        console.stdout.close()
        heard = len(node(mover).console)
        until(lambda: len(node(mover).console) >= heard + 3)
        assert all(not d.findings for d in node(mover).console)
        console.send_signal(signal.SIGTERM)
        assert console.wait(20) == 0
        assert b"BrokenPipe" not in console.stderr.read()
