"""One bag being written: its channels, the state at its head, losses at their place."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus.bag import BagWriter
from bus.bag.quota import WORDS, words
from bus.node import Raw
from nodes.recorder.settings import Identity
from nodes.recorder.stream import Stream
from schemas.base import Message
from schemas.codec import codec
from schemas.grammar import definition
from schemas.system import BagSplit, LostMessages

LOST = "bag/lost"
MAX_LOSSES = 10_000
"""statements that may lie in one open chunk"""


class Tape:
    """A bag file with the recorder's habits. OSError of the writer passes through: see BagWriter.

    Args:
        kind: `run` or `black_box`.
        reason: why a black box was written.
        continues: the name of the bag that this one goes on from.
    """

    def __init__(self, path: Path, who: Identity, kind: str, reason: str = "", continues: str = "") -> None:
        self.path = path
        self.kind = kind
        self.reason = reason
        self.lost = 0
        self.run_ids: dict[str, None] = {}
        self.cutting = False
        self._who = who
        self._numbers: dict[int, int] = {}
        self._own: dict[str, tuple[int, int]] = {}
        self._nodes: dict[str, str] = {}
        self._names: dict[int, tuple[str, str]] = {}
        self._attached = False
        self._last_ns = 0
        self._heads: dict[int, int] = {}
        self._losses: deque[tuple[int, LostMessages]] = deque(maxlen=MAX_LOSSES)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.writer = BagWriter(path)
        rise = {"version": who.version, "host": who.host, "domain": who.domain}
        try:
            self.writer.metadata("rise", {**rise, "continues": continues} if continues else rise)
        except OSError:
            self.drop()
            raise

    @property
    def start_ns(self) -> int:
        return self.writer.start_ns

    def head(self, values: Sequence[tuple[Stream, Raw]], at_ns: int) -> None:
        """Repeat the state in force: to be called before the first message."""
        self.writer.repeated(len(values))
        for stream, raw in values:
            self.write(stream, raw.seq, at_ns, raw.stamp_ns, raw.payload)
            number = self._numbers[stream.index]
            self._heads[number] = max(raw.seq, self._heads.get(number, 0))

    def nodes(self, entries: Mapping[str, str]) -> None:
        """Keep the discovery entries (JSON by full name) that are new or changed."""
        for name, entry in entries.items():
            if self._nodes.get(name) != entry:
                self.writer.node(json.loads(entry))
                self._nodes[name] = entry

    def write(self, stream: Stream, seq: int, log_ns: int, publish_ns: int, payload: bytes) -> None:
        """Add a message."""
        number = self._numbers.get(stream.index)
        if number is None:
            number = self._numbers[stream.index] = self.writer.channel(
                stream.topic,
                stream.publisher,
                stream.publisher_id,
                stream.definition,
                stream.qos,
                first_seq=seq,
                metadata={"key": stream.key} if stream.key else None,
            )
            self._names[number] = (stream.topic, stream.publisher)
        if log_ns < self._last_ns:
            log_ns = self._last_ns
        self._last_ns = log_ns
        self.writer.write(number, seq, log_ns, publish_ns if publish_ns > 0 else 0, payload)

    def own(self, topic: str, message: Message, at_ns: int, qos: str = "EVENT") -> None:
        """Add a message of the recorder's own."""
        number, seq = self._own.get(topic, (0, 0))
        if not number:
            number = self.writer.channel(
                topic, self._who.name, self._who.publisher_id, definition(type(message)), qos, first_seq=1
            )
            self._names[number] = (topic, self._who.name)
        self._own[topic] = (number, seq + 1)
        self._last_ns = at_ns = max(at_ns, self._last_ns)
        self.writer.write(number, seq + 1, at_ns, at_ns, codec(type(message)).encode(message))

    def lose(self, lost: LostMessages) -> None:
        """Write a gap down at its place."""
        if lost.reason != "reduced":
            self.lost += lost.last_seq - lost.first_seq + 1
        self._losses.append((self._own.get(LOST, (0, 0))[1] + 1, lost))
        self.own(LOST, lost, lost.stamp_ns)

    def note_state(self, active: bool, run_id: str) -> None:
        """A machine of the bag cuts, and for which run."""
        self.cutting |= active
        if run_id:
            self.run_ids[run_id] = None

    def attach(self, name: str, media_type: str, data: bytes) -> None:
        """Keep a file beside the messages."""
        self.writer.attach(name, media_type, data, self._last_ns)

    def discard(self, at_ns: int) -> tuple[list[LostMessages], list[LostMessages]]:
        """There is no room for the open chunk: throw it away; what of it is lost, and which losses now stand nowhere.

        What the head repeats of an earlier bag is not lost with it.
        """
        gone: list[LostMessages] = []
        unsaid: list[LostMessages] = []
        for d in self.writer.discard():
            topic, publisher = self._names[d.channel]
            if topic == LOST:
                unsaid = [lost for seq, lost in self._losses if seq >= d.first_seq]
                self.lost -= sum(x.last_seq - x.first_seq + 1 for x in unsaid if x.reason != "reduced")
                continue
            first = max(d.first_seq, self._heads.get(d.channel, 0) + 1)
            if first <= d.last_seq:
                gone.append(
                    LostMessages(
                        stamp_ns=at_ns,
                        topic=topic,
                        publisher=publisher,
                        first_seq=first,
                        last_seq=d.last_seq,
                        reason="disk",
                    )
                )
        return gone, unsaid

    def drop(self) -> None:
        """Leave nothing of it behind."""
        self.writer.abandon()
        self.path.unlink(missing_ok=True)

    def close(self) -> BagSplit:
        """Finish the file; what it holds.

        Raises:
            OSError: no room for the end of it; the file is let go, what was flushed stays and opens.
        """
        try:
            if not self._attached:
                self._attached = True
                parameters: dict[str, Any] = {n: json.loads(e).get("parameters", {}) for n, e in self._nodes.items()}
                text = json.dumps(parameters, ensure_ascii=False, indent=1)
                self.writer.flush()
                self.attach("parameters.json", "application/json", text.encode())
                self.writer.metadata(WORDS, words(self.kind, self.cutting, self.run_ids, self.reason))
            self.writer.close()
        except OSError:
            self.writer.abandon()  # else it would count as being written, and nobody could close it later
            raise
        return BagSplit(
            stamp_ns=self._last_ns,
            path=str(self.path),
            sha256=self.writer.sha256,
            start_ns=self.writer.start_ns,
            end_ns=self.writer.end_ns,
            size_bytes=self.writer.size_bytes,
            run_ids=tuple(self.run_ids),
            messages=self.writer.messages,
            lost=self.lost,
            host=self._who.host,
        )
