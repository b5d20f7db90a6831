"""Text from people and files: entries, site files, command lines, parameters, column maps, tables, JSON messages."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import click

from bus import clock, ofd
from bus.arguments import convert, value_of
from bus.cli import show_values
from bus.cli.known_types import message_from, message_types
from bus.discovery import Directory, Entry, NameTaken
from bus.entry import BadEntry, ServiceEntry, TopicEntry
from bus.node import BadParameter, Node
from bus.plan import load
from bus.run import BadCommand, parse
from bus.site import read_site
from bus.target import BadTarget, node_class
from nodes.sensory_cortex.columns import BadColumnMap, ColumnMap, column_map, toml_map
from nodes.sensory_cortex.drivers.recording import table_chunks
from schemas.base import Message
from schemas.codec import codec
from schemas.grammar import definition
from schemas.machine import MachineState, SignalBlock
from schemas.names import BadName, check_name, resolve
from schemas.system import Diagnostics
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import Target, scratch
from tests.soak.fuzz_wire import example

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
SHIPPED = ("nodes.sensory_cortex", "nodes.impact_cortex", "nodes.recorder", "nodes.console")


def text_of(data: bytes) -> str:
    """Any bytes as what Python makes of an argument or file name: lone surrogates where they are no UTF-8."""
    return data.decode("utf-8", "surrogateescape")


def entry_text() -> str:
    """An entry with something in everything."""
    topic = TopicEntry("vmc1/machine/state", "MachineState", "0123456789abcdef", "LATCHED", "k")
    service = ServiceEntry("vmc1/machine/stop", "A", "0" * 16, "B", "1" * 16, True, False)
    entry = Entry(
        "vmc1/spindle", "vmc1", "nodes.x:Y", 12, 1, "host", 2**63, 10**18, True, "wall", False, ("vmc1/spindle",),
        ("ipc:///tmp/x", "tcp://127.0.0.1:5000", "unix:///tmp/y"), ("ipc:///tmp/z",), (topic,), (topic,), (service,),
        (service,), {"a": [1, None]}, {"a": "b"}, {"0123456789abcdef": definition(MachineState)},
    )  # fmt: skip
    return entry.to_json()


JSON_WORDS = (b"{", b"[", b'"', b"\\ud800", b"\\u0000", b"NaN", b"1e999", b"-", b"null", b"[" * 2000, b"9" * 5000)


def entry() -> Target:
    """What a node says about itself."""

    def run(data: bytes) -> None:
        found = Entry.from_json(data)
        again = Entry.from_json(found.to_json())
        if again.to_json() != found.to_json():
            raise AssertionError("an entry that is written and read is another one")

    seeds = [entry_text().encode(), b'{"version":1,"name":"a"}']
    return Target("entry", run, (BadEntry,), seeds, Grammar("json", 0, JSON_WORDS))


def anchor() -> Target:
    """The domain's time anchor: what stands there is taken, or written anew."""
    path = scratch() / "anchor.json"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        found, file = clock.anchor(path)
        file.close()
        if abs(found - clock.offset_ns()) > clock.RENEW_STEP_NS:
            raise AssertionError(f"an anchor of {found}")

    good = {"anchor_ns": clock.offset_ns(), "boot_id": clock.boot_id(), "written_ns": 1}
    return Target("anchor", run, (), [json.dumps(good).encode()], Grammar("json", 0, JSON_WORDS))


