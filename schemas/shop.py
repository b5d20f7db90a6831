"""What the shop wants made, and what becomes of it. Words are ISA-95's."""

from __future__ import annotations

from enum import StrEnum

from schemas.base import KilowattHours, Message, Millimetres, Nanoseconds, Percent, Seconds


class JobCut(Message):
    """A cut of the program: what its load is held against. What is 0 is as the machine's parameters say."""

    tool: int = 0
    """0: any"""
    first_block: int = 0
    last_block: int = 1 << 31
    """block numbers, both included"""
    diameter_mm: Millimetres = 0.0
    teeth: int = 0
    depth_mm: Millimetres = 0.0
    width_mm: Millimetres = 0.0
    load_pct: Percent = 0.0
    """measured with a sharp tool; 0: by physics"""


class JobLimit(Message):
    """Other limits for a monitoring task while the job runs."""

    task: str
    error: float | None = None
    warning: float | None = None


class JobSpec(Message):
    """One operation on one machine: what is to be run, of what, by whom, and how it is watched.

    Of several that were published for a machine the newest counts, whoever it is from. Empty job_id and program: none.
    """

    job_id: str
    """as people say it: 502"""
    program: str
    material: str = ""
    operator_id: str = ""
    parts: int = 0
    """to be made; 0: as many as come"""
    cuts: tuple[JobCut, ...] = ()
    limits: tuple[JobLimit, ...] = ()


class JobReply(Message):
    """Whether the job was taken; it takes effect at the next start of a program."""

    ok: bool
    text: str


class JobEventKind(StrEnum):
    RUN_STARTED = "RUN_STARTED"
    CYCLE_COMPLETED = "CYCLE_COMPLETED"
    """one end of the program: a part"""
    RUN_PAUSED = "RUN_PAUSED"
    RUN_COMPLETED = "RUN_COMPLETED"
    ABORTED = "ABORTED"


class ToolUse(Message):
    """What a run has asked of a tool so far."""

    tool_number: int
    tool_serial: str
    cutting_s: Seconds
    wear_pct: Percent
    """share of its life by Taylor; 0 where nobody knows the material's constants"""


class JobEvent(Message):
    """A step of a run, with the counters of the run up to it."""

    stamp_ns: Nanoseconds
    kind: JobEventKind
    job_id: str
    """empty when the program is not the job's, or there is no job"""
    run_id: str
    program: str
    operator_id: str
    cycles: int
    """ends of the program in this run"""
    part_count: int
    """as the control counts"""
    energy_kwh: KilowattHours
    """of the spindle"""
    cutting_s: Seconds
    interventions: int
    tools: tuple[ToolUse, ...]
    text: str = ""


class JobRun(Message):
    """The run that is on, by what it is watched and what it has used so far; an empty run_id: none is.

    For whoever comes late, the next life of the engine before all: a job that was published since is not this run's.
    """

    stamp_ns: Nanoseconds
    run_id: str = ""
    program: str = ""
    spec: JobSpec = JobSpec(job_id="", program="")
    """the run's job; an empty one where there is none, or the program is another one"""
    mismatch: str = ""
    """the program that the job wanted; empty when this is it"""
    part_count: int = 0
    cycles: int = 0
    paused: bool = False
    energy_kwh: KilowattHours = 0.0
    interventions: int = 0
    tools: tuple[ToolUse, ...] = ()
