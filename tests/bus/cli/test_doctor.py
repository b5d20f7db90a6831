from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bus.cli.doctor import types_that_differ
from bus.discovery import Entry, TopicEntry
from bus.testing import Domain
from schemas.grammar import hash_of
from tests.bus.cli.shop import open_shop, rise


def checks() -> dict[str, list[dict[str, Any]]]:
    done = rise("doctor", "--json")
    found: dict[str, list[dict[str, Any]]] = {}
    for check in json.loads(done.stdout):
        assert set(check) == {"id", "level", "text", "advice"}
        found.setdefault(check["id"], []).append(check)
    assert done.exit_code == any(c["level"] == "error" for each in found.values() for c in each)
    return found


def test_an_empty_domain() -> None:
    with Domain():
        found = checks()
    assert set(found) == {"python", "packages", "runtime", "disk", "inotify", "realtime", "domains", "nodes"}
    assert found["python"][0]["level"] == "ok"
    assert found["packages"][0]["level"] == "ok"
    assert found["nodes"][0]["level"] == "note"


def test_a_node_in_trouble_is_named() -> None:
    with open_shop() as domain:
        (domain.root / "old" / "nodes").mkdir(parents=True)
        found = checks()
        said = rise("doctor").stdout
    assert [c["text"] for c in found["nodes"] if "spindle_hot" in c["text"]] == [
        "vmc1/watch: spindle_hot (1 times): the spindle is hot"
    ]
    assert found["types"][0]["level"] == "ok"
    assert "nobody lives in old" in found["domains"][1]["text"]
    assert "warning  nodes       vmc1/watch: spindle_hot" in said


def _entry(name: str, fields: list[Mapping[str, Any]], *, writes: bool) -> Entry:
    defined = {"name": "Reading", "fields": fields}
    topic = TopicEntry("vmc1/reading", "Reading", hash_of(defined), "SENSOR")
    definitions = {topic.type_hash: defined}
    if writes:
        return Entry(name, definitions=definitions, publishes=(topic,))
    return Entry(name, definitions=definitions, subscribes=(topic,))


def test_types_that_differ_between_processes() -> None:
    load, speed = {"name": "load_pct", "type": "float", "unit": "%"}, {"name": "speed_rpm", "type": "float"}
    writer = _entry("mill", [load], writes=True)
    (apart,) = types_that_differ({"a": writer, "b": _entry("watch", [load, speed], writes=False)})
    assert apart.level == "error"
    assert "watch reads Reading, mill writes Reading, which do not fit (speed_rpm: needed by the reader" in apart.text
    both = _entry("mill", [load, speed], writes=True)
    (fits,) = types_that_differ({"a": both, "b": _entry("watch", [load], writes=False)})
    assert (fits.level, fits.text.endswith("speed_rpm is ignored")) == ("warning", True)
    (same,) = types_that_differ({"a": writer, "b": _entry("watch", [load], writes=False)})
    assert same.level == "ok"
