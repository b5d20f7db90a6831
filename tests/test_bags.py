"""Every bag ever committed can be read by the code of today; what is decided in them is tested by tests/bags itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.bag import BagReader
from bus.replay.expected import SUFFIX
from schemas.base import Message
from schemas.codec import codec
from schemas.grammar import definition, match

BAGS = Path(__file__).parent / "bags"


def types() -> dict[str, type[Message]]:
    found: dict[str, type[Message]] = {}
    waiting = [Message]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if cls.__module__.startswith("schemas."):
            found[cls.__name__] = cls
    return found


@pytest.mark.parametrize("bag", sorted(BAGS.glob("*.mcap")), ids=lambda bag: str(bag.stem))
def test_every_message_of_every_bag_still_decodes(bag: Path) -> None:
    known = types()
    with BagReader(bag) as reader:
        assert reader.finished
        for channel in reader.channels.values():
            found = match(definition(known[channel.type_name]), channel.definition)
            assert found.outcome != "incompatible", (channel.topic, found.reasons)
        for message in reader.messages():
            codec(known[message.type_name]).decode(message.payload)


def test_every_expected_file_has_its_bag() -> None:
    stems = {bag.stem for bag in BAGS.glob("*.mcap")}
    assert [p.name for p in BAGS.glob(f"*{SUFFIX}") if p.name.split(".")[0] not in stems] == []
