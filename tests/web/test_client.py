"""The queue of one client: bounded, the oldest batch goes, what may not be dropped stays."""

from __future__ import annotations

import asyncio

import pytest

from web import protocol
from web.client import BATCHES_MAX, BYTES_MAX, REQUESTS_BURST, WORDS_MAX, Client, Overrun, wanted_rows
from web.protocol import Subscribe


def taken(client: Client) -> list[bytes]:
    async def run() -> list[bytes]:
        got = []
        while client.queued:
            got.append(await client.next())
        return got

    return asyncio.run(run())


def test_the_oldest_batches_go_and_names_stay() -> None:
    client = Client()
    client.say(b"names")
    for n in range(BATCHES_MAX + 3):
        client.put(b"%d" % n)
    client.say(b"more names")
    assert (client.queued, client.dropped, client.behind) == (BATCHES_MAX + 2, 3, True)
    assert (client.renewed(1), client.renewed(2), client.behind) == (3, 0, False)
    got = taken(client)
    assert got[:3] == [b"names", protocol.dropped(3), b"3"], "told where the hole is, not behind what follows it"
    assert got[-1] == b"more names"


def test_large_batches_are_bounded_by_bytes_and_one_always_fits() -> None:
    client = Client()
    for n in range(5):
        client.put(bytes([n]) * (BYTES_MAX // 2))
    assert (client.queued, client.dropped) == (2, 3)
    client.put(b"\xff" * (BYTES_MAX * 2))
    assert taken(client) == [protocol.dropped(5), b"\xff" * (BYTES_MAX * 2)]


def test_each_hole_is_told_before_what_follows_it() -> None:
    client = Client()
    for n in range(BATCHES_MAX + 2):
        client.put(b"%d" % n)
    assert [client.take(), client.take()] == [protocol.dropped(2), b"2"]
    for n in range(5):
        client.put(b"later %d" % n)
    assert taken(client)[:2] == [protocol.dropped(4), b"7"]
    client.put(b"in time")
    assert taken(client) == [b"in time"]


def test_a_client_that_reads_nothing_at_all_is_let_go() -> None:
    client = Client()
    for _ in range(WORDS_MAX + 1):
        client.say(b"names")
    with pytest.raises(Overrun):
        asyncio.run(client.next())


def test_who_waits_gets_what_comes() -> None:
    async def run() -> bytes:
        client = Client()
        waiting = asyncio.create_task(client.next())
        await asyncio.sleep(0)
        client.put(b"batch")
        return await waiting

    assert asyncio.run(run()) == b"batch"


def test_requests_have_a_rate() -> None:
    client = Client()
    burst = int(REQUESTS_BURST)
    assert [client.allows(1000.0) for _ in range(burst + 1)] == [True] * burst + [False]
    assert client.allows(1000.1)
    assert client.allows(1e6)


def test_a_client_that_takes_nothing_is_stuck_only_when_something_waits() -> None:
    client = Client()
    assert not client.stuck(1e9)
    client.put(b"batch")
    assert client.stuck(1e9)
    assert not client.stuck(1.0)


def test_the_finest_window_of_a_topic_counts() -> None:
    long, short = Subscribe(1, ("*/machine/samples",), 60.0), Subscribe(2, ("vmc1/machine/samples",), 5.0)
    assert wanted_rows({1: long}, "vmc1/machine/samples") == 12
    assert wanted_rows({1: long, 2: short}, "vmc1/machine/samples") == 1
    assert wanted_rows({1: long, 2: short}, "vmc2/machine/samples") == 12
    assert wanted_rows({1: long}, "vmc1/alarm") is None
