"""The folder of bags holds what it likes: the recorder says so, and records."""

from __future__ import annotations

from pathlib import Path

from bus.bag.quota import Shelf
from nodes.recorder.settings import Closed, Trouble
from schemas import topics
from tests.bus.bag.bags import START_NS, block
from tests.nodes.recorder.raws import Voice
from tests.nodes.recorder.test_disk import make


def test_what_only_looks_like_a_bag_is_told_and_left_and_recording_goes_on(tmp_path: Path) -> None:
    (tmp_path / "gone.mcap").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.mcap").mkdir()
    (tmp_path / "text.mcap").write_text("no bag")
    disk, voice = make(tmp_path), Voice()
    disk.start()
    disk.put([voice.say(topics.SAMPLES, block(START_NS, 0), START_NS)])
    assert disk.end(20)
    happened = disk.take()
    (closed,) = [h for h in happened if isinstance(h, Closed)]
    assert closed.split.messages == 1
    told = [h.text for h in happened if isinstance(h, Trouble) and h.code == "not_recovered"]
    assert len(told) == 3, told
    assert all(any(name in text for text in told) for name in ("gone.mcap", "folder.mcap", "text.mcap"))
    bags, _ = Shelf(tmp_path).bags()
    assert [str(b.path) for b in bags] == [closed.split.path]
    assert {p.name for p in tmp_path.glob("*.mcap")} >= {"gone.mcap", "folder.mcap", "text.mcap"}
