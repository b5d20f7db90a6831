"""A black box on its way to the disk: what finds no room waits in memory, and is written as soon as there is some."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from bus.bag import BagFull
from bus.bag.quota import BLACK_BOX
from bus.node import Raw
from nodes.recorder.folder import Folder
from nodes.recorder.ring import OVERHEAD_BYTES, Held
from nodes.recorder.settings import Better, Happened, Settings, Trouble
from nodes.recorder.stream import Stream
from nodes.recorder.tape import Tape
from schemas.machine import ConditionLevel
from schemas.system import LostMessages

MAX_NS = 600_000_000_000
"""a black box that is triggered again and again ends after so long; the next trigger begins another"""
WAITS, FAILED = "black_box_waits", "black_box_failed"


class BlackBox:
    """The last seconds before a moment, and what follows. Nothing raised: `waits` says why it is not on the disk yet.

    Args:
        before: the state in force when it begins.
        held: the messages from there to now.
    """

    def __init__(self, folder: Folder, reason: str, now_ns: int, before: list[Held], held: Sequence[Held]) -> None:
        self.reason = reason
        self.since_ns = now_ns
        self.until_ns = now_ns
        self.start_ns = held[0][1].received_ns if held else now_ns
        self.tape: Tape | None = None
        self.waits = "it was not tried yet"
        self.failed = ""
        """why no more can be added, room or not"""
        self.waiting_bytes = 0
        self._folder = folder
        self._before = before
        self._entries: Mapping[str, str] = {}
        self._states: list[tuple[bool, str]] = []
        self._waiting: deque[Held | LostMessages] = deque()
        for stream, raw in held:
            self._wait((stream, raw))

    def add(self, stream: Stream, raw: Raw) -> None:
        """A message that came after the moment."""
        self._put((stream, raw))

    def lose(self, lost: LostMessages) -> None:
        """A gap, at its place."""
        self._put(lost)

    def nodes(self, entries: Mapping[str, str]) -> None:
        """Who is there."""
        self._entries = entries
        if not self.waits and self.tape is not None:
            self._do(lambda tape: tape.nodes(entries))

    def note_states(self, states: Iterable[tuple[bool, str]]) -> None:
        """Machines of the box: whether they cut, and for which run."""
        self._states += states
        if self.tape is not None:
            self._tell_states(self.tape)

    def write(self) -> bool:
        """Bring to the disk what waits; False when there is no room for all of it."""
        try:
            if self.tape is None:
                self.tape = self._open()
            tape = self.tape
            tape.writer.flush()
            tape.nodes(self._entries)
            while self._waiting:
                one = self._waiting.popleft()
                self.waiting_bytes -= _size(one)
                self._record(tape, one)  # what the writer refuses stays in its open chunk
            tape.writer.sync()
        except OSError as error:
            self.waits = error.strerror or str(error)
            return False
        except BagFull as error:
            self.failed = str(error)
        self.waits = ""
        return True

    def _open(self) -> Tape:
        tape = self._folder.open(BLACK_BOX, self.start_ns, self.reason)
        try:
            tape.nodes(self._entries)
            tape.head(self._before, self.start_ns)
            self._tell_states(tape)
        except OSError:
            tape.drop()
            raise
        return tape

    def _tell_states(self, tape: Tape) -> None:
        for active, run_id in self._states:
            tape.note_state(active, run_id)
        self._states.clear()

    def _put(self, one: Held | LostMessages) -> None:
        if self.waits or self.failed:
            self._wait(one)
        else:
            self._do(lambda tape: self._record(tape, one))

    def _wait(self, one: Held | LostMessages) -> None:
        if not self.failed:
            self._waiting.append(one)
            self.waiting_bytes += _size(one)

    def _record(self, tape: Tape, one: Held | LostMessages) -> None:
        if isinstance(one, LostMessages):
            tape.lose(one)
        else:
            stream, raw = one
            tape.write(stream, raw.seq, raw.received_ns, raw.stamp_ns, raw.payload)

    def _do(self, act: Callable[[Tape], None]) -> None:
        assert self.tape is not None
        try:
            act(self.tape)
        except OSError as error:
            self.waits = error.strerror or str(error)
        except BagFull as error:
            self.failed = str(error)


class BlackBoxes:
    """The one that is open, and those that are complete and wait for room."""

    def __init__(self, settings: Settings, emit: Callable[[Happened], None], finish: Callable[[Tape], None]) -> None:
        self.open: BlackBox | None = None
        self._waiting: list[BlackBox] = []
        self._after_ns = int(settings.black_box_after_s * 1e9)
        self._max_bytes = 2 * settings.black_box_bytes
        self._emit = emit
        self._finish = finish

    def begin(self, box: BlackBox) -> None:
        """Another one is open now."""
        self.open = box
        self._write(box)

    def go_on(self, now_ns: int) -> str:
        """The open one is wanted for some more seconds; its path, empty while there is no room."""
        assert self.open is not None
        self.open.until_ns = now_ns + self._after_ns
        return str(self.open.tape.path) if self.open.tape is not None else ""

    def look(self, now_ns: int) -> None:
        """End the open one when its time is over."""
        box = self.open
        if box is None:
            return
        if not box.failed and sum(b.waiting_bytes for b in self._all()) > self._max_bytes:
            box.failed = f"{self._max_bytes / 1e6:.0f} MB wait for room already"
        if box.failed or now_ns >= box.until_ns or now_ns - box.since_ns > MAX_NS:
            self._end(box)

    def bring(self) -> None:
        """Bring everything to the disk, what waits too."""
        for box in self._all():
            self._write(box)
        for box in [box for box in self._waiting if not box.waits]:
            self._waiting.remove(box)
            self._close(box)
        if not any(box.waits for box in self._all()):
            self._emit(Better(WAITS, "the black box that waited for room is written"))

    def close(self) -> None:
        """Finish all of them; what finds no room even now is said."""
        self.bring()
        if self.open is not None:
            self._end(self.open)
        for box in self._waiting:
            text = f"a black box ({box.reason}) is lost, at least in part: the recorder ends and there is no room"
            self._emit(Trouble(FAILED, ConditionLevel.FAULT, f"{text}: {box.waits}"))
            self._close(box)

    def tapes(self) -> list[Tape]:
        """The files that are being written."""
        return [box.tape for box in self._all() if box.tape is not None]

    def _all(self) -> list[BlackBox]:
        return [*self._waiting, *((self.open,) if self.open is not None else ())]

    def _write(self, box: BlackBox) -> None:
        if not box.write():
            text = f"a black box ({box.reason}) is kept in memory until there is room: {box.waits}"
            self._emit(Trouble(WAITS, ConditionLevel.FAULT, text))

    def _end(self, box: BlackBox) -> None:
        self.open = None
        if box.failed:
            text = f"a black box ({box.reason}) is not complete: {box.failed}"
            self._emit(Trouble(FAILED, ConditionLevel.FAULT, text))
        if box.waits:
            self._waiting.append(box)
        else:
            self._close(box)

    def _close(self, box: BlackBox) -> None:
        if box.tape is not None:
            self._finish(box.tape)


def _size(one: Held | LostMessages) -> int:
    return OVERHEAD_BYTES if isinstance(one, LostMessages) else len(one[1].payload) + OVERHEAD_BYTES
