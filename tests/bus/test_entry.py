"""Entries: what is written is what is read, and nothing that is read raises anything but BadEntry."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.entry import VERSION, BadEntry, Entry, ServiceEntry, TopicEntry
from schemas.grammar import definition
from tests.schemas.strategies import every_message

WORD = st.text(max_size=12)
NAME = st.lists(st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True), min_size=1, max_size=3).map("/".join)
HEARD = NAME | NAME.map(lambda name: f"*/{name}") | st.just("**")
ENDPOINTS = st.lists(WORD, max_size=3).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3),
    max_leaves=8,
)
TOPICS = st.lists(st.builds(TopicEntry, HEARD, WORD, WORD, WORD, st.none() | WORD), max_size=3).map(tuple)
SERVICES = st.lists(
    st.builds(ServiceEntry, NAME, WORD, WORD, WORD, WORD, st.booleans(), st.booleans()), max_size=3
).map(tuple)
ENTRIES = st.builds(
    Entry,
    name=NAME,
    namespace=NAME | st.just(""),
    target=WORD,
    pid=st.integers(0, 1 << 22),
    host=WORD,
    publisher_id=st.integers(0, (1 << 64) - 1),
    started_ns=st.integers(0, 1 << 62),
    ready=st.booleans(),
    clock=st.sampled_from(["wall", "sim"]),
    real=st.booleans(),
    pub=ENDPOINTS,
    rpc=ENDPOINTS,
    publishes=TOPICS,
    subscribes=TOPICS,
    serves=SERVICES,
    calls=SERVICES,
    parameters=st.dictionaries(WORD, JSON, max_size=3),
    remappings=st.dictionaries(WORD, WORD, max_size=3),
    definitions=st.dictionaries(WORD, st.sampled_from([definition(c) for c in every_message()]), max_size=2),
)


@given(ENTRIES)
def test_what_is_written_is_read(entry: Entry) -> None:
    assert Entry.from_json(entry.to_json()) == entry
    assert Entry.from_json(entry.to_json().encode()) == entry


@given(ENTRIES, st.data())
def test_one_wrong_value_is_refused_by_name_or_changes_nothing_else(entry: Entry, data: st.DataObject) -> None:
    plain = json.loads(entry.to_json())
    key = data.draw(st.sampled_from(sorted(plain)))
    plain[key] = data.draw(JSON)
    try:
        read = Entry.from_json(json.dumps(plain))
    except BadEntry as error:
        said = str(error)
    else:
        said = key
        assert json.loads(read.to_json()) == json.loads(entry.to_json()) | {key: plain[key], "version": VERSION}
    assert said.startswith(key) or key == "version"


@given(st.binary(max_size=200) | JSON.map(json.dumps))
def test_garbage_raises_nothing_but_bad_entry(text: str | bytes) -> None:
    with pytest.raises(BadEntry):
        Entry.from_json(text)


TOPIC = '{"name": "t", "type_name": "T", "type_hash": "0", "qos": "EVENT"}'
ROW = '{"name": "t", "request_type": "T", "request_hash": "0", "reply_type": "T", "reply_hash": "0"}'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected an object, got list"),
        ('{"name": "a"}', "version: expected an integer, got None"),
        ('{"version": 2, "name": "a"}', "newer version (2, this one reads 1): update"),
        ('{"version": 1}', "name: missing"),
        ('{"version": 1, "name": "a", "clock": "moon"}', "clock: expected 'wall' or 'sim', got 'moon'"),
        ('{"version": 1, "name": "a", "pub": ["x", 1]}', "pub: expected a list of strings"),
        ('{"version": 1, "name": "a", "publishes": [{"name": "t"}]}', "publishes[0]: missing type_name"),
        ('{"version": 1, "name": "a", "serves": [3]}', "serves[0]: expected an object, got 3"),
        ('{"version": 1, "name": "a", "remappings": {"x": 1}}', "remappings.x: expected str, got 1"),
        ('{"version": 1, "name": "A"}', "name: bad name, segments are"),
        ('{"version": 1, "name": "/a"}', "name: a full name has no '/' in front"),
        ('{"version": 1, "name": "a", "namespace": "a//b"}', "namespace: bad name"),
        ('{"version": 1, "name": "a", "serves": [' + ROW.replace('"t"', '"\u00e9"') + "]}", "serves: bad name"),
        ('{"version": 1, "name": "a", "publishes": [' + TOPIC.replace('"t"', '"\u00e9"') + "]}", "publishes: bad name"),
        (
            '{"version": 1, "name": "a", "publisher_id": 18446744073709551616}',
            "publisher_id: 18446744073709551616 is not",
        ),
        ('{"version": 1, "name": "a", "pid": -1}', "pid: -1 is not in 0..2147483647"),
        ('{"version": 1, "name": "a", "definitions": {"0": {}}}', "definitions.0: $: expected {name, fields}"),
        ('{"version": 1, "name": "a", "host": "\\uD800"}', "not JSON: 'utf-8' codec can't encode"),
        ('{"version": 1, "name": "a", "clock": "%s"}' % ("x" * 10**6), "clock: expected 'wall' or 'sim', got 'xxx"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(BadEntry) as caught:
        Entry.from_json(text)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_fields_of_tomorrow_are_ignored() -> None:
    plain: dict[str, Any] = {"version": VERSION, "name": "core", "mood": "good"}
    plain["publishes"] = [{"name": "t", "type_name": "T", "type_hash": "0", "qos": "EVENT", "colour": "red"}]
    assert Entry.from_json(json.dumps(plain)) == Entry("core", publishes=(TopicEntry("t", "T", "0", "EVENT"),))
