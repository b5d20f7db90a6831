"""Ticks as what one client is sent: only what it wants, decimated as it wants it. Values in, bytes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from web import protocol
from web.protocol import Signals
from web.ticks import Decimator, Tick

CHUNK_BYTES = 256 * 1024
"""of what a client missed, per batch"""


def spans(made: Tick) -> Iterable[tuple[int, int, int]]:
    """(feed, first, last) of all that has numbers in a tick."""
    yield from ((m[0], m[1], m[1]) for m in made.messages)
    yield from ((s[0], s[1], s[2]) for s in made.signals)
    yield from ((g[0], g[1], g[2]) for g in made.gaps)


def batch(made: Tick, wanted: Mapping[int, int], binned: Mapping[tuple[int, int], list[Signals]]) -> bytes | None:
    """A tick as one client sees it; None when there is nothing for it."""
    messages = [m for m in made.messages if m[0] in wanted]
    signals = [s for s in made.signals if wanted.get(s[0]) == 1]
    for n, rows in wanted.items():
        if rows > 1:
            signals += binned.get((n, rows), ())
    gaps = [g for g in made.gaps if g[0] in wanted]
    if not messages and not signals and not gaps:
        return None
    return protocol.batch(made.now_ns, messages, signals, gaps)


def chunks(parts: Iterable[Tick], wanted: Mapping[int, int]) -> Iterable[bytes]:
    """What was missed, in batches of a bearable size; decimated as the client wants it."""
    decimators: dict[int, Decimator] = {}
    sum_ = Tick(0)
    for part in parts:
        sum_.now_ns = part.now_ns
        sum_.messages += part.messages
        sum_.gaps += part.gaps
        for entry in part.signals:
            rows = wanted.get(entry[0], 1)
            entries = decimators.setdefault(entry[0], Decimator(rows)).take(entry) if rows > 1 else [entry]
            sum_.signals += entries
            sum_.nbytes += sum(len(e[8]) for e in entries)
        sum_.nbytes += sum(len(bytes(m[3])) for m in part.messages)
        if sum_.nbytes > CHUNK_BYTES:
            yield protocol.batch(sum_.now_ns, sum_.messages, sum_.signals, sum_.gaps)
            sum_ = Tick(0)
    if sum_:
        yield protocol.batch(sum_.now_ns, sum_.messages, sum_.signals, sum_.gaps)
