"""The black box's memory holds the last seconds, to the message, within its bytes."""

from __future__ import annotations

import pytest

from nodes.recorder.ring import OVERHEAD_BYTES, Ring
from nodes.recorder.stream import Stream
from schemas import topics
from tests.bus.bag.bags import MS, START_NS, block, state
from tests.nodes.recorder.raws import Voice

VOICE = Voice()
SAMPLES = [VOICE.say(topics.SAMPLES, block(START_NS, n), START_NS + n * 10 * MS) for n in range(500)]
STATES = [VOICE.say(topics.MACHINE_STATE, state(START_NS + n), START_NS + n * 1000 * MS) for n in range(5)]
SIGNALS, STATE = Stream(1, SAMPLES[0], {}, ""), Stream(2, STATES[0], {}, "")


def filled(ring: Ring, batch: int) -> Ring:
    """500 samples in 5 s and a state each second, in batches of so many messages."""
    raws = sorted([*SAMPLES, *STATES], key=lambda raw: raw.received_ns)
    for first in range(0, len(raws), batch):
        for raw in raws[first : first + batch]:
            ring.newest.append((SIGNALS if raw in SAMPLES else STATE, raw))
        ring.close(raw.received_ns)
    ring.close(raws[-1].received_ns, exact=True)
    return ring


@pytest.mark.parametrize("batch", [1, 7, 100, 1000])
def test_it_reaches_back_so_far_whatever_the_batches(batch: int) -> None:
    ring = filled(Ring(1.5, 1 << 30), batch)
    held = [raw for _, raw in ring]
    assert [raw.seq for raw in held if raw.topic.endswith("samples")] == list(range(350, 501))
    assert [raw.seq for raw in held if raw.topic.endswith("state")] == [5]
    assert [raw.seq for _, raw in ring.before()] == [4]
    assert ring.size_bytes == sum(len(raw.payload) + OVERHEAD_BYTES for raw in held)
    assert not ring.short


@pytest.mark.parametrize("batch", [1, 7, 100, 1000])
def test_bytes_bound_it_too_and_that_is_said(batch: int) -> None:
    ring = filled(Ring(60.0, 50_000), batch)
    held = [raw for _, raw in ring]
    assert 0 < ring.size_bytes <= 50_000
    assert held[-1].seq == 500
    assert len(held) >= 50_000 // (OVERHEAD_BYTES + max(len(raw.payload) for raw in held)) - batch
    assert ring.short


def test_what_is_taken_and_not_yet_closed_is_held() -> None:
    ring = Ring(1.0, 1 << 30)
    ring.newest.append((SIGNALS, SAMPLES[0]))
    assert [raw.seq for _, raw in ring] == [1]
