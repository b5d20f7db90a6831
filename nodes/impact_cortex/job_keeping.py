"""The part of impact_cortex that keeps the book of jobs: takes one, tells its steps, counts what a run uses.

A job comes on `job/spec`, from whoever plans it. What is given by hand (`job/start`) the node publishes there itself:
so it is kept as all the others are, and the next life of this node hears it again. With several writers the newest
counts, by the time at which it was published: one that comes later may have lain on a disk.

The run that is on is kept likewise on `job/run`, so that a life of the node that begins in the middle of one goes on
with it: watched by its own job, although a newer one may wait, and with what it has used so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus.node import Node, publisher, service, subscription
from nodes.impact_cortex.cuts import Cuts, Reference
from nodes.impact_cortex.job_rows import mistakes
from nodes.impact_cortex.jobs import NO_JOB, Jobs, Run
from nodes.impact_cortex.tasks import Task
from schemas import topics
from schemas.machine import Alarm, ConditionLevel, MachineState
from schemas.shop import JobEvent, JobReply, JobRun, JobSpec

MOST_S = 0.5
"""a tick that is later counts as this: nobody knows what was cut meanwhile"""
TELL_NS = 10_000_000_000
"""what the next life of the node may not know of energy and wear"""
MISMATCH = "PROGRAM_MISMATCH"
REFUSED = "JOB_REFUSED"
"""the finding while the newest job cannot be taken, and the one before is in force"""


class JobKeeping(Node):
    """Mixed into the node."""

    job_events = publisher(topics.JOB_EVENT)
    job_specs = publisher(topics.JOB_SPEC)
    job_runs = publisher(topics.JOB_RUN)
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
        def _use(self) -> str: ...

    def _begin_jobs(self) -> None:
        self._jobs = Jobs()
        self._wanted_ns = 0
        self._counted_ns = 0
        self._run_told: tuple[int, int] | None = None
        """when this life told of the run, and how many interventions it had; None: it has not yet"""
        self._mismatch_told = ""

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

    @subscription(topics.JOB_RUN)
    def on_run(self, said: JobRun) -> None:
        """The run that an earlier life of this node saw begin; what this one tells itself it knows."""
        if self._run_told is not None or self._jobs.run is not None or not said.run_id:
            return
        run = self._jobs.run = Run.resume(said)
        self.log.info(f"run {run.run_id} of {run.program} goes on, job {run.spec.job_id or 'none'}")
        if wrong := self._use():
            self.log.warning(wrong)

    def _tell_run(self, stamp_ns: int) -> None:
        run = self._jobs.run
        self._run_told = (stamp_ns, run.interventions if run else 0)
        self.job_runs.publish(run.told(stamp_ns) if run else JobRun(stamp_ns=stamp_ns))

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
        stepped = False
        for event in jobs.state(state):
            self.job_events.publish(event)
            self._lesson_step(event)
            stepped = True
        changed = (jobs.spec, jobs.mismatch) != before
        if stepped or changed:
            self._tell_run(self.now_ns())
        if jobs.mismatch != self._mismatch_told:
            self._mismatch_told = jobs.mismatch
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
        return changed

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
        told_ns, interventions = self._run_told or (0, 0)
        if now_ns - told_ns >= TELL_NS or run.interventions != interventions:
            self._tell_run(now_ns)
