"""Bad logins are counted: after five of them whoever tries must wait. Values in, values out, and bounded."""

from __future__ import annotations

from collections import OrderedDict

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
