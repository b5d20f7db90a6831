"""Which bags go when there are too many. The choice is pure; what a bag was for stands in its own metadata."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bus.bag.reader import BagReader
from bus.bag.records import BadBag
from schemas.codec import DecodeError, codec
from schemas.machine import Execution, MachineState

WORDS = "recording"
"""the metadata record in which a recorder says what the bag was for"""
RUN, BLACK_BOX = "run", "black_box"
DEFAULT_BYTES = 5_000_000_000
DEFAULT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Kept:
    """A closed bag as the quota sees it."""

    path: Path
    size_bytes: int
    end_ns: int
    kind: str
    """run or black_box"""
    cutting: bool
    """a machine was ACTIVE in it"""
    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deletion:
    """A bag that goes, and why it and not another."""

    bag: Kept
    reason: str


def limit_bytes(quota_gb: float, disk_bytes: int) -> int:
    """What the bags may take together: as said, else the smaller of 5 GB and 10 % of the disk."""
    return int(quota_gb * 1e9) if quota_gb > 0 else min(DEFAULT_BYTES, int(disk_bytes * DEFAULT_SHARE))


def to_delete(bags: Iterable[Kept], quota_bytes: int, retention_days: float, now_ns: int) -> tuple[list[Deletion], int]:
    """What must go so that the rest fits, in order, and the bytes by which it still does not.

    Idle bags go first, then those that no run links to, then linked ones past retention, black boxes past it last; in
    each group the oldest. What is linked or a black box and within retention never goes.
    """
    held = list(bags)
    used = sum(bag.size_bytes for bag in held)
    going: list[Deletion] = []
    for next_one in in_order(held, retention_days, now_ns):
        if used <= quota_bytes:
            break
        going.append(Deletion(next_one.bag, f"quota of {quota_bytes / 1e9:.2f} GB: {next_one.reason}"))
        used -= next_one.bag.size_bytes
    return going, max(0, used - quota_bytes)


def in_order(bags: Iterable[Kept], retention_days: float, now_ns: int) -> list[Deletion]:
    """All that may go at all, what goes first in front."""
    old_ns = now_ns - int(retention_days * 86_400e9)
    ranked: list[tuple[int, int, Kept, str]] = []
    for bag in bags:
        old = bag.end_ns < old_ns
        if bag.kind == BLACK_BOX:
            if old:
                ranked.append((3, bag.end_ns, bag, f"black box older than {retention_days:g} days"))
        elif not bag.cutting:
            ranked.append((0, bag.end_ns, bag, "idle: no machine cut"))
        elif not bag.run_ids:
            ranked.append((1, bag.end_ns, bag, "unlinked: belongs to no run"))
        elif old:
            ranked.append((2, bag.end_ns, bag, f"linked to a run, older than {retention_days:g} days"))
    ranked.sort(key=lambda r: (r[0], r[1], str(r[2].path)))
    return [Deletion(bag, reason) for _, _, bag, reason in ranked]


def words(kind: str, cutting: bool, run_ids: Iterable[str], reason: str = "") -> dict[str, str]:
    """What a bag says of itself."""
    return {"kind": kind, "cutting": str(int(cutting)), "run_ids": " ".join(run_ids), "reason": reason}


def kept(path: Path) -> Kept:
    """A bag as the quota sees it; one whose recorder died says it by its machine states.

    Raises:
        BadBag: it is none.
    """
    with BagReader(path) as bag:
        said = bag.metadata().get(WORDS)
        if said is None:
            said = said_by_states(bag)
        return Kept(
            path,
            bag.size_bytes,
            bag.end_ns,
            said.get("kind", RUN),
            said.get("cutting") == "1",
            tuple(said.get("run_ids", "").split()),
        )


def said_by_states(bag: BagReader) -> dict[str, str]:
    """The words for a bag that has none, from the machine states in it."""
    runs: dict[str, None] = {}
    cutting = False
    for message in bag.messages(topics=lambda topic: topic.endswith("machine/state"), skip_damaged=True):
        try:
            state = codec(MachineState).decode(message.payload)
        except DecodeError:
            continue
        cutting |= state.execution is Execution.ACTIVE
        if state.run_id:
            runs[state.run_id] = None
    kind = BLACK_BOX if bag.path.name.startswith(BLACK_BOX) else RUN
    return words(kind, cutting, runs)


class Shelf:
    """The closed bags of a folder; each is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[tuple[str, int, int], Kept | None] = {}

    def bags(self, but: Iterable[Path] = ()) -> tuple[list[Kept], int]:
        """Every bag in the folder but some, and the bytes of what is no bag."""
        leave = set(but)
        known: dict[tuple[str, int, int], Kept | None] = {}
        foreign = 0
        for path in sorted(self.folder.glob("*.mcap")):
            if path in leave:
                continue
            try:
                stat = path.stat()
            except OSError:
                continue
            mark = (path.name, stat.st_size, stat.st_mtime_ns)
            try:
                known[mark] = self._known[mark] if mark in self._known else kept(path)
            except FileNotFoundError:
                continue
            except (BadBag, OSError):
                known[mark] = None
            if known[mark] is None:
                foreign += stat.st_size
        self._known = known
        return [k for k in known.values() if k is not None], foreign
