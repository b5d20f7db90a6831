"""A machine's topics out of a bag, as chunks, and as messages whose times are shifted to now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from schemas.base import Message, Topic
from schemas.codec import codec
from schemas.grammar import definition, match
from schemas.topics import ALARM, COOLANT, MACHINE_STATE, MOTION, SAMPLES, SIGNALS, VIBRATION

M = TypeVar("M", bound=Message)

PLAYED: Mapping[str, Topic[Any]] = {
    t.name: t for t in (MACHINE_STATE, SIGNALS, SAMPLES, VIBRATION, COOLANT, MOTION, ALARM)
}
"""what a sensory_cortex wrote; its info and protection are this one's own business"""
RESTART_AFTER_NS = 1_000_000


def bag_chunks(path: Path, namespace: str, *, loop: bool = False) -> Iterator[Chunk]:
    """The machine topics of one namespace in the order they were published; ends with END or FAILED."""
    from bus.bag import BadBag, read  # only here: a simulated machine needs no bag library

    base_ns = 0
    try:
        namespace = namespace or _only_machine(path)
        prefix = f"{namespace}/" if namespace else ""
        owner = ""
        while True:
            origin_ns: int | None = None
            offset_ns = 0
            for message in read(path):
                topic = PLAYED.get(message.topic.removeprefix(prefix)) if message.topic.startswith(prefix) else None
                if topic is None or (owner and message.publisher != owner):
                    continue
                if not owner and topic is ALARM:  # many write alarms; the machine's own are those of its state's writer
                    continue
                owner = message.publisher
                fit = match(definition(topic.type), message.channel.definition)
                if fit.outcome == "incompatible":
                    yield _failed(f"{path.name}: {message.topic} is of an incompatible type: {'; '.join(fit.reasons)}")
                    return
                origin_ns = message.publish_ns if origin_ns is None else origin_ns
                offset_ns = max(offset_ns, message.publish_ns - origin_ns)
                yield Chunk(
                    kind=ChunkKind.MESSAGE,
                    offset_ns=base_ns + offset_ns,
                    origin_ns=origin_ns - base_ns,
                    topic=topic.name,
                    payload=bytes(message.payload),
                )
            if origin_ns is None:
                yield _failed(f"{path.name}: no machine topic in namespace {namespace!r}")
                return
            yield Chunk(kind=ChunkKind.END, offset_ns=base_ns + offset_ns)
            if not loop:
                return
            base_ns += offset_ns + RESTART_AFTER_NS
    except (BadBag, OSError, ValueError) as error:
        yield _failed(str(error))


def _failed(text: str) -> Chunk:
    return Chunk(kind=ChunkKind.FAILED, text=text)


def _only_machine(path: Path) -> str:
    """The namespace of the one machine in the bag.

    Raises:
        ValueError: there are none or several; the text lists them.
    """
    from bus.bag import BagReader

    with BagReader(path) as bag:
        found = sorted(
            {
                c.topic.removesuffix(SIGNALS.name).removesuffix("/")
                for c in bag.info.channels.values()
                if c.topic == SIGNALS.name or c.topic.endswith(f"/{SIGNALS.name}")
            }
        )
    if len(found) != 1:
        listed = ", ".join(found) or "none"
        raise ValueError(f"{path.name}: bag_namespace must name the machine to play; machines in it: {listed}")
    return found[0]


def shifted(chunk: Chunk, start_ns: int) -> Message:
    """The recorded message with its time stamp moved so that the recording starts at `start_ns`.

    Raises:
        DecodeError: the payload is no message of its topic's type.
    """
    topic = PLAYED[chunk.topic]
    message: Message = codec(topic.type).decode(chunk.payload)
    if not hasattr(message, "stamp_ns"):
        return message
    return restamped(message, message.stamp_ns - chunk.origin_ns + start_ns)


def restamped(message: M, stamp_ns: int) -> M:
    """The same message with another time stamp."""
    return replaced(message, stamp_ns=stamp_ns)


def replaced(message: M, **fields: Any) -> M:
    """The same message but for these fields."""
    return type(message)(**{**message.__dict__, **fields})
