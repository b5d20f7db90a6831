"""Monitoring tasks: which signal, by which procedure, against which limits, when, and what follows. Rows of data.

A machine begins with the rows of `default_tasks`. A site file, a job, or an engineer while it runs alters one by its
name, adds others, or takes one away:

    tasks = [
      { name = "load_limit", warning = 75.0, error = 90.0 },
      { name = "tool_broken", off = true },
      { name = "z_overload", signal = "z_load_pct", procedure = "limit", error = 60.0, k = 2, reaction = "STOP" },
      { name = "load_stuck", signal = "spindle_load_pct", procedure = "stuck", error = 10.0 },
      { name = "load_taught", signal = "spindle_load_pct", procedure = "tunnel", warning = 4.0, error = 8.0 },
    ]

The limits of a tunnel say how far outside of what was taught (service impact/teach) a reading may be.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from nodes.impact_cortex.detectors import Limit
from nodes.impact_cortex.place import Place
from nodes.impact_cortex.procedures import PROCEDURES, Given, Procedure
from nodes.impact_cortex.tunnels import Tunnels
from schemas.impact import Reaction
from schemas.machine import Execution, Motion
from schemas.sayable import shown

LOAD = "spindle_load_pct"
MAX_STATE_AGE_MS = 100.0


class BadTasks(ValueError):
    """The rows cannot be used; the text lists every mistake, one a line."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the default rows are made of."""

    limit_pct: float = 85.0
    limit_k: int = 3
    limit_n: int = 5
    hard_limit_pct: float = 160.0
    axis_limit_pct: float = 80.0
    warn_pct: float = 75.0
    warn_s: float = 0.5
    air_pct: float = 6.0
    cusum_drift_pct: float = 6.0
    cusum_threshold_pct_s: float = 1.2
    cusum_window_s: float = 0.25
    cusum_settle_s: float = 0.1
    model_settle_s: float = 0.5
    wear_rise_pct: float = 15.0
    wear_threshold_pct_s: float = 1.0
    breakage_fall_pct: float = 50.0
    breakage_threshold_pct_s: float = 0.6
    accel_limit: float = 30.0
    accel_window_s: float = 0.1
    accel_share: float = 0.15
    accel_reaction: Reaction = Reaction.WARN


@dataclass(frozen=True, slots=True)
class Task:
    """One row. `signal` is a name, or a pattern of several (`*`, `?`): each of them is judged by itself."""

    name: str
    signal: str
    procedure: str
    """a row of PROCEDURES"""
    error: float
    """the limit that calls for the reaction"""
    reaction: Reaction
    text: str
    warning: float = math.nan
    """the limit that is warned of; NaN: none"""
    given: Given = field(default_factory=lambda: MappingProxyType({}))
    """the procedure's parameters"""
    gated: bool = True
    """only while the machine cuts: not in rapid, spin-up, tool change, dwell, and never outside a running program"""
    settle_s: float = 0.0
    """how long after its gate opens, or the machine is released, readings are only followed until all is calm"""
    max_state_age_ms: float = MAX_STATE_AGE_MS
    """when what is known of execution, block and tool is older, the gate says nothing: see `ungated`"""
    ungated: float = math.nan
    """the limit that holds then, in any state; NaN: the task rests"""

    @property
    def how(self) -> Procedure:
        return PROCEDURES[self.procedure]

    def watches(self, signal: str) -> bool:
        return fnmatchcase(signal, self.signal)


def k_of_n(limit: float, s: Settings) -> Limit:
    """The rule for single limits; k beyond n means all of them."""
    return Limit(limit, min(s.limit_k, s.limit_n), s.limit_n)


