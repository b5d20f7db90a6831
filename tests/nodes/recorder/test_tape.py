"""What is lost with a chunk that found no room, to the message."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from bus.bag import BagReader
from bus.bag.check import check
from bus.bag.recover import being_written, recover
from bus.node import Raw
from nodes.recorder.stream import Stream
from nodes.recorder.tape import Tape
from schemas import topics
from schemas.grammar import definition
from schemas.machine import Execution, MachineState
from schemas.system import LostMessages
from tests.bus.bag.bags import MS, START_NS, state
from tests.nodes.recorder.raws import WHO, Voice


def said(voice: Voice, n: int) -> Raw:
    return voice.say(topics.MACHINE_STATE, state(n, Execution.READY), START_NS + n * MS)


def test_what_the_head_repeats_is_not_lost_and_what_was_lost_stays_said(tmp_path: Path) -> None:
    tape, voice = Tape(tmp_path / "a.mcap", WHO, "run"), Voice()
    raws = [said(voice, n) for n in range(4)]
    stream = Stream(1, raws[0], definition(MachineState), "")
    tape.head([(stream, raws[1])], START_NS)
    gap = LostMessages(
        stamp_ns=START_NS, topic="vmc1/machine/samples", publisher="p", first_seq=5, last_seq=9, reason="lost"
    )
    tape.lose(gap)
    for raw in raws[2:]:
        tape.write(stream, raw.seq, raw.received_ns, raw.stamp_ns, raw.payload)
    gone, unsaid = tape.discard(START_NS)
    assert [(g.topic, g.first_seq, g.last_seq, g.reason) for g in gone] == [("vmc1/machine/state", 3, 4, "disk")]
    assert unsaid == [gap]
    assert tape.lost == 0
    tape.lose(gap)
    tape.writer.flush()
    assert tape.discard(START_NS) == ([], []), "what was flushed is said"
    assert tape.close().lost == 5


def test_of_a_head_alone_nothing_is_lost(tmp_path: Path) -> None:
    tape, voice = Tape(tmp_path / "a.mcap", WHO, "run"), Voice()
    raw = said(voice, 1)
    tape.head([(Stream(1, raw, definition(MachineState), ""), raw)], START_NS)
    assert tape.discard(START_NS) == ([], [])
    tape.drop()


@pytest.mark.parametrize("room", [0, 150, 400])
def test_one_that_cannot_end_is_let_go_and_can_be_closed_later(tmp_path: Path, room: int) -> None:
    tape, voice = Tape(tmp_path / "a.mcap", WHO, "run"), Voice()
    raw = said(voice, 1)
    tape.head([(Stream(1, raw, definition(MachineState), ""), raw)], START_NS)
    tape.writer.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (tape.path.stat().st_size + room, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            tape.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not being_written(tape.path)
    assert recover(tape.path)
    assert check(tape.path).ok
    assert len(list(BagReader(tape.path).messages())) == 1


def test_one_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, hard))  # the head fits, the words do not
    try:
        with pytest.raises(OSError, match="File too large"):
            Tape(tmp_path / "a.mcap", WHO, "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before
