"""The last values of latched topics: what a split or a cut repeats at its head, and a seek in playback publishes."""

from __future__ import annotations

from bus.bag.contents import BagMessage, Channel
from bus.bag.plain import words

MAX_KEYS = 256


class LatchedState:
    """Keeps the newest message per channel, and per key where the channel says one; bounded per channel."""

    def __init__(self) -> None:
        self._last: dict[int, dict[str, BagMessage]] = {}

    def note(self, message: BagMessage) -> None:
        """Take notice of any message; only those of latched topics are kept."""
        if message.channel.qos == "LATCHED":
            kept = self._last.setdefault(message.channel.id, {})
            key = key_of(message.channel.metadata.get("key", ""), message.payload)
            kept.pop(key, None)
            kept[key] = message
            if len(kept) > MAX_KEYS:
                del kept[next(iter(kept))]

    def messages(self) -> list[BagMessage]:
        """What is kept, in the order it was recorded."""
        kept = [m for by_key in self._last.values() for m in by_key.values()]
        return sorted(kept, key=lambda m: (m.log_ns, m.channel.id, m.seq))

    def forget(self, channel: Channel) -> None:
        """The publisher withdrew its values."""
        self._last.pop(channel.id, None)


def key_of(field: str, payload: bytes) -> str:
    """The value of the key field in a payload; empty without one."""
    return words(payload, field)[0] if field else ""
