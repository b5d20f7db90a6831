"""On the real bus, with the simulated mill: composed in one thread, and each cortex as its own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from bus.host import Spec
from bus.node import Raw
from bus.session import Session
from bus.testing import Domain
from nodes.impact_cortex import ImpactCortex
from nodes.sensory_cortex import SensoryCortex
from schemas import topics
from schemas.base import Message, Topic
from schemas.codec import codec
from schemas.impact import (
    Beat,
    Intervention,
    Mode,
    ModeRequest,
    Protection,
    ProtectionState,
    Reaction,
    ReactionResult,
)
from schemas.machine import (
    Execution,
    Fault,
    InjectRequest,
    MachineState,
    Motion,
    MotionEvent,
    MotionPhase,
    ResetRequest,
    SignalBlock,
)
from schemas.shop import JobEvent, JobEventKind, JobSpec

HEARD: tuple[Topic[Any], ...] = (
    topics.MACHINE_STATE,
    topics.MOTION,
    topics.SAMPLES,
    topics.INTERVENTION,
    topics.REACTION_RESULT,
    topics.PROTECTION,
    topics.HAL_PROTECTION,
    topics.BEAT,
    topics.JOB_EVENT,
)


class Ear:
    """What vmc1 said, decoded, in order."""

    def __init__(self, domain: Domain) -> None:
        self.heard: list[tuple[str, Message]] = []
        self._by_name = {f"vmc1/{t.name}": t for t in HEARD}
        self.session: Session = domain.session(select=lambda name, type_name: name in self._by_name, heard=self._take)

    def _take(self, batch: list[Raw]) -> None:
        for raw in batch:
            if not raw.lost_first:
                topic = self._by_name[raw.topic]
                self.heard.append((topic.name, codec(topic.type).decode(raw.payload)))

    def of(self, topic: Topic[Any]) -> list[Any]:
        return [m for name, m in self.heard if name == topic.name]

    def until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        assert self.session.spin(condition, timeout_s), [m for m in self.heard if m[0] not in ("machine/samples",)][-5:]

    def protection(self) -> Protection | None:
        said: list[Protection] = self.of(topics.PROTECTION)
        return said[-1] if said else None

    def until_cutting(self, rows: int = 300) -> None:
        """Until the mill has been in one cut for this many rows."""

        def cutting() -> bool:
            state: list[MachineState] = self.of(topics.MACHINE_STATE)
            if not state or state[-1].motion is not Motion.FEED or state[-1].execution is not Execution.ACTIVE:
                return False
            blocks: list[SignalBlock] = self.of(topics.SAMPLES)[-rows:]
            loads = [float(b.data.array[-1, 0]) for b in blocks if b.stamp_ns > state[-1].stamp_ns]
            return len(loads) > rows // 2 and min(loads[-rows // 2 :]) > 12.0

        self.until(cutting)

    def inject(self, fault: Fault) -> None:
        reply = self.session.call("vmc1/machine/inject", topics.INJECT, InjectRequest(fault=fault), timeout_s=5.0)
        assert reply.accepted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.session.close()


def core(**parameters: Any) -> tuple[Spec, Spec]:
    return (
        Spec(SensoryCortex, namespace="vmc1"),
        Spec(ImpactCortex, namespace="vmc1", parameters=parameters),
    )


def reactions(ear: Ear) -> list[Intervention]:
    """What was held or stopped; a warning may come besides."""
    return [i for i in ear.of(topics.INTERVENTION) if i.reaction is not Reaction.WARN]


def in_order(ear: Ear) -> None:
    """The timeline of a crash: contact, decision, axes stood; the feed before the spindle.

    On a busy machine the answer to the hold may come too late, and then the stop does not wait for its effect: the
    order is the same.
    """
    hold, stop = reactions(ear)
    assert (hold.reaction, stop.reaction) == (Reaction.FEED_HOLD, Reaction.STOP)
    assert not hold.would_have
    assert hold.task in ("load_limit", "load_cusum")
    assert hold.evidence.array.shape[1] == 11
    assert "feed hold" in stop.reason
    results: list[ReactionResult] = ear.of(topics.REACTION_RESULT)
    assert {r.intervention_id for r in results} == {hold.intervention_id, stop.intervention_id}
    motion: list[MotionEvent] = ear.of(topics.MOTION)
    stamps = {e.phase: e for e in reversed(motion)}
    contact, stood = stamps[MotionPhase.CONTACT], stamps[MotionPhase.AXES_STANDING]
    assert contact.stamp_ns <= hold.stamp_ns <= stop.stamp_ns
    assert contact.stamp_ns < stood.stamp_ns
    assert 0 < stood.travel_mm < 20


def stopped(ear: Ear) -> bool:
    taken = {r.reaction for r in ear.of(topics.REACTION_RESULT) if r.accepted}
    stands = any(e.phase is MotionPhase.AXES_STANDING for e in ear.of(topics.MOTION))
    return Reaction.STOP in taken and len(reactions(ear)) >= 2 and stands


def test_composed_crash_is_held_stopped_and_released_by_the_operator() -> None:
    with Domain() as domain, domain.running(*core(mode=Mode.STOP)), Ear(domain) as ear:
        ear.until(lambda: (p := ear.protection()) is not None and p.state is ProtectionState.PROTECTED)
        ear.until_cutting()
        ear.inject(Fault.CRASH)
        ear.until(lambda: stopped(ear))
        in_order(ear)
        ear.until(lambda: any(e.phase is MotionPhase.SPINDLE_STANDING for e in ear.of(topics.MOTION)))
        reset = ResetRequest(operator="anna", reason="clamp moved, tool changed")
        assert ear.session.call("vmc1/machine/reset", topics.RESET, reset, timeout_s=5.0).accepted
        ear.until(lambda: any(e.phase is MotionPhase.RELEASED for e in ear.of(topics.MOTION)))
        ear.until_cutting()
        assert len(reactions(ear)) == 2


def test_two_processes_do_the_same_and_the_hal_says_when_the_brain_is_gone() -> None:
    with (
        Domain() as domain,
        domain.process("nodes.sensory_cortex", "--namespace", "vmc1"),
        domain.process("nodes.impact_cortex", "--namespace", "vmc1", "-p", 'mode="STOP"') as brain,
        Ear(domain) as ear,
    ):
        hal: Callable[[], list[Protection]] = lambda: ear.of(topics.HAL_PROTECTION)  # noqa: E731 # read anew each time
        ear.until(lambda: bool(hal()) and hal()[-1].state is ProtectionState.PROTECTED)
        ear.until_cutting()
        ear.inject(Fault.CRASH)
        ear.until(lambda: stopped(ear))
        in_order(ear)
        brain.kill()
        ear.until(lambda: hal()[-1].state is ProtectionState.UNPROTECTED)
        assert "no beat of impact_cortex" in hal()[-1].reasons[0]


def test_a_run_and_the_job_that_waits_outlive_their_engine(domain: Domain) -> None:
    """Killed with -9 in mid-run, right after it took the next job, the engine goes on with the run's own."""
    brain = ("nodes.impact_cortex", "--namespace", "vmc1")
    fast = ("-p", 'sources=[{"driver": "simulator", "speed": 5.0}]')
    jobs = [JobSpec(job_id=n, program="O1001 POCKET", operator_id="maria") for n in ("501", "502")]
    with domain.process("nodes.sensory_cortex", "--namespace", "vmc1", *fast), Ear(domain) as ear:
        events: Callable[[], list[JobEvent]] = lambda: ear.of(topics.JOB_EVENT)  # noqa: E731 # read anew each time
        with domain.process(*brain) as first:
            ear.until(lambda: bool(events()))
            assert ear.session.call("vmc1/job/start", topics.JOB_START, jobs[0], timeout_s=5.0).ok
            ear.until(lambda: (events()[-1].kind, events()[-1].job_id) == (JobEventKind.RUN_STARTED, "501"), 60.0)
            run_id, seen = events()[-1].run_id, len(events())
            assert ear.session.call("vmc1/job/start", topics.JOB_START, jobs[1], timeout_s=5.0).ok
            first.kill()
            first.wait(10)
        with domain.process(*brain):
            ear.until(lambda: any(e.kind is JobEventKind.RUN_STARTED for e in events()[seen:]), 60.0)
    assert [(e.kind, e.job_id, e.run_id == run_id) for e in events()[seen:]][:3] == [
        (JobEventKind.CYCLE_COMPLETED, "501", True),
        (JobEventKind.RUN_COMPLETED, "501", True),
        (JobEventKind.RUN_STARTED, "502", False),
    ]


