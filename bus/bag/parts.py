"""Several bags of one recording, which a recorder began anew after some time or size, read as one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bus.bag.contents import BagMessage, Channel
from bus.bag.reader import BagReader
from bus.bag.records import BadBag


class Parts:
    """Bags in order of time; what each repeats at its head of the state before is passed over.

    Raises:
        BadBag: one of them is none, or two hold the same time (a black box beside its run).
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._bags: list[BagReader] = []
        try:
            for path in paths:
                bag = BagReader(path)
                self._bags.append(bag)
                if not bag.info.messages:
                    raise BadBag(path, "holds no message: leave it out")
            self._bags.sort(key=lambda bag: bag.start_ns)
            for before, after in zip(self._bags, self._bags[1:], strict=False):
                if after.start_ns < before.end_ns:
                    text = f"begins before {before.path} ends: no continuation of it"
                    raise BadBag(after.path, f"{text}; leave one of them out")
        except BadBag:
            self.close()
            raise
        self.path = self._bags[0].path
        self.channels: dict[int, Channel] = {}
        known: dict[tuple[str, int, str], Channel] = {}
        self._as_one: list[dict[int, Channel]] = []
        for bag in self._bags:
            merged: dict[int, Channel] = {}
            for channel in bag.channels.values():
                key = (channel.topic, channel.publisher_id, channel.type_hash)
                merged[channel.id] = known.setdefault(key, replace(channel, id=len(known) + 1))
                self.channels[merged[channel.id].id] = merged[channel.id]
            self._as_one.append(merged)

    @property
    def start_ns(self) -> int:
        """Log time of the first message."""
        return self._bags[0].start_ns

    @property
    def end_ns(self) -> int:
        """Log time of the last message."""
        return self._bags[-1].end_ns

    def metadata(self) -> dict[str, dict[str, str]]:
        """The named sets of words of the first bag."""
        return self._bags[0].metadata()

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The discovery entry of every node that was there, by full name; the last one of a name counts."""
        return {name: entry for bag in self._bags for name, entry in bag.nodes().items()}

    def messages(
        self,
        *,
        topics: Callable[[str], bool] | re.Pattern[str] | None = None,
        start_ns: int = 0,
        end_ns: int = 1 << 63,
    ) -> Iterator[BagMessage]:
        """As BagReader's."""
        last: dict[int, int] = {}
        for n, (bag, channels) in enumerate(zip(self._bags, self._as_one, strict=True)):
            for message in bag.messages(topics=topics, start_ns=start_ns, end_ns=end_ns):
                channel, seq = channels[message[0].id], message[1]
                if channel.qos == "LATCHED":
                    known = last.get(channel.id, 0)
                    if n and seq <= known:
                        continue
                    last[channel.id] = max(known, seq)
                yield BagMessage(channel, *message[1:])

    def state_before(self, at_ns: int, *, topics: Callable[[str], Any] | None = None) -> list[BagMessage]:
        """As BagReader's: each bag begins with what was in force, so one of them knows."""
        found = [n for n, bag in enumerate(self._bags) if bag.start_ns < at_ns]
        if not found:
            return []
        channels = self._as_one[found[-1]]
        state = self._bags[found[-1]].state_before(at_ns, topics=topics)
        return [BagMessage(channels[m.channel.id], *m[1:]) for m in state]

    def close(self) -> None:
        """Let the files go."""
        for bag in self._bags:
            bag.close()

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


AnyBag = BagReader | Parts
Bags = str | Path | Sequence[str | Path]


def open_bags(bags: Bags) -> AnyBag:
    """One bag, or the parts of one recording.

    Raises:
        BadBag: see BagReader and Parts.
    """
    paths = [bags] if isinstance(bags, (str, Path)) else list(bags)
    return BagReader(paths[0]) if len(paths) == 1 else Parts(paths)


@contextlib.contextmanager
def opened(bags: Bags | AnyBag) -> Iterator[AnyBag]:
    """The same for a while; what is open already stays so.

    Raises:
        BadBag: see BagReader and Parts.
    """
    if isinstance(bags, AnyBag):
        yield bags
    else:
        with open_bags(bags) as reader:
            yield reader
