"""What is known of recordings from elsewhere: a file of labels says when something was wrong with which machine.

    machine,start,end,kind,bag
    vmc1,612.40,613.00,crash,run_502.mcap
    vmc1,2026-11-25T12:21:06.500Z,2026-11-25T12:21:07Z,breakage,
    vmc2,0,3600,fine,run_502.mcap

`start` and `end` are seconds from the first message of the bag, or times as ISO 8601 writes them, with their zone.
`kind` is a word; `fine` says that nothing was wrong. `bag` is the name of the file, without its folder; it may be left
out, as a column or in a row, where times are ISO 8601 or there is one bag. What a file says of a machine in a bag is
all of it: outside of what is labelled, nothing was wrong there.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path

from schemas.sayable import shown

COLUMNS = ("machine", "start", "end", "kind")
FINE = "fine"
MOST_BYTES = 10_000_000
MOST_MISTAKES = 20


class BadLabels(ValueError):
    """The file cannot be used; the text lists every mistake, one a line."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time: of the calendar, or of a bag."""

    ns: int
    of_bag: bool
    """counted from the bag's first message"""

    def at(self, start_ns: int) -> int:
        """In ns since 1970, in a bag that begins then."""
        return start_ns + self.ns if self.of_bag else self.ns


@dataclass(frozen=True, slots=True)
class Label:
    """From when to when something was wrong, or nothing."""

    machine: str
    start: Moment
    end: Moment
    kind: str
    bag: str = ""
    """name of the file; empty: any"""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Wrong:
    """When something was wrong with a machine, ns since 1970."""

    start_ns: int
    end_ns: int
    kind: str


def parse(text: str, name: str = "labels") -> list[Label]:
    """The labels of a file.

    Raises:
        BadLabels: with every mistake and its line.
    """
    reader = csv.reader(StringIO(text.removeprefix("\ufeff"), newline=""))
    labels: list[Label] = []
    wrong: list[str] = []
    header: list[str] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row) or row[0].lstrip().startswith("#"):
                continue
            if header is None:
                header = [cell.strip().lower() for cell in row]
                if missing := [c for c in COLUMNS if c not in header]:
                    text = f"expected the columns {','.join(COLUMNS)} and perhaps bag; {', '.join(missing)} not there"
                    raise BadLabels(f"{name} line {reader.line_num}: {text}")
                continue
            label, mistakes = _label(dict(zip(header, row, strict=False)), reader.line_num)
            wrong += [f"{name} line {reader.line_num}: {mistake}" for mistake in mistakes]
            if label is not None:
                labels.append(label)
    except csv.Error as error:
        raise BadLabels(f"{name} line {reader.line_num}: no CSV: {error}") from None
    if header is None:
        raise BadLabels(f"{name}: empty; expected a first line {','.join(COLUMNS)}")
    if wrong:
        more = [f"{name}: and {len(wrong) - MOST_MISTAKES} more"] if len(wrong) > MOST_MISTAKES else []
        raise BadLabels("\n".join(wrong[:MOST_MISTAKES] + more))
    return labels


def _label(row: dict[str, str], line: int) -> tuple[Label | None, list[str]]:
    words = {name: row.get(name, "").strip() for name in (*COLUMNS, "bag")}
    wrong = [
        f"{name}: expected a word, got {shown(words[name])}"
        for name in ("machine", "kind")
        if not re.fullmatch(r"[A-Za-z][\w/-]*", words[name])
    ]
    times: list[Moment] = []
    for name in ("start", "end"):
        try:
            times.append(_moment(words[name]))
        except ValueError:
            text = "expected seconds from the bag's start, or 2026-11-25T12:21:06.5Z"
            wrong.append(f"{name}: {text}, got {shown(words[name])}")
    if len(times) == 2 and times[0].of_bag is not times[1].of_bag:
        wrong.append("start and end: one is seconds, the other a time of the calendar")
    elif len(times) == 2 and times[1].ns < times[0].ns:
        wrong.append(f"end {words['end']} lies before start {words['start']}")
    if wrong:
        return None, wrong
    return Label(words["machine"], times[0], times[1], words["kind"].lower(), words["bag"], line), []


def _moment(text: str) -> Moment:
    """Raises ValueError."""
    if re.fullmatch(r"[+-]?\d+(\.\d*)?", text):
        seconds = float(text)
        if not math.isfinite(seconds) or abs(seconds) > 1e9:
            raise ValueError("not within a bag")
        return Moment(round(seconds * 1e9), of_bag=True)
    # fromisoformat of Python 3.11 takes any number of decimals, and keeps six
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no zone")
    return Moment(round(found.timestamp() * 1e6) * 1000, of_bag=False)


def read(path: Path) -> list[Label]:
    """The labels of a file.

    Raises:
        BadLabels: it is none, or too large.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    if len(data) > MOST_BYTES:
        raise BadLabels(f"{path}: {len(data)} bytes are no file of labels")
    try:
        return parse(data.decode(), str(path))
    except UnicodeDecodeError as error:
        raise BadLabels(f"{path}: not UTF-8: {error}") from None


def mistakes(labels: Iterable[Label], bags: Sequence[Path]) -> Iterator[str]:
    """Labels that fit none of these bags, or of which nobody knows which they mean."""
    names = {bag.name for bag in bags}
    for label in labels:
        if label.bag and label.bag not in names:
            yield f"line {label.line}: bag {label.bag} is not given"
        elif not label.bag and label.start.of_bag and len(names) > 1:
            yield f"line {label.line}: seconds of which bag? give its file's name in a column bag"


def of(labels: Iterable[Label], bag: Path, machine: str, start_ns: int, end_ns: int) -> list[Wrong] | None:
    """What was wrong with a machine in a bag of this span; None where no label speaks of it."""
    own = [
        (label, label.start.at(start_ns), label.end.at(start_ns))
        for label in labels
        if label.machine == machine and label.bag in ("", bag.name)
    ]
    own = [row for row in own if row[0].bag or (row[1] <= end_ns and row[2] >= start_ns)]
    if not own:
        return None
    return [Wrong(a, b, label.kind) for label, a, b in own if label.kind != FINE]
