from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.detect import frozen


def copied(to: Path) -> Path:
    for path in frozen.sources():
        target = to / path.relative_to(frozen.ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return to


def test_the_hash_changes_with_what_the_figures_hang_on_and_with_nothing_else(tmp_path: Path) -> None:
    root = copied(tmp_path)
    assert frozen.fingerprint(root) == frozen.fingerprint()
    (root / "README.md").write_text("other words")
    assert frozen.fingerprint(root) == frozen.fingerprint()
    for name in ("nodes/impact_cortex/tasks.py", "nodes/sensory_cortex/mill.py", "tests/benchmarks/detect/crashes.py"):
        before = frozen.fingerprint(root)
        (root / name).write_text((root / name).read_text() + "# altered\n")
        assert frozen.fingerprint(root) != before


def test_every_file_that_is_named_is_there() -> None:
    names = {p.relative_to(frozen.ROOT).as_posix() for p in frozen.sources()}
    assert all("*" in pattern or pattern in names for pattern in frozen.SOURCES)
    assert "nodes/impact_cortex/channel.py" in names


def test_what_is_left_out_of_the_hash_is_run_by_nothing_here() -> None:
    listed = "import sys, tests.benchmarks.detect.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", listed], cwd=frozen.ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "nodes.impact_cortex.channel" in loaded
    assert not {f"nodes.impact_cortex.{name.removesuffix('.py')}" for name in frozen.BESIDE} & loaded


def test_a_difference_is_said(tmp_path: Path) -> None:
    assert frozen.compared("a" * 64, None).startswith("nothing is frozen yet")
    assert frozen.compared("a" * 64, {"hash": "a" * 64}).startswith("frozen aaaa")
    assert frozen.compared("a" * 64, {"hash": "b" * 64}).startswith("DIFFERS")
    (tmp_path / "other.json").write_text("[]")
    assert frozen.frozen(tmp_path / "other.json") is None
    assert frozen.frozen(tmp_path / "none.json") is None
