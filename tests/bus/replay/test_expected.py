from __future__ import annotations

from pathlib import Path

from bus.replay.expected import beside, changes, write
from schemas.impact import Reaction
from tests.bus.replay.test_differences import START_NS, S, decided, verdict
from tests.bus.replay.toys import Trend


def test_the_file_stands_beside_the_bag() -> None:
    assert beside(Path("tests/bags/crash.mcap"), "vmc1/impact_cortex") == Path(
        "tests/bags/crash.vmc1.impact_cortex.expected.txt"
    )


def test_what_was_written_is_what_is_expected(tmp_path: Path) -> None:
    made = decided(verdict(1), verdict(2), Trend(stamp_ns=START_NS + 3 * S, light=Reaction.NONE, mean_pct=1.0))
    path = tmp_path / "x.expected.txt"
    assert write(path, Path("x.mcap"), made) == 4
    assert path.read_text().startswith("# what vmc1/impact_cortex decides in x.mcap;")
    assert changes(path, made) == []
    assert [p.name for p in tmp_path.iterdir()] == ["x.expected.txt"]


def test_a_change_reads_as_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "x.expected.txt"
    write(path, Path("x.mcap"), decided(verdict(12.402), verdict(13)))
    assert changes(path, decided(verdict(12.402, Reaction.STOP), verdict(13))) == [
        "vmc1 impact/intervention  12.402 s  FEED_HOLD -> STOP"
    ]
    told = changes(path, decided(verdict(13), verdict(14)))
    assert told[0].startswith("vmc1 impact/intervention  12.402 s  FEED_HOLD, load_pct 120 %")
    assert told[0].endswith(" -> (nothing)")
    assert told[1].startswith("vmc1 impact/intervention  14.000 s  (nothing) -> FEED_HOLD")


def test_two_decisions_of_one_moment_are_both_told(tmp_path: Path) -> None:
    path = tmp_path / "x.expected.txt"
    write(path, Path("x.mcap"), decided(verdict(1, reason="a"), verdict(1, Reaction.STOP, reason="b")))
    assert len(changes(path, decided())) == 2


def test_a_stream_that_got_shorter_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.expected.txt"
    trend = Trend(stamp_ns=START_NS, light=Reaction.NONE, mean_pct=1.0)
    write(path, Path("x.mcap"), decided(trend, trend))
    assert changes(path, decided(trend)) == ["vmc1 impact/intervention  2 messages -> 1 messages"]
