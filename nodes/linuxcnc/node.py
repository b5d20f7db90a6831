"""Wires LinuxCNC to the graph: started, watched, started again, and ended with the launch."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bus.node import BadParameter, Node, parameter, worker
from nodes.linuxcnc.control import APT, END_S, Control, NotPossible, installed
from schemas.base import Message
from schemas.machine import ConditionLevel

MILL = Path(__file__).parent / "mill" / "mill.ini"
PAUSE_S = 1.0
"""before it is started again"""


class Line(Message):
    """What LinuxCNC wrote; `ended`: it does not run any more."""

    text: str
    ended: bool = False


class LinuxCnc(Node):
    """Runs LinuxCNC on this computer: by default a simulated XYZ mill, to be read by a source `driver = "linuxcnc"`.

    Its files are copied to a folder of its own for each start. There can be one LinuxCNC on a computer.
    """

    config = parameter("", doc="INI file of the machine, with its files beside it; empty: a simulated XYZ mill")
    user = parameter("nobody", doc="who runs it when this node is root's: LinuxCNC refuses root")

    @classmethod
    def mistakes(cls, parameters: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """LinuxCNC is not there, or its INI file is not."""
        if not installed():
            yield "linuxcnc-missing", f"LinuxCNC is not installed; install it with: {APT}"
        if parameters["config"] and not Path(parameters["config"]).is_file():
            yield "linuxcnc-config", f"config: {parameters['config']} is no file"

    def on_configure(self) -> None:
        try:
            self._control = Control(Path(self.config) if self.config else MILL, self.user)
        except NotPossible as error:
            raise BadParameter(f"{self.name}: {error}") from None

    @worker(depth=64)
    def running(self, end: threading.Event) -> Iterator[Line]:
        """LinuxCNC, life after life."""
        while not end.is_set():
            why = "it ended"
            try:
                for text in self._control.lines(end):
                    yield Line(text=text)
            except NotPossible as error:
                why = str(error)
            yield Line(text=why, ended=True)
            end.wait(PAUSE_S)

    @running.received
    def on_line(self, line: Line) -> None:
        if line.ended:
            self.report("linuxcnc_ended", ConditionLevel.FAULT, f"LinuxCNC does not run: {line.text}")
            return
        self.clear("linuxcnc_ended")
        self.log.info(line.text)

    def on_shutdown(self) -> None:
        """LinuxCNC takes a second to clean up; what is left then is killed by whoever guards this process."""
        self._control.gone.wait(END_S + 2.0)
