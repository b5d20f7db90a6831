from __future__ import annotations

import json
from pathlib import Path

from tests.bus.cli.shop import rise

FILE = (
    "from bus.launch import *\ndef launch(record: bool = True, count: int = 2, name: str = 'a'):\n    yield from ()\n"
)


def test_a_bad_domain_is_told_by_check() -> None:
    done = rise("launch", "cell", "--check", "--domain", "shop/one")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("--domain: error: bad name of a domain: 'shop/one'; it is one segment")


def test_arguments_of_a_plan_keep_their_type_in_json(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    done = rise("launch", tmp_path / "mine.py", "count:=3", "--print", "--json")
    assert json.loads(done.stdout)["arguments"] == {"record": True, "count": 3, "name": "a"}
