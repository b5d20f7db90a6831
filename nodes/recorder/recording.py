"""What the recorder does with what it hears: bags, splits, the black box, and going on when the disk is full.

No thread and no clock: time is when messages were received. `nodes/recorder/disk.py` runs it beside the node.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path

from bus.bag import BagFull
from bus.bag.plain import words
from bus.bag.quota import RUN
from bus.bag.types import known_types
from bus.node import Raw
from nodes.recorder.black_box import BlackBox, BlackBoxes
from nodes.recorder.folder import Folder
from nodes.recorder.reduce import Reducer
from nodes.recorder.ring import Ring
from nodes.recorder.settings import Better, Closed, Happened, Identity, Settings, Trouble
from nodes.recorder.stream import Role, Stream
from nodes.recorder.tape import Tape
from schemas.grammar import Definition, definition, hash_of
from schemas.machine import ConditionLevel
from schemas.system import LostMessages

IDLE_AFTER_NS = 10_000_000_000
"""raw signals are reduced when no machine of the namespace has been ACTIVE for so long"""
TEND_EVERY_NS = 10_000_000_000


class Recording:
    """Follows all streams and writes them down.

    Args:
        emit: is told what happened, for the node to publish.
    """

    def __init__(self, settings: Settings, who: Identity, emit: Callable[[Happened], None]) -> None:
        self.settings = settings
        self.who = who
        self.messages = 0
        self.lost = 0
        self.used_bytes = 0
        """by all bags"""
        self.quota_bytes = 0
        self.paused = ""
        """why nothing is written to the bag; black boxes are"""
        self.tape: Tape | None = None
        self._emit = emit
        self._streams: dict[tuple[int, str], Stream] = {}
        self._entries: dict[str, str] = {}
        self._alive: set[int] = set()
        self._keys: dict[str, str] = {}
        self._definitions: dict[str, Definition] = {}
        self._needs: dict[str, set[str]] = {}
        self._needed_topics: set[str] = set()
        self._idle_since_ns: dict[str, int] = {}
        self._runs: dict[str, tuple[bool, str]] = {}
        self._reducers: dict[int, Reducer] = {}
        self._unwritten: dict[tuple[str, str], list[LostMessages]] = {}
        self._unclosed: list[Tape] = []
        self._ring = Ring(settings.black_box_before_s, settings.black_box_bytes)
        self._tape_since_ns = 0
        self._before = ""
        """the bag begun last"""
        self._tended_ns = 0
        self._folder = Folder(settings, who, emit)
        self._boxes = BlackBoxes(settings, emit, self._finish)
        self._now_ns = 0

    # --- what comes in ------------------------------------------------------------------------------------------------

    def entries(self, entries: Mapping[str, str], traced: Container[str] = ()) -> None:
        """The nodes there are: discovery entries as JSON by full name. To be told before their first message.

        Args:
            traced: whose trace is recorded: what these subscribe to is kept whole.
        """
        self._alive = set()
        self._needs = {}
        for name, text in entries.items():
            entry = json.loads(text)
            self._alive.add(entry.get("publisher_id", 0))
            if name in traced:
                self._needs[name] = {row["name"] for row in entry.get("subscribes", ())}
            if self._entries.get(name) == text:
                continue
            self._definitions.update(entry.get("definitions", {}))
            self._keys.update({row["name"]: row["key"] for row in entry.get("publishes", ()) if row.get("key")})
        self._entries = dict(entries)
        # what a node needed that is gone stays needed to the end of the bag: its last messages are yet to come
        self._needed_topics.update(*self._needs.values())
        self._mark_needed()
        if self.tape is not None:
            self._try(self.tape, lambda t: t.nodes(self._entries))
        if self._boxes.open is not None:
            self._boxes.open.nodes(self._entries)

    def batch(self, batch: Iterable[Raw]) -> None:
        """Messages, in the order they were received; nothing raised."""
        # a thousand samples a second of every machine pass here
        streams, newest, boxes, continuous = self._streams, self._ring.newest, self._boxes, self.settings.continuous
        for raw in batch:
            topic, _, publisher_id, seq, stamp_ns, received_ns, payload, _, _, _, lost_first = raw
            stream = streams.get((publisher_id, topic)) or self._meet(raw)
            self._now_ns = received_ns
            last = stream.last_seq
            if lost_first:
                self._lose(stream, lost_first, seq, received_ns)
                stream.last_seq = max(last, seq)
                continue
            if last and seq != last + 1:
                if seq <= last:
                    continue
                # the state that a late joiner is given has gaps in its numbers; what is lost of it is told
                if not stream.latched:
                    self._lose(stream, last + 1, seq - 1, received_ns)
            stream.last_seq = seq
            self.messages += 1
            if stream.latched:
                stream.keep(raw)
            role = stream.role
            keep = role is Role.PLAIN or (self._signals if role is Role.SIGNALS else self._judge)(stream, raw)
            newest.append((stream, raw))
            if boxes.open is not None:
                boxes.open.add(stream, raw)
            if keep and continuous:
                tape = self.tape
                try:
                    if tape is None:
                        self._record_first(stream, raw)
                    else:
                        tape.write(stream, seq, received_ns, stamp_ns, payload)
                except BagFull:
                    self._close_tape()
                    self._record_first(stream, raw)
                except OSError as error:
                    self._no_room(error)
        self._ring.close(self._now_ns)
        self._after_batch()

    def trigger(self, reason: str, now_ns: int = 0) -> str:
        """Write the ring, and what follows, into a file of its own; its path, empty while there is no room."""
        now_ns = now_ns or self._now_ns
        if self._boxes.open is None:
            self._ring.close(now_ns, exact=True)
            box = BlackBox(self._folder, reason, now_ns, self._ring.before(), list(self._ring))
            box.nodes(self._entries)
            box.note_states(self._runs.values())
            self._boxes.begin(box)
        return self._boxes.go_on(now_ns)

    # --- streams ------------------------------------------------------------------------------------------------------

    def _meet(self, raw: Raw) -> Stream:
        defined = self._definitions.get(raw.type_hash)
        if defined is None:
            cls = known_types().get(raw.type_name)
            defined = definition(cls) if cls is not None else {"name": raw.type_name, "fields": []}
            if hash_of(defined) != raw.type_hash:
                text = f"{raw.topic} from {raw.publisher}: nobody says what a {raw.type_name} of {raw.type_hash} is"
                self._emit(Trouble("unknown_type", ConditionLevel.WARNING, text))
        stream = Stream(len(self._streams) + 1, raw, defined, self._keys.get(raw.topic, ""))
        self._streams[raw.publisher_id, raw.topic] = stream
        stream.needed = self._needed(raw.topic)
        return stream

    def _mark_needed(self) -> None:
        for stream in self._streams.values():
            stream.needed = self._needed(stream.topic)

    def _needed(self, topic: str) -> bool:
        return topic in self._needed_topics or f"*/{topic.partition('/')[2]}" in self._needed_topics

    def _lose(self, stream: Stream, first: int, last: int, now_ns: int, reason: str = "lost") -> None:
        lost = self._missing(stream, first, last, now_ns, reason)
        if reason != "reduced":
            self.lost += last - first + 1
            self._emit(lost)
        if self.tape is not None:
            self._try(self.tape, lambda t: t.lose(lost))
        if self._boxes.open is not None:
            self._boxes.open.lose(lost)

    @staticmethod
    def _missing(stream: Stream, first: int, last: int, now_ns: int, reason: str) -> LostMessages:
        return LostMessages(
            stamp_ns=now_ns,
            topic=stream.topic,
            publisher=stream.publisher,
            first_seq=first,
            last_seq=last,
            reason=reason,
        )

    def _judge(self, stream: Stream, raw: Raw) -> bool:
        """What the topic means to the recorder; whether the message goes into the bag as it is."""
        role = stream.role
        if role is Role.VIBRATION:
            return self.settings.vibration or stream.needed
        if role is Role.STATE:
            self._state(stream, raw)
        elif role is Role.INTERVENTION:
            self.trigger(f"{stream.topic}: {words(raw.payload, 'reason')[0]}", raw.received_ns)
        else:
            level, text = words(raw.payload, "level", "text")
            if level == "FAULT":
                self.trigger(f"{stream.topic}: {text}", raw.received_ns)
        return True

    def _state(self, stream: Stream, raw: Raw) -> None:
        execution, run_id = words(raw.payload, "execution", "run_id")
        active = execution == "ACTIVE"
        before = self._runs.get(stream.namespace)
        self._runs[stream.namespace] = (active, run_id)
        if active:
            self._idle_since_ns[stream.namespace] = 0
        elif not self._idle_since_ns.get(stream.namespace):
            self._idle_since_ns[stream.namespace] = raw.received_ns
        if self.settings.split_on_run and before is not None and before[1] != run_id and self.tape is not None:
            self._close_tape()
        if self.tape is not None:
            self.tape.note_state(active, run_id)
        if self._boxes.open is not None:
            self._boxes.open.note_states([(active, run_id)])

    def _signals(self, stream: Stream, raw: Raw) -> bool:
        since_ns = self._idle_since_ns.get(stream.namespace, 0)
        idle = since_ns and raw.received_ns - since_ns > IDLE_AFTER_NS
        if not (idle and self.settings.reduce_idle) or stream.needed:
            if stream.reduced_from:
                self._end_reduction(stream, raw.seq - 1)
            return True
        if not stream.reduced_from:
            stream.reduced_from = raw.seq
        for block in self._reducers.setdefault(stream.index, Reducer()).add(raw.payload):
            if self.tape is not None:
                self._try(self.tape, lambda t, b=block: t.own(f"{stream.topic}_reduced", b, raw.received_ns, "SENSOR"))  # type: ignore[misc] # loop value bound as default
        return False

    def _end_reduction(self, stream: Stream, last: int) -> None:
        tape, rest = self.tape, self._reducers.setdefault(stream.index, Reducer()).rest()
        if tape is not None:
            for block in rest:
                self._try(tape, lambda t, b=block: t.own(f"{stream.topic}_reduced", b, self._now_ns, "SENSOR"))  # type: ignore[misc] # loop value bound as default
        self._lose(stream, stream.reduced_from, last, self._now_ns, "reduced")
        stream.reduced_from = 0

    # --- the bag --------------------------------------------------------------------------------------------------

    def _record_first(self, stream: Stream, raw: Raw) -> None:
        """Begin a bag with this message, when there is room for one."""
        tape = None if self.paused else self._begin(stream, raw.received_ns)
        if tape is None:
            self.lost += 1
            self._unwrite(self._missing(stream, raw.seq, raw.seq, raw.received_ns, "disk"))
        elif not any(value is raw for value in stream.values.values()):  # else it stands at the head
            tape.write(stream, raw.seq, raw.received_ns, raw.stamp_ns, raw.payload)

    def _begin(self, heard: Stream, at_ns: int) -> Tape | None:
        """A new bag with the state in force at its head."""
        try:
            tape = self.tape = self._folder.open(RUN, at_ns, continues=self._before)
            self._before = tape.path.name
            self._tape_since_ns = at_ns
            self._needed_topics = set().union(*self._needs.values())
            self._mark_needed()
            tape.nodes(self._entries)
            if self.settings.launch_file and (launch := Path(self.settings.launch_file)).is_file():
                tape.attach(launch.name, "text/x-python", launch.read_bytes())
            values = [(s, raw) for s in self._streams.values() for raw in s.values.values()]
            alive = [v for v in values if v[0].publisher_id in self._alive or v[0] is heard]
            tape.head(sorted(alive, key=lambda v: (v[1].received_ns, v[0].index, v[1].seq)), at_ns)
            for active, run_id in self._runs.values():
                tape.note_state(active, run_id)
            unwritten, self._unwritten = self._unwritten, {}
            for lost in (one for told in unwritten.values() for one in told):
                tape.lose(lost)
        except (OSError, BagFull) as error:
            self._no_room(error)
            return None
        return tape

    def _try(self, tape: Tape, act: Callable[[Tape], None]) -> None:
        try:
            act(tape)
        except (OSError, BagFull) as error:
            if tape is self.tape:
                self._no_room(error)

    def _close_tape(self) -> None:
        tape, self.tape = self.tape, None
        if tape is not None:
            self._finish(tape)

    def _finish(self, tape: Tape) -> None:
        try:
            split = tape.close()
        except OSError:
            self._unclosed.append(tape)
            return
        if not split.messages:
            tape.path.unlink(missing_ok=True)
            return
        self._emit(Closed(split, recovered=False))

    def _after_batch(self) -> None:
        tape, now_ns = self.tape, self._now_ns
        if tape is not None and (
            tape.writer.size_bytes >= self.settings.split_bytes
            or now_ns - self._tape_since_ns >= self.settings.split_s * 1e9
        ):
            self._close_tape()
        self._boxes.look(now_ns)

    # --- the disk -------------------------------------------------------------------------------------------------

    def _unwrite(self, lost: LostMessages) -> None:
        """What there was no room for; the next bag says it."""
        told = self._unwritten.setdefault((lost.topic, lost.publisher), [])
        last = told[-1] if told else None
        if last is not None and (last.last_seq + 1, last.reason) == (lost.first_seq, lost.reason):
            told[-1] = last.model_copy(update={"last_seq": lost.last_seq, "stamp_ns": lost.stamp_ns})
        else:
            told.append(lost)

    def _no_room(self, error: OSError | BagFull) -> None:
        """Leave the bag as it is and write no more, until `sync` finds room."""
        tape, self.tape = self.tape, None
        self.paused = (error.strerror if isinstance(error, OSError) else "") or str(error)
        if tape is not None:
            gone, unsaid = tape.discard(self._now_ns)
            self.lost += sum(lost.last_seq - lost.first_seq + 1 for lost in gone)
            for lost in (*unsaid, *gone):
                self._unwrite(lost)
            self._finish(tape)
        text = f"nothing is recorded, black boxes are kept in memory: {self.paused}"
        text = f"{text}. Make room in {self.settings.directory}"
        self._emit(Trouble("disk_full", ConditionLevel.FAULT, text))

    def sync(self) -> None:
        """Bring everything to the disk; twice a second. Goes on after a full disk, and keeps the quota."""
        if self.tape is not None:
            self._try(self.tape, lambda t: t.writer.sync())
        self._boxes.bring()
        free = self._folder.free_bytes()
        if self.paused and free > self.settings.keep_free_bytes * 1.1 + (1 << 20):
            self.paused = ""
            missed = sum(lost.last_seq - lost.first_seq + 1 for told in self._unwritten.values() for lost in told)
            self._emit(
                Better("disk_full", f"recording goes on; {missed} messages found no room, the next bag says which")
            )
        elif not self.paused and free < self.settings.keep_free_bytes:
            self._no_room(OSError(f"{free / 1e6:.0f} MB are left, {self.settings.keep_free_bytes / 1e6:.0f} stay free"))
        if not self.paused:
            for tape in self._unclosed:
                self._folder.recover(tape.path)
            self._unclosed.clear()
        if self._now_ns - self._tended_ns > TEND_EVERY_NS or (self.paused and not self._unclosed):
            self._tended_ns = self._now_ns
            tapes = [t for t in (self.tape, *self._boxes.tapes()) if t is not None]
            self.used_bytes, self.quota_bytes = self._folder.tend(tapes, self._now_ns)

    # --- from start to end ------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Close what a dead recorder left in the folder."""
        self._folder.recover_all()

    def close(self) -> None:
        """Finish everything."""
        for stream in self._streams.values():
            if stream.reduced_from:
                self._end_reduction(stream, stream.last_seq)
        self._close_tape()
        self._boxes.close()
