"""The node that runs LinuxCNC, as a process on a real bus: what it says, what it does about an end, and its own end."""

from __future__ import annotations

import os
import signal

from bus.node import Raw
from bus.testing import Domain
from nodes.linuxcnc.control import LOCK, parts
from schemas.codec import codec
from schemas.system import Diagnostics
from tests.nodes.linuxcnc.mill import needs_linuxcnc, wait_for


def runs() -> bool:
    return {"milltask", "rtapi_app"} <= set(parts().values())


def findings(heard: list[Raw]) -> list[str]:
    return [f.text for raw in heard if raw.payload for f in codec(Diagnostics).decode(raw.payload).findings]


@needs_linuxcnc
def test_it_starts_linuxcnc_again_when_it_was_killed_and_ends_it_with_itself(domain: Domain) -> None:
    heard: list[Raw] = []
    with (
        domain.session(select=lambda topic, _: topic == "diagnostics", heard=heard.extend) as session,
        domain.process("nodes.linuxcnc") as node,
    ):
        assert session.spin(runs, 30.0)
        before = parts()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert session.spin(lambda: any("LinuxCNC does not run" in text for text in findings(heard)), 30.0)
        assert session.spin(lambda: runs() and not before.keys() & parts().keys(), 30.0)
        node.terminate()
        assert node.wait(20) == 0
    assert wait_for(lambda: not parts() and not LOCK.exists())
