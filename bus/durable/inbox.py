"""The queue of a subscription that keeps cursors: nothing is handled twice in one life, nothing is passed over.

A cursor moves when the callback has returned. One that raises is called again with the same message, after 1, 2, 4 ...
30 s; what is behind it waits, and the node's health says so: passing over it would be the loss that DURABLE excludes.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus.context import LogLost, Lost, Source
from bus.durable import cursor
from bus.durable.cursor import CursorFile
from bus.inbox import Feed, Inbox, Item
from bus.trace import Kind, pack_batch
from schemas.base import Message
from schemas.machine import ConditionLevel

if TYPE_CHECKING:
    from bus.declare import Subscription
    from bus.host import Host

REST_MAX_S = 30.0
WAITS = "durable_waits"
"""the finding while a message is given again"""
UNKNOWN = "cursor_unknown"
UNWRITTEN = "cursor_unwritten"

Stands = Callable[[str, str], Mapping[int, int]]
"""(publisher, full topic) -> by the id of a log the number of the last event handled"""


def pause_s(before: int) -> float:
    """How long a message rests that failed, and `before` times before that: 1, 2, 4 ... 30 s, however often."""
    return min(2.0 ** min(before, 60), REST_MAX_S)


class OlderItem(Item, gc=False):
    """A message that an earlier life of the publisher sent: a bag knows it under the id of that life."""

    publisher_id: int = 0


def _sender(item: Item) -> int:
    return item.publisher_id if isinstance(item, OlderItem) else item.feed.publisher_id


class Position:
    """Where a subscription stands in one log."""

    __slots__ = ("file", "handled", "log_id", "outdated", "queued")

    def __init__(self, log_id: int, seq: int) -> None:
        self.log_id = log_id
        self.queued = seq
        """number of the last event taken into the queue"""
        self.handled = seq
        self.outdated = -1
        """what the node's own cursor says of a log before it was put back, until its next commit; -1: it says true"""
        self.file: CursorFile | None = None


