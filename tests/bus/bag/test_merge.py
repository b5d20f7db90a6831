"""Several bags as one: in order, nothing twice, losses as they are in the end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bus.bag import BadBag, BagReader, BagWriter, read
from bus.bag.check import check
from bus.bag.merge import BadMerge, merge
from bus.bag.quota import RUN, WORDS, words
from bus.replay import replay
from nodes.impact_cortex import ImpactCortex
from schemas import topics
from schemas.base import Message, Nanoseconds
from schemas.codec import codec
from schemas.grammar import definition
from schemas.machine import Execution
from schemas.system import LostMessages
from tests.bus.bag.bags import MS, START_NS, Pen, block, small, state

CRASH = Path(__file__).parents[2] / "bags" / "vmc1_crash.mcap"


def lose(writer: BagWriter, first: int, last: int, at_ns: int, reason: str = "lost") -> None:
    lost = LostMessages(
        stamp_ns=at_ns,
        topic="vmc1/machine/samples",
        publisher="vmc1/sensory_cortex",
        first_seq=first,
        last_seq=last,
        reason=reason,
    )
    number = writer.channel("bag/lost", "recorder", 9, definition(LostMessages), "EVENT", first_seq=1)
    writer.write(number, first, at_ns, at_ns, codec(LostMessages).encode(lost))


def samples(path: Path, numbers: list[int], *, late_ns: int = 0, lost: tuple[tuple[int, int, str], ...] = ()) -> Path:
    """A bag of one publisher's samples as a recorder wrote it; it says `lost` where the numbers go on."""
    with BagWriter(path) as writer:
        pen, waiting = Pen(writer), list(lost)
        for seq in numbers:
            at = START_NS + seq * MS + late_ns
            if waiting and waiting[0][1] < seq:
                lose(writer, waiting[0][0], waiting[0][1], at, waiting[0][2])
                waiting.pop(0)
            pen.seqs["vmc1/machine/samples"] = seq - 1
            pen.put(topics.SAMPLES, block(at, seq), at)
        for first, last, reason in waiting:
            lose(writer, first, last, START_NS + last * MS, reason)
    return path


def numbers(path: Path) -> list[int]:
    return [m.seq for m in read(path) if m.topic == "vmc1/machine/samples"]


def losses(path: Path) -> list[tuple[int, int, str]]:
    with BagReader(path) as bag:
        said = [codec(LostMessages).decode(m.payload) for m in bag.losses()]
    return [(s.first_seq, s.last_seq, s.reason) for s in said]


def test_two_machines_recorded_apart_come_in_the_order_of_time(tmp_path: Path) -> None:
    for n, name in enumerate(("a", "b")):
        with BagWriter(tmp_path / f"{name}.mcap", chunk_bytes=400) as writer:
            writer.metadata("rise", {"version": "0", "host": f"host_{name}", "domain": "default"})
            writer.node({"name": f"vmc{n}/sensory_cortex", "publisher_id": n})
            writer.metadata(WORDS, words(RUN, n == 0, [f"run#{n}"]))
            writer.attach("launch.py", "text/x-python", b"same", 1)
            writer.attach("parameters.json", "application/json", name.encode(), 1)
            pen = Pen(writer, f"vmc{n}")
            pen.put(topics.MACHINE_STATE, state(START_NS, Execution.ACTIVE, f"run#{n}"), START_NS + n * MS)
            for row in range(30):
                pen.put(topics.SAMPLES, block(row, row), START_NS + (2 * row + n) * MS)
    made = merge([tmp_path / "b.mcap", tmp_path / "a.mcap"], tmp_path / "m.mcap")
    assert (made.bags, made.messages, made.duplicates, made.lost) == (2, 62, 0, 0)
    found = list(read(tmp_path / "m.mcap"))
    assert [m.log_ns for m in found] == sorted(m.log_ns for m in found)
    assert [m.topic[:4] for m in found if "samples" in m.topic] == ["vmc0", "vmc1"] * 30
    assert check(tmp_path / "m.mcap").problems == []
    with BagReader(tmp_path / "m.mcap") as bag:
        assert sorted(bag.nodes()) == ["vmc0/sensory_cortex", "vmc1/sensory_cortex"]
        assert bag.metadata()[WORDS] == words(RUN, True, ["run#0", "run#1"])
        assert bag.metadata()["merge"] == {"from": "a.mcap b.mcap", "hosts": "host_a host_b"}
        assert {a.name: a.data for a in bag.attachments()} == {
            "launch.py": b"same",
            "parameters.json": b"a",
            "b/parameters.json": b"b",
        }