def register() -> Target:
    """Files in the folder of a domain: their names up to the first zero byte, and what stands in them."""
    directory = Directory("fuzz", scratch())
    directory.watch()
    nodes = directory.path / "nodes"
    held = ofd.LockFile(nodes / "a.lock")
    held.lock(ofd.EXCLUSIVE, 0)

    def run(data: bytes) -> None:
        name, _, content = data.partition(b"\0")
        name = name.replace(b"/", b"")[:200] or b"a.json"
        if name in (b".", b"..", b"a.lock"):
            name = b"a.json"
        path = os.fsencode(nodes) + b"/" + name
        with open(path, "wb") as file:
            file.write(content)
        directory.changes()
        directory.sweep()
        entries = directory.entries()
        if len(directory.problems) > 200 or any(len(p) > 2000 for p in directory.problems):
            raise AssertionError("problems without a bound")
        directory.problems.clear()
        if set(entries) - {"a"}:
            raise AssertionError(f"nobody holds {sorted(entries)}")
        if os.path.lexists(path):
            os.unlink(path)
        directory.changes()

    def close() -> None:
        held.close()
        directory.close()

    text = entry_text().replace("vmc1/spindle", "a").encode()
    names = (b"a.json\0", b"a.0123456789abcdef.left\0", b"b.json\0", b".x\0", b"b.lock\0", b"a\xff.json\0")
    seeds = [name + text for name in names]
    return Target("register", run, (NameTaken,), seeds, Grammar("bytes", 0, (*JSON_WORDS, *names)), close=close)


SITE = b"""
[machines.vmc1]
mode = "STOP" # OBSERVE
[machines.vmc1.impact_cortex]
limit_pct = 90.0
x = [1, {a.b = 2020-01-01T00:00:00Z}, 'y']
[nodes."recorder"]
quota_gb = 5
text = \"\"\"
[  not a table
\"\"\"
"""
TOML_WORDS = (b"[[", b"]]", b"{", b"}", b"'''", b'"""', b" = ", b"." * 9, b"a." * 900, b"[" * 2000, b"\\u0000",
              b"9" * 5000, b"1979-05-27T07:32:00Z", b" " * 3000, b"\xef\xbb\xbf", b"\r")  # fmt: skip


def site() -> Target:
    """A site file: never an exception, only mistakes."""
    path = scratch() / "site.toml"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        read_site(path)

    return Target("site", run, (), [SITE, (LAUNCH / "site.toml").read_bytes()], Grammar("text", 0, TOML_WORDS))


class _Word(StrEnum):
    ONE = "one"
    TWO = "two"


WANTED: tuple[Any, ...] = (
    int, float, bool, str, Path, _Word, Literal["a", "b"], int | None, float | None, tuple[int, ...], Any
)  # fmt: skip


def argument() -> Target:
    """A launch argument's text: the first byte picks the type that launch() declares."""

    def run(data: bytes) -> None:
        text = text_of(data[1:])
        convert(text, WANTED[data[0] % len(WANTED)] if data else int)
        value_of(text)

    seeds = [b"\0001", b"\x011.5", b"\2true", b"\5ONE", b"\6a", b"\x07none", b"\x03[1, 2]", b"\x04/x"]
    return Target("argument", run, (ValueError,), seeds, Grammar("bytes", 1, JSON_WORDS), wordy=True)


FILE = '''
from bus.launch import Process
def launch(a: int = 1, b: float = 1.0, c: bool = True, d: str = "", e: int | None = None):
    """Every type."""
    yield Process("nodes.recorder", name=d or "x", parameters={"split_s": b, "vibration": c})
'''


def launch() -> Target:
    """`rise launch FILE name:=value ... -p NODE.PARAMETER=VALUE`: never an exception, only mistakes."""
    path = scratch() / "some.py"
    path.write_text(FILE)

    def run(data: bytes) -> None:
        words = [text_of(w) for w in data.split(b"\0")]
        plan = load(path, [w for w in words if ":=" in w], overrides=[w for w in words if ":=" not in w])
        for mistake in plan.mistakes:
            if not str(mistake):
                raise AssertionError("a mistake without a word")
        for node in plan.nodes():
            for given in node.parameters.values():
                json.dumps(given.value)

    seeds = [b"a:=1\0b:=2.5\0c:=no\0d:=y\0e:=none", b"x.split_s=3\0x.include=[1]", b"nonsense"]
    return Target("launch", run, (), seeds, Grammar("bytes", 0, (b":=", b"=", b".", b"\0", *JSON_WORDS)))


