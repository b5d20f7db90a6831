"""The lives of one node in a bag: what a killed one left behind is no difference, and is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bus.bag import BagMessage, BagReader, BagWriter
from bus.host import Spec
from bus.node import Node, publisher, timer
from bus.replay import differences, replay
from bus.testing import Domain
from bus.trace import Kind, records
from schemas.base import EVENT, Topic
from schemas.codec import codec
from schemas.system import TraceBlock
from tests.bus.live import until
from tests.bus.replay.tapes import rewrite, write
from tests.bus.replay.toys import Tape, Told

COUNTED = Topic("lives/counted", Told, EVENT)


class Counter(Node):
    """Counts from its start."""

    counted = publisher(COUNTED)

    def on_configure(self) -> None:
        self.count = 0

    @timer(0.002)
    def tick(self) -> None:
        self.count += 1
        self.counted.publish(Told(text=f"{self.count}"))


@pytest.fixture(scope="module")
def three_lives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node that was started three times, each life with some blocks of trace."""
    path = tmp_path_factory.mktemp("lives") / "lives.mcap"
    with Domain() as domain, domain.running(Spec(Tape)) as tape:
        for life in range(3):
            with domain.running(Spec(Counter, "counter")):
                until(partial(traced, life, 3))
                entry = tape.entries()["counter"]
            until(partial(ended, life))
    with BagWriter(path) as writer:
        writer.node(json.loads(entry.to_json()))
        for raw in Tape.heard:
            if raw.publisher == "counter" and raw.topic in ("lives/counted", "counter/trace"):
                write(writer, raw, entry.definitions)
    return path


def traced(life: int, blocks: int) -> bool:
    ids = [r.publisher_id for r in Tape.heard if r.topic == "counter/trace"]
    return len(set(ids)) > life and ids.count(ids[-1]) >= blocks


def ended(life: int) -> bool:
    payloads = [r.payload for r in Tape.heard if r.topic == "counter/trace"]
    return sum(Kind.SHUTDOWN in kinds(payload) for payload in payloads) > life


def kinds(payload: bytes) -> list[int]:
    return [r.kind for r in records(codec(TraceBlock).decode(payload))]


def killed(bag: Path, path: Path, lose: Callable[[int, int, int], bool]) -> Path:
    """The bag without the blocks of trace of which `lose(life, block, blocks of the life)` says so."""
    with BagReader(bag) as reader:
        blocks = [(m.publisher_id, m.seq) for m in reader.messages() if m.topic == "counter/trace"]
    of = {life: [seq for i, seq in blocks if i == life] for life in dict.fromkeys(i for i, _ in blocks)}
    gone = {
        (life, seq)
        for n, (life, seqs) in enumerate(of.items())
        for block, seq in enumerate(seqs)
        if lose(n, block, len(seqs))
    }

    def keep(m: BagMessage) -> bool:
        return m.topic != "counter/trace" or (m.publisher_id, m.seq) not in gone

    return rewrite(bag, path, keep)


def test_lives_that_were_shut_down_are_compared_to_their_ends(three_lives: Path) -> None:
    result = replay(Counter, three_lives)
    assert (differences(result.recorded, result), result.notes, result.problems) == ([], [], [])
    assert sum(d.message() == Told(text="1") for d in result.made) == 3


def test_what_a_killed_node_said_after_its_trace_is_no_difference_and_is_counted(
    three_lives: Path, tmp_path: Path
) -> None:
    whole = replay(Counter, three_lives)
    bag = killed(three_lives, tmp_path / "killed.mcap", lambda life, block, of: life < 2 and block >= of - 1)
    result = replay(Counter, bag)
    assert (differences(result.recorded, result), result.problems) == ([], [])
    assert sum(d.message() == Told(text="1") for d in result.made) == 3
    assert len(result.notes) == 2
    assert all("no shutdown ends its trace at " in note for note in result.notes)
    counted = sum(int(note.split(" messages ")[0].split()[-1]) for note in result.notes)
    assert counted == len(whole.recorded.made) - len(result.recorded.made) > 0


def test_a_changed_decision_of_a_later_life_still_shows(three_lives: Path, tmp_path: Path) -> None:
    class Ahead(Counter):
        def on_configure(self) -> None:
            self.count = 1

    bag = killed(three_lives, tmp_path / "killed.mcap", lambda life, block, of: life == 0 and block >= of - 1)
    result = replay(Ahead, bag, node="counter")
    assert len({line.split("  ")[-1] for line in differences(result.recorded, result)}) > 3
    assert all(was.payload != now.payload for was, now in zip(result.recorded.made, result.made, strict=True))


def test_a_life_that_left_no_trace_is_not_compared_and_is_counted(three_lives: Path, tmp_path: Path) -> None:
    bag = killed(three_lives, tmp_path / "killed.mcap", lambda life, block, of: life == 1)
    result = replay(Counter, bag)
    assert (differences(result.recorded, result), result.problems) == ([], [])
    (note,) = result.notes
    assert "before it left a trace" in note
