"""Bags: the file as bytes, and bags that are well formed around what is wrong in them."""

from __future__ import annotations

import itertools
import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack

from bus.bag import BadBag, BagReader, BagWriter
from bus.bag.check import check
from bus.bag.convert import to_csv, to_json
from bus.bag.cut import BadCut, cut
from bus.bag.latched import LatchedState
from bus.bag.plain import BadPayload, unpack
from bus.bag.quota import kept
from bus.bag.recover import recover
from bus.bag.types import known_types
from bus.node import BadParameter
from bus.replay import NotReplayable, replay
from bus.replay.decisions import Decision, Decisions
from bus.replay.expected import changes
from bus.trace import BadTrace, Kind, TraceWriter
from schemas import grammar, topics
from schemas.codec import codec
from schemas.grammar import definition, describe, hash_of, json_schema_of, match
from schemas.machine import MachineState, SignalBlock, Signals
from schemas.system import LogLevel, LogRecord, TraceBlock
from tests.bus.bag.bags import small
from tests.bus.toys.talk import KEPT, SAID, Word
from tests.soak.fuzz_bus import ROGUE, Everything, rogue_entry
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import Target, scratch
from tests.soak.fuzz_wire import example

WORDS = (
    b"\x89MCAP0\r\n",
    b"definition",
    b"publisher_id",
    b"zstd",
    b"lz4",
    b"\x05",
    b"\x06",
    b"\x0f",
    b"\x02",
    bytes(8),
    b"{}",
    b"[" * 2000,
)


def _bags(folder: Path) -> list[bytes]:
    """Small bags: closed, left open, empty, compressed; without checksums, so that a change inside is looked at."""
    made = []
    for n, (blocks, close, states) in enumerate(((2, True, True), (2, False, True), (0, True, True), (1, True, False))):
        path = folder / f"seed{n}.mcap"
        writer = small(path, blocks, chunk_bytes=10**6, close=close, states=states)
        if not close:
            writer.flush()
            writer.abandon()
        made.append(path.read_bytes())
        path.unlink()
    return made + [_plain(folder, close=close) for close in (True, False)]


def _plain(folder: Path, *, close: bool) -> bytes:
    """A bag with its chunks as they are, and zero for every CRC."""
    path = folder / "plain.mcap"
    with BagWriter(path, compress=False) as out:
        out.node({"name": "n", "publishes": [], "definitions": {}})
        for cls in (Word, SignalBlock):
            channel = out.channel(f"vmc1/{cls.__name__.lower()}", "n", 7, definition(cls), "LATCHED", first_seq=1)
            for seq in (1, 2):
                out.write(channel, seq, seq * 1000, seq, codec(cls).encode(example(cls)))
        out.repeated(1)
        out.attach("a", "b", b"c", 1)
        out.flush()
        if not close:
            out.abandon()
    data = path.read_bytes()
    path.unlink()
    at, out_data = 8, bytearray(data)
    while at + 9 <= len(data):
        opcode, length = struct.unpack_from("<BQ", data, at)
        if opcode == 6:
            out_data[at + 9 + 24 : at + 9 + 28] = bytes(4)
        elif opcode == 0x0F:
            out_data[at + 9 : at + 13] = bytes(4)
        elif opcode == 0x02:
            out_data[at + 9 + 16 : at + 9 + 20] = bytes(4)
        at += 9 + length
    return bytes(out_data)


def _file(name: str, act: Callable[[Path], object], *allowed: type[BaseException]) -> Target:
    folder = scratch()
    path = folder / "x.mcap"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        act(path)

    return Target(name, run, (BadBag, *allowed), _bags(folder), Grammar("bytes", 0, WORDS))


def _look(path: Path) -> None:
    with BagReader(path) as bag:
        assert bag.info.messages >= 0
        state = LatchedState()
        for message in bag.messages(skip_damaged=True):
            state.note(message)
        state.messages()
        bag.attachments()
        assert bag.repeated >= 0
        bag.nodes()
        bag.lost()


def _check(path: Path) -> None:
    report = check(path)
    json.dumps([p.text for p in report.problems])
    if sum(len(p.text) for p in report.problems) > 200_000:
        raise AssertionError("a report without a bound")


def bag_read() -> Target:
    """Opening a bag, and everything it holds."""
    return _file("bag_read", _look)


def bag_check() -> Target:
    """`rise bag check`: whatever it is, the report says so."""

    return _file("bag_check", _check)


