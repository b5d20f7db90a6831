"""The way between two threads: in order, bounded, and what found no room is named."""

from __future__ import annotations

import asyncio
import threading

from bus.context import Raw
from tests.web.raws import ID, SAMPLES, block, raw, signals
from web.crossing import KEPT_MAX, WAITING_MAX, Crossing


def drained(crossing: Crossing) -> None:
    """Let a loop take what waits."""

    async def run() -> None:
        crossing.attach(asyncio.get_running_loop())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        crossing.attach(None)

    asyncio.run(run())


def test_what_came_before_there_was_a_loop_waits_for_it_in_order() -> None:
    got: list[object] = []
    crossing = Crossing(got.append)
    crossing.call(got.append, "entries")
    crossing.put([block(1)])
    crossing.put([block(2), block(3)])
    drained(crossing)
    assert got[0] == "entries"
    assert [r.seq for r in got[1]] == [1, 2, 3]  # type: ignore[attr-defined] # a list of Raws
    assert crossing.busy == 0


def test_a_loop_with_no_time_loses_signals_by_name_and_no_state() -> None:
    got: list[list[Raw]] = []
    crossing = Crossing(got.append)
    for n in range(1, WAITING_MAX + 11):
        crossing.put([block(n), raw("vmc1/machine/signals", signals("load"), n)])
    drained(crossing)
    (batch,) = got
    assert [r.seq for r in batch if r.topic != SAMPLES] == list(range(1, WAITING_MAX + 11))
    blocks = [r for r in batch if r.topic == SAMPLES]
    assert [r.seq for r in blocks[:-1]] == list(range(1, WAITING_MAX + 1))
    last = blocks[-1]
    assert (last.lost_first, last.seq, last.payload, last.publisher_id) == (
        WAITING_MAX + 1, WAITING_MAX + 10, b"busy", ID,
    )  # fmt: skip
    assert crossing.busy == 10


def test_even_states_have_a_bound() -> None:
    got: list[list[Raw]] = []
    crossing = Crossing(got.append)
    for _ in range(WAITING_MAX):
        crossing.put([])
    one = raw("vmc1/machine/signals", signals("load"), 1)
    crossing.put([one._replace(seq=n) for n in range(1, KEPT_MAX + 101)])
    drained(crossing)
    (batch,) = got
    assert (len(batch), batch[-1].lost_first, batch[-1].seq) == (KEPT_MAX + 1, KEPT_MAX + 1, KEPT_MAX + 100)


def put_all(crossing: Crossing) -> None:
    for first in range(1, 201, 5):
        crossing.put([block(n) for n in range(first, first + 5)])


def test_batches_cross_from_another_thread() -> None:
    got: list[int] = []

    async def run() -> None:
        done = asyncio.Event()

        def take(raws: list[Raw]) -> None:
            got.extend(r.seq for r in raws)
            if got[-1] == 200:
                done.set()

        crossing = Crossing(take)
        crossing.attach(asyncio.get_running_loop())
        thread = threading.Thread(target=put_all, args=(crossing,))
        thread.start()
        await asyncio.wait_for(done.wait(), 10)
        thread.join()
        assert crossing.busy == 0

    asyncio.run(run())
    assert got == list(range(1, 201))
