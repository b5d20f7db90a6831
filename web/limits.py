"""What strangers may do how often: values in, values out, and bounded.

Bad logins are counted: after five of them whoever tries must wait. Attempts of people who are not signed on are told in
the audit only so often, or anybody could fill its log; what is left out is counted, and told with the next one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

BAD_MAX = 5
"""bad logins of one user from one address"""
ADDRESS_MAX = 20
"""bad logins from one address, whatever the names"""
WINDOW_NS = 15 * 60 * 1_000_000_000
"""after so long without another bad one it is forgotten"""
KEPT_MAX = 2048


class LoginLimits:
    """Who has failed how often, and when last."""

    def __init__(self) -> None:
        self._bad: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def wait_ns(self, user: str, address: str, now_ns: int) -> int:
        """How long `user` must wait at `address` before the next attempt is looked at; 0: not at all."""
        waits = [0]
        for key, most in (((user, address), BAD_MAX), (("", address), ADDRESS_MAX)):
            count, last_ns = self._bad.get(key, (0, 0))
            if count >= most:
                waits.append(last_ns + WINDOW_NS - now_ns)
        return max(waits)

    def failed(self, user: str, address: str, now_ns: int) -> None:
        """A bad login."""
        for key in ((user, address), ("", address)):
            count, last_ns = self._bad.pop(key, (0, 0))
            self._bad[key] = (1 if now_ns - last_ns > WINDOW_NS else count + 1, now_ns)
        while len(self._bad) > KEPT_MAX:
            self._bad.popitem(last=False)

    def succeeded(self, user: str, address: str) -> None:
        """A good login ends the count of this user here; that of the address stays."""
        self._bad.pop((user, address), None)

    def __len__(self) -> int:
        return len(self._bad)


@dataclass(frozen=True, slots=True)
class Pace:
    """So many at once, and from then on one each `every_ns`."""

    burst: int
    every_ns: int


class Bucket:
    """What is left of a pace; full at first."""

    __slots__ = ("_left", "_pace", "_since_ns")

    def __init__(self, pace: Pace, now_ns: int) -> None:
        self._pace = pace
        self._left = pace.burst
        self._since_ns = now_ns

    def has(self, now_ns: int) -> bool:
        """Whether one more is within the pace now."""
        more = max(0, now_ns - self._since_ns) // self._pace.every_ns
        self._left += more
        self._since_ns += more * self._pace.every_ns
        if self._left >= self._pace.burst:
            self._left, self._since_ns = self._pace.burst, max(self._since_ns, now_ns)
        return self._left > 0

    def take(self) -> None:
        self._left -= 1


REFUSED = Pace(20, 30_000_000_000)
"""of one address: what was refused to somebody who is not signed on"""
REFUSED_IN_ALL = Pace(100, 6_000_000_000)
STOPS = Pace(60, 1_000_000_000)
"""of one address: stops and feed holds by nobody in particular. They are done in any case; the audit is spared"""
STOPS_IN_ALL = Pace(300, 500_000_000)


class AuditLimits:
    """Which attempts of strangers the audit tells, and how many it left out. May be used from several threads.

    Stops have a pace of their own: no flood of bad logins takes from them the line that says who pressed.
    """

    def __init__(self, now_ns: int = 0) -> None:
        self._lock = threading.Lock()
        self._in_all = {False: Bucket(REFUSED_IN_ALL, now_ns), True: Bucket(STOPS_IN_ALL, now_ns)}
        self._of: OrderedDict[tuple[bool, str], Bucket] = OrderedDict()
        self._left_out = 0

    def tells(self, address: str, now_ns: int, *, stops: bool = False) -> bool:
        """Whether an attempt of a stranger at `address` is told; what is not is counted.

        Args:
            now_ns: of a clock that is not set back.
            stops: it is a stop or a feed hold that was asked for, not something refused.
        """
        with self._lock:
            bucket = self._of.pop((stops, address), None) or Bucket(STOPS if stops else REFUSED, now_ns)
            self._of[stops, address] = bucket
            while len(self._of) > KEPT_MAX:
                self._of.popitem(last=False)
            in_all = self._in_all[stops]
            if not bucket.has(now_ns) or not in_all.has(now_ns):
                self._left_out += 1
                return False
            bucket.take()
            in_all.take()
            return True

    def take_left_out(self) -> int:
        """How many were left out since this was last asked."""
        with self._lock:
            left_out, self._left_out = self._left_out, 0
            return left_out

    def __len__(self) -> int:
        return len(self._of)