def bag_recover() -> Target:
    """Closing what a dead recorder left: afterwards it is closed, and no worse than before."""

    def act(path: Path) -> None:
        if recover(path):
            with BagReader(path) as bag:
                if not bag.finished:
                    raise AssertionError(f"recovered and not closed: {bag.info.note}")
        kept(path)

    return _file("bag_recover", act)


def _others(folder: Path) -> list[Callable[[Path], object]]:
    """What is made of a bag, into a folder of its own."""

    def fresh(name: str) -> Path:
        for left in folder.glob("*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        return folder / name

    folder.mkdir()
    return [
        lambda path: cut(path, fresh("cut.mcap"), skip_damaged=True),
        lambda path: cut(path, fresh("node.mcap"), node="n"),
        lambda path: to_csv(path, fresh("csv")),
        lambda path: to_json(path, fresh("json.mcap")),
        kept,
    ]


def bag_others() -> Target:
    """Cutting and converting a bag, by turns."""
    turns = itertools.cycle(_others(scratch() / "out"))
    return _file("bag_others", lambda path: next(turns)(path), BadCut, OSError)


def bag_content() -> Target:
    """A sound file around anything: rows [topic, publisher, id, definition, qos, seq, log, publish, payload, words]."""
    folder = scratch()
    path = folder / "x.mcap"
    turns: Iterator[Callable[[Path], object]] = itertools.cycle((_look, _check, *_others(folder / "out")))

    def run(data: bytes) -> None:
        try:
            entry, rows = msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")
            path.unlink(missing_ok=True)
            with BagWriter(path, compress=False) as out:
                out.metadata("node:n", {"entry": entry})
                out.repeated(1)
                for topic, publisher, id_, defined, qos, seq, log_ns, publish_ns, payload, words in rows[:8]:
                    channel = out.channel(
                        topic, publisher, id_, definition(Word), qos, metadata=words | {"definition": defined}
                    )
                    out.write(
                        channel,
                        seq,
                        log_ns,
                        publish_ns,
                        payload if isinstance(payload, bytes) else msgpack.packb(payload),
                    )
        except Exception:  # what cannot be written is no input
            return
        next(turns)(path)

    def row(topic: str, cls: Any, qos: str, seq: int, **words: str) -> list[Any]:
        payload = msgpack.unpackb(codec(cls).encode(example(cls)))
        return [topic, "n", 7, json.dumps(definition(cls)), qos, seq, 1000 * seq, seq, payload, words]

    lost = known_types()["LostMessages"]
    rows = [
        [row("vmc1/machine/state", MachineState, "LATCHED", 1), row("vmc1/machine/samples", SignalBlock, "SENSOR", 1)],
        [row("vmc1/machine/signals", Signals, "LATCHED", 1), row("vmc1/machine/samples", SignalBlock, "SENSOR", 2)],
        [row("bag/lost", lost, "EVENT", 1), row("talk/kept", Word, "LATCHED", 3, key="text")],
        [row("talk/kept", Word, "LATCHED", n) for n in (3, 9, 2)],
    ]  # fmt: skip
    entry = json.dumps(
        {"name": "n", "publishes": [{"name": "vmc1/machine/state"}], "subscribes": [{"name": "*/machine/samples"}]}
    )
    seeds = [msgpack.packb([entry, r]) for r in rows]
    return Target("bag_content", run, (BadBag, BadCut, OSError), seeds, Grammar("msgpack", 0))


def definitions() -> Target:
    """A message type as somebody else defines it: compared, described, read by."""
    mine = [definition(cls) for cls in (Word, MachineState, SignalBlock)]
    payloads = [codec(cls).encode(example(cls)) for cls in (Word, MachineState, SignalBlock)]

    def run(data: bytes) -> None:
        from bus.cli.show_values import lines, units
        from schemas.definition import check_definition

        theirs = check_definition(json.loads(data))
        hash_of(theirs)
        describe(theirs)
        json_schema_of(theirs)
        units(theirs)
        for one, payload in zip(mine, payloads, strict=True):
            match(one, theirs)
            list(lines(msgpack.unpackb(payload), theirs))
            try:
                unpack(theirs, payload)
            except BadPayload:
                continue

    seeds = [json.dumps(definition(cls)).encode() for _, cls in sorted(known_types().items())]
    return Target("definitions", run, (ValueError, RecursionError), seeds, Grammar("json", 0, (b'"tuple"', b'"unit"')))


def defined_type() -> Target:
    """A class made of somebody else's definition."""
    from bus.cli.defined_types import message_type
    from schemas.definition import BadDefinition, check_definition

    def run(data: bytes) -> None:
        try:
            theirs = check_definition(json.loads(data))
        except (ValueError, RecursionError):
            return
        try:
            message_type(theirs)
        finally:
            for known in (grammar.fields, grammar._definition_json):  # a command makes a few classes, not a million
                known.cache_clear()

    seeds = [json.dumps(definition(cls)).encode() for cls in (MachineState, SignalBlock, Word)]
    words = (b"copy", b"model_config", b"_x", b"class", b"a b", b"__init__", b"json")
    return Target("defined_type", run, (BadDefinition,), seeds, Grammar("json", 0, words))


def replayed() -> Target:
    """Lock-step replay of a bag whose trace and messages may be anything: [trace records, messages]."""
    path = scratch() / "x.mcap"
    kinds = [int(k) for k in Kind]

    def run(data: bytes) -> None:
        try:
            parameters, records, messages = msgpack.unpackb(
                data, strict_map_key=False, unicode_errors="surrogateescape"
            )
            path.unlink(missing_ok=True)
            writer = TraceWriter(lambda: parameters)
            for kind, name, now_ns, id_, seq, payload in records[:20]:
                writer.record(kinds[kind] if 0 <= kind < len(kinds) else kind & 255, name, now_ns, id_, seq, payload)
            with BagWriter(path, compress=False) as out:
                out.node(json.loads(NODE))
                for topic, seq, log_ns, payload in messages[:20]:
                    channel = out.channel(topic, "rogue", ROGUE, definition(Word), "EVENT")
                    out.write(channel, seq, log_ns, log_ns, payload)
                block = writer.take()
                if block is not None:
                    channel = out.channel("everything/trace", "everything", 5, definition(TraceBlock), "EVENT")
                    out.write(channel, 1, 10**9, 10**9, codec(TraceBlock).encode(block))
        except Exception:  # what cannot be written is no input
            return
        replay(Everything, path)

    word = codec(Word).encode(Word(number=1, text="x"))
    name = f"on_said {SAID.name}"
    records = [
        [0, "on_configure", 1, 5, 0, b""],
        [1, name, 2, ROGUE, 1, b""],
        [1, f"on_kept {KEPT.name}", 3, ROGUE, 1, b""],
    ]
    payloads = _trace_payloads()
    records += [[k, n, 4, ROGUE, 1, p] for (k, n), p in zip(payloads, payloads.values(), strict=True)]
    messages = [[SAID.name, 1, 10, word], [KEPT.name, 1, 20, word]]
    seeds = [msgpack.packb(["{}", records, messages]), msgpack.packb(["", records[:3], messages])]
    allowed = (BadBag, NotReplayable, BadTrace, BadParameter)
    return Target("replayed", run, allowed, seeds, Grammar("msgpack"))


NODE = json.dumps({**json.loads(rogue_entry(5, "everything").to_json()), "target": "tests.soak.fuzz_bus:Everything"})


def _trace_payloads() -> dict[tuple[int, str], bytes]:
    from bus import trace
    from bus.node import Lost, Source
    from tests.bus.toys.talk import Answer, Question

    link = trace.pack_link(Lost(Source("n", SAID.name, 3, 1, ROGUE), 1, 2))
    return {
        (2, "on_batched"): trace.pack_batch([("talk/batched", ROGUE, 1)]), (4, f"on_said_link {SAID.name}"): link,
        (5, "answer me"): codec(Question).encode(Question(number=1)),
        (6, "talk/ask_late"): trace.pack_outcome(None, "", codec(Answer).encode(Answer(number=1, pid=1))),
        (11, "talk/ask_late"): codec(Question).encode(Question(number=1)), (9, "x"): b"1",
        (8, "f"): trace.pack_arguments((1,)),
    }  # fmt: skip


def expected() -> Target:
    """The text file with the expected decisions of a bag."""
    path = scratch() / "x.expected.txt"
    record = LogRecord(stamp_ns=10**9, level=LogLevel.INFO, node="n", text="hello, you")
    made = [Decision(topics.LOG.name[1:], LogRecord, codec(LogRecord).encode(record), 10**9 * n) for n in range(3)]
    decisions = Decisions("n", 0, made)

    def run(data: bytes) -> None:
        path.write_bytes(data)
        for line in changes(path, decisions):
            line.encode()

    text = (
        b"# what n decides\n     1.000 s  log  INFO, node n, text 'hello, you'\n600 messages  vmc1 impact/assessment\n"
    )
    return Target(
        "expected", run, (UnicodeDecodeError,), [text, text * 30], Grammar("text", 0, (b"  ", b"\n", b" -> ", b", "))
    )
