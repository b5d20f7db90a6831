"""Names, and the table of topics and services."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from schemas.base import (
    DURABLE,
    EVENT,
    LATCHED,
    MAX_NAME_BYTES,
    PROFILES,
    SENSOR,
    BadName,
    Service,
    Topic,
    check_name,
    resolve,
)
from schemas.machine import Alarm

TABLE = topics.table()
TOPICS = {name: row for name, row in TABLE.items() if isinstance(row, Topic)}
SERVICES = {name: row for name, row in TABLE.items() if isinstance(row, Service)}


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("", 0),
        ("/", 1),
        ("Machine", 0),
        ("machine/State", 8),
        ("machine//state", 8),
        ("machine/", 8),
        ("machine/state ", 13),
        ("machine/state\n", 13),
        ("machine/2d", 8),
        ("machine-state", 7),
        ("vmc1/größe", 7),
        ("//machine", 1),
        ("machine/*", 8),
        ("a/b\0", 3),
    ],
)
def test_a_bad_name_is_refused_with_a_caret_under_the_character(name: str, at: int) -> None:
    with pytest.raises(BadName) as caught:
        check_name(name)
    assert str(caught.value) == f"bad name, segments are [a-z][a-z0-9_]* joined by '/':\n  {name}\n  {' ' * at}^"


@pytest.mark.parametrize("name", ["a", "/a", "machine/state", "/log", "vmc1/impact_cortex/trace", "service/_event"])
def test_a_good_name_is_returned(name: str) -> None:
    assert check_name(name) == name


def test_a_name_has_a_length() -> None:
    assert check_name("a" * MAX_NAME_BYTES)
    with pytest.raises(BadName, match="longer than 200 bytes"):
        check_name("a" * (MAX_NAME_BYTES + 1))


@given(st.text(max_size=30) | st.from_regex(r"/?[a-z_/*0-9]{0,20}"))
def test_any_text_is_a_name_or_a_bad_name(text: str) -> None:
    try:
        name = check_name(text)
    except BadName as error:
        assert text[:40] in str(error)
    else:
        assert name.isascii()
        assert "//" not in name
        assert not resolve(name, "vmc1").startswith("/")


def test_a_name_below_a_namespace() -> None:
    assert resolve("machine/state", "vmc1") == "vmc1/machine/state"
    assert resolve("/log", "vmc1") == "log"
    assert resolve("alarm", "") == "alarm"


def test_a_row_with_a_bad_name_is_refused() -> None:
    with pytest.raises(BadName):
        Topic("Alarm", Alarm, LATCHED)
    with pytest.raises(BadName):
        Service("alarm/", Alarm, Alarm)


def test_depth_is_the_profiles_unless_given() -> None:
    assert Topic("a", Alarm, SENSOR).depth == SENSOR.depth
    assert Topic("a", Alarm, SENSOR, depth=3).depth == 3


def test_the_four_profiles() -> None:
    assert list(PROFILES.values()) == [SENSOR, LATCHED, EVENT, DURABLE]
    assert [(p.repaired, p.latched, p.logged) for p in PROFILES.values()] == [
        (False, False, False),
        (True, True, False),
        (True, False, False),
        (True, False, True),
    ]
    assert all(p.name == name and p.depth > 0 for name, p in PROFILES.items())


def test_names_in_the_table_are_unique() -> None:
    for rows in (TOPICS, SERVICES):
        names = [row.name for row in rows.values()]
        assert len(names) == len(set(names))
    assert not {row.name for row in TOPICS.values()} & {row.name for row in SERVICES.values()}


def test_the_table_is_all_there_is() -> None:
    """Every topic and service with a name of its own is declared in schemas/topics.py, and nowhere else."""
    root = Path(topics.__file__).parent.parent
    wrong = []
    for room in ("schemas", "bus", "nodes", "erp", "web", "launch"):
        for path in (root / room).rglob("*.py"):
            calls = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
            wrong += [
                f"{path.relative_to(root)}:{call.lineno}"
                for call in calls
                if isinstance(call.func, ast.Name) and call.func.id in ("Topic", "Service") and path.name != "topics.py"
                if isinstance(call.args[0], ast.Constant)
            ]
    assert not wrong


@pytest.mark.parametrize("row", TOPICS.values(), ids=TOPICS)
def test_a_topic_asks_for_nothing_that_its_profile_does_not_do(row: Topic[Any]) -> None:
    if row.key is not None:
        assert row.qos.latched, "a key is the key of a latched value"
        assert row.key in row.type.model_fields
    if row.persist:
        assert row.qos.latched, "only a latched value is kept on disk"
    if row.lifespan_s is not None:
        assert not row.qos.repaired, "a lossless topic does not expire"
    for limit in (row.rate_hz, row.deadline_s, row.lifespan_s):
        assert limit is None or limit > 0
    if row.rate_hz and row.deadline_s:
        assert row.deadline_s >= 2 / row.rate_hz, "a deadline below two periods is missed by every hiccup"


@pytest.mark.parametrize("row", SERVICES.values(), ids=SERVICES)
def test_what_stops_a_machine_runs_even_when_late_and_twice(row: Service[Any, Any]) -> None:
    if row.late == "execute":
        assert row.acts_on_machine
        assert row.idempotent


def test_types_of_the_table_have_docstrings() -> None:
    bare = {t.__name__ for row in TOPICS.values() for t in (row.type,) if not t.__doc__}
    bare |= {t.__name__ for row in SERVICES.values() for t in (row.request, row.reply) if not t.__doc__}
    assert not bare