def node_command() -> Target:
    """The command line of a node process, less what it names to be imported."""

    def run(data: bytes) -> None:
        words = [text_of(w) for w in data.split(b"\0")]
        parse(["nodes.recorder" if "." in w and not w.startswith("-") and "=" not in w else w for w in words])

    seeds = [b"--domain\0d\0nodes.recorder\0--name\0n\0-p\0a=1\0-r\0x:=y\0+\0nodes.recorder\0--namespace\0v"]
    words = (b"\0-p\0", b"\0-r\0", b"\0+\0", b"\0--name\0", *JSON_WORDS)
    return Target("node_command", run, (BadCommand, BadTarget, BadName), seeds, Grammar("bytes", 0, words), wordy=True)


def name() -> Target:
    """A name of a node, topic, service or namespace."""

    def run(data: bytes) -> None:
        text = text_of(data)
        if check_name(text) != text or not text.isascii() or len(text) > 200:
            raise AssertionError(f"{text!r} passed for a name")
        resolve(text, "vmc1").encode("ascii")

    seeds = [b"vmc1/machine/state", b"/log", b"_x9", b"a" * 200]
    return Target("name", run, (BadName,), seeds, Grammar("bytes", 0, (b"/", b"//", b"\n", b"A", b"\xc3\xa9")))


def parameter() -> Target:
    """A parameter's value as JSON: the first byte picks one of those of the nodes that exist."""
    classes: list[type[Node]] = [node_class(target) for target in SHIPPED]
    declared = [p for cls in classes for p in cls.interface.parameters.values()]

    def run(data: bytes) -> None:
        one = declared[data[0] % len(declared)] if data else declared[0]
        try:
            value = json.loads(data[1:])
        except (ValueError, RecursionError):
            return
        json.dumps(one.check(value))

    seeds = [bytes((n,)) + json.dumps(p.default).encode() for n, p in enumerate(declared)]
    return Target("parameter", run, (BadParameter,), seeds, Grammar("json", 1, JSON_WORDS))


MAP = {
    "delimiter": ",", "stamp_column": "time", "stamp_unit": "s", "arrival_pattern": r"\d+:\d+", "skip_pattern": "#",
    "motion_column": "m", "motions": {"a": "FEED", "b": "RAPID"}, "motion_default": "UNKNOWN", "block_column": 3,
    "source": "drive", "topic": "machine/samples", "model": "x",
    "columns": {"x_mm": "X", "y_mm": {"column": 1, "scale": 2.0, "offset": 1},
                "z": {"column": 2, "type": "T", "unit": "u"}},
}  # fmt: skip


def columns() -> Target:
    """A column map as the plain data of a parameter; what is taken for one can be used."""

    def run(data: bytes) -> None:
        try:
            table = json.loads(data)
        except (ValueError, RecursionError):
            return
        if not isinstance(table, dict):
            return  # the parameter's own check refuses it
        made = column_map(table)
        if made.stamp_column is None and made.period_ns <= 0:
            raise AssertionError(f"rows {made.period_ns} ns apart")

    period = {"period_ms": 100, "columns": {"x_mm": 0}}
    seeds = [json.dumps(MAP).encode(), json.dumps(period).encode()]
    return Target("columns", run, (BadColumnMap,), seeds, Grammar("json", 0, JSON_WORDS), wordy=True)


def columns_toml() -> Target:
    """A column map as a file."""
    seeds = [path.read_bytes() for path in LAUNCH.glob("*.toml") if path.name != "site.toml"]

    def run(data: bytes) -> None:
        toml_map(data.decode("utf-8", "replace"), "map.toml")

    return Target("columns_toml", run, (BadColumnMap,), seeds, Grammar("text", 0, TOML_WORDS), wordy=True)


