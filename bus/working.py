"""A worker: a thread of a node that may block, and hands over messages to the node's own through a bounded queue."""

from __future__ import annotations

import contextlib
import queue
import threading
import traceback
from typing import TYPE_CHECKING, Any

from bus.trace import Kind
from schemas.base import Message
from schemas.codec import codec
from schemas.machine import ConditionLevel

if TYPE_CHECKING:
    from bus.declare import Worker
    from bus.host import Host

TAKE_MAX = 64
"""messages of one worker before sockets and timers have their turn"""


class Working:
    """One running worker."""

    def __init__(self, host: Host, worker: Worker[Any, Any]) -> None:
        self.stopping = threading.Event()
        self._host, self._worker = host, worker
        self._handed: queue.Queue[Message] = queue.Queue(worker.depth)
        self._method = getattr(host.node, worker.method)
        self._counts = host.executor.worker_counts.setdefault((host.name, worker.name), [0, 0])
        self.thread = threading.Thread(target=self._run, name=f"{host.name}.{worker.name}", daemon=True)
        self.thread.start()

    def take(self) -> None:
        """Give the node what was handed over; on the node's thread."""
        host = self._host
        for _ in range(TAKE_MAX):
            try:
                message = self._handed.get_nowait()
            except queue.Empty:
                return
            packed = codec(type(message)).encode(message) if host.trace is not None else b""
            host.invoke(Kind.WORKER, self._worker.method, self._method, (message,), payload=packed)
        host.executor.transport.wake()

    def _run(self) -> None:
        host = self._host
        try:
            for message in self._worker.run(host.node, self.stopping):
                self._hand_over(message)
                if self.stopping.is_set():
                    return
        except Exception as error:
            text = f"worker {self._worker.name} ended: {type(error).__name__}: {error}"
            traceback.print_exc()
            with contextlib.suppress(queue.Full):
                host.submit(host.report, "worker_failed", ConditionLevel.FAULT, text)

    def _hand_over(self, message: Message) -> None:
        self._counts[0] += 1
        drop_oldest = self._worker.on_full == "drop_oldest"
        while not self.stopping.is_set():
            try:
                if drop_oldest:
                    self._handed.put_nowait(message)
                else:
                    self._handed.put(message, timeout=0.1)
                break
            except queue.Full:
                if drop_oldest:
                    with contextlib.suppress(queue.Empty):
                        self._handed.get_nowait()
                        self._counts[1] += 1
        self._host.executor.transport.wake()
