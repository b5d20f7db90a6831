"""A stranger at `/ws` for a moment: a page beside it misses nothing, and the hub serves whoever comes behind."""

from __future__ import annotations

from pathlib import Path

from tests.soak.fuzz_ws import door, served


def test_a_page_misses_nothing_with_a_stranger_at_the_door(tmp_path: Path) -> None:
    with served(tmp_path) as hub:
        report = door(hub, 5000, 3)
        assert not report.findings, "\n".join(f.text for f in report.findings)
        assert report.inputs >= 5000
        assert report.refused > 100
