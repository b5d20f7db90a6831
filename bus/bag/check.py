"""`rise bag check`: is the file sound, is anything missing from it, and do today's programs still read it."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus.bag.contents import BagMessage, Channel
from bus.bag.format import Problem, Problems, Progress, check_format
from bus.bag.plain import BadPayload, unpack
from bus.bag.reader import BagReader
from bus.bag.records import BadBag
from bus.bag.types import against_today
from schemas.codec import Codec, DecodeError, codec
from schemas.grammar import Match, hash_of
from schemas.system import LostMessages


@dataclass(slots=True)
class Report:
    """What a check found."""

    path: str
    problems: list[Problem]
    counts: dict[str, int]
    """how often each id was met; `problems` lists the first of each"""
    messages: int = 0
    lost: int = 0
    """messages that are missing between those that are there"""
    lost_recorded: int = 0
    """of these, said to be lost by the recorder"""
    types: dict[str, str] = field(default_factory=dict)
    """type name to equal, compatible, incompatible or unknown today"""

    @property
    def ok(self) -> bool:
        return not any(p.level == "error" for p in self.problems)


@dataclass(slots=True)
class _Row:
    """What was seen of one channel."""

    seq: int = 0
    seen: int = 0
    since_ns: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)


def check(path: str | Path, progress: Progress | None = None) -> Report:
    """Every check there is, in two passes.

    Raises:
        BadBag: the file is none.
    """
    found = Problems()
    with BagReader(path) as bag:
        report = Report(str(path), found.listed, found.counts)
        with bag.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            check_format(data, found, progress)
        decoders = {c.id: _decoder(c, report, found) for c in bag.channels.values()}
        rows: dict[int, _Row] = {}
        told: list[tuple[str, str, int, int, str]] = []
        latest = 0
        repeats = bag.repeated
        try:
            for n, message in enumerate(bag.messages(skip_damaged=True)):
                report.messages += 1
                channel = message.channel
                if channel.id not in decoders:
                    decoders[channel.id] = _decoder(channel, report, found)
                _decode(message, decoders[channel.id], told, found)
                if message.log_ns < latest:
                    found.add("bag/time", f"{channel.topic} seq {message.seq} lies after a later message", "warning")
                latest = max(latest, message.log_ns)
                if n >= repeats:
                    _follow(message, rows.setdefault(channel.id, _Row()), found)
        except BadBag as error:
            found.add("bag/damaged", error.reason)
        for place in bag.damaged:
            found.add("bag/damaged", place)
        _losses(bag, rows, told, report, found)
    return report


def _decoder(channel: Channel, report: Report, found: Problems) -> Codec[Any] | None:
    """Today's codec when it reads the channel, None for reading by the recorded definition."""
    if hash_of(channel.definition) != channel.type_hash:
        found.add("bag/schema", f"{channel.topic}: the definition is not that of hash {channel.type_hash}")
    cls, matched = against_today(channel.definition)
    outcome = "unknown" if matched is None else matched.outcome
    report.types[channel.type_name] = outcome
    if matched is not None and outcome == "incompatible":
        found.add("bag/schema", f"{channel.topic}: {_words(channel, matched)}")
    elif outcome == "unknown":
        found.add("bag/schema", f"{channel.topic}: no type {channel.type_name} today; read as recorded", "warning")
    return codec(cls) if cls is not None and outcome != "incompatible" else None


def _words(channel: Channel, matched: Match) -> str:
    return f"today's {channel.type_name} does not read what was recorded: {'; '.join(matched.reasons)}"


def _decode(
    message: BagMessage, decoder: Codec[Any] | None, told: list[tuple[str, str, int, int, str]], found: Problems
) -> None:
    try:
        if decoder is None:
            unpack(message.channel.definition, message.payload)
            return
        value = decoder.decode(message.payload)
    except (BadPayload, DecodeError) as error:
        found.add("bag/undecodable", f"{message.topic} seq {message.seq}: {error}")
        return
    if isinstance(value, LostMessages):
        told.append((value.topic, value.publisher, value.first_seq, value.last_seq, value.reason))


def _follow(message: BagMessage, row: _Row, found: Problems) -> None:
    if not row.seen:
        row.since_ns = message.log_ns
    # a latched value from before the recorder came is one of several in force: the numbers between are no loss
    joined = message.qos == "LATCHED" and message.publish_ns < row.since_ns
    if row.seen and message.seq > row.seq + 1 and not joined:
        row.gaps.append((row.seq + 1, message.seq - 1))
    elif row.seen and message.seq <= row.seq:
        found.add("bag/sequence", f"{message.topic} from {message.publisher}: seq {message.seq} after {row.seq}")
    row.seen += 1
    row.seq = max(row.seq, message.seq)


def _losses(
    bag: BagReader,
    rows: dict[int, _Row],
    told: list[tuple[str, str, int, int, str]],
    report: Report,
    found: Problems,
) -> None:
    for channel_id, row in rows.items():
        channel = bag.channels[channel_id]
        for first, last in row.gaps:
            missing = last - first + 1
            known = {"lost": 0, "disk": 0, "reduced": 0}
            for topic, publisher, a, b, reason in told:
                if topic == channel.topic and publisher == channel.publisher:
                    known[reason] = known.get(reason, 0) + max(0, min(last, b) - max(first, a) + 1)
            where = f"{channel.topic} from {channel.publisher}: seq {first}..{last} are missing ({missing})"
            said = sum(known.values())
            if known["reduced"] >= missing:
                found.add("bag/reduced", f"{where}: the machine did not cut, their range was kept", "warning")
                continue
            report.lost += missing - known["reduced"]
            report.lost_recorded += min(said, missing) - known["reduced"]
            if said >= missing:
                found.add("bag/lost", f"{where}, as the recorder said", "warning")
            else:
                found.add("bag/gap", f"{where}, and the recorder said nothing of {missing - said} of them")