def test_observe_asks_nothing_of_the_machine_and_mode_is_set_by_service() -> None:
    with Domain() as domain, domain.running(*core()), Ear(domain) as ear:
        ear.until_cutting()
        ear.inject(Fault.CRASH)
        ear.until(lambda: bool(ear.of(topics.INTERVENTION)))
        said: Intervention = ear.of(topics.INTERVENTION)[0]
        assert (said.mode, said.reaction, said.would_have) == (Mode.OBSERVE, Reaction.FEED_HOLD, True)
        said_at = len(ear.of(topics.BEAT))
        ear.until(lambda: len(ear.of(topics.BEAT)) > said_at + 5)
        assert ear.of(topics.REACTION_RESULT) == []
        assert not any(e.phase is MotionPhase.ACCEPTED for e in ear.of(topics.MOTION))
        request = ModeRequest(mode=Mode.HOLD, changed_by="anna", reason="taught in")
        assert ear.session.call("vmc1/impact/set_mode", topics.SET_MODE, request, timeout_s=5.0).accepted
        beats: Callable[[], list[Beat]] = lambda: ear.of(topics.BEAT)  # noqa: E731 # read anew each time
        ear.until(lambda: beats()[-1].mode is Mode.HOLD)


def test_silence_of_the_drive_is_unprotected() -> None:
    with Domain() as domain, domain.running(*core(mode=Mode.STOP)), Ear(domain) as ear:
        ear.until(lambda: (p := ear.protection()) is not None and p.state is ProtectionState.PROTECTED)
        request = InjectRequest(fault=Fault.SOURCE_SILENT, signal="drive")
        assert ear.session.call("vmc1/machine/inject", topics.INJECT, request, timeout_s=5.0).accepted
        ear.until(lambda: (p := ear.protection()) is not None and p.state is ProtectionState.UNPROTECTED)
        said = ear.protection()
        assert said is not None
        assert "source drive silent" in said.reasons