def test_what_one_recorder_lost_and_the_other_has_is_filled_in(tmp_path: Path) -> None:
    early = samples(tmp_path / "a.mcap", [1, 2, 3, 7, 8, 12], lost=((4, 6, "lost"), (9, 11, "disk")))
    late = samples(tmp_path / "b.mcap", [2, 3, 4, 5, 9, 10, 11], late_ns=3 * MS + 1, lost=((6, 8, "lost"),))
    made = merge([early, late], tmp_path / "m.mcap")
    assert numbers(tmp_path / "m.mcap") == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    assert (made.duplicates, made.lost, losses(tmp_path / "m.mcap")) == (2, 1, [(6, 6, "lost")])
    report = check(tmp_path / "m.mcap")
    assert (report.ok, report.lost, report.lost_recorded) == (True, 1, 1)


def test_what_is_said_of_losses_is_what_is_missing(tmp_path: Path) -> None:
    """At the head, in the middle, at the end; said by one, by both, by none."""
    one = samples(tmp_path / "a.mcap", [5, 6, 10], lost=((1, 4, "disk"), (7, 9, "reduced"), (11, 20, "disk")))
    two = samples(tmp_path / "b.mcap", [5, 8, 12, 15], lost=((6, 7, "lost"),))
    made = merge([one, two], tmp_path / "m.mcap")
    assert numbers(tmp_path / "m.mcap") == [5, 6, 8, 10, 12, 15]
    said = losses(tmp_path / "m.mcap")
    assert said[0] == (1, 4, "disk")
    missing = [n for first, last, _ in said for n in range(first, last + 1)]
    assert missing == [1, 2, 3, 4, 7, 9, 11, 13, 14, 16, 17, 18, 19, 20]
    assert [reason for first, _, reason in said if first == 9] == ["reduced"]
    assert made.lost == len(missing) - sum(reason == "reduced" for _, _, reason in said)
    report = check(tmp_path / "m.mcap")
    assert (report.ok, report.lost, report.lost_recorded) == (True, 4, 4)


def test_a_hole_between_two_parts_that_nobody_spoke_of_is_said(tmp_path: Path) -> None:
    made = merge(
        [samples(tmp_path / "a.mcap", [1, 2]), samples(tmp_path / "b.mcap", [6, 7])],
        tmp_path / "m.mcap",
    )
    assert (made.lost, losses(tmp_path / "m.mcap")) == (3, [(3, 5, "lost")])
    assert check(tmp_path / "m.mcap").ok


def test_the_parts_of_a_split_are_one_with_its_head_once(tmp_path: Path) -> None:
    from bus.bag.cut import cut

    small(tmp_path / "whole.mcap", 60)
    parts = [tmp_path / f"{n}.mcap" for n in range(3)]
    for n, part in enumerate(parts):
        begins = START_NS + n * 20 * MS
        cut(tmp_path / "whole.mcap", part, start_ns=begins, end_ns=begins + 20 * MS)
    cut(tmp_path / "whole.mcap", tmp_path / "late.mcap", start_ns=START_NS + 20 * MS)
    made = merge(parts[::-1], tmp_path / "m.mcap")
    assert [(m.topic, m.seq, m.payload) for m in read(tmp_path / "m.mcap")] == [
        (m.topic, m.seq, m.payload) for m in read(tmp_path / "whole.mcap")
    ]
    assert (made.duplicates, made.lost) == (2, 0)
    merge([tmp_path / "late.mcap", parts[2]], tmp_path / "n.mcap")
    with BagReader(tmp_path / "n.mcap") as bag:
        assert bag.repeated == 1
    assert check(tmp_path / "n.mcap").problems == []


