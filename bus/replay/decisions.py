"""What a node decided: everything it published, asked and answered, in order, and in words a machinist can read."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args, get_origin

from schemas.base import Measured, Message, Samples, Topic
from schemas.codec import codec
from schemas.grammar import fields

if TYPE_CHECKING:
    from bus.replay.known import Known

M = TypeVar("M", bound=Message)

NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Decision:
    """One message that left a node: published, the request of a call, or the reply to a request."""

    topic: str
    """full name of the topic or service"""
    type: type[Message]
    payload: bytes
    """encoded, Measured fields 0"""
    stamp_ns: int
    """the `now_ns()` of the callback it came from"""
    what: str = "message"
    """message, call or reply"""
    stream: bool = False
    """of a best-effort topic: compared, but not a decision by itself"""
    reaction: bool = False
    """what others act on: after the first one that differs, open-loop replay has diverged"""
    latched: bool = False
    """state: what counts is the value in force"""
    key: str = ""
    """of latched state, where its topic has a key"""

    @classmethod
    def published(
        cls, topic: Topic[Any], full_name: str, message: Message | None, payload: bytes, stamp_ns: int
    ) -> Self:
        """A message that left on a topic; `message` decoded, where it is at hand."""
        qos = topic.qos
        key = ""
        if topic.key:
            key = str(getattr(message or codec(topic.type).decode(payload), topic.key))
        stream = not qos.repaired
        return cls(
            full_name, topic.type, payload, stamp_ns, stream=stream, reaction=qos.logged, latched=qos.latched, key=key
        )

    def message(self) -> Message:
        """The decoded message."""
        made: Message = codec(self.type).decode(self.payload)
        return made


@dataclass(slots=True)
class Decisions:
    """Everything one node decided in one bag."""

    node: str
    start_ns: int = 0
    """the bag's first message: times in words count from here"""
    made: list[Decision] = field(default_factory=list)
    known: Known | None = None
    """what of it can be compared, where the node's state at the beginning is not known, or only a window is wanted"""


# --- measurements ---------------------------------------------------------------------------------------------------


def zeroed(message: M) -> M:
    """The message with every Measured field 0, also in messages within; itself where it has none."""
    steps = _measured(type(message))
    if not steps:
        return message
    copied = message.model_copy()
    values = copied.__dict__  # written directly: decoded messages share one frozen set of field names
    for name, step in steps:
        values[name] = step(values[name])
    return copied


def measures(cls: type[Message]) -> bool:
    """Whether messages of this type hold measurements of the run."""
    return bool(_measured(cls))


@cache
def _measured(cls: type[Message]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    found = []
    for f in fields(cls):
        step = _zero if f.measured else _zeroer(f.type)
        if step is not None:
            found.append((f.name, step))
    return tuple(found)


def _zero(value: Any) -> Any:
    return None if value is None else type(value)()


def _zeroer(annotation: Any) -> Callable[[Any], Any] | None:
    """What zeroes the measurements within a value of this type; None where there are none."""
    if isinstance(annotation, type) and issubclass(annotation, Message):
        return zeroed if _measured(annotation) else None
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _zero if any(isinstance(m, Measured) for m in annotation.__metadata__) else _zeroer(args[0])
    if origin is tuple and (each := _zeroer(args[0])) is not None:
        return lambda value: tuple(each(item) for item in value)
    if origin in (typing.Union, types.UnionType):
        present = _zeroer(args[0] if args[1] is type(None) else args[1])
        if present is not None:
            return lambda value: None if value is None else present(value)
    return None


# --- in words -------------------------------------------------------------------------------------------------------


def place(node: str, topic: str) -> str:
    """`vmc1 impact/intervention`: the machine, then the topic without it."""
    namespace = node.rpartition("/")[0]
    return f"{namespace} {topic[len(namespace) + 1 :]}" if namespace and topic.startswith(f"{namespace}/") else topic


def at(stamp_ns: int, start_ns: int) -> str:
    """Seconds since the bag's start: `12.402 s`."""
    return f"{(stamp_ns - start_ns) / NS_PER_S:.3f} s"


def word(message: Message) -> str:
    """The first enum member, which says most: `FEED_HOLD`; empty where there is none."""
    values = message.__dict__
    for f in fields(type(message)):
        if isinstance(values[f.name], StrEnum):
            return f"{'would have ' if values.get('would_have') else ''}{values[f.name]}"
    return ""


def headline(message: Message) -> str:
    """The message in a word, or in its first fields."""
    shown = [
        f"{f.name} {value(item, f.unit)}"
        for f in fields(type(message))
        if f.name != "stamp_ns" and isinstance(item := message.__dict__[f.name], (str, int, float))
    ]
    return word(message) or ", ".join(shown[:3]) or type(message).__name__


def reason(message: Message) -> str:
    """The message's own words, where it has some."""
    values = message.__dict__
    for name in ("reason", "text"):
        if values.get(name):
            return str(values[name])
    reasons = values.get("reasons")
    return "; ".join(reasons) if isinstance(reasons, tuple) else ""


def value(item: Any, unit: str | None = None) -> str:
    """A field's value with its unit, short."""
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, float):
        return f"{item:.6g} {unit}" if unit else f"{item:.6g}"
    if isinstance(item, StrEnum):
        return item.value
    if isinstance(item, Samples):
        return f"[{' x '.join(map(str, item.array.shape))}]"
    if isinstance(item, bytes):
        return f"{len(item)} B"
    if isinstance(item, Message):
        shown = [f for f in fields(type(item)) if not f.measured]
        return "(" + ", ".join(f"{f.name} {value(item.__dict__[f.name], f.unit)}" for f in shown) + ")"
    if isinstance(item, tuple):
        return "[" + "; ".join(value(v) for v in item) + "]"
    if isinstance(item, str):
        return repr(item) if not item or " " in item else item
    return f"{item} {unit}" if unit and item is not None else str(item)


def lines(decisions: Decisions) -> list[str]:
    """The decisions as text for a reference file: one line each; of streams the changes of state, and how many came.

    Numbers are rounded to six digits, so that the lines are the same on every computer.
    """
    written = []
    streams: dict[str, tuple[int, Any]] = {}
    for decision in decisions.made:
        message = decision.message()
        if decision.stream:
            count, last = streams.get(decision.topic, (0, None))
            state = tuple(v for v in message.__dict__.values() if isinstance(v, (StrEnum, bool)))
            streams[decision.topic] = (count + 1, state)
            if state == last:
                continue
            text = f"{headline(message)}  {reason(message)}".rstrip()
        else:
            text = ", ".join(_telling(message, decisions.start_ns))
        where = place(decisions.node, decision.topic)
        what = "" if decision.what == "message" else f"{decision.what} "
        written.append(f"{at(decision.stamp_ns, decisions.start_ns):>12}  {what}{where}  {text}".rstrip())
    written += [f"{count} messages  {place(decisions.node, topic)}" for topic, (count, _) in sorted(streams.items())]
    return written


def _telling(message: Message, start_ns: int) -> Iterator[str]:
    said = word(message)
    if said:
        yield said
    for f in fields(type(message)):
        item = message.__dict__[f.name]
        if f.measured or f.name == "stamp_ns" or item in ("", (), None) or isinstance(item, Samples):
            continue
        if not (isinstance(item, StrEnum) and item == said):
            yield f"{f.name} {at(item, start_ns) if f.unit == 'ns' and item else value(item, f.unit)}"
