"""A split recording replayed: its bags together give what the unsplit one gives, one alone says what it can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus.bag import BagReader
from bus.node import Raw
from bus.replay import Wanted, Window, differences, replay, replay_many
from nodes.impact_cortex import ImpactCortex
from nodes.recorder.settings import Closed, Happened
from tests.nodes.recorder.raws import recording

CRASH = Path(__file__).parents[2] / "bags" / "vmc1_crash.mcap"
NODE = "vmc1/impact_cortex"


def recorded(folder: Path, **settings: object) -> list[Path]:
    """The crash as a recorder hears it, and the bags it makes of it."""
    happened: list[Happened] = []
    r = recording(folder, happened, vibration=True, **settings)
    with BagReader(CRASH) as bag:
        entries = {name: json.dumps(entry) for name, entry in bag.nodes().items()}
        r.entries(entries, {NODE})
        for m in bag.messages():
            c = m.channel
            raw = Raw(
                c.topic, c.publisher, c.publisher_id, m.seq, m.publish_ns, m.log_ns, m.payload, c.type_name,
                c.type_hash, c.qos,
            )  # fmt: skip
            r.batch([raw])
    r.close()
    paths = [Path(h.split.path) for h in happened if isinstance(h, Closed)]
    return [path for path in paths if "black_box" not in path.name]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = recorded(tmp_path_factory.mktemp("whole"))
    return path


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three bags; the crash at 2.6 s lies in the last."""
    return recorded(tmp_path_factory.mktemp("split"), split_s=1.0)


def decided(lines: list[str]) -> list[str]:
    """Without what an engine that has learned more since says beside its decisions."""
    return [
        line for line in lines if not line.startswith(("vmc1 impact/assessment ", "vmc1 job/event ", "vmc1 job/run "))
    ]


@pytest.mark.parametrize("parameters", [{}, {"limit_pct": 155.0}])
def test_the_bags_together_replay_as_the_unsplit_one(
    whole: Path, split: list[Path], parameters: dict[str, float]
) -> None:
    assert len(split) >= 3
    (one,) = replay_many([Wanted(ImpactCortex, NODE, parameters)], whole)
    (many,) = replay_many([Wanted(ImpactCortex, NODE, parameters)], split)
    assert (many.problems, many.errors) == ([], [])
    assert many.notes == one.notes
    assert all("recorded with another version" in note for note in many.notes)
    assert many.made == one.made
    assert many.recorded.made == one.recorded.made
    assert (not decided(differences(many.recorded, many))) is (not parameters)
    assert differences(many.recorded, many) == differences(one.recorded, one)


def test_a_later_bag_alone_says_what_it_goes_on_from(split: list[Path]) -> None:
    with BagReader(split[1]) as bag:
        assert bag.metadata()["rise"]["continues"] == split[0].name
    result = replay(ImpactCortex, split[1], node=NODE)
    assert decided(differences(result.recorded, result)) == []
    notes = [note for note in result.notes if "another version" not in note]
    assert "in the middle of the node's run" in notes[0]
    assert notes[1] == f"the recording began before: with {split[0].name} given too it replays exactly"


def test_a_bag_that_is_left_out_is_named(split: list[Path]) -> None:
    assert any(
        "trace of vmc1/impact_cortex: callbacks" in p for p in replay(ImpactCortex, split[::2], node=NODE).problems
    )


def test_a_window_may_lie_across_two_bags(split: list[Path]) -> None:
    with BagReader(split[0]) as first, BagReader(split[1]) as second:
        seam_s = (second.start_ns - first.start_ns) / 1e9
    result = replay(ImpactCortex, split, node=NODE, window=Window(seam_s + 0.2, seam_s + 0.8, warm_up_s=0.5))
    assert result.problems == []
    assert decided(differences(result.recorded, result)) == []
    assert result.span_ns / 1e9 == pytest.approx(1.0, abs=0.2)
