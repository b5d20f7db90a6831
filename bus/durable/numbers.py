"""Which numbers of a log may have been given: the one file of a log that is overwritten in place.

The tail of a log may be gone while consumers have it: a power failure takes what was not yet on the disk, a full disk
refuses what was sent all the same. A number given twice would make such a consumer pass over the second event. So this
file, on the disk before a number is used, says up to where numbers may have been given, and whoever cannot know better
goes on behind it. Overwriting one line needs no room on the disk, and a sector is written whole or not at all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Self
from zlib import crc32

SECOND_AT = 512
"""the line stands here too, in a sector of its own"""
CLEAN = "c"
"""closed in good order: `reserved` is the last number given"""
OPEN = "o"
REFUSED = "r"
"""the disk took no record: numbers behind the log's last one have been given"""


class Numbers(NamedTuple):
    """The line of the file."""

    log_id: int
    boot_id: str
    """of the boot of this computer in which it was written: a log cut within one boot was cut in mid-write"""
    first: int
    """the first number of this life of the publisher: what is below may have been given by earlier ones"""
    reserved: int
    """numbers up to here may have been given"""
    state: str

    def line(self) -> bytes:
        plain = f"{self.log_id:016x} {self.boot_id:36} {self.first:020d} {self.reserved:020d} {self.state}".encode()
        return plain + f" {crc32(plain):08x}\n".encode()

    @classmethod
    def parse(cls, line: bytes) -> Self | None:
        """None for anything but a whole line."""
        plain, _, crc = line.rpartition(b" ")
        try:
            log_id, boot_id, first, reserved, state = plain.decode("ascii").split()
            if int(crc, 16) != crc32(plain) or state not in (CLEAN, OPEN, REFUSED):
                return None
            return cls(int(log_id, 16), boot_id, int(first), int(reserved), state)
        except ValueError:
            return None


def boot_id() -> str:
    """Another one after every start of the computer; `unknown` where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def read(path: Path) -> Numbers | None:
    """What the file says; None when there is none, or it is damaged. Raises OSError."""
    try:
        data = path.read_bytes()[: SECOND_AT + 512]
    except FileNotFoundError:
        return None
    found = [Numbers.parse(part.partition(b"\n")[0]) for part in (data, data[SECOND_AT:])]
    return max((n for n in found if n is not None), key=lambda n: n.reserved, default=None)


def write(fd: int, numbers: Numbers) -> None:
    """Overwrite the line, both times. Raises OSError."""
    line = numbers.line()
    os.pwrite(fd, line, 0)
    os.pwrite(fd, line, SECOND_AT)
