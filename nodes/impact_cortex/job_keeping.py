"""The part of impact_cortex that keeps the book of jobs: takes one, tells its steps, counts what a run uses.

A job comes on `job/spec`, from whoever plans it. What is given by hand (`job/start`) the node publishes there itself:
so it is kept as all the others are, and the next life of this node hears it again. With several writers the newest
counts, by the time at which it was published: one that comes later may have lain on a disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus.node import Node, publisher, service, subscription
from nodes.impact_cortex.cuts import Cuts, Reference
from nodes.impact_cortex.job_rows import mistakes
from nodes.impact_cortex.jobs import NO_JOB, Jobs
from nodes.impact_cortex.tasks import Task
from schemas import topics
from schemas.machine import Alarm, ConditionLevel, MachineState
from schemas.shop import JobEvent, JobReply, JobSpec

MOST_S = 0.5
"""a tick that is later counts as this: nobody knows what was cut meanwhile"""
MISMATCH = "PROGRAM_MISMATCH"
REFUSED = "JOB_REFUSED"
"""the finding while the newest job cannot be taken, and the one before is in force"""


class JobKeeping(Node):
    """Mixed into the node."""

    job_events = publisher(topics.JOB_EVENT)
    job_specs = publisher(topics.JOB_SPEC)
    alarms = publisher(topics.ALARM)

    _jobs: Jobs
    _wanted_ns: int
    _cuts: Cuts
    _tasks: tuple[Task, ...]
    _counted_ns: int
    _site_cuts: Cuts
    _site_tasks: tuple[Task, ...]

    if TYPE_CHECKING:

        def _lesson_step(self, event: JobEvent) -> None: ...

    def _begin_jobs(self) -> None:
        self._jobs = Jobs()
        self._wanted_ns = 0
        self._counted_ns = 0

    @service(topics.JOB_START)
    def start_job(self, request: JobSpec) -> JobReply:
        """The job of the next start of a program; an empty job_id ends it."""
        if wrong := self._take(request, self.now_ns()):
            return JobReply(ok=False, text=wrong)
        self.job_specs.publish(request)
        if self._jobs.wanted is NO_JOB:
            return JobReply(ok=True, text="no job from the next start of a program on")
        return JobReply(ok=True, text=f"job {request.job_id} begins with the next start of {request.program}")

    @subscription(topics.JOB_SPEC)
    def on_spec(self, spec: JobSpec) -> None:
        """The job of the next start of a program; one that cannot be taken is told, and changes nothing."""
        if self.source.stamp_ns < self._wanted_ns:
            return
        if wrong := self._take(spec, self.source.stamp_ns):
            text = f"job {spec.job_id!r} from {self.source.node} is not taken: {wrong}"
            self.log.warning(text)
            self.report(REFUSED, ConditionLevel.WARNING, text)

    def _take(self, spec: JobSpec, stamp_ns: int) -> str:
        """Want this job from now on; why not, if it cannot be."""
        none = not spec.job_id and not spec.program
        if not none and (wrong := list(mistakes(spec, self._site_cuts.base, self._site_tasks))):
            return "; ".join(wrong)
        self._wanted_ns = stamp_ns
        self.clear(REFUSED)
        if not none and spec != self._jobs.wanted:
            self.log.info(f"job {spec.job_id}: {spec.program}, by {spec.operator_id or 'nobody said'}")
        self._jobs.wanted = NO_JOB if none else spec
        return ""

    def _keep_book(self, state: MachineState) -> bool:
        """Tell the steps that this state shows; whether what the machine is watched by has changed with them."""
        jobs = self._jobs
        before = (jobs.spec, jobs.mismatch)
        for event in jobs.state(state):
            self.job_events.publish(event)
            self._lesson_step(event)
        if jobs.mismatch != before[1]:
            wrong = f"program {state.program} runs, the job wants {jobs.mismatch}" if jobs.mismatch else ""
            self.alarms.publish(
                Alarm(
                    stamp_ns=self.now_ns(),
                    alarm_id=f"{self.name}/{MISMATCH.lower()}",
                    level=ConditionLevel.WARNING if wrong else ConditionLevel.NORMAL,
                    origin=self.name,
                    native_code=MISMATCH,
                    text=wrong,
                )
            )
        return (jobs.spec, jobs.mismatch) != before

    def _count(self, now_ns: int, power_kw: float, cutting: MachineState | None, reference: Reference) -> None:
        """What the run has used since the last call; `cutting` is None while no chip is made."""
        seconds = min((now_ns - self._counted_ns) / 1e9, MOST_S) if self._counted_ns else 0.0
        self._counted_ns = now_ns
        run = self._jobs.run
        if run is None or seconds <= 0.0:
            return
        run.spend(seconds, power_kw)
        if cutting is not None:
            run.cut(seconds, cutting, reference.material, reference.cut.diameter_mm)
