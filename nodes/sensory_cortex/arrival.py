"""From the clock of whoever sends to ours: stamps that keep their distances, never go back and never lie ahead."""

from __future__ import annotations

WINDOW_NS = 30_000_000_000


class SenderClock:
    """Maps a sender's stamps to ours by the least delay seen lately.

    The offset is the least of (arrival - stamp) over the last one to two windows: what came with the least delay tells
    the clocks apart best (as in NTP's clock filter, RFC 5905 section 10). A stamp that would lie before the last one
    given out is that one: a sender whose time goes back loses its times, not its values.
    """

    def __init__(self) -> None:
        self.offset_ns: int | None = None
        """to be added to the sender's stamps"""
        self._least: int | None = None
        self._window_ns = 0
        self._given_ns = 0

    def restart(self) -> None:
        """Another connection, maybe another sender; what was given out stays given out."""
        self.offset_ns = self._least = None

    def ours(self, stamp_ns: int | None, now_ns: int) -> int:
        """The stamp in our time; `now_ns` where the sender gave none."""
        at_ns = now_ns
        if stamp_ns is not None:
            at_ns = min(now_ns, stamp_ns + self.learn(stamp_ns, now_ns))
        self._given_ns = max(self._given_ns, at_ns)
        return self._given_ns

    def learn(self, stamp_ns: int, now_ns: int) -> int:
        """Something with this stamp came now; returns the offset."""
        delay_ns = now_ns - stamp_ns
        if now_ns - self._window_ns > WINDOW_NS:
            # the last window's least counts for one more, so that an offset is never of a moment only
            self._window_ns = now_ns
            self.offset_ns, self._least = self._least, delay_ns
        self._least = delay_ns if self._least is None else min(self._least, delay_ns)
        self.offset_ns = self._least if self.offset_ns is None else min(self.offset_ns, delay_ns)
        return self.offset_ns
