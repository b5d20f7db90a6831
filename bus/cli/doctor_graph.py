"""What `rise doctor` says of the running graph: types that differ between processes, and the health of every node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bus.cli.doctor_computer import Check, disk, free_bytes
from bus.cli.graph import meets
from bus.discovery import Entry

if TYPE_CHECKING:
    from schemas.system import Diagnostics, TopicCount

ADVICE = {
    "slow_callback": "its process does nothing else meanwhile: what waits belongs in a worker, what computes elsewhere",
    "callback_failed": "rise logs {process}",
    "bad_frames": "another program writes to its sockets, or one was killed while it connected",
    "no_inotify": "see inotify above",
    "incompatible_type": "see types above",
}
DROPPED = "it is slower than what comes: look for slow callbacks, give it a CPU, or a larger depth in the subscription"
EXPIRED = "they came too late to be of use: look for slow callbacks, or give it a CPU"
UNDECODABLE = "restart it and their publisher from one checkout"


def bag_disks(entries: Mapping[str, Entry]) -> Iterator[Check]:
    """The room of recorders that were told another folder than the one where this computer keeps bags."""
    for name, entry in entries.items():
        folder = str(entry.parameters.get("directory") or "")
        if folder and entry.is_here and any(s.name == "bag/black_box" for s in entry.serves):
            yield disk(
                free_bytes(Path(folder).expanduser()), f"the bags of {name} ({folder})", "give it another folder"
            )


def types_that_differ(entries: Mapping[str, Entry]) -> Iterator[Check]:
    """Topics and services whose ends have another type under the same name: two checkouts, or one that was updated."""
    wrong: dict[str, Check] = {}
    for writer, reader in ((a, b) for a in entries.values() for b in entries.values()):
        for sent in writer.publishes:
            for taken in reader.subscribes:
                if meets(taken.name, sent.name):
                    hashes = (taken.type_hash, sent.type_hash)
                    text = f"{sent.name}: {reader.name} reads {taken.type_name}, {writer.name} writes {sent.type_name}"
                    wrong |= _unlike(reader, writer, hashes, text)
        for served in writer.serves:
            for called in reader.calls:
                if meets(called.name, served.name):
                    text = f"{served.name}: {reader.name} calls it, {writer.name} serves it"
                    asked = (served.request_hash, called.request_hash)
                    wrong |= _unlike(writer, reader, asked, f"{text} with another {served.request_type}")
                    answered = (called.reply_hash, served.reply_hash)
                    wrong |= _unlike(reader, writer, answered, f"{text} with another {served.reply_type}")
    yield from wrong.values()
    if not wrong:
        yield Check("types", "ok", "every reader has the type of its writer")


def _unlike(reader: Entry, writer: Entry, hashes: tuple[str, str], text: str) -> dict[str, Check]:
    """What there is to say of a reader's and a writer's type."""
    from schemas.grammar import match

    if not all(hashes) or hashes[0] == hashes[1]:
        return {}
    mine, theirs = reader.definitions.get(hashes[0]), writer.definitions.get(hashes[1])
    if theirs is None or mine is None:
        return {text: Check("types", "error", text, "they come from different checkouts: restart both")}
    fits = match(mine, theirs)
    if fits.outcome == "incompatible":
        said = f"{text}, which do not fit ({'; '.join(fits.reasons)})"
        return {text: Check("types", "error", said, "restart both from one checkout")}
    unknown = f"; {', '.join(fits.unknown_fields)} is ignored" if fits.unknown_fields else ""
    return {text: Check("types", "warning", f"{text}: other versions that fit{unknown}", "restart the older one")}


def health(entries: Mapping[str, Entry], said: Mapping[str, Diagnostics]) -> Iterator[Check]:
    """What is wrong with the nodes, by their own word; who says nothing is in trouble too."""
    trouble = [check for name, entry in entries.items() for check in _of_node(name, entry, said.get(name))]
    yield from trouble
    if not trouble:
        yield Check("nodes", "ok", f"{len(entries)} nodes, none in trouble")


def _of_node(name: str, entry: Entry, said: Diagnostics | None) -> Iterator[Check]:
    from schemas.machine import ConditionLevel

    if not entry.ready:
        yield Check("nodes", "warning", f"{name} is not ready", f"rise logs {name}")
    if said is None:
        yield Check("nodes", "error", f"{name} says nothing of its health", "it hangs, or its callbacks take seconds")
        return
    for f in said.findings:
        level: Literal["error", "warning"] = "error" if f.level == ConditionLevel.FAULT else "warning"
        advice = ADVICE.get(f.code, "").format(process=name)
        yield Check("nodes", level, f"{name}: {f.code} ({f.count} times): {f.text}", advice)
    for count in said.topics:
        if count.publisher != name:
            yield from _of_count(name, count)


def _of_count(name: str, c: TopicCount) -> Iterator[Check]:
    kinds: tuple[tuple[str, int, str], ...] = (
        ("lost", c.lost, f"rise topic info {c.topic} shows who else loses, and where"),
        ("dropped", c.dropped, DROPPED),
        ("let expire", c.expired, EXPIRED),
        ("could not read", c.undecodable, UNDECODABLE),
    )
    for what, count, advice in kinds:
        if count:
            of = c.received + (c.lost if what == "lost" else 0)
            text = f"{name} {what} {count} of {of} messages of {c.topic} from {c.publisher} since its start"
            yield Check("nodes", "warning", text, advice)
