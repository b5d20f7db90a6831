"""Where a consumer stands in the log of a publisher, in a file: written after the callback, one write of 30 bytes.

    cursors/<consumer>/<topic>@<publisher>/<log id in hex>      the number of the last event handled, and a CRC

Slashes of names are dots. The file of a log that was replaced stays for a while: it may come back.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

from bus.durable.syncer import SyncedFile, Syncer

LOGS_MAX = 8
"""logs of one publisher and topic that a consumer remembers"""
_NAME = re.compile(r"[0-9a-f]{16}")


def folder_of(root: Path, consumer: str, topic: str, publisher: str) -> Path:
    """Where the cursors of a consumer in the logs of a publisher's topic are."""
    return root / "cursors" / dotted(consumer) / f"{dotted(topic)}@{dotted(publisher)}"


def dotted(full_name: str) -> str:
    """A full name as one part of a path; names hold no dots."""
    return full_name.replace("/", ".")


def known(folder: Path) -> Mapping[int, int]:
    """By the id of a log the number of the last event handled. Raises OSError.

    0 for a file that is damaged: the log is heard again from its beginning, rather than something of it never.
    """
    found = {}
    try:
        for entry in os.scandir(folder):
            if _NAME.fullmatch(entry.name):
                found[int(entry.name, 16)] = _parse(Path(entry.path).read_bytes())
    except FileNotFoundError:
        return {}
    return found


def _line(seq: int) -> bytes:
    plain = b"%020d" % seq
    return plain + b" %08x\n" % crc32(plain)


def _parse(data: bytes) -> int:
    plain = data[:20]
    return int(plain) if data == _line(int(plain) if plain.isdigit() else 0) else 0


class CursorFile:
    """The cursor in one log. Raises OSError when the file cannot be made."""

    def __init__(self, folder: Path, log_id: int, syncer: Syncer) -> None:
        self._syncer = syncer
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{log_id:016x}"
        is_new = not path.exists()
        self._file: SyncedFile = syncer.open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if is_new:
            _forget_old(folder)
            syncer.sync_directory(folder)

    def write(self, seq: int) -> None:
        """The event of this number has been handled. Raises OSError."""
        os.pwrite(self._file.fd, _line(seq), 0)
        if not self._file.dirty:
            self._syncer.dirty(self._file)

    def retire(self) -> None:
        """Nobody writes it any more, and others are."""
        self._syncer.retire(self._file)

    def close(self) -> None:
        """After `Syncer.stop`."""
        os.close(self._file.fd)


def _forget_old(folder: Path) -> None:
    paths = sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), key=lambda p: p.stat().st_mtime_ns)
    for path in paths[:-LOGS_MAX]:
        with contextlib.suppress(OSError):
            path.unlink()
