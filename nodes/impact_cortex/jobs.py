"""Which job a run belongs to, and what becomes of it, by the machine's states alone. Values in, steps out.

A job takes effect at the next start of a program, never in the middle of one. A run whose program is not the job's is
watched with the machine's own limits and held against no model: a warm-up program must not be taken for the part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from nodes.impact_cortex import physics
from nodes.impact_cortex.materials import MATERIALS
from schemas.machine import Execution, MachineState
from schemas.shop import JobEvent, JobEventKind, JobRun, JobSpec, ToolUse

PAUSED = frozenset(
    {
        Execution.FEED_HOLD,
        Execution.INTERRUPTED,
        Execution.STOPPED,
        Execution.OPTIONAL_STOP,
        Execution.PROGRAM_STOPPED,
        Execution.WAIT,
    }
)
OVER = frozenset({Execution.PROGRAM_COMPLETED, Execution.READY})
NO_JOB = JobSpec(job_id="", program="")
MOST_TOOLS = 200
UNSEEN = "ended while nobody watched"


@dataclass(slots=True)
class Use:
    """What one tool has done in a run."""

    cutting_s: float = 0.0
    wear: float = 0.0


@dataclass(slots=True)
class Run:
    """One execution of a program, its counters so far."""

    run_id: str
    program: str
    spec: JobSpec
    """`NO_JOB` where there is none, or the program is another one"""
    mismatch: str
    """the program that the job wanted; empty when this is it"""
    part_count: int
    cycles: int = 0
    paused: bool = False
    energy_kwh: float = 0.0
    interventions: int = 0
    tools: dict[tuple[int, str], Use] = field(default_factory=dict)
    resumed: bool = False
    """begun in an earlier life of the node; false once this one has seen it go on"""

    @classmethod
    def resume(cls, said: JobRun) -> Run:
        """The run as an earlier life of the node has told it."""
        counted = (said.part_count, said.cycles, said.paused, said.energy_kwh, said.interventions)
        tools = {(u.tool_number, u.tool_serial): Use(u.cutting_s, u.wear_pct / 100.0) for u in said.tools[:MOST_TOOLS]}
        spec = NO_JOB if said.spec == NO_JOB else said.spec
        return cls(said.run_id, said.program, spec, said.mismatch, *counted, tools, resumed=True)

    def told(self, stamp_ns: int) -> JobRun:
        """All of it, to be resumed from."""
        return JobRun(
            stamp_ns=stamp_ns,
            run_id=self.run_id,
            program=self.program,
            spec=self.spec,
            mismatch=self.mismatch,
            part_count=self.part_count,
            cycles=self.cycles,
            paused=self.paused,
            energy_kwh=self.energy_kwh,
            interventions=self.interventions,
            tools=self._use(),
        )

    def event(self, kind: JobEventKind, stamp_ns: int, text: str = "") -> JobEvent:
        return JobEvent(
            stamp_ns=stamp_ns,
            kind=kind,
            job_id=self.spec.job_id,
            run_id=self.run_id,
            program=self.program,
            operator_id=self.spec.operator_id,
            cycles=self.cycles,
            part_count=self.part_count,
            energy_kwh=self.energy_kwh,
            cutting_s=sum(use.cutting_s for use in self.tools.values()),
            interventions=self.interventions,
            tools=self._use(),
            text=text,
        )

    def _use(self) -> tuple[ToolUse, ...]:
        return tuple(
            ToolUse(tool_number=number, tool_serial=serial, cutting_s=use.cutting_s, wear_pct=100.0 * use.wear)
            for (number, serial), use in self.tools.items()
        )

    def spend(self, seconds: float, power_kw: float) -> None:
        """So long the spindle took this power; what is no reading counts as none."""
        if power_kw > 0.0:
            self.energy_kwh += power_kw * seconds / 3600.0

    def cut(self, seconds: float, state: MachineState, material: str, diameter_mm: float) -> None:
        """So long the tool was in the material: its life is used up by the speed at which it cuts (Taylor, Miner)."""
        key = (state.tool_number, state.tool_serial)
        if key not in self.tools and len(self.tools) >= MOST_TOOLS:
            return
        use = self.tools.setdefault(key, Use())
        use.cutting_s += seconds
        known = MATERIALS.get(material)
        if known is not None and diameter_mm > 0.0 and state.spindle_speed_commanded_rpm > 0.0:
            speed = physics.cutting_speed_m_min(state.spindle_speed_commanded_rpm, diameter_mm)
            share = physics.wear_share(known, speed, seconds)
            use.wear += share if share == share else 0.0


class Jobs:
    """The job that is wanted, and the run that is on."""

    def __init__(self) -> None:
        self.wanted = NO_JOB
        self.run: Run | None = None

    @property
    def spec(self) -> JobSpec | None:
        """What the machine is watched by now: the run's job; None: as its own parameters say."""
        return self.run.spec if self.run is not None and self.run.spec is not NO_JOB else None

    @property
    def mismatch(self) -> str:
        """The program that was wanted while another one runs; empty otherwise."""
        return "" if self.run is None else self.run.mismatch

    def state(self, state: MachineState) -> Iterator[JobEvent]:
        """The steps that this state of the machine shows. One that is not known shows nothing."""
        if state.execution is Execution.UNAVAILABLE:
            return
        if self.run is not None:
            if not self.run.program and state.program:  # a control may say that it runs before it says what
                found = self._begin(state)
                self.run.program, self.run.spec, self.run.mismatch = found.program, found.spec, found.mismatch
            yield from self._go_on(self.run, state)
        if self.run is None and state.run_id and state.execution is Execution.ACTIVE:
            self.run = self._begin(state)
            text = f"the job wants program {self.run.mismatch}" if self.run.mismatch else ""
            yield self.run.event(JobEventKind.RUN_STARTED, state.stamp_ns, text)

    def _begin(self, state: MachineState) -> Run:
        wanted = self.wanted
        fits = wanted is not NO_JOB and same_program(wanted.program, state.program)
        mismatch = wanted.program if wanted is not NO_JOB and not fits and state.program else ""
        return Run(state.run_id, state.program, wanted if fits else NO_JOB, mismatch, state.part_count)

    def _go_on(self, run: Run, state: MachineState) -> Iterator[JobEvent]:
        # by how much says nothing of programs: one may make several parts, and people set counters
        grown = state.part_count > run.part_count
        over = state.run_id != run.run_id or state.execution in OVER
        completed = state.execution is Execution.PROGRAM_COMPLETED
        run.part_count = state.part_count
        if grown or (completed and not run.cycles):  # the latter of a control that counts no parts
            run.cycles += 1
            yield run.event(JobEventKind.CYCLE_COMPLETED, state.stamp_ns)
        if over:
            self.run = None
            kind = JobEventKind.RUN_COMPLETED if completed or grown else JobEventKind.ABORTED
            yield run.event(kind, state.stamp_ns, UNSEEN if run.resumed else "")
        elif state.execution in PAUSED and not run.paused:
            run.paused = True
            yield run.event(JobEventKind.RUN_PAUSED, state.stamp_ns, state.execution.value)
        elif state.execution is Execution.ACTIVE:
            run.paused = False
        run.resumed = False


def same_program(wanted: str, shown: str) -> bool:
    """Whether a control that shows `shown` runs `wanted`: it may say the folder or the ending, or neither."""
    return _stem(wanted) == _stem(shown)


def _stem(program: str) -> str:
    return PurePosixPath(program.replace("\\", "/").strip()).stem.casefold()
