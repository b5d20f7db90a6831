"""The blocking sides of several sources, merged: a thread for each, a bounded queue for each, one stream of chunks.

A queue of its own for each source, so that a source in a hurry pushes out only its own chunks. What a full queue drops
is the oldest, and every chunk says how many of its source were dropped before it: the loss travels with the data, and
so stands in a bag's trace too.

A source that is alone is read by the calling thread: one hand-over less on the way to a stop. It waits where the others
drop, and what is lost then is lost before it: rows and frames are numbered there.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.recorded import replaced

DEPTH = 64
WAIT_S = 0.2
JOIN_S = 1.0

Reader = Callable[[threading.Event], Iterator[Chunk]]


@dataclass(slots=True)
class _Lane:
    waiting: deque[Chunk] = field(default_factory=deque)
    dropped: int = 0


def merged(readers: Sequence[Reader], end: threading.Event, depth: int = DEPTH) -> Iterator[Chunk]:
    """The chunks of all readers until `end` is set, each marked with its reader's number."""
    if len(readers) == 1:
        yield from _alone(readers[0], end)
        return
    lanes = [_Lane() for _ in readers]
    news = threading.Condition()

    def put(number: int, chunk: Chunk) -> None:
        lane = lanes[number]
        with news:
            if len(lane.waiting) >= depth:
                lane.waiting.popleft()
                lane.dropped += 1
            lane.waiting.append(chunk)
            news.notify()

    def run(number: int) -> None:
        try:
            for chunk in readers[number](end):
                put(number, chunk)
                if end.is_set():
                    return
        except Exception as error:
            put(number, _failed(error))

    threads = [threading.Thread(target=run, args=(n,), name=f"source {n}", daemon=True) for n in range(len(readers))]
    for thread in threads:
        thread.start()
    while not end.is_set():
        with news:
            if not any(lane.waiting for lane in lanes):
                news.wait(WAIT_S)
            taken = [(n, lane.waiting.popleft(), lane.dropped) for n, lane in enumerate(lanes) if lane.waiting]
        for number, chunk, dropped in taken:
            yield replaced(chunk, entry=number, dropped=dropped)
    for thread in threads:
        thread.join(JOIN_S)


def _alone(reader: Reader, end: threading.Event) -> Iterator[Chunk]:
    try:
        yield from reader(end)
    except Exception as error:
        yield _failed(error)
    while not end.wait(WAIT_S):
        pass  # a worker that ends by itself has failed


def _failed(error: Exception) -> Chunk:
    traceback.print_exception(error)
    return Chunk(kind=ChunkKind.FAILED, text=f"{type(error).__name__}: {error}")
