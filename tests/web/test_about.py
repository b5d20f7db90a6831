"""What lies in a bag, in few words; also of one that is cut, damaged, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.bag import BadBag, BagReader
from tests.web.test_reads import CRASH
from web.about import about


def test_a_recorded_crash_says_when_where_and_what_was_decided() -> None:
    said = about(CRASH)
    with BagReader(CRASH) as bag:
        assert (said["start_ns"], said["end_ns"]) == (bag.start_ns, bag.end_ns)
    assert said["machines"] == ["vmc1"]
    assert (said["trouble"], said["unreadable"], said["lost"]) == ("", 0, 0)
    assert said["interventions"] == 2
    assert not said["alarms"]  # it was cut for the engine alone
    held, stopped = said["moments"]
    assert (held["machine"], held["reaction"], held["task"]) == ("vmc1", "FEED_HOLD", "load_limit")
    assert stopped["reaction"] == "STOP"
    assert held["at_s"] == pytest.approx((held["stamp_ns"] - said["start_ns"]) / 1e9)


def test_a_run_says_its_job_and_program() -> None:
    (run,) = about(CRASH.with_name("vmc1_sound_job.mcap"))["runs"]
    assert run["machine"] == "vmc1"
    assert run["program"].startswith("O1001")


def test_a_bag_that_was_cut_off_tells_of_its_whole_part(tmp_path: Path) -> None:
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(CRASH.read_bytes()[:500_000])  # behind its first chunk
    said = about(cut)
    assert not said["finished"]
    assert 0 < said["duration_s"] < about(CRASH)["duration_s"]


def test_a_damaged_bag_says_so_beside_what_can_be_read(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mcap"
    data = bytearray(CRASH.read_bytes())
    with BagReader(CRASH) as bag:
        span, _ = bag._chunks[-1]
    data[span.body + 100 : span.body + 2000] = bytes(1900)
    damaged.write_bytes(data)
    said = about(damaged)
    assert "byte" in said["trouble"]
    assert said["machines"] == ["vmc1"]


def test_what_is_no_bag_is_refused(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.mcap"
    nothing.write_bytes(b"nothing")
    with pytest.raises(BadBag):
        about(nothing)
