"""launch/linuxcnc.py: a real control started, its overload decided on, stopped, released; and all of it replayed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from bus.node import Raw
from bus.plan import SHIPPED
from bus.replay import differences, replay
from bus.testing import Domain
from nodes.impact_cortex import ImpactCortex
from nodes.linuxcnc.control import LOCK, parts
from nodes.sensory_cortex import SensoryCortex
from schemas import topics
from schemas.codec import codec
from schemas.impact import Intervention, Reaction
from schemas.machine import Execution, Fault, InjectRequest, MachineState, MotionEvent, MotionPhase, ResetRequest
from tests.bus.test_launcher import Launch, domain, started
from tests.nodes.linuxcnc.mill import needs_linuxcnc, wait_for

__all__ = ["domain", "started"]  # fixtures


@needs_linuxcnc
def test_an_overload_of_a_real_control_is_stopped_released_and_replayed(
    domain: Domain, tmp_path: Path, started: ExitStack
) -> None:
    heard: dict[str, list[Raw]] = {}
    wanted = {f"mill/{t.name}" for t in (topics.MACHINE_STATE, topics.MOTION, topics.INTERVENTION)}

    def keep(batch: list[Raw]) -> None:
        for raw in batch:
            if raw.payload:
                heard.setdefault(raw.topic.removeprefix("mill/"), []).append(raw)

    def cuts() -> bool:
        states = heard.get(topics.MACHINE_STATE.name, [])
        state = codec(MachineState).decode(states[-1].payload) if states else None
        return state is not None and state.execution is Execution.ACTIVE and state.block_number == 50

    def motions() -> list[MotionEvent]:
        return [codec(MotionEvent).decode(r.payload) for r in heard.get(topics.MOTION.name, [])]

    bags = tmp_path / "bags"
    launch = Launch(tmp_path, (SHIPPED / "linuxcnc.py").read_text(), "-p", f"recorder.directory={bags}")
    started.callback(launch.end)
    launch.wait_for("ready:")
    with domain.session(select=lambda topic, _: topic in wanted, heard=keep) as session:
        assert session.spin(cuts, 30.0)
        crash = InjectRequest(fault=Fault.CRASH)
        assert session.call("mill/machine/inject", topics.INJECT, crash, timeout_s=2.0).accepted
        assert session.spin(lambda: any(e.phase is MotionPhase.SPINDLE_STANDING for e in motions()), 20.0)
        release = ResetRequest(operator="joe", reason="clamp moved")
        assert session.call("mill/machine/reset", topics.RESET, release, timeout_s=2.0).accepted
        assert session.spin(cuts, 20.0)
    assert launch.end() == 0
    assert wait_for(lambda: not parts() and not LOCK.exists())
    said = [codec(Intervention).decode(r.payload) for r in heard[topics.INTERVENTION.name]]
    assert [i.reaction for i in said] == [Reaction.FEED_HOLD, Reaction.STOP]
    assert said[0].block_number == 50
    (bag,) = (p for p in bags.rglob("*.mcap") if "black_box" not in p.name)
    for node in (SensoryCortex, ImpactCortex):
        again = replay(node, bag)
        assert (again.problems, differences(again.recorded, again)) == ([], [])
