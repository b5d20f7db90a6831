"""The thread that writes: the node hands over lists of messages and never waits for a disk."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable

from bus.node import Raw
from nodes.recorder.recording import Recording
from nodes.recorder.settings import Better, Happened, Trouble
from schemas.machine import ConditionLevel

FLUSH_S = 0.5
"""what a crash may cost"""
MAX_BYTES = 64 << 20
MAX_MESSAGES = 400_000
"""the queue's bounds: 20 s at 20,000 messages a second"""
MAX_HAPPENED = 10_000


class Disk(threading.Thread):
    """Runs a Recording. `put`, `ask` and `take` are for the node's thread, the rest is its own.

    It beats by its own clock: twice a second everything is flushed and fsynced, whether messages come or not.
    """

    def __init__(self, make: Callable[[Callable[[Happened], None]], Recording]) -> None:
        super().__init__(name="recorder.disk", daemon=True)
        self._happened: deque[Happened] = deque(maxlen=MAX_HAPPENED)
        self._standing: set[str] = set()
        self.recording = make(self._emit)
        self.failed = ""
        self.refused = 0
        """messages that found the queue full"""
        self._work: deque[tuple[list[Raw], int] | Callable[[Recording], object]] = deque()
        """messages and their bytes, or what is to be done"""
        self._missed: dict[tuple[int, str], Raw] = {}
        self._messages = 0
        self._bytes = 0
        self._changed = threading.Condition()
        self._ending = False
        self._flush = threading.Event()
        self._over = threading.Event()

    def put(self, batch: list[Raw]) -> bool:
        """Hand messages over; False when the queue is full: then they are written down as lost."""
        size = sum([len(raw.payload) for raw in batch])
        with self._changed:
            if self._messages + len(batch) > MAX_MESSAGES or self._bytes + size > MAX_BYTES:
                self.refused += len(batch)
                for raw in batch:
                    self._miss(raw)
                return False
            if self._missed:
                batch = [*self._missed.values(), *batch]
                self._missed.clear()
            self._messages += len(batch)
            self._bytes += size
            self._work.append((batch, size))
            self._changed.notify()
        return True

    def _miss(self, raw: Raw) -> None:
        """Remember what was refused, so that the bag says it."""
        key = (raw.publisher_id, raw.topic)
        known = self._missed.get(key)
        first = known.lost_first if known is not None else raw.lost_first or raw.seq
        self._missed[key] = raw._replace(payload=b"", lost_first=first)

    def ask(self, act: Callable[[Recording], object]) -> None:
        """Have something done in its turn."""
        with self._changed:
            self._work.append(act)
            self._changed.notify()

    def take(self) -> list[Happened]:
        """What happened since the last call."""
        found = []
        while self._happened:
            found.append(self._happened.popleft())
        return found

    def end(self, timeout_s: float) -> bool:
        """Write what is queued, close the bags; False when that takes longer."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self.join(timeout_s)
        return not self.is_alive()

    def _emit(self, happened: Happened) -> None:
        # standing trouble is told once
        if isinstance(happened, Trouble):
            mark = f"{happened.code} {happened.text}"
            if mark in self._standing:
                return
            self._standing.add(mark)
        elif isinstance(happened, Better):
            over = {m for m in self._standing if m.startswith(f"{happened.code} ")}
            if not over:
                return
            self._standing -= over
        self._happened.append(happened)

    def run(self) -> None:
        beat = threading.Thread(target=self._beat, name="recorder.beat", daemon=True)
        beat.start()
        try:
            self.recording.recover()
            while self._turn():
                pass
            self.recording.close()
        except Exception as error:
            self.failed = f"{type(error).__name__}: {error}"
            text = "".join(traceback.format_exception(error)).rstrip()
            self._happened.append(Trouble("recorder_failed", ConditionLevel.FAULT, text))
        finally:
            self._over.set()
            beat.join()

    def _beat(self) -> None:
        while not self._over.wait(FLUSH_S):
            with self._changed:
                self._flush.set()
                self._changed.notify()

    def _turn(self) -> bool:
        with self._changed:
            while not self._work and not self._ending and not self._flush.is_set():
                self._changed.wait(1.0)
            work = self._work.popleft() if self._work else None
            if isinstance(work, tuple):
                self._messages -= len(work[0])
                self._bytes -= work[1]
        if isinstance(work, tuple):
            self.recording.batch(work[0])
        elif work is not None:
            work(self.recording)
        if self._flush.is_set():
            self._flush.clear()
            self.recording.sync()
        return work is not None or not self._ending