def maps() -> Iterator[ColumnMap]:
    """Ways of reading a table."""
    stamps: list[dict[str, Any]] = [{"period_ms": 1.0}]
    stamps += [{"stamp_column": 0, "stamp_unit": unit} for unit in ("s", "ms", "ns", "iso")]
    for stamp in stamps:
        for delimiter in (",", "whitespace", "\t"):
            named = {**stamp, "delimiter": delimiter, "columns": {"x_mm": "x", "y_mm": {"column": "y", "scale": 1e300}}}
            yield column_map(named)
            yield column_map({**stamp, "delimiter": delimiter, "columns": {"x_mm": 1, "y_mm": 2}})
    yield column_map(
        {"period_ms": 1.0, "arrival_pattern": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", "columns": {"x_mm": 0}}
    )


def table() -> Target:
    """A table of recorded rows: the first byte picks the map. What is read travels."""
    path = scratch() / "table.csv"
    known = list(maps())

    def run(data: bytes) -> None:
        path.write_bytes(data[1:])
        for chunk in table_chunks(path, known[data[0] % len(known)] if data else known[0], skip_bad=True):
            codec(type(chunk)).encode(chunk)
            if len(chunk.text) > 2000:
                raise AssertionError(f"a text of {len(chunk.text)} characters")

    rows = (b"t,x,y\n0.0,1,2\n0.1,,nan\n1e18,3,4\n", b"t x y\n1 2 3\n2 3 4\n",
            b"2020-01-01T00:00:00,1,2\n2020-01-01 00:00:01,2,3\n",
            b'1,"2",3\n2,"3\r4",5\n', b"2020-01-01 00:00:00.5\n1\n2\n2020-01-01 00:00:01.0 3\n")  # fmt: skip
    seeds = [bytes((n,)) + row for row in rows for n in range(len(known))]
    words = (
        b",",
        b"\n",
        b"\r",
        b'"',
        b"\0",
        b"nan",
        b"inf",
        b"1e308",
        b"9" * 30,
        b"-9223372036854775808",
        b"0001-01-01",
    )
    return Target("table", run, (), seeds, Grammar("bytes", 1, words))


def show() -> Target:
    """`rise topic echo`: a message of any type, with its definition or without; the first byte says."""
    defined = (None, definition(SignalBlock), definition(MachineState), definition(Diagnostics))
    types: tuple[type[Message], ...] = (SignalBlock, SignalBlock, MachineState, Diagnostics)
    paths = itertools.cycle(("data", "data.shape.0", "topics.0.lost", "findings.²", "a.a.a", "stamp_ns"))

    def run(data: bytes) -> None:
        how = data[0] if data else 0
        of = defined[how % 4]
        message = show_values.unpack(data[1:])
        full = bool(how & 4)
        for line in show_values.lines(message, of, full=full):
            line.encode("utf-8", "replace")
        json.dumps(show_values.plain_message(message, of, full=full))
        path = next(paths)
        try:
            value, wire, unit = show_values.pick(message, of, path)
        except show_values.BadPath:
            return
        list(show_values.value_lines(path, value, wire, unit, full=full))
        show_values.plain(value, wire, full=full)

    seeds = [bytes((n + 4 * f,)) + codec(t).encode(example(t)) for n, t in enumerate(types) for f in (0, 1)]
    return Target("show", run, (show_values.Unreadable,), seeds, Grammar("msgpack", 1))


def message_json() -> Target:
    """`rise topic pub`, `rise service call`: a message from JSON; what is taken can be sent."""
    types = [t for _, t in sorted(message_types().items())]

    def run(data: bytes) -> None:
        kind = types[data[0] % len(types)] if data else types[0]
        message = message_from(kind, text_of(data[1:]), stamp_ns=1)
        codec(kind).encode(message)

    seeds = [bytes((n,)) + example(t).model_dump_json().encode() for n, t in enumerate(types)]
    return Target("message_json", run, (click.UsageError,), seeds, Grammar("json", 1, JSON_WORDS), wordy=True)
