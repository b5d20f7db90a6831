"""Twenty milliseconds of the bus as clients get them: joined, numbered, told where something is missing."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.context import Raw
from schemas.base import Samples
from schemas.codec import codec
from schemas.machine import SignalBlock
from tests.web.raws import ID, MILL, SAMPLES, STEP_NS, block, hole, raw, signals
from web.feeds import Feed, Feeds
from web.protocol import Signals
from web.ticks import Decimator, Tick, cut, tick


class Told:
    """What a tick says on the way."""

    def __init__(self) -> None:
        self.feeds = Feeds()
        self.named: list[Feed] = []
        self.latched: list[tuple[int, dict[str, Any]]] = []

    def tick(self, *raws: Raw) -> Tick:
        return tick(
            raws,
            self.feeds,
            7,
            named=self.named.append,
            latch=lambda feed, _, fields: self.latched.append((feed.n, fields)),
        )


def values(entry: Signals) -> Any:
    return np.frombuffer(entry[8], "<f4").reshape(entry[6], entry[7])


def test_blocks_that_follow_one_another_go_out_as_one() -> None:
    told = Told()
    made = told.tick(*(block(n) for n in range(5, 25)))
    ((n, *rest),) = made.signals
    assert rest[:-1] == [5, 24, 4, 4 * STEP_NS, STEP_NS, 20, 2]
    assert values(made.signals[0])[:, 0].tolist() == [10.0 * row for row in range(4, 24)]
    (feed,) = told.named
    assert (feed.n, feed.topic, feed.publisher, feed.publisher_id, feed.source) == (n, SAMPLES, MILL, ID, "drive")
    assert told.tick(block(25)).signals[0][0] == n
    assert len(told.named) == 1


def test_a_hole_is_told_at_its_place_and_never_closed() -> None:
    made = Told().tick(block(1), block(2), hole(3, 5), block(6))
    assert [s[1:3] for s in made.signals] == [(1, 2), (6, 6)]
    assert [g[1:] for g in made.gaps] == [(3, 5, "lost")]


def test_a_jump_of_rows_at_the_source_begins_another_entry() -> None:
    made = Told().tick(block(1), block(2, first_row=9))
    assert [(s[1], s[2], s[3]) for s in made.signals] == [(1, 1, 0), (2, 2, 9)]


def test_sources_of_one_topic_have_numbers_of_their_own_and_share_the_sequence() -> None:
    told = Told()
    made = told.tick(
        block(1, source="drive"), block(2, source="daq"), block(3, source="drive"), block(4, source="drive")
    )
    assert [(told.feeds[s[0]].source, s[1], s[2]) for s in made.signals] == [
        ("drive", 1, 1),
        ("daq", 2, 2),
        ("drive", 3, 4),
    ]


def test_what_cannot_be_read_is_a_gap_that_says_so() -> None:
    told = Told()
    flat = SignalBlock(stamp_ns=0, period_ns=1, source="drive", first_row=0, data=Samples(np.zeros(3, np.float32)))
    bad = [
        block(1)._replace(payload=b"\xc1"),
        raw(SAMPLES, flat, 2, qos="SENSOR"),
        raw("vmc1/machine/signals", signals("load"), 3)._replace(payload=msgpack.packb([1, 2])),
        raw("vmc1/machine/signals", signals("load"), 4)._replace(payload=msgpack.packb({"signals": "none"})),
        raw("vmc1/alarm", signals("load"), 5)._replace(type_name="Alarm", payload=b"\x81\xa1a\xa1\xff"),
    ]
    made = told.tick(*bad)
    assert [g[1:] for g in made.gaps] == [(n, n, "unreadable") for n in range(1, 6)]
    assert len(made.unreadable) == 5
    assert not made.messages
    assert told.tick(block(6)).signals


def test_columns_come_with_the_names_and_again_when_they_change() -> None:
    told = Told()
    told.tick(raw("vmc1/machine/signals", signals("load", "speed"), 1), block(1))
    assert [c["name"] for c in told.named[-1].columns or ()] == ["load", "speed"]
    told.tick(raw("vmc1/machine/signals", signals("load", "speed"), 2))
    before = len(told.named)
    told.tick(raw("vmc1/machine/signals", signals("load", "torque"), 3))
    assert [[c["name"] for c in f.columns or ()] for f in told.named[before:]] == [["load", "torque"]]


def test_latched_values_are_told_with_their_fields() -> None:
    told = Told()
    told.tick(raw("vmc1/machine/signals", signals("load"), 9))
    ((_, fields),) = told.latched
    assert fields["signals"][0]["name"] == "load"


def test_an_entry_is_cut_behind_a_number() -> None:
    (whole,) = Told().tick(*(block(n, rows=3) for n in range(1, 11))).signals
    assert cut(whole, 0) == whole
    assert cut(whole, 10) is None
    part = cut(whole, 4)
    assert part is not None
    assert part[1:5] == (5, 10, 12, 12 * STEP_NS)
    assert np.array_equal(values(part), values(whole)[12:])


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12), st.integers(2, 9), st.integers(0, 20))
def test_bins_are_the_same_however_the_rows_come(sizes: list[int], bin_rows: int, first: int) -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(sum(sizes), 2)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    decimator, at, out = Decimator(bin_rows), 0, []
    for size in sizes:
        data = rows[at : at + size].tobytes()
        row = first + at
        out += decimator.take((1, row + 1, row + size, row, row * STEP_NS, STEP_NS, size, 2, data))
        at += size
    got = np.concatenate([values(e) for e in out]) if out else np.empty((0, 2), np.float32)
    last = first + len(rows)
    bins = range(first // bin_rows, last // bin_rows)
    wanted = []
    for b in bins:
        part = rows[max(0, b * bin_rows - first) : (b + 1) * bin_rows - first]
        wanted += [np.fmin.reduce(part), np.fmax.reduce(part)]
    assert np.array_equal(got, np.array(wanted, np.float32).reshape(-1, 2), equal_nan=True)
    assert all(e[5] == STEP_NS * bin_rows and e[6] % 2 == 0 for e in out)


def test_a_hole_ends_the_bin_that_was_begun() -> None:
    told, decimator = Told(), Decimator(4)
    before, after = (told.tick(*(block(n) for n in numbers)).signals[0] for numbers in ((1, 2), (9, 10, 11, 12)))
    out = decimator.take(before) + decimator.take(after)
    assert [(e[1], e[2], e[3], e[6]) for e in out] == [(1, 2, 0, 2), (9, 12, 8, 2)]
    assert values(out[0])[:, 0].tolist() == [0.0, 10.0]


@pytest.mark.parametrize("dtype", ["<f8", "<i2"])
def test_rows_of_another_type_travel_as_float32(dtype: str) -> None:
    array = np.arange(4, dtype=dtype).reshape(2, 2)
    made = SignalBlock(stamp_ns=0, period_ns=1, source="x", first_row=0, data=Samples(array))
    assert codec(SignalBlock).decode(codec(SignalBlock).encode(made)).data.dtype == dtype
    (entry,) = Told().tick(raw(SAMPLES, made, 1, qos="SENSOR")).signals
    assert values(entry).tolist() == [[0.0, 1.0], [2.0, 3.0]]


def test_a_signalling_nan_and_what_float32_cannot_hold_arrive() -> None:
    odd = np.frombuffer((0x7FF0_0000_0000_0001).to_bytes(8, "little") + np.float64(1e300).tobytes(), "<f8")
    sent = block(1)
    payload = codec(SignalBlock).encode(
        codec(SignalBlock).decode(sent.payload).model_copy(update={"data": Samples(odd.reshape(1, 2))})
    )
    (entry,) = Told().tick(sent._replace(payload=payload)).signals
    assert np.isnan(values(entry)[0, 0])
    assert np.isposinf(values(entry)[0, 1])
    (binned,) = Decimator(1).take(entry)
    assert np.isnan(values(binned)[0, 0])