@pytest.mark.parametrize("seed", range(3))
def test_two_recorders_of_one_crash_that_both_lost_something_replay_as_one(tmp_path: Path, seed: int) -> None:
    """Each has what the other lost; the second received everything up to 5 ms later."""
    rng = random.Random(seed)
    whole = [m for m in read(CRASH) if m.topic != "bag/lost"]
    losing = [{i for i in range(300, len(whole)) if rng.random() < 0.1} for _ in range(2)]
    losing[1] -= losing[0]
    for n, lost in enumerate(losing):
        with BagReader(CRASH) as bag, BagWriter(tmp_path / f"{n}.mcap", chunk_bytes=20_000) as writer:
            for name, values in bag.metadata().items():
                writer.metadata(name, values)
            for a in bag.attachments():
                writer.attach(a.name, a.media_type, a.data, a.stamp_ns)
            late_ns = 0
            for i, m in enumerate(whole):
                if i in lost:
                    continue
                c = m.channel
                key = {k: v for k, v in c.metadata.items() if k == "key"}
                channel = writer.channel(
                    m.topic, m.publisher, m.publisher_id, c.definition, m.qos, first_seq=m.seq, metadata=key
                )
                late_ns = max(late_ns, m.log_ns + n * rng.randrange(5 * MS) if i > 300 else m.log_ns)
                writer.write(channel, m.seq, late_ns, m.publish_ns, m.payload)
    made = merge([tmp_path / "0.mcap", tmp_path / "1.mcap"], tmp_path / "m.mcap")
    by_channel: list[dict[tuple[str, int], list[tuple[int, int, bytes]]]] = [{}, {}]
    for found, messages in zip(by_channel, (whole, read(tmp_path / "m.mcap")), strict=True):
        for m in messages:
            found.setdefault((m.topic, m.publisher_id), []).append((m.seq, m.publish_ns, m.payload))
    assert by_channel[1] == by_channel[0]
    assert made.duplicates > 2000
    assert check(tmp_path / "m.mcap").ok
    result, reference = (replay(ImpactCortex, bag, node="vmc1/impact_cortex") for bag in (tmp_path / "m.mcap", CRASH))
    assert result.problems == reference.problems
    assert result.made == reference.made
    assert any(decision.topic == "vmc1/impact/intervention" for decision in result.made)


class Reading(Message):
    stamp_ns: Nanoseconds
    load: float


class Later(Message):
    stamp_ns: Nanoseconds
    load: int
    more: str


def test_one_topic_of_two_types_is_refused_with_what_differs(tmp_path: Path) -> None:
    for name, cls in (("a", Reading), ("b", Later)):
        with BagWriter(tmp_path / f"{name}.mcap") as writer:
            defined = {**definition(cls), "name": "Reading"}
            number = writer.channel("vmc1/reading", "vmc1/n", 1, defined, "SENSOR", first_seq=1)
            writer.write(number, 1, START_NS, 1, b"\x80")
            Pen(writer, name).put(topics.SAMPLES, block(1, 1), START_NS)
    paths = [tmp_path / "a.mcap", tmp_path / "b.mcap"]
    with pytest.raises(BadMerge) as refused:
        merge(paths, tmp_path / "m.mcap")
    text = str(refused.value)
    for cls in (Reading, Later):
        with BagReader(tmp_path / ("a.mcap" if cls is Reading else "b.mcap")) as bag:
            assert next(c.type_hash for c in bag.channels.values() if c.topic == "vmc1/reading") in text
    assert "load: float in the reader, int in the writer" in text
    assert "vmc1/reading: Reading" in text
    assert not (tmp_path / "m.mcap").exists()
    assert merge(paths, tmp_path / "m.mcap", topics=lambda topic: topic.endswith("samples")).messages == 2


def test_two_nodes_of_one_name_are_refused(tmp_path: Path) -> None:
    for n, name in enumerate(("a", "b")):
        with BagWriter(tmp_path / f"{name}.mcap") as writer:
            writer.metadata("rise", {"version": "0", "host": f"host_{name}", "domain": "default"})
            writer.node({"name": "vmc1/sensory_cortex", "publisher_id": n})
            Pen(writer).put(topics.SAMPLES, block(1, 1), START_NS)
    with pytest.raises(BadMerge, match=r"host host_a.*host host_b.*two nodes of one name"):
        merge([tmp_path / "a.mcap", tmp_path / "b.mcap"], tmp_path / "m.mcap")


def test_a_damaged_bag_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap", 60)
    small(tmp_path / "b.mcap", 60)
    data = bytearray((tmp_path / "b.mcap").read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "b.mcap").write_bytes(data)
    with pytest.raises(BadBag):
        merge([tmp_path / "a.mcap", tmp_path / "b.mcap"], tmp_path / "m.mcap")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mcap", "b.mcap"]


KILLED = """
import os, signal, sys
from bus.bag import merge as module
def die(done, of):
    os.kill(os.getpid(), signal.SIGKILL)
module.merge([sys.argv[1], sys.argv[2]], sys.argv[3], replace=True, progress=die)
"""


def test_killed_in_the_middle_the_old_bag_stays_and_the_next_run_tidies_up(tmp_path: Path) -> None:
    for name in ("a", "b", "m"):
        small(tmp_path / f"{name}.mcap", 40)
    before = (tmp_path / "m.mcap").read_bytes()
    paths = [str(tmp_path / f"{name}.mcap") for name in ("a", "b", "m")]
    killed = subprocess.run([sys.executable, "-P", "-c", KILLED, *paths], check=False, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "m.mcap").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 4
    merge(paths[:2], paths[2], replace=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mcap", "b.mcap", "m.mcap"]
    assert len(list(read(paths[2]))) == 41
