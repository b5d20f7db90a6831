"""Several blocking sides as one stream of chunks: order, fairness, loss, failure, end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.merging import merged


def numbered(count: int) -> Iterator[Chunk]:
    for n in range(count):
        yield Chunk(kind=ChunkKind.MESSAGE, first_row=n)


def test_each_source_keeps_its_order_and_its_number() -> None:
    end = threading.Event()
    got: dict[int, list[int]] = {0: [], 1: []}
    for chunk in merged([lambda end: numbered(50), lambda end: numbered(50)], end):
        got[chunk.entry].append(chunk.first_row)
        assert chunk.dropped == 0
        if all(len(rows) == 50 for rows in got.values()):
            end.set()
    assert got == {0: list(range(50)), 1: list(range(50))}


def test_a_source_in_a_hurry_drops_its_own_oldest_and_says_how_many() -> None:
    end, flooded = threading.Event(), threading.Event()

    def hasty(end: threading.Event) -> Iterator[Chunk]:
        yield from numbered(1000)
        flooded.set()
        end.wait(30)

    def calm(end: threading.Event) -> Iterator[Chunk]:
        yield from numbered(3)
        end.wait(30)

    got: dict[int, list[Chunk]] = {0: [], 1: []}
    for chunk in merged([hasty, calm], end, depth=8):
        assert flooded.wait(10)  # a node that takes nothing meanwhile
        got[chunk.entry].append(chunk)
        if got[0] and got[0][-1].first_row == 999 and len(got[1]) == 3:
            end.set()
    assert [c.first_row for c in got[1]] == [0, 1, 2]
    assert got[1][-1].dropped == 0
    rows = [c.first_row for c in got[0]]
    assert rows == sorted(rows)
    assert got[0][-1].dropped == 1000 - len(rows) > 900


def test_a_reader_that_raises_says_so_and_the_other_goes_on() -> None:
    def broken(end: threading.Event) -> Iterator[Chunk]:
        yield from numbered(1)
        raise OSError("the cable is out")

    end = threading.Event()
    failed = ""
    rows = []
    for chunk in merged([broken, lambda end: numbered(20)], end):
        if chunk.kind is ChunkKind.FAILED:
            failed = f"{chunk.entry}: {chunk.text}"
        elif chunk.entry == 1:
            rows.append(chunk.first_row)
        if failed and len(rows) == 20:
            end.set()
    assert failed == "0: OSError: the cable is out"
    assert rows == list(range(20))


def test_it_ends_with_readers_that_have_nothing_to_say() -> None:
    end = threading.Event()
    timer = threading.Timer(0.05, end.set)
    timer.start()
    assert list(merged([lambda end: iter(()), lambda end: iter(())], end)) == []


def test_a_source_that_is_alone_is_read_by_the_calling_thread() -> None:
    end, threads = threading.Event(), set()

    def alone(end: threading.Event) -> Iterator[Chunk]:
        threads.add(threading.current_thread())
        yield from numbered(100)
        raise OSError("the cable is out")

    got = []
    for chunk in merged([alone], end):
        got.append(chunk)
        if chunk.kind is ChunkKind.FAILED:
            end.set()
    assert [c.first_row for c in got[:-1]] == list(range(100))
    assert got[-1].text == "OSError: the cable is out"
    assert threads == {threading.current_thread()}