def default_tasks(s: Settings) -> tuple[Task, ...]:
    """What every machine is watched by."""
    k_n = {"k": s.limit_k, "n": s.limit_n}
    rise = {"air_pct": s.air_pct, "drift_pct": s.cusum_drift_pct, "window_s": s.cusum_window_s}
    made = (
        Task(
            "load_limit",
            *(LOAD, "limit", s.limit_pct, Reaction.FEED_HOLD, "spindle load above its limit"),
            given=k_n,
            settle_s=0.05,
            ungated=s.hard_limit_pct,
        ),
        Task(
            "load_hard",
            *(
                LOAD,
                "limit",
                s.hard_limit_pct,
                Reaction.STOP,
                "spindle load above what the drive may give in any state",
            ),
            given=k_n,
            gated=False,
        ),
        Task(
            "axis_limit",
            *("?_load_pct", "limit", s.axis_limit_pct, Reaction.FEED_HOLD, "axis load above what any motion needs"),
            given=k_n,
            gated=False,
            settle_s=0.05,
        ),
        Task(
            "load_cusum",
            *(LOAD, "rise", s.cusum_threshold_pct_s, Reaction.FEED_HOLD),
            "spindle load risen and stayed above what this cut had needed",
            given={**rise, "begin_s": s.cusum_settle_s},
            settle_s=0.05,
        ),
        Task(
            "tool_broken",
            *(LOAD, "below_model", s.breakage_threshold_pct_s, Reaction.FEED_HOLD),
            "spindle load far below what this cut needs: is the tool broken?",
            given={"air_pct": s.air_pct, "fall_pct": s.breakage_fall_pct},
            settle_s=s.model_settle_s,
        ),
        Task(
            "tool_worn",
            *(LOAD, "above_model", s.wear_threshold_pct_s, Reaction.WARN),
            "spindle load above what this cut needs with a sharp tool",
            given={"air_pct": s.air_pct, "rise_pct": s.wear_rise_pct},
            settle_s=s.model_settle_s,
        ),
        Task(
            "load_warning",
            *(LOAD, "duration", s.warn_pct, Reaction.WARN, "spindle load close to its limit for long"),
            given={"window_s": s.warn_s, "share": 0.8},
            settle_s=0.05,
        ),
        Task(
            "vibration",
            *("*_accel", "deviation", s.accel_limit, s.accel_reaction, "vibration above its limit"),
            given={"window_s": s.accel_window_s, "share": s.accel_share, "rest_s": 0.2},
            settle_s=0.1,
        ),
        Task(
            "chatter",
            # one axis tells it: the share does not hang on how strongly the sensor feels it
            *("x_accel", "chatter", 0.4, Reaction.WARN, "vibration that neither spindle nor teeth explain: chatter"),
            settle_s=0.1,
        ),
        Task(
            "spindle_slow",
            *("spindle_speed_rpm", "underspeed", 10.0, Reaction.WARN),
            "spindle short of its commanded speed while it cuts",
            settle_s=0.2,
        ),
    )
    return tuple(replace(task, given=MappingProxyType(dict(task.how.given(task.given)))) for task in made)


# --- when -------------------------------------------------------------------------------------------------------------

_CUTTING = frozenset({Motion.FEED, Motion.UNKNOWN})
"""UNKNOWN: a control that does not say what it does is judged whenever its program runs"""
_IDLING = frozenset({Motion.RAPID, Motion.DWELL})


def gate_open(execution: Execution, motion: Motion) -> bool:
    """Whether gated tasks judge: a program runs, and it moves at feed."""
    return execution is Execution.ACTIVE and motion in _CUTTING


def idling(execution: Execution, motion: Motion) -> bool:
    """Whether the spindle turns at speed and cuts nothing, so that its load is the idle load."""
    return execution is Execution.ACTIVE and motion in _IDLING


@dataclass(frozen=True, slots=True)
class Doing:
    """What the machine does, as far as tasks need to know it."""

    gate: bool = False
    idling: bool = False
    model_pct: float = math.nan
    """load that the cut needs, idle not counted; NaN: not known"""
    speed_rpm: float = math.nan
    """commanded"""
    teeth: int = 0
    cut: int = -1
    """which of the described cuts this is; -1: none"""
    enters_s: float = 0.0
    """how long the tool takes from its first chip to the whole width of this cut; 0 where nobody knows"""
    age_ms: float = 0.0
    """of all this: how long ago it was true when it was heard"""
    place: Place | None = None
    """in the program; None while it does not cut, or nobody knows"""
    tunnels: Tunnels | None = None
    """what was taught"""


# --- rows as people give them -----------------------------------------------------------------------------------------

