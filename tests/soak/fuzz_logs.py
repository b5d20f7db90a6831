"""Logs, the cursors in them, and kept values, as whatever ended their last life may have left the files."""

from __future__ import annotations

import msgpack

from bus.durable import cursor as cursors
from bus.durable import kept as kept_values
from bus.durable import numbers
from bus.durable.recovery import recover
from bus.durable.segment import pack_head, pack_header, seed
from bus.durable.segments import records
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import Target, scratch

BOOT, RESERVE = "a" * 36, 1000


def segment(log_id: int, first: int, *seqs: int) -> bytes:
    """A sound one with these numbers."""
    bodies = [pack_head(seed(log_id), n, 10**18, b"frame%d" % n, b"t" * (n % 3)) for n in seqs]
    return pack_header(log_id, first, 10**18) + b"".join(
        head + b"frame%d" % n + b"t" * (n % 3) for head, n in zip(bodies, seqs, strict=True)
    )


def log() -> Target:
    """[the file of numbers, a segment, a segment]: what is there is put right, read, and left in peace when it is."""
    folder = scratch() / "log"
    folder.mkdir()
    names = ("numbers", f"{1:020d}.log", f"{5:020d}.log")

    def run(data: bytes) -> None:
        try:
            files = [part for part in msgpack.unpackb(data, strict_map_key=False) if isinstance(part, bytes)]
        except Exception:  # no input
            return
        for left in folder.iterdir():
            left.unlink()
        for name, content in zip(names, files, strict=False):
            (folder / name).write_bytes(content)
        found = recover(folder, BOOT, RESERVE)
        if not found.segments:
            return
        newest = [record.seq for record in found.segments[-1].records(1, seed(found.log_id))]
        if newest and newest[-1] >= found.next_seq:
            raise AssertionError(f"#{newest[-1]} is in the log, and #{found.next_seq} would be given")
        heard = [record.seq for record in records(folder)]
        # as its publisher does before it gives a number
        line = numbers.Numbers(found.log_id, BOOT, found.next_seq, found.next_seq + RESERVE, numbers.OPEN).line()
        (folder / "numbers").write_bytes(line.ljust(512, b"\0") * 2)
        again = recover(folder, BOOT, RESERVE)
        if again.log_id != found.log_id or again.next_seq < found.next_seq:
            raise AssertionError(f"#{found.next_seq} at first, then #{again.next_seq}")
        if heard != [record.seq for record in records(folder)]:
            raise AssertionError("reading it changed it")

    lines = [numbers.Numbers(7, BOOT, 1, 9, state).line().ljust(512, b"\0") * 2 for state in "cor"]
    seeds = [
        [lines[0], segment(7, 1, 1, 2, 3), segment(7, 5, 5, 6)], [lines[1], segment(7, 1, 1, 2, 4), segment(8, 5, 5)],
        [lines[2], segment(7, 1, 3, 2, 1), segment(7, 5, 6, 2**63, 2**64 - 1)], [b"", segment(7, 1, 1), b""],
        [lines[1], segment(7, 1, 1, 9), segment(7, 5, 5)[:-3]],
    ]  # fmt: skip
    grammar = Grammar("msgpack", 0, (segment(7, 1, 4)[len(pack_header(7, 1, 1)) :], pack_header(7, 5, 1)))
    return Target("log", run, (), [msgpack.packb(files) for files in seeds], grammar)


def cursor() -> Target:
    """A consumer's cursor: a number that stands there, or 0, from which everything is heard again."""
    folder = scratch() / "cursors"
    folder.mkdir()
    path = folder / f"{7:016x}"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        ((log_id, seq),) = cursors.known(folder).items()
        if log_id != 7 or (seq and cursors._line(seq) != data):
            raise AssertionError(f"{seq} of {log_id}")

    return Target("cursor", run, (), [cursors._line(n) for n in (0, 1, 2**63, 10**20 - 1)])


def kept() -> Target:
    """A file of a persisted topic: the value that was written, or none."""

    def run(data: bytes) -> None:
        value = kept_values.parse(data)
        if value is not None and kept_values.pack(*value) != data:
            raise AssertionError(value)

    return Target("kept", run, (), [kept_values.pack(b""), kept_values.pack(b"frame"), kept_values.pack(b"f", b"tail")])