class CursorInbox(Inbox):
    """As Inbox, for a topic with a log. Has a turn of its own: its messages are handled one after the other."""

    __slots__ = ("_error", "_failures", "_folder", "_resting", "_stands", "_turn", "_waits", "positions")

    def __init__(self, host: Host, subscription: Subscription, folder: Path) -> None:
        super().__init__(host, subscription)
        self._folder = folder
        self._stands: Stands | None = getattr(host.node, subscription.cursor) if subscription.cursor else None
        self.positions: dict[tuple[str, str], Position] = {}
        """by publisher and full topic"""
        self._turn = False
        self._resting = False
        self._failures = 0
        self._error = ""
        """what the callback raised; empty when it returned"""
        self._waits = ""
        """the finding, while a message is given again"""

    # --- where it begins -----------------------------------------------------------------------------------------

    def begin(self, feed: Feed, log_id: int, first_kept: int, next_seq: int) -> int | None:
        """The number with which this subscription begins in a log; None while it cannot say where it stands."""
        key = (feed.node, feed.topic)
        position = self.positions.get(key)
        if position is None or position.log_id != log_id:
            position = self._stand(feed, log_id, first_kept, next_seq)
            if position is None:
                return None
            old, self.positions[key] = self.positions.get(key), position
            if old is not None and old.file is not None:
                old.file.retire()
        if position.queued < first_kept - 1:
            source = Source(feed.node, feed.topic, first_kept - 1, 0, feed.publisher_id, log_id)
            self.host.link_event(feed.topic, Lost(source, position.queued + 1, first_kept - 1))
            feed.counts.lost += first_kept - 1 - position.queued
            position.queued = first_kept - 1
        if position.queued >= next_seq:
            # the log was put back to an earlier state: what comes now has numbers that were others before
            self._say_log_lost(feed, log_id, position.queued)
            position.outdated = position.queued
            position.queued = next_seq - 1
        if position.handled != position.queued and not any(i.feed.log_id == log_id for i in self.items):
            position.handled = position.queued
        self._write(feed, position)
        return position.queued + 1

    def _stand(self, feed: Feed, log_id: int, first_kept: int, next_seq: int) -> Position | None:
        """From its own word or its file; at the first start from the beginning of what is kept, or from now."""
        try:
            known = self._known(feed)
        except Exception as error:  # whatever the node's own code does; its log waits meanwhile
            self._tell_unknown(feed, error)
            return None
        self.host.clear(UNKNOWN)
        if log_id in known:
            return Position(log_id, known[log_id])
        if known:
            self._say_log_lost(feed, log_id, max(known.values()))
            return Position(log_id, first_kept - 1)
        return Position(log_id, (first_kept if self.subscription.start == "beginning" else next_seq) - 1)

    def _known(self, feed: Feed) -> Mapping[int, int]:
        if self._stands is None:
            return cursor.known(self._cursors(feed))
        return {int(i): int(seq) for i, seq in self._stands(feed.node, feed.topic).items() if i}

    def _cursors(self, feed: Feed) -> Path:
        return cursor.folder_of(self._folder, self.host.name, feed.topic, feed.node)

    def _say_log_lost(self, feed: Feed, log_id: int, handled: int) -> None:
        source = Source(feed.node, feed.topic, 0, 0, feed.publisher_id, log_id)
        self.host.link_event(feed.topic, LogLost(source, handled))
        text = f"{feed.topic}: the log of {feed.node} that was read up to #{handled} is gone; it begins anew"
        self.host.report("log_lost", ConditionLevel.WARNING, text)

    def _tell_unknown(self, feed: Feed, error: Exception) -> None:
        told = "".join(traceback.format_exception(error)).rstrip()
        self.host.warn_once(f"{UNKNOWN} {type(error).__name__}", told)
        text = f"{feed.topic} of {feed.node} waits: where it was left is not known: {type(error).__name__}: {error}"
        self.host.report(UNKNOWN, ConditionLevel.FAULT, text)

    # --- the queue -----------------------------------------------------------------------------------------------

    def put(self, item: Item) -> None:
        """Keep a message, unless this subscription has it already."""
        position = self._position(item)
        if position is not None:
            if item.seq <= position.queued:
                return
            position.queued = item.seq
        self.items.append(item)
        self._take_turn()

    def _position(self, item: Item) -> Position | None:
        """Where it stands in the log that the message came from; None without a log."""
        feed = item.feed
        if not feed.log_id:
            return None
        position = self.positions.get((feed.node, feed.topic))
        return position if position is not None and position.log_id == feed.log_id else None

    def _take_turn(self) -> None:
        if self._turn or self._resting or not self.items:
            return
        self._turn = True
        if self._batch:
            self.host.executor.after(self.subscription.batch_s or 0.0, self._flush)
        else:
            self.host.executor.loop.ready.append(self)

    def _flush(self) -> None:
        self.host.executor.loop.ready.append(self)

    def run(self, now_mono_ns: int) -> None:
        """Hand the oldest message to the callback, or for a batch all that came from the same publisher."""
        self._turn = False
        if not self.items or self._resting:
            return
        first = self.items[0]
        items = list(takewhile(lambda i: i.feed is first.feed, self.items)) if self._batch else [first]
        messages = [m for item in items if (m := self._message(item, now_mono_ns)) is not None]
        if messages:
            self._error = ""
            self._call(items, messages)
            if self._error:
                self._rest(items[-1])
                return
        self._done(items)
        if self.items and self._batch:
            self._turn = True
            self._flush()
        else:
            self._take_turn()

    def _call(self, items: list[Item], messages: list[Message]) -> None:
        host, last = self.host, items[-1]
        feed = last.feed
        host.node.source = Source(feed.node, feed.topic, last.seq, last.wall_ns, _sender(last), feed.log_id)
        if self._batch:
            packed = b""
            if host.trace is not None:
                packed = pack_batch((i.feed.topic, _sender(i), i.seq) for i in items)
            host.invoke(Kind.BATCH, self.subscription.method, self._attempt, (messages,), payload=packed)
        else:
            name = f"{self.subscription.method} {feed.topic}"
            host.invoke(Kind.MESSAGE, name, self._attempt, (messages[0],), _sender(last), last.seq)
        feed.counts.delays_ns.append(host.executor.monotonic_ns() - last.mono_ns)

    def _attempt(self, argument: Any) -> None:
        try:
            self._method(argument)
        except Exception as error:
            told = "".join(traceback.format_exception(error)).rstrip()
            self.host.warn_once(f"{self.subscription.method} {type(error).__name__}", told)
            self._error = f"{type(error).__name__}: {error}"

    def _done(self, items: list[Item]) -> None:
        for _ in items:
            self.items.popleft()
        last = items[-1]
        position = self._position(last)
        if position is not None:
            position.handled = last.seq
            position.outdated = -1
            self._write(last.feed, position)
        self._no_longer_waits()

    def _write(self, feed: Feed, position: Position) -> None:
        """The file form of the cursor; a node that keeps its own has written it in its callback."""
        if self._stands is not None:
            return
        try:
            if position.file is None:
                position.file = CursorFile(self._cursors(feed), position.log_id, self.host.executor.syncer)
            position.file.write(position.handled)
        except OSError as error:
            text = f"{self._cursors(feed)}: {error.strerror}: after a restart events come again"
            self.host.report(UNWRITTEN, ConditionLevel.FAULT, text)
            return
        if UNWRITTEN in self.host.findings:
            self.host.clear(UNWRITTEN)

    def close(self) -> None:
        """Let go of the files."""
        for position in self.positions.values():
            if position.file is not None:
                position.file.close()

    # --- when the callback fails -------------------------------------------------------------------------------------

    def _rest(self, item: Item) -> None:
        delay_s = pause_s(self._failures)
        self._failures += 1
        self._resting = True
        self._waits = (
            f"{self.subscription.method}: #{item.seq} of {item.feed.topic} from {item.feed.node} failed "
            f"({self._error}); it is given again in {delay_s:g} s, and what is behind it waits"
        )
        self.host.report(WAITS, ConditionLevel.FAULT, self._waits)
        self.host.executor.after(delay_s, self._go_on)

    def _no_longer_waits(self) -> None:
        """What failed is done; the finding goes, unless another subscription of the node waits still."""
        if not self._failures:
            return
        self._failures, self._waits = 0, ""
        waiting = next((i._waits for i in self.host.inboxes if isinstance(i, CursorInbox) and i._waits), "")
        if waiting:
            self.host.report(WAITS, ConditionLevel.FAULT, waiting)
        else:
            self.host.clear(WAITS)

    def _go_on(self) -> None:
        """Once more, unless the node's own cursor says that it was handled all the same: its commit may have worked."""
        self._resting = False
        if self._stands is not None and self.items:
            first = self.items[0]
            position = self._position(first)
            with contextlib.suppress(Exception):  # it cannot be asked now: the callback will tell
                stands = int(self._stands(first.feed.node, first.feed.topic).get(first.feed.log_id, 0))
                if position is not None and stands != position.outdated and first.seq <= stands:
                    while self.items and self.items[0].feed is first.feed and self.items[0].seq <= stands:
                        position.handled = self.items.popleft().seq
                    self._no_longer_waits()
        self._take_turn()
