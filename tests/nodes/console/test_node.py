"""The console as a process of its own, without a terminal and on one."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios

from bus.host import Spec
from bus.node import Node, publisher, subscription, timer
from bus.testing import Domain
from schemas import topics
from schemas.machine import Alarm, ConditionLevel, MotionEvent, MotionPhase
from schemas.system import Diagnostics
from tests.bus.live import node, until


class _Mover(Node):
    """Moves without end, and notes how the console is."""

    motion = publisher(topics.MOTION)
    alarms = publisher(topics.ALARM)

    def on_configure(self) -> None:
        self.console: list[Diagnostics] = []
        self.alarms.publish(
            Alarm(
                stamp_ns=self.now_ns(), alarm_id="servo", level=ConditionLevel.FAULT, origin="", native_code="SV0436",
                text="",
            )
        )  # fmt: skip

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


def test_on_a_terminal_of_80_columns_protection_alarm_and_whole_commands_are_shown(domain: Domain) -> None:
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-P", "-m", "bus.run", "--domain", domain.name, "nodes.console"]
    environment = {**os.environ, "TERM": "xterm", "RISE_DOMAIN": "another"}
    with (
        domain.running(Spec(_Mover, namespace="vmc1")),
        subprocess.Popen(command, stdout=its, stderr=subprocess.DEVNULL, env=environment) as console,
    ):
        os.close(its)
        read = b""
        wanted = (b"UNPROTECTED", b"FAULT SV0436", b"button always wins.", f"--domain {domain.name}".encode())
        while not all(word in read for word in wanted):
            read = (read + os.read(ours, 65536))[-100_000:]
        console.send_signal(signal.SIGTERM)
        while console.poll() is None:
            try:
                os.read(ours, 65536)
            except OSError:  # it has left
                break
        assert console.wait(20) == 0
    os.close(ours)
