"""Is a source alive, how fast does it come, how old is it: measured, never assumed."""

from __future__ import annotations

from dataclasses import dataclass

from nodes.sensory_cortex.drivers import Source
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
    offset_ms: float = 0.0
    available: bool = False


class SourceWatch:
    """What was heard of each source; times are the node's."""

    def __init__(self, now_ns: int) -> None:
        self._start_ns = now_ns
        self._measured_ns = now_ns
        self._seen: dict[str, _Seen] = {}

    def _of(self, source: str) -> _Seen:
        seen = self._seen.get(source)
        if seen is None:
            seen = self._seen[source] = _Seen(self._start_ns)
        return seen

    def heard(self, block: SignalBlock, now_ns: int) -> None:
        seen = self._seen.get(block.source) or self._of(block.source)
        rows = len(block.data.array)
        seen.heard_ns = now_ns
        seen.rows += rows
        seen.offset_ms = (now_ns - block.stamp_ns - (rows - 1) * block.period_ns) / 1e6

    def judge(self, source: Source, now_ns: int) -> bool | None:
        """Whether the source came (True) or went (False); None when nothing changed."""
        seen = self._of(source.name)
        patience_ns = min(max(SILENT_NS, 3e9 / source.rate_hz), SILENT_MOST_NS) if source.rate_hz > 0 else SILENT_NS
        alive = (now_ns - seen.heard_ns) * source.pace <= patience_ns
        if alive and not seen.rows:
            return None
        if alive == seen.available:
            return None
        seen.available = alive
        return alive

    def lost(self, source: str) -> bool:
        seen = self._of(source)
        return bool(seen.rows) and not seen.available

    def age_ms(self, source: str, now_ns: int) -> float:
        return (now_ns - self._of(source).heard_ns) / 1e6

    def measure(self, now_ns: int) -> None:
        """Rates since the last measurement."""
        elapsed_s = (now_ns - self._measured_ns) / 1e9
        self._measured_ns = now_ns
        for seen in self._seen.values():
            seen.rate_hz = (seen.rows - seen.rows_measured) / elapsed_s if elapsed_s > 0 else 0.0
            seen.rows_measured = seen.rows

    def status(self, source: Source, driver: str, now_ns: int, *, ended: bool) -> SourceStatus:
        seen = self._of(source.name)
        return SourceStatus(
            name=source.name,
            driver=driver,
            available=seen.available and not ended,
            rate_hz=seen.rate_hz,
            age_ms=self.age_ms(source.name, now_ns),
            clock_offset_ms=seen.offset_ms,
        )
