"""Rows of tasks as people give them: what they alter, and every mistake told at once."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex.procedures import PROCEDURES
from nodes.impact_cortex.tasks import LOAD, BadTasks, Settings, Task, default_tasks, gate_open, idling, read
from schemas.impact import Reaction
from schemas.machine import Execution, Motion

DEFAULT = default_tasks(Settings())


def by_name(*rows: dict[str, Any]) -> dict[str, Task]:
    return {task.name: task for task in read(rows, DEFAULT)}


def mistakes(*rows: Any) -> list[str]:
    with pytest.raises(BadTasks) as caught:
        read(rows, DEFAULT)
    return str(caught.value).splitlines()


def test_no_rows_leave_all_as_it_is() -> None:
    assert read((), DEFAULT) == DEFAULT


def test_every_default_task_is_a_row_that_could_be_given() -> None:
    for task in DEFAULT:
        row = {f.name: getattr(task, f.name) for f in fields(Task) if f.name != "given"} | dict(task.given)
        row = {k: v for k, v in row.items() if v == v}
        assert read([row], ()) == (task,)


def test_a_row_alters_what_it_names_and_nothing_else() -> None:
    made = by_name({"name": "load_limit", "warning": 70, "error": 90.0, "k": 5, "reaction": "STOP"})
    task, before = made["load_limit"], DEFAULT[0]
    assert (task.warning, task.error, task.given["k"], task.reaction) == (70.0, 90.0, 5.0, Reaction.STOP)
    assert (task.signal, task.text, task.given["n"]) == (before.signal, before.text, before.given["n"])
    assert [*made.values()][1:] == [*DEFAULT[1:]]


def test_a_row_takes_one_away_or_adds_one() -> None:
    made = by_name(
        {"name": "tool_broken", "off": True},
        {"name": "z_overload", "signal": "z_load_pct", "procedure": "limit", "error": 60.0},
    )
    assert "tool_broken" not in made
    added = made["z_overload"]
    assert (added.reaction, added.gated, added.text) == (Reaction.WARN, True, "z_load_pct above its limit")
    assert dict(added.given) == {"k": 3.0, "n": 5.0}
    assert math.isnan(added.warning)


def test_every_mistake_is_told_with_its_row_and_what_was_meant() -> None:
    told = mistakes(
        {"name": "load_limt", "off": True},
        {"name": "load_limit", "eror": 3},
        {"name": "load_limit", "error": -1, "k": 0, "gated": "yes", "reaction": "HALT"},
        {"name": "load_limit", "procedure": "rise"},
        {"name": "mine", "signal": LOAD, "procedure": "rize", "error": 1},
        {"name": "mine"},
        {"name": "Mine!"},
        7,
    )
    assert told == [
        "tasks[0].off: there is no task 'load_limt' to take away; did you mean 'load_limit'?",
        "tasks[1].eror: unknown key; did you mean 'error'?",
        "tasks[2].error: expected a number from 0 to 1e+06, got -1",
        "tasks[2].k: expected a number from 1 to 1000, got 0",
        "tasks[2].gated: expected true or false, got 'yes'",
        "tasks[2].reaction: expected WARN, FEED_HOLD or STOP, got 'HALT'",
        "tasks[3].procedure: 'load_limit' is judged by 'limit'; give a task of another one a name of its own",
        "tasks[4].procedure: 'rize' is not known; did you mean 'rise'?",
        "tasks[5] (mine): a new task needs 'signal'",
        "tasks[5] (mine): a new task needs 'procedure'",
        "tasks[5] (mine): a new task needs 'error'",
        "tasks[6].name: expected a word like load_limit, got 'Mine!'",
        "tasks[7]: expected a table, got 7",
    ]


words = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2)
)
keys = st.sampled_from(
    [
        "name",
        "signal",
        "procedure",
        "error",
        "warning",
        "ungated",
        "k",
        "n",
        "window_s",
        "reaction",
        "off",
        "gated",
        "x",
    ]
)
rows = st.lists(st.one_of(words, st.dictionaries(keys, st.one_of(words, st.sampled_from([*PROCEDURES, "load_limit"])))))


@given(st.one_of(words, rows))
def test_whatever_is_given_is_taken_or_told(given_rows: Any) -> None:
    try:
        made = read(given_rows, DEFAULT)
    except BadTasks as error:
        assert str(error)
    else:
        for task in made:
            assert task.how.detector(task.error, task.given, 0.001)


def test_gated_tasks_judge_a_cut_and_nothing_else() -> None:
    assert {(e, m) for e in Execution for m in Motion if gate_open(e, m)} == {
        (Execution.ACTIVE, Motion.FEED),
        (Execution.ACTIVE, Motion.UNKNOWN),
    }
    assert {m for m in Motion if idling(Execution.ACTIVE, m)} == {Motion.RAPID, Motion.DWELL}
