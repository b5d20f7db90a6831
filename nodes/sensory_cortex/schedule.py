"""When the rows of a source were taken, out of when they came: delays only ever add.

What a row waits on its way (a driver, a network, a queue, this computer) is never less than nothing, so the earliest
arrivals show the schedule of the device, and the others only how late they were. Least delay over a window is the
usual estimate of an offset between clocks (NTP's clock filter, RFC 5905 section 10, does the same); a straight line
through the least delays of many windows shows in its slope how much faster or slower the device's clock runs.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

SECOND_NS = 1_000_000_000
WINDOW = 30
"""buckets of a second that an offset is the least of"""
BUCKET_NS = 500_000_000
BUCKETS = 60
"""the line is laid through the least delays of 30 s"""
SLOPE_FROM = 10
"""buckets: over a shorter time the slope would be noise"""
DRIFT_MOST = 1e-3
"""a quartz is within 1e-4"""
STEP_NS = 100_000_000
STEP_BUCKETS = 4
"""so many buckets in a row that are all later than the line by STEP_NS: the device's clock stood still"""
LATENESS_KEPT = 1000


class LeastDelay:
    """The least of arrival - stamp in the last 30 s; NaN before the first."""

    __slots__ = ("_buckets", "_current", "_least")

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque(maxlen=WINDOW)
        self._current = -1
        self._least = 0

    def heard(self, delay_ns: int, now_ns: int) -> None:
        bucket = now_ns // SECOND_NS
        if bucket != self._current:
            if self._current >= 0:
                self._buckets.append((self._current, self._least))
            self._current, self._least = bucket, delay_ns
        elif delay_ns < self._least:
            self._least = delay_ns

    @property
    def ms(self) -> float:
        if self._current < 0:
            return math.nan
        recent = (least for bucket, least in self._buckets if bucket > self._current - WINDOW)
        return min((self._least, *recent)) / 1e6


class Schedule:
    """The straight line from a device's time (its counter times its period) to ours."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque(maxlen=BUCKETS)
        """device time and delay of the earliest arrival of each bucket"""
        self._zero_ns = 0
        """of all delays, arrival - device time at the first: what is left is small enough for a float"""
        self._bucket = 0
        self._earliest: tuple[int, int] | None = None
        self._origin_ns = 0
        self._delay_ns = 0.0
        self._slope = 0.0
        """ns of delay gained per ns of the device: its clock runs slow by so much"""
        self._lateness: deque[float] = deque(maxlen=LATENESS_KEPT)

    def heard(self, device_ns: int, arrival_ns: int) -> None:
        """A row that was taken at this moment of the device's time came at this moment of ours."""
        bucket = device_ns // BUCKET_NS
        if self._earliest is None:
            self._zero_ns = arrival_ns - device_ns
        delay = arrival_ns - device_ns - self._zero_ns
        if self._earliest is None:
            self._bucket, self._earliest = bucket, (device_ns, delay)
            self._origin_ns, self._delay_ns = device_ns, float(delay)
        elif bucket != self._bucket:
            self._buckets.append(self._earliest)
            self._bucket, self._earliest = bucket, (device_ns, delay)
            self._lay()
        elif delay < self._earliest[1]:
            self._earliest = (device_ns, delay)
        late = delay - self._expected(device_ns)
        if late < 0.0:  # nothing comes before it was taken
            self._delay_ns += late
            late = 0.0
        self._lateness.append(late)

    def stamp_ns(self, device_ns: int) -> int:
        """When that was, by our clock."""
        return device_ns + self._zero_ns + math.floor(self._expected(device_ns))

    def period_ns(self, device_period_ns: int) -> int:
        """What the device calls so long, by our clock."""
        return max(round(device_period_ns * (1.0 + self._slope)), 1)

    @property
    def jitter_p99_ms(self) -> float:
        """Lateness against the schedule, 99 of the last 1000 arrivals are below; NaN before the first."""
        return float(np.percentile(self._lateness, 99)) / 1e6 if self._lateness else math.nan

    def _expected(self, device_ns: int) -> float:
        return self._delay_ns + self._slope * (device_ns - self._origin_ns)

    def _lay(self) -> None:
        """The line below all buckets. Its slope is the median of those between any two (Theil and Sen): a second in
        which everything was late does not tilt it."""
        recent = list(self._buckets)[-STEP_BUCKETS:]
        if len(recent) == STEP_BUCKETS and all(d - self._expected(t) > STEP_NS for t, d in recent):
            self._buckets = deque(recent, maxlen=BUCKETS)
        self._origin_ns, base = self._buckets[-1]
        times = np.array([t - self._origin_ns for t, _ in self._buckets], dtype=np.float64)
        delays = np.array([d - base for _, d in self._buckets], dtype=np.float64)
        self._slope = 0.0
        if len(times) >= SLOPE_FROM:
            a, b = np.triu_indices(len(times), 1)
            apart = times[b] - times[a]
            slopes = (delays[b] - delays[a])[apart > 0] / apart[apart > 0]
            self._slope = float(np.clip(np.median(slopes), -DRIFT_MOST, DRIFT_MOST)) if len(slopes) else 0.0
        self._delay_ns = base + float((delays - self._slope * times).min())
