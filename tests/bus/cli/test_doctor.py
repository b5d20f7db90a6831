from __future__ import annotations

import json
from typing import Any

from bus.testing import Domain
from tests.bus.cli.shop import open_shop, rise


def checks() -> dict[str, list[dict[str, Any]]]:
    """What the doctor says, by id."""
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
    assert list(found) == [
        "python", "packages", "runtime", "disk", "inotify", "sockets", "realtime", "clock", "domains", "nodes",
    ]  # fmt: skip
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
