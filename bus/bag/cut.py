"""`rise bag cut`: a window of a bag, or one node's whole input and output up to it, as a bag of its own.

A window begins with the state that was in force: the last value of every latched topic, repeated at its head. A cut for
a node begins where the recording does, because lock-step replay follows the node's trace from its first callback on;
it keeps only what the node heard, said, was asked and answered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.bag.contents import BagMessage
from bus.bag.format import Progress
from bus.bag.reader import BagReader
from bus.bag.writer import BagWriter
from bus.site import did_you_mean
from schemas.names import is_tool


class BadCut(ValueError):
    """What was asked for is not in the bag; the text says what is."""


@dataclass(frozen=True, slots=True)
class CutResult:
    """What the new bag holds."""

    path: str
    messages: int
    repeated: int
    """of these, state from before the window"""
    start_ns: int
    end_ns: int
    size_bytes: int
    lost: int
    """messages recorded as lost inside: as a reference for replay the bag will be refused when this is not 0"""
    damaged: list[str]
    """places of the source that could not be read, and were left out"""


def cut(
    source: str | Path,
    target: str | Path,
    *,
    start_ns: int = 0,
    end_ns: int = 1 << 62,
    node: str = "",
    topics: Callable[[str], Any] | None = None,
    skip_damaged: bool = False,
    progress: Progress | None = None,
) -> CutResult:
    """Copy the messages with start_ns <= log time < end_ns; with `node`, everything of that node up to end_ns.

    The target appears when it is complete.

    Raises:
        BadBag: the source is none, or damaged and not `skip_damaged`.
        BadCut: nothing would be in it.
        FileExistsError: the target is there.
        OSError: no room.
    """
    target = Path(target)
    if target.exists():
        raise FileExistsError(f"{target} is there already")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        with BagReader(source) as bag:
            result = _copy(bag, part, target, start_ns, end_ns, node, topics, skip_damaged, progress)
        os.rename(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return result


def _copy(
    bag: BagReader,
    part: Path,
    target: Path,
    start_ns: int,
    end_ns: int,
    node: str,
    topics: Callable[[str], Any] | None,
    skip_damaged: bool,
    progress: Progress | None,
) -> CutResult:
    if bag.info.messages and (end_ns <= bag.start_ns or start_ns > bag.end_ns):
        length = (bag.end_ns - bag.start_ns) / 1e9
        raise BadCut(f"{bag.path}: nothing lies in that window; the bag is {length:.3f} s long")
    wanted = topics
    if node:
        wanted = _touched(bag, node)
        start_ns = 0
    with BagWriter(part) as out:
        for name, words in bag.metadata().items():
            if name != "repeated":
                out.metadata(name, words)
        out.metadata("cut", {"from": bag.path.name, "node": node})
        for a in bag.attachments():
            out.attach(a.name, a.media_type, a.data, a.stamp_ns)
        repeated, inside = bag.repeated, 0
        if not node:
            before = bag.state_before(start_ns, topics=wanted, skip_damaged=skip_damaged)
            repeated = len(before)
            out.repeated(repeated)
            for message in before:
                _write(out, message, start_ns)
        elif repeated:
            out.repeated(repeated)
        window = bag.messages(topics=wanted, start_ns=start_ns, end_ns=end_ns, skip_damaged=skip_damaged)
        for inside, message in enumerate(window, 1):
            if progress is not None and inside % 4096 == 1:
                progress(inside, bag.info.messages)
            _write(out, message, message.log_ns)
        if not inside and not repeated:
            raise BadCut(f"{bag.path}: no message of it is in that window")
        out.flush()
        made = (out.messages, out.start_ns, out.end_ns)
    with BagReader(part) as written:
        lost = written.lost()
    size = part.stat().st_size
    return CutResult(str(target), made[0], repeated, made[1], made[2], size, lost, sorted(set(bag.damaged)))


def _write(out: BagWriter, message: BagMessage, log_ns: int) -> None:
    channel = message.channel
    number = out.channel(
        channel.topic,
        channel.publisher,
        channel.publisher_id,
        channel.definition,
        channel.qos,
        first_seq=message.seq,
        metadata={k: v for k, v in channel.metadata.items() if k == "key"},
    )
    out.write(number, message.seq, log_ns, message.publish_ns, message.payload)


def _touched(bag: BagReader, node: str) -> Callable[[str], bool]:
    """Which topics a node hears, writes, or is traced by."""
    nodes = bag.nodes()
    entry = nodes.get(node)
    if entry is None:
        raise BadCut(f"{bag.path}: no node {node!r}; {did_you_mean(node, [n for n in nodes if not is_tool(n)])}")
    exact = {"clock", "bag/lost"}
    below: set[str] = set()
    for name in _names(entry):
        if name.startswith("*/"):
            below.add(name[2:])
        else:
            exact.add(name)

    def touched(topic: str) -> bool:
        first, _, rest = topic.partition("/")
        return topic in exact or topic.startswith(f"{node}/") or (rest in below and bool(first))

    return touched


def _names(entry: Mapping[str, Any]) -> set[str]:
    topics = _listed(entry, "publishes") | _listed(entry, "subscribes")
    services = _listed(entry, "serves") | _listed(entry, "calls")
    return topics | {f"{name}/_event" for name in services}


def _listed(entry: Mapping[str, Any], kind: str) -> set[str]:
    rows = entry.get(kind, ())
    if not isinstance(rows, (list, tuple)) or not all(
        isinstance(r, dict) and isinstance(r.get("name"), str) for r in rows
    ):
        raise BadCut(f"what the bag says of the node is damaged: {kind}")
    return {row["name"] for row in rows}
