"""What a job says of cuts and limits, as the rows that cuts.py and tasks.py read, and everything wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from nodes.impact_cortex.cuts import BadCuts, Cuts, Reference
from nodes.impact_cortex.cuts import read as read_cuts
from nodes.impact_cortex.jobs import Jobs
from nodes.impact_cortex.materials import MATERIALS
from nodes.impact_cortex.tasks import BadTasks, Task
from nodes.impact_cortex.tasks import read as read_tasks
from schemas.shop import JobCut, JobSpec

_NUMBERS = ("diameter_mm", "teeth", "depth_mm", "width_mm", "load_pct")


def cuts_of(spec: JobSpec, base: Reference) -> Cuts:
    """The cuts of a job; what it does not say is `base`'s.

    Raises:
        BadCuts: with every mistake.
    """
    base = replace(base, material=spec.material) if spec.material else base
    if spec.material and spec.material not in MATERIALS:
        raise BadCuts(f"material: {spec.material!r} is not known; there is {', '.join(MATERIALS)}")
    return read_cuts([_cut(cut) for cut in spec.cuts], base)


def _cut(cut: JobCut) -> dict[str, Any]:
    given = {name: getattr(cut, name) for name in _NUMBERS if getattr(cut, name)}
    return {"tool": cut.tool, "blocks": (cut.first_block, cut.last_block), **given}


def tasks_of(spec: JobSpec, before: Sequence[Task]) -> tuple[Task, ...]:
    """The tasks with the limits of a job.

    Raises:
        BadTasks: with every mistake; a job alters tasks, it adds none.
    """
    rows = []
    for limit in spec.limits:
        given = {"error": limit.error, "warning": limit.warning}
        rows.append({"name": limit.task, **{name: value for name, value in given.items() if value is not None}})
    return read_tasks(rows, before)


def watched_by(jobs: Jobs, cuts: Cuts, tasks: tuple[Task, ...]) -> tuple[Cuts, tuple[Task, ...]]:
    """Cuts and tasks of now: of the job, or the machine's own; without a model where another program runs.

    Raises:
        BadCuts, BadTasks: the job does not fit what the machine has now.
    """
    if jobs.mismatch:
        return Cuts(base=Reference()), tasks
    spec = jobs.spec
    if spec is None:
        return cuts, tasks
    return cuts_of(spec, cuts.base) if spec.cuts or spec.material else cuts, tasks_of(spec, tasks)


def mistakes(spec: JobSpec, base: Reference, tasks: Sequence[Task]) -> Iterator[str]:
    """Why a job cannot be taken."""
    if not spec.job_id.strip():
        yield "job_id: a job has a number"
    if not spec.program.strip():
        yield "program: say which program makes it"
    try:
        cuts_of(spec, base)
    except BadCuts as error:
        yield from str(error).splitlines()
    try:
        tasks_of(spec, tasks)
    except BadTasks as error:
        yield from (line.replace("tasks[", "limits[") for line in str(error).splitlines())
