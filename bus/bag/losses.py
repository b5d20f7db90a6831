"""What recorders said of losses, held against what is there: for a bag that is made of several."""

from __future__ import annotations

from typing import NamedTuple


class Missing(NamedTuple):
    """Consecutive messages of a publisher that are not there, and why."""

    topic: str
    publisher: str
    first_seq: int
    last_seq: int
    reason: str


class Losses:
    """Takes the recorders' statements as they come, and says at each message what is missing before it."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], list[Missing]] = {}
        self._last: dict[tuple[str, str], int] = {}

    def say(self, missing: Missing) -> None:
        """A recorder's statement; it counts where a message is really missing."""
        self._said.setdefault(missing[:2], []).append(missing)

    def before(self, topic: str, publisher: str, last: int, seq: int, *, gap: bool) -> list[Missing]:
        """What is missing before number `seq`, when the number before it that is there is `last` (0: none is).

        Args:
            gap: numbers that nobody spoke of are missing too; not so for the state that a late joiner is given.
        """
        key = (topic, publisher)
        self._last[key] = seq
        said = self._said.get(key, ())
        first = last + 1 if last else min((s.first_seq for s in said if s.last_seq < seq), default=seq)
        if first >= seq:
            return []
        found: list[Missing] = []
        at = first
        for one in sorted(said, key=lambda s: s.first_seq):
            begins, ends = max(at, one.first_seq), min(one.last_seq, seq - 1)
            if ends < begins:
                continue
            if gap and last and begins > at:
                found.append(Missing(topic, publisher, at, begins - 1, "lost"))
            found.append(Missing(topic, publisher, begins, ends, one.reason))
            at = ends + 1
        if gap and last and at < seq:
            found.append(Missing(topic, publisher, at, seq - 1, "lost"))
        if said:
            self._said[key] = [s for s in said if s.last_seq >= seq]
        return found

    def rest(self) -> list[Missing]:
        """What is missing behind the last message of each publisher; to be asked at the end."""
        found = []
        for (topic, publisher), said in self._said.items():
            at = self._last.get((topic, publisher), 0) + 1
            for one in sorted(said, key=lambda s: s.first_seq):
                begins = max(at, one.first_seq)
                if begins <= one.last_seq:
                    found.append(Missing(topic, publisher, begins, one.last_seq, one.reason))
                    at = one.last_seq + 1
        return found