_NUMBERS: Mapping[str, tuple[float, float]] = {
    "error": (0.0, 1e6),
    "warning": (0.0, 1e6),
    "ungated": (0.0, 1e6),
    "settle_s": (0.0, 60.0),
    "max_state_age_ms": (1.0, 10_000.0),
}
_WORDS = ("name", "signal", "procedure", "reaction", "text", "gated", "off", *_NUMBERS)
MOST = 200


def read(rows: Any, before: Iterable[Task]) -> tuple[Task, ...]:
    """The tasks `before`, altered by rows as a site file or a job gives them.

    Raises:
        BadTasks: with every mistake.
    """
    tasks = {task.name: task for task in before}
    if not isinstance(rows, (list, tuple)) or len(rows) > MOST:
        raise BadTasks(f"tasks: expected a list of at most {MOST} tables, got {shown(rows)}")
    wrong: list[str] = []
    for n, row in enumerate(rows):
        mistakes = [f"tasks[{n}]{text}" for text in _mistakes(row, tasks)]
        wrong += mistakes
        if mistakes:
            continue
        if row.get("off", False):
            tasks.pop(row["name"])
            continue
        tasks[row["name"]] = _task(row, tasks.get(row["name"]))
    if wrong:
        raise BadTasks("\n".join(wrong))
    return tuple(tasks.values())


def _task(row: Mapping[str, Any], known: Task | None) -> Task:
    kept: dict[str, Any] = {k: v for k, v in row.items() if k in ("name", "signal", "procedure", "text", "gated")}
    kept |= {k: float(row[k]) for k in _NUMBERS if k in row}
    if "reaction" in row:
        kept["reaction"] = Reaction(row["reaction"])
    procedure = PROCEDURES[row["procedure"] if known is None else known.procedure]
    given = {k: float(v) for k, v in row.items() if k in procedure.parameters}
    kept["given"] = MappingProxyType(dict(procedure.given({**({} if known is None else known.given), **given})))
    if known is not None:
        return replace(known, **kept)
    return Task(**{"text": f"{row['signal']} {procedure.text}", "reaction": Reaction.WARN, **kept})


def _mistakes(row: Any, tasks: Mapping[str, Task]) -> Iterator[str]:
    """What is wrong with one row, each text to stand behind its number."""
    if not isinstance(row, Mapping):
        yield f": expected a table, got {shown(row)}"
        return
    name = row.get("name")
    if not isinstance(name, str) or not name.isidentifier() or not name.islower() or len(name) > 64:
        yield f".name: expected a word like load_limit, got {shown(name)}"
        return
    known = tasks.get(name)
    word = row.get("procedure", known.procedure if known else None)
    if known is None:
        if "off" in row:
            yield f".off: there is no task {name!r} to take away; {_near(name, tasks)}"
            return
        yield from (
            f" ({name}): a new task needs {key!r}" for key in ("signal", "procedure", "error") if key not in row
        )
    elif word != known.procedure:
        yield f".procedure: {name!r} is judged by {known.procedure!r}; give a task of another one a name of its own"
        return
    if word not in PROCEDURES:
        if word is not None:
            yield f".procedure: {shown(word)} is not known; {_near(str(word), PROCEDURES)}"
        return
    parameters = PROCEDURES[word].parameters
    for key, value in row.items():
        if key in _NUMBERS or key in parameters:
            p = parameters.get(key)
            least, most = _NUMBERS[key] if p is None else (p.least, p.most)
            if not _number(value) or not least <= value <= most:
                yield f".{key}: expected a number from {least:g} to {most:g}, got {shown(value)}"
        elif key in ("gated", "off"):
            if not isinstance(value, bool):
                yield f".{key}: expected true or false, got {shown(value)}"
        elif key == "reaction":
            if value not in [r.value for r in Reaction][1:]:
                yield f".reaction: expected WARN, FEED_HOLD or STOP, got {shown(value)}"
        elif key in ("signal", "text"):
            if not isinstance(value, str) or not 0 < len(value) <= 200:
                yield f".{key}: expected a text, got {shown(value)}"
        elif key not in _WORDS:
            yield f".{key}: unknown key; {_near(str(key), (*_WORDS, *parameters))}"


def _near(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(word, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"there is {', '.join(names)}"


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
