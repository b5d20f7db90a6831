"""`rise bag convert --to parquet`: one Parquet file per topic (and source), for pandas, DuckDB and the like.

A message is a row; a block of samples is a row per reading, with a column per signal. Nested messages are structs and
tuples are lists. Units stand in the fields' metadata (`unit`), topic, type and definition in the schema's. A number
that is no reading is null. Only here is pyarrow imported, so that nobody else needs it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bus.bag.contents import BagMessage, Channel
from bus.bag.convert import Converted, decoded, file_stem, free_path, made_folder, samples_of, signals_of, table_of
from bus.bag.format import Progress
from bus.bag.plain import numbers
from bus.bag.reader import BagReader
from schemas.base import Samples
from schemas.grammar import Definition

GROUP_BYTES = 8 << 20
"""a table with so much in memory is written as a row group"""
ALL_BYTES = 64 << 20
"""and so is the largest one when all of them hold so much"""
MAX_SIGNALS = 256
"""a block that is wider (an image) is a list in one column"""
MESSAGE_BYTES = 500
"""what an unpacked message takes beside its payload"""
_PLAIN = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string(), "bytes": pa.binary()}
_SAMPLES = pa.struct([("dtype", pa.string()), ("shape", pa.list_(pa.int64())), ("values", pa.list_(pa.float64()))])


def to_parquet(
    source: str | Path,
    folder: str | Path,
    *,
    topics: Callable[[str], Any] | None = None,
    progress: Progress | None = None,
    replace: bool = False,
) -> Converted:
    """Write one Parquet file per topic (and source) into `folder`; they appear when all are complete.

    Columns are `log_ns`, `publish_ns`, `publisher`, `seq`, then the fields (one of those four names is `message.seq`
    there). What travels in several shapes (a newer
    type, other signals) gets further files `.2.parquet` ...

    Raises:
        BadBag: the source is none, or damaged.
        FileExistsError: a file of that name is there, and is not to be replaced.
        OSError: no room.
    """
    made = Converted([], 0, 0)
    tables: dict[tuple[Any, ...], _Table] = {}
    try:
        with BagReader(source) as bag:
            folder = made_folder(folder)
            signals = signals_of(bag)
            held = 0
            for message, values in decoded(bag, topics, progress, made):
                key = table_of(message, values)
                shape = (*key, message.type_hash, _form(message.channel, values))
                table = tables.get(shape)
                if table is None:
                    nth = 1 + sum(other[:2] == key for other in tables)
                    path = free_path(folder / f"{file_stem(key)}{f'.{nth}' if nth > 1 else ''}.parquet", replace)
                    table = tables[shape] = _Table(path, message.channel, shape[-1], signals.get(key, []))
                held -= table.held_bytes
                table.add(message, values)
                if table.held_bytes > GROUP_BYTES:
                    table.write()
                held += table.held_bytes
                if held > ALL_BYTES:
                    largest = max(tables.values(), key=lambda t: t.held_bytes)
                    held -= largest.held_bytes
                    largest.write()
        for table in tables.values():
            table.close()
        for table in tables.values():
            os.rename(table.part, table.path)
            made.paths.append(str(table.path))
            made.messages += table.messages
            made.undecodable += table.refused
    except BaseException:
        for table in tables.values():
            table.abandon()
        raise
    return made


def _form(channel: Channel, values: dict[str, Any]) -> tuple[Any, ...]:
    """How the array of a message becomes columns: not at all, a column per signal, or a list."""
    name = samples_of(channel)
    samples = values.get(name)
    if not isinstance(samples, Samples):
        return ("list", "<f8") if name else ()
    a = samples.array
    width = a.shape[1] if a.ndim == 2 else 1
    # who names its columns in every message may name others in the next
    if a.ndim > 2 or a.ndim < 1 or not 0 < width <= MAX_SIGNALS or f"{name}_names" in values:
        return ("list", samples.dtype)
    return ("rows", samples.dtype, width)


class _Table:
    """One Parquet file being written: messages collect in memory, and are written as a row group."""

    def __init__(self, path: Path, channel: Channel, form: tuple[Any, ...], signals: list[tuple[str, str]]) -> None:
        self.path = path
        self.part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self.messages = 0
        self.refused = 0
        self.held_bytes = 0
        self._form = form
        self._samples = samples_of(channel)
        self._fields = [f for f in channel.definition["fields"] if f["type"] != "samples"]
        self._schema = _schema(channel, self._fields, self._samples, form, signals)
        self._held: list[tuple[BagMessage, dict[str, Any]]] = []
        self._file: pq.ParquetWriter | None = None

    def add(self, message: BagMessage, values: dict[str, Any]) -> None:
        self._held.append((message, values))
        self.held_bytes += len(message.payload) + MESSAGE_BYTES

    def write(self) -> None:
        """What has collected, as a row group."""
        held, self._held = self._held, []
        self.held_bytes = 0
        try:
            batch = self._batch(held)
        except (OverflowError, pa.ArrowInvalid):  # an integer beyond 63 bits: find the messages that hold one
            fitting = [one for one in held if self._fits(one)]
            self.refused += len(held) - len(fitting)
            held, batch = fitting, self._batch(fitting)
        self.messages += len(held)
        if self._file is None:
            self._file = pq.ParquetWriter(self.part, self._schema, compression="zstd")
        if batch.num_rows:
            self._file.write_table(batch, row_group_size=batch.num_rows)

    def _fits(self, one: tuple[BagMessage, dict[str, Any]]) -> bool:
        try:
            self._batch([one])
        except (OverflowError, pa.ArrowInvalid):
            return False
        return True

    def _batch(self, held: list[tuple[BagMessage, dict[str, Any]]]) -> pa.Table:
        messages = [message for message, _ in held]
        columns: list[pa.Array] = [
            pa.array([m.log_ns for m in messages], pa.int64()),
            pa.array([m.publish_ns for m in messages], pa.int64()),
            pa.array([m.publisher for m in messages], pa.string()),
            pa.array([m.seq for m in messages], pa.int64()),
        ]
        for field in self._fields:
            cells = [_cell(values.get(field["name"])) for _, values in held]
            columns.append(pa.array(cells, self._schema.field(len(columns)).type, from_pandas=True))
        if self._form:
            arrays = [values.get(self._samples) for _, values in held]
            columns = self._with_rows(columns, arrays) if self._form[0] == "rows" else self._with_list(columns, arrays)
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _with_rows(self, columns: list[pa.Array], arrays: list[Any]) -> list[pa.Array]:
        lengths = [len(samples.array) for samples in arrays]
        of = pa.array(np.repeat(np.arange(len(arrays)), lengths))
        width = self._form[2]
        rows = np.concatenate([s.array.reshape(-1, width) for s in arrays]) if arrays else np.empty((0, width))
        counts = np.concatenate([np.arange(n) for n in lengths]) if arrays else np.empty(0)
        made = [column.take(of) for column in columns]
        made.append(pa.array(counts, pa.int64()))
        made += [
            pa.array(np.ascontiguousarray(rows[:, i]), self._schema.field(len(made) + i).type, from_pandas=True)
            for i in range(width)
        ]
        return made

    def _with_list(self, columns: list[pa.Array], arrays: list[Any]) -> list[pa.Array]:
        flat = [s.array.reshape(-1) if isinstance(s, Samples) else None for s in arrays]
        shapes = [list(s.array.shape) if isinstance(s, Samples) else None for s in arrays]
        values = pa.array(flat, self._schema.field(len(columns) + 1).type, from_pandas=True)
        return [*columns, pa.array(shapes, pa.list_(pa.int64())), values]

    def close(self) -> None:
        """Write the rest and end the file."""
        self.write()
        assert self._file is not None
        self._file.close()
        self._file = None

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            self._file.close()
        self.part.unlink(missing_ok=True)


def _schema(
    channel: Channel,
    fields: list[dict[str, Any]],
    samples: str,
    form: tuple[Any, ...],
    signals: list[tuple[str, str]],
) -> pa.Schema:
    head = [
        _named("log_ns", pa.int64(), "ns"),
        _named("publish_ns", pa.int64(), "ns"),
        pa.field("publisher", pa.string()),
        pa.field("seq", pa.int64()),
    ]
    taken = {f.name for f in head}
    made = [*head]
    for f in fields:
        name = f"message.{f['name']}" if f["name"] in taken else f["name"]
        made.append(_named(name, _arrow(f["type"]), f.get("unit", "")))
    if form and form[0] == "list":
        made += [
            pa.field(f"{samples}_shape", pa.list_(pa.int64())),
            pa.field(samples, pa.list_(pa.from_numpy_dtype(np.dtype(form[1])))),
        ]
    elif form:
        made.append(pa.field("row", pa.int64()))
        taken = {f.name for f in made}
        for i in range(form[2]):
            name, unit = signals[i] if i < len(signals) else (f"{samples}[{i}]", "")
            if name in taken:
                name = f"{samples}[{i}] {name}"
            taken.add(name)
            made.append(_named(name, pa.from_numpy_dtype(np.dtype(form[1])), unit))
    words = {"topic": channel.topic, "type": channel.type_name, "type_hash": channel.type_hash, "qos": channel.qos}
    return pa.schema(made, {**words, "definition": json.dumps(channel.definition, ensure_ascii=False)})


def _named(name: str, kind: pa.DataType, unit: str) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit} if unit else None)


def _arrow(wire: Any) -> pa.DataType:
    if isinstance(wire, str):
        return _SAMPLES if wire == "samples" else _PLAIN[wire]
    if "enum" in wire:
        return pa.string()
    if "optional" in wire:
        return _arrow(wire["optional"])
    if "unit" in wire:
        return _arrow(wire["of"])
    if "tuple" in wire:
        inner = wire["tuple"]
        unit = inner.get("unit", "") if isinstance(inner, dict) else ""
        return pa.list_(_named("item", _arrow(inner), unit))
    return _struct(wire["message"])


def _struct(defined: Definition) -> pa.DataType:
    return pa.struct([_named(f["name"], _arrow(f["type"]), f.get("unit", "")) for f in defined["fields"]])


def _cell(value: Any) -> Any:
    """A value as pyarrow takes it: only an array inside a nested message is not there yet."""
    if isinstance(value, Samples):
        return {"dtype": value.dtype, "shape": list(value.array.shape), "values": numbers(value)}
    if isinstance(value, dict):
        return {name: _cell(inner) for name, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_cell(inner) for inner in value]
    return value
