"""`rise bag convert`: the same recording for other programs: JSON in MCAP (Foxglove, Lichtblick), or CSV per topic.
Parquet, which needs a package of its own, is in `parquet.py`.

JSON keeps to what those viewers read: an object at the root, no `$ref`, no `anyOf`, no null in a schema. A number that
is no reading is null, bytes are base64, an array is `{dtype, shape, values}`, and a time stamp `stamp_ns` becomes
`stamp` as `{sec, nsec}`.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcap.writer import Writer

from bus.bag.contents import BagMessage, Channel
from bus.bag.format import Progress
from bus.bag.plain import BadPayload, number, numbers, unpack
from bus.bag.reader import BagReader
from schemas.base import Samples
from schemas.grammar import Definition, json_schema_of

FLUSH_BYTES = 1 << 20
_TIME = {
    "type": "object",
    "title": "time",
    "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}},
}
_VALUES = {
    "type": "object",
    "properties": {
        "dtype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "values": {"type": "array", "items": {"type": "number"}},
    },
}


@dataclass(slots=True)
class Converted:
    """What came out."""

    paths: list[str]
    messages: int
    undecodable: int
    """messages that are not of their type: left out"""


# --- JSON ---------------------------------------------------------------------------------------------------------


def viewer_schema(defined: Definition) -> dict[str, Any]:
    """The JSON Schema of a converted message."""
    schema: dict[str, Any] = _viewer(json_schema_of(defined))
    return schema


def _viewer(node: dict[str, Any]) -> dict[str, Any]:
    if set(node.get("properties", ())) == {"dtype", "shape", "data"} and "title" not in node:
        return _VALUES
    made = dict(node)
    if "properties" in node:
        made["properties"] = {
            _time_name(name) or name: _TIME if _time_name(name) else _viewer(inner)
            for name, inner in node["properties"].items()
        }
        if "required" in node:
            made["required"] = [_time_name(name) or name for name in node["required"]]
    if "items" in node:
        made["items"] = _viewer(node["items"])
    return made


def _time_name(name: str) -> str:
    """`stamp` for `stamp_ns`; empty for what is no time stamp."""
    return name[:-3] if name in ("stamp_ns", "start_ns", "end_ns", "now_ns") else ""


def viewer_value(value: Any) -> Any:
    """A field of an unpacked message as the viewers read it."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        made: dict[str, Any] = {}
        for name, inner in value.items():
            if inner is None:
                continue
            if (time := _time_name(name)) and isinstance(inner, int):
                made[time] = {"sec": inner // 1_000_000_000, "nsec": inner % 1_000_000_000}
            else:
                made[name] = viewer_value(inner)
        return made
    if isinstance(value, list):
        return [viewer_value(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Samples):
        return {"dtype": value.dtype, "shape": list(value.array.shape), "values": numbers(value)}
    return value


def to_json(
    source: str | Path,
    target: str | Path,
    *,
    topics: Callable[[str], Any] | None = None,
    progress: Progress | None = None,
    replace: bool = False,
) -> Converted:
    """Write an MCAP file with JSON messages; it appears when it is complete.

    Raises:
        BadBag: the source is none, or damaged.
        FileExistsError: the target is there, and is not to be replaced.
        OSError: no room.
    """
    target = free_path(Path(target), replace)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; give the name of a file")
    if target.resolve() == Path(source).resolve():
        raise FileExistsError(f"{target} is the bag that is read; give another name")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    made = Converted([str(target)], 0, 0)
    try:
        with BagReader(source) as bag, part.open("wb") as file:
            writer = Writer(file)
            writer.start("", "fanuc-rise")
            schemas: dict[tuple[str, str], int] = {}
            channels: dict[int, int] = {}
            for message, values in decoded(bag, topics, progress, made):
                channel = message.channel
                if channel.id not in channels:
                    kind = (channel.type_name, channel.type_hash)
                    if kind not in schemas:
                        text = json.dumps(viewer_schema(channel.definition), ensure_ascii=False)
                        schemas[kind] = writer.register_schema(channel.type_name, "jsonschema", text.encode())
                    words = {k: v for k, v in channel.metadata.items() if k != "definition"}
                    channels[channel.id] = writer.register_channel(channel.topic, "json", schemas[kind], words)
                data = json.dumps(
                    viewer_value(values), ensure_ascii=False, separators=(",", ":"), allow_nan=False
                ).encode()
                writer.add_message(
                    channels[channel.id], message.log_ns, data, message.publish_ns, message.seq & 0xFFFFFFFF
                )
                made.messages += 1
            for name, words in bag.metadata().items():
                writer.add_metadata(name, words)
            for a in bag.attachments():
                writer.add_attachment(0, a.stamp_ns, a.name, a.media_type, a.data)
            writer.finish()  # type: ignore[no-untyped-call] # the library leaves it unannotated
        os.rename(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return made


def decoded(
    bag: BagReader, topics: Callable[[str], Any] | None, progress: Progress | None, made: Converted
) -> Iterator[tuple[BagMessage, dict[str, Any]]]:
    """The messages with their values, told to the progress bar as they go by; what is not of its type is counted."""
    for n, message in enumerate(bag.messages(topics=topics)):
        if progress is not None and n % 1024 == 0:
            progress(n, bag.info.messages)
        try:
            values = unpack(message.channel.definition, message.payload)
        except BadPayload:
            made.undecodable += 1
            continue
        yield message, values


# --- CSV ----------------------------------------------------------------------------------------------------------


def to_csv(
    source: str | Path,
    folder: str | Path,
    *,
    topics: Callable[[str], Any] | None = None,
    progress: Progress | None = None,
    replace: bool = False,
) -> Converted:
    """Write one CSV file per topic (and source) into `folder`: a row per message, or per row of a sample block.
    They appear when all are complete.

    Columns are `log_ns`, `publish_ns`, `publisher`, `seq`, then the fields with their unit in brackets; an array's
    columns carry the names that the machine's `machine/signals` gives them. Lists and bytes are JSON and base64 in
    one cell. No reading is an empty cell.

    Raises:
        BadBag: the source is none, or damaged.
        FileExistsError: a file of that name is there, and is not to be replaced.
        OSError: no room.
    """
    made = Converted([], 0, 0)
    tables: dict[tuple[str, str], _Table] = {}
    try:
        with BagReader(source) as bag:
            folder = made_folder(folder)
            signals = signals_of(bag)
            for message, values in decoded(bag, topics, progress, made):
                key = table_of(message, values)
                table = tables.get(key)
                if table is None:
                    path = free_path(folder / f"{file_stem(key)}.csv", replace)
                    table = tables[key] = _Table(path, message.channel, signals.get(key, []))
                table.add(message, values)
                made.messages += 1
        for table in tables.values():
            table.flush()
        for table in tables.values():
            os.rename(table.part, table.path)
            made.paths.append(str(table.path))
    except BaseException:
        for table in tables.values():
            table.part.unlink(missing_ok=True)
        raise
    return made


def made_folder(folder: str | Path) -> Path:
    """The folder, made where it is not there.

    Raises:
        NotADirectoryError: a file is there.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; give the name of a folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_path(path: Path, replace: bool) -> Path:
    """The path, when a file may be written there.

    Raises:
        FileExistsError: one is there, and is not to be replaced.
    """
    if path.exists() and not replace:
        raise FileExistsError(f"{path} is there already")
    return path


def table_of(message: BagMessage, values: dict[str, Any]) -> tuple[str, str]:
    """Topic and source: one topic may carry several sources, each with columns of its own."""
    return message.topic, str(values["source"]) if samples_of(message.channel) and "source" in values else ""


def file_stem(table: tuple[str, str]) -> str:
    """The name of a table's file, without its ending: a source may have any text for its name."""
    return "".join(c if c.isprintable() and c != "/" else "." for c in ".".join(filter(None, table)))


def samples_of(channel: Channel) -> str:
    """The name of the array field; empty when there is none."""
    return next((str(f["name"]) for f in channel.definition["fields"] if f["type"] == "samples"), "")


def signals_of(bag: BagReader) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Column names and units by (full topic, source), from the latest Signals of every machine."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for message in bag.messages(topics=lambda topic: topic.endswith("machine/signals")):
        namespace = message.topic.removesuffix("machine/signals")
        latest: dict[tuple[str, str], list[tuple[str, str]]] = {}
        try:
            rows = unpack(message.channel.definition, message.payload).get("signals", [])
        except BadPayload:
            continue
        for row in rows:
            named = (str(row["name"]), str(row.get("unit") or ""))
            latest.setdefault((namespace + row["topic"], row["source"]), []).append(named)
        found.update(latest)
    return found


class _Table:
    """One CSV file. Rows collect in memory and are appended, so that a thousand topics need no thousand open files."""

    def __init__(self, path: Path, channel: Channel, signals: list[tuple[str, str]]) -> None:
        self.path = path
        self.part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._columns = list(_columns(channel.definition))
        self._samples = samples_of(channel)
        self._signals = [f"{name} [{unit}]" if unit else name for name, unit in signals]
        self._width = 0
        self._text = io.StringIO(newline="")
        self._write = csv.writer(self._text).writerow
        self.part.open("w").close()

    def add(self, message: BagMessage, values: dict[str, Any]) -> None:
        """One row, or one per row of its array."""
        samples = values.get(self._samples)
        rows = _rows(samples) if isinstance(samples, Samples) else [[]]
        if not self._width:
            self._head(values, len(rows[0]) if rows else 0)
        start = [message.log_ns, message.publish_ns, message.publisher, message.seq]
        start += [_cell(_at(values, path)) for path, _ in self._columns]
        for n, row in enumerate(rows):
            cells = ["" if isinstance(v, float) and math.isnan(v) else v for v in row]
            self._write([*start, n, *cells] if self._samples else start)
        if self._text.tell() > FLUSH_BYTES:
            self.flush()

    def _head(self, values: dict[str, Any], width: int) -> None:
        names = ["log_ns [ns]", "publish_ns [ns]", "publisher", "seq", *(label for _, label in self._columns)]
        if self._samples:
            known = values.get(f"{self._samples}_names") or self._signals
            names += ["row", *(str(known[i]) if i < len(known) else f"{self._samples}[{i}]" for i in range(width))]
        self._width = len(names)
        self._write(names)

    def flush(self) -> None:
        """Append what has collected."""
        with self.part.open("a", newline="", encoding="utf-8") as file:
            file.write(self._text.getvalue())
        self._text.seek(0)
        self._text.truncate()


def _columns(defined: Definition, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for field in defined["fields"]:
        wire = field["type"]
        if wire == "samples":
            continue
        inner = wire.get("optional", wire) if isinstance(wire, dict) else wire
        here = (*path, field["name"])
        if isinstance(inner, dict) and "message" in inner:
            yield from _columns(inner["message"], here)
        else:
            yield here, ".".join(here) + (f" [{field['unit']}]" if field.get("unit") else "")


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return values


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, list):
        return json.dumps(viewer_value(value), ensure_ascii=False)
    return value


def _rows(samples: Samples) -> list[list[Any]]:
    a = samples.array
    wide = a.reshape(a.shape[0], -1) if a.ndim >= 2 else a.reshape(-1, 1)
    rows: list[list[Any]] = wide.tolist()
    return rows
