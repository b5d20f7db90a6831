"""What is kept for clients that come back, and for how long."""

from __future__ import annotations

import msgpack
import msgspec

from web.history import History
from web.ticks import Tick


def made(now_ns: int, *, messages: tuple[tuple[int, int], ...] = (), nbytes: int = 0) -> Tick:
    kept = Tick(now_ns, nbytes=nbytes)
    kept.messages = [(n, seq, now_ns, msgspec.Raw(msgpack.packb({"seq": seq}))) for n, seq in messages]
    return kept


def test_what_came_behind_a_number_comes_again_in_order() -> None:
    history = History()
    for seq in range(1, 6):
        history.put(made(seq, messages=((1, seq), (2, 100 + seq))))
    assert [[m[:2] for m in t.messages] for t in history.since({1: 3})] == [[(1, 4)], [(1, 5)]]
    assert history.first_seq([2]) == 101
    assert history.first_seq([3]) is None


def test_entries_and_gaps_are_cut_where_the_client_was() -> None:
    history = History()
    part = Tick(1)
    part.signals = [(1, 10, 13, 0, 0, 1000, 4, 1, bytes(16))]
    part.gaps = [(1, 14, 20, "lost")]
    history.put(part)
    (first,) = history.since({1: 11})
    assert (first.signals[0][1:4], first.gaps) == ((12, 13, 2), [(1, 14, 20, "lost")])
    (second,) = history.since({1: 16})
    assert (second.signals, second.gaps) == ([], [(1, 17, 20, "lost")])
    assert list(history.since({1: 20})) == []


def test_it_is_bounded_in_time_and_bytes() -> None:
    history = History(keep_ns=100, keep_bytes=3000)
    for now_ns in range(0, 1000, 10):
        history.put(made(now_ns, messages=((1, now_ns),)))
    assert history.first_seq([1]) == 890
    for now_ns in range(1000, 1100):
        history.put(made(now_ns, messages=((1, now_ns),), nbytes=1000))
        assert history.nbytes <= 3000
    assert history.first_seq([1]) == 1098
    history.clear()
    assert (history.nbytes, history.first_seq([1])) == (0, None)
