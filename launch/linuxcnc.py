"""A real control, LinuxCNC, with a simulated mill behind it: started here, watched by the logic engine, all recorded.

rise launch linuxcnc
rise launch linuxcnc limit_pct:=60 program:=my_part.ngc config:=my_mill.ini
rise service call /mill/machine/inject '{"fault": "CRASH"}'
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bus.launch import Action, Compose, Process, Restart


def launch(
    name: str = "mill",
    control: bool = True,
    config: str = "",
    program: str = "demo.ngc",
    mode: str = "STOP",
    limit_pct: float = 85.0,
    record: bool = True,
) -> Iterator[Action]:
    """One LinuxCNC on this computer with its cortices.

    control: start LinuxCNC here; false where it runs already.
    config: INI file of a simulated machine with rise.hal among its HALFILEs; empty is the mill that comes with it.
    program: what runs, beside the INI file.
    """
    recorder = ("/recorder",) if record else ()
    if record:
        yield Process("nodes.recorder", end_s=30)
    if control:
        # outside the machine's namespace: a cortex that is started again must find the control running
        ini = {"config": str(Path(config).resolve()) if config else ""}
        yield Process("nodes.linuxcnc", parameters=ini, after=recorder, end_s=15)
    source = {"driver": "linuxcnc", "simulated": True, "program": program, "watchdog": True}
    yield Compose(
        "core",
        [
            Process("nodes.sensory_cortex", parameters={"sources": (source,)}),
            # the control's own numbers have no noise of a sensor: one wild reading is still no crash, and the third of
            # the usual three would come a millisecond later
            Process(
                "nodes.impact_cortex", parameters={"mode": mode, "limit_pct": limit_pct, "limit_k": 2, "limit_n": 3}
            ),
        ],
        namespace=name,
        after=recorder,
        critical="namespace",
        realtime=10,
        restart=Restart(longest_s=1.0, most=60),
    )
