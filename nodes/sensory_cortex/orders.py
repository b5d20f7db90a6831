"""What the worker of a driver is to do: it knows no time, so it is told when to connect, to send and to hang up."""

from __future__ import annotations

import os
import threading
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from bus.poll import readable

ORDERS_MAX = 64


class Do(StrEnum):
    CONNECT = "CONNECT"
    SEND = "SEND"
    CLOSE = "CLOSE"


@dataclass(frozen=True, slots=True)
class Order:
    """What the worker is to do."""

    do: Do
    data: bytes = b""
    """SEND: the bytes; CLOSE: why"""


class Orders:
    """From the node's thread to the worker: bounded, never blocking, and seen by `select` through `fd`."""

    def __init__(self) -> None:
        self._queue: deque[Order] = deque(maxlen=ORDERS_MAX)
        self._lock = threading.Lock()
        self._fd = -1

    def put(self, order: Order) -> None:
        with self._lock:
            self._queue.append(order)
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def get(self) -> Order | None:
        with self._lock:
            return self._queue.popleft() if self._queue else None

    def wait(self, timeout_s: float) -> Order | None:
        """The next one, None when there is none in time."""
        if (order := self.get()) is not None:
            return order
        if readable([self._fd], timeout_s):
            self.seen()
        return self.get()

    def seen(self) -> None:
        """a thread woke by it: be quiet until the next order."""
        os.eventfd_read(self._fd)

    def __enter__(self) -> int:
        """The worker begins; gives the descriptor."""
        with self._lock:
            self._fd = os.eventfd(1 if self._queue else 0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            return self._fd

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            fd, self._fd = self._fd, -1
        os.close(fd)
