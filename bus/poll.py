"""Where a process sleeps: one epoll, a clock to wake by, and a bell that other threads ring."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
import sys
import threading
from collections.abc import Callable, Iterable

_libc = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK_CLOEXEC = 0o2000000 | 0o4000
_TFD_TIMER_ABSTIME = 1
_ITIMERSPEC = struct.Struct("qqqq")
PACE_MAX_NS = 1_000_000_000
EVENTS_MAX = 64
"""of one look; epoll gives the others their turn at the next"""
_libc.timerfd_settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def readable(fds: Iterable[int], timeout_s: float) -> list[int]:
    """Those with something to read, or whose other end is gone; none in time: empty. `select` takes no fd over 1023."""
    return _ready(fds, select.POLLIN, timeout_s)


def writable(fd: int, timeout_s: float) -> bool:
    """Whether there is room to write in time, or the connection has failed."""
    return bool(_ready([fd], select.POLLOUT, timeout_s))


def _ready(fds: Iterable[int], wanted: int, timeout_s: float) -> list[int]:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, wanted)
    return [fd for fd, _ in poll.poll(timeout_s * 1000)]


class Alarm:
    """A timerfd: wakes the poll at a monotonic time with microsecond accuracy (zmq_poll's own timeout counts in ms).

    Set twice in a row at the same distance, it goes on ringing at that pace: a steady timer of 1 kHz need not set it
    again, which saves a quarter of what a wake-up costs.
    """

    def __init__(self) -> None:
        self.fd = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = ctypes.create_string_buffer(32)
        self.set_ns: int | None = None
        """what it is set to; -1 when it rang and will not go on"""
        self._rang_ns = 0
        self._distance_ns = 0
        """from when it rang to what it was set to then"""
        self._pace_ns = 0
        """at which it goes on ringing; 0 when it does not"""

    def set(self, mono_ns: int | None) -> None:
        """Wake at `mono_ns`; None never."""
        self.set_ns = mono_ns
        seconds = ns = self._pace_ns = 0
        if mono_ns is not None:
            distance_ns = mono_ns - self._rang_ns
            if distance_ns == self._distance_ns < PACE_MAX_NS:
                self._pace_ns = distance_ns
            self._distance_ns = distance_ns
            seconds, ns = divmod(max(mono_ns, 1), 1_000_000_000)
        _ITIMERSPEC.pack_into(self._spec, 0, 0, self._pace_ns, seconds, ns)
        if _libc.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, self._spec, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def clear(self) -> None:
        """Take note that it rang. Unless it goes on, `set` arms it anew, which also takes back that it is readable."""
        if not self._pace_ns or self.set_ns is None:
            self._rang_ns, self.set_ns = self.set_ns or 0, -1
            return
        rang = int.from_bytes(os.read(self.fd, 8), sys.byteorder)  # more than once when nobody looked for so long
        self.set_ns += rang * self._pace_ns
        self._rang_ns = self.set_ns - self._pace_ns

    def close(self) -> None:
        os.close(self.fd)


class Poller:
    """Descriptors, and who is called when there is something to read. Used by one thread, except `wake`."""

    def __init__(self) -> None:
        self.handlers: dict[int, Callable[[], None]] = {}
        self.alarm = Alarm()
        self._epoll = select.epoll()
        self._urgent = select.epoll()
        """without what is patient"""
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell_lock = threading.RLock()  # not Lock: a signal handler may come in the middle of `wake` or `close`
        self.watch(self.alarm.fd, self.alarm.clear)
        self.watch(self._bell, self._rung)

    def watch(self, fd: int, handle: Callable[[], None], *, patient: bool = False) -> None:
        """Call `handle` from `sleep` and `look` when there is something to read.

        Args:
            patient: it does not end a `sleep` that says so.
        """
        self.handlers[fd] = handle
        self._epoll.register(fd, select.EPOLLIN)
        if not patient:
            self._urgent.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        if self.handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            with contextlib.suppress(FileNotFoundError):  # it was patient
                self._urgent.unregister(fd)

    def watch_room(self, fd: int, wanted: bool) -> None:
        """Whether the handler is also called when there is room to write."""
        self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT if wanted else select.EPOLLIN)

    def sleep(self, until_mono_ns: int | None, *, patient: bool = True) -> None:
        """Wait until something is there, `wake` is called or the time has come; then call who watches it.

        Args:
            patient: whether what is patient ends it, too.
        """
        if until_mono_ns != self.alarm.set_ns:
            self.alarm.set(until_mono_ns)
        self._call(self._epoll if patient else self._urgent, -1)

    def look(self) -> None:
        """Call who watches what is there now."""
        self._call(self._epoll, 0)

    def _call(self, epoll: select.epoll, timeout: float) -> None:
        handlers = self.handlers
        for fd, _ in epoll.poll(timeout, EVENTS_MAX):
            handle = handlers.get(fd)
            if handle is not None:  # else an earlier handler of this round unwatched it
                handle()

    def wake(self) -> None:
        """End a `sleep`; from any thread, or a signal handler."""
        with self._bell_lock:
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def _rung(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)

    def close(self) -> None:
        self._epoll.close()
        self._urgent.close()
        self.alarm.close()
        with self._bell_lock:
            bell, self._bell = self._bell, -1
            os.close(bell)
