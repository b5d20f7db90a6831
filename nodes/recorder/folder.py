"""The folder the bags are in: names for new ones, what a dead recorder left, the quota."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bus.bag import BadBag, BagReader
from bus.bag.quota import BLACK_BOX, WORDS, Shelf, limit_bytes, said_by_states, to_delete
from bus.bag.recover import BagInUse, being_written, is_finished, recover
from nodes.recorder.settings import Better, Closed, Happened, Identity, Settings, Trouble
from nodes.recorder.tape import Tape
from schemas.machine import ConditionLevel
from schemas.system import BagDeleted, BagSplit


class Folder:
    """Opens, recovers and deletes bags."""

    def __init__(self, settings: Settings, who: Identity, emit: Callable[[Happened], None]) -> None:
        self.path = settings.directory
        self._settings = settings
        self._who = who
        self._emit = emit
        self._shelf = Shelf(self.path)

    def free_bytes(self) -> int:
        """Room on the disk."""
        self.path.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.path).free

    def open(self, kind: str, at_ns: int, reason: str = "", continues: str = "") -> Tape:
        """A new bag, named by when it begins.

        Raises:
            OSError: the disk refuses.
        """
        stamp = datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%S")
        stem = f"{BLACK_BOX}_{stamp}" if kind == BLACK_BOX else f"{stamp}_{self._who.domain}"
        for n in range(1, 10_000):
            name = f"{stem}.mcap" if n == 1 else f"{stem}_{n}.mcap"
            try:
                return Tape(self.path / name, self._who, kind, reason, continues)
            except FileExistsError:
                continue
        raise OSError(f"{self.path}: ten thousand bags named {stem}")

    def tend(self, tapes: Sequence[Tape], now_ns: int) -> tuple[int, int]:
        """Keep the quota, leaving the bags being written alone; bytes used by all, and the quota."""
        quota_bytes = limit_bytes(self._settings.quota_gb, shutil.disk_usage(self.path).total)
        bags, foreign = self._shelf.bags([t.path for t in tapes])
        taken = foreign + sum(t.writer.size_bytes for t in tapes)
        used = taken + sum(b.size_bytes for b in bags)
        days = self._settings.retention_days
        going, over = to_delete(bags, quota_bytes - taken, days, now_ns)
        for deletion in going:
            path, size = deletion.bag.path, deletion.bag.size_bytes
            if not being_written(path):
                os.unlink(path)
                used -= size
                self._emit(BagDeleted(stamp_ns=now_ns, path=str(path), size_bytes=size, reason=deletion.reason))
        if over:
            text = (
                f"bags take more than {quota_bytes / 1e9:.2f} GB, and what is left is younger than {days:g} days: "
                "move bags away, or raise quota_gb"
            )
            self._emit(Trouble("quota", ConditionLevel.WARNING, text))
        else:
            self._emit(Better("quota"))
        return used, quota_bytes

    def recover_all(self) -> None:
        """Close what a dead recorder left."""
        self.free_bytes()
        for path in sorted(self.path.glob("*.mcap")):
            try:
                if not is_finished(path) and not being_written(path):
                    self.recover(path)
            except OSError as error:  # a folder, a link to nothing, a file of somebody else
                self._emit(Trouble("not_recovered", ConditionLevel.WARNING, f"{path}: {error.strerror}"))

    def recover(self, path: Path) -> None:
        """Close one bag; what cannot be closed is said and left as it is."""
        if not path.stat().st_size:
            path.unlink()
            return
        try:
            with BagReader(path) as bag:
                said = said_by_states(bag)
            recover(path, {WORDS: said})
            with BagReader(path) as bag:
                lost, info = bag.lost(), bag.info
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except (BadBag, BagInUse, OSError) as error:
            self._emit(Trouble("not_recovered", ConditionLevel.WARNING, str(error)))
            return
        split = BagSplit(
            stamp_ns=info.end_ns,
            path=str(path),
            sha256=sha256,
            start_ns=info.start_ns,
            end_ns=info.end_ns,
            size_bytes=info.size_bytes,
            run_ids=tuple(said["run_ids"].split()),
            messages=info.messages,
            lost=lost,
            host=self._who.host,
        )
        self._emit(Closed(split, recovered=True))
