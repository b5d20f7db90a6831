"""Is a source alive, how fast does it come, how old is it, what is lost: measured, never assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from nodes.sensory_cortex.drivers import Quality, Source
from nodes.sensory_cortex.machine import Fitted
from nodes.sensory_cortex.schedule import LeastDelay
from schemas.machine import SignalBlock, SourceStatus

SILENT_NS = 500_000_000
"""a source is lost after this, or after three of its periods, but at the latest after SILENT_MOST_NS"""
SILENT_MOST_NS = 700_000_000


@dataclass(slots=True)
class _Seen:
    heard_ns: int
    rows: int = 0
    rows_measured: int = 0
    rate_hz: float = 0.0
    next_row: int = -1
    lost_rows: int = 0
    offset: LeastDelay = field(default_factory=LeastDelay)
    """arrival - stamp of the newest row. What it waits on its way (the network, a full queue, a late tick) only adds to
    the difference, so the least is the offset of the clocks plus the shortest way there is: an upper bound"""
    available: bool | None = None
    """None until it came, or did not come in time"""


class SourceWatch:
    """What was heard of each source; times are the node's."""

    def __init__(self, now_ns: int) -> None:
        self._measured_ns = now_ns
        self._seen: dict[str, _Seen] = {}

    def _of(self, source: str, now_ns: int) -> _Seen:
        seen = self._seen.get(source)
        if seen is None:
            seen = self._seen[source] = _Seen(now_ns)
        return seen

    def heard(self, block: SignalBlock, now_ns: int) -> None:
        seen = self._seen.get(block.source) or self._of(block.source, now_ns)
        rows = len(block.data.array)
        if seen.next_row >= 0:
            seen.lost_rows += max(block.first_row - seen.next_row, 0)
        seen.next_row = block.first_row + rows
        seen.heard_ns = now_ns
        seen.rows += rows
        seen.offset.heard(now_ns - block.stamp_ns - (rows - 1) * block.period_ns, now_ns)

    def judge(self, source: Source, quality: Quality, now_ns: int) -> bool | None:
        """Whether the source came (True) or went, or did not come at all (False); None when nothing changed.

        What its driver says of its life counts like rows.
        """
        seen = self._of(source.name, now_ns)
        seen.heard_ns = max(seen.heard_ns, quality.heard_ns)
        patience_ns = min(max(SILENT_NS, 3e9 / source.rate_hz), SILENT_MOST_NS) if source.rate_hz > 0 else SILENT_NS
        alive = (now_ns - seen.heard_ns) * source.pace <= patience_ns
        if alive and not (seen.rows or quality.heard_ns):
            return None
        if alive == seen.available:
            return None
        seen.available = alive
        return alive

    @property
    def lost_rows(self) -> dict[str, int]:
        """By source, rows that its numbers show and that did not come."""
        return {name: seen.lost_rows for name, seen in self._seen.items() if seen.lost_rows}

    def lost(self, source: str) -> bool:
        seen = self._seen.get(source)
        return seen is not None and bool(seen.rows) and not seen.available

    def age_ms(self, source: str, now_ns: int) -> float:
        return (now_ns - self._of(source, now_ns).heard_ns) / 1e6

    def measure(self, now_ns: int) -> None:
        """Rates since the last measurement."""
        elapsed_s = (now_ns - self._measured_ns) / 1e9
        self._measured_ns = now_ns
        for seen in self._seen.values():
            seen.rate_hz = (seen.rows - seen.rows_measured) / elapsed_s if elapsed_s > 0 else 0.0
            seen.rows_measured = seen.rows

    def status(self, source: Source, fitted: Fitted, quality: Quality, now_ns: int, *, stops: bool) -> SourceStatus:
        seen = self._of(source.name, now_ns)
        ended = fitted.driver is None or fitted.driver.ended
        owned: Sequence[str] = [s.name for s in fitted.signals if s.source == source.name]
        said_ms = quality.clock_offset_ms
        return SourceStatus(
            name=source.name,
            driver=fitted.entry.kind,
            available=bool(seen.available) and not ended,
            rate_hz=seen.rate_hz,
            age_ms=self.age_ms(source.name, now_ns),
            clock_offset_ms=seen.offset.ms if math.isnan(said_ms) else said_ms,
            signals=tuple(owned),
            carries_state=fitted.entry.state and source.carries_state,
            takes_stop=stops,
            jitter_p99_ms=0.0 if math.isnan(quality.jitter_p99_ms) else quality.jitter_p99_ms,
            lost_rows=seen.lost_rows + quality.lost_rows,
            bad_rows=quality.bad_rows,
            doubled_rows=quality.doubled_rows,
            trouble=quality.trouble or fitted.failed,
        )
