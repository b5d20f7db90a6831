"""`rise topic echo`: the stream of messages, for people or as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from bus.cli.graph import meets, print_json_line
from bus.cli.listening import Listening
from bus.cli.show_values import (
    BadPath,
    Unreadable,
    clock_time,
    lines,
    pick,
    plain,
    plain_message,
    units,
    unpack,
    value_lines,
)

if TYPE_CHECKING:
    from bus.node import Raw
    from schemas.grammar import Definition


def echo(domain: str | None, wanted: str, path: str | None, count: int | None, *, full: bool, as_json: bool) -> None:
    """Print messages until `count`, or for ever."""
    with Listening(domain, lambda topic, _: meets(wanted, topic)) as listening:
        left = count
        while left is None or left > 0:
            for raw in listening.take(0.5)[:left]:
                if raw.lost_first:
                    _say_lost(raw, as_json=as_json)
                    continue
                left = None if left is None else left - 1
                defined = listening.definition(raw)
                try:
                    if as_json:
                        print_json_line(_json(raw, defined, path, full=full))
                    else:
                        for line in _text(raw, defined, path, full=full):
                            click.echo(line)
                except Unreadable as error:
                    click.echo(f"{raw.topic} #{raw.seq} from {raw.publisher}: {error}", err=True)
                except BadPath as error:
                    raise click.ClickException(f"{raw.topic}: {error}") from None


def _say_lost(raw: Raw, *, as_json: bool) -> None:
    if as_json:
        lost = {"lost_first": raw.lost_first, "lost_last": raw.seq}
        print_json_line({"topic": raw.topic, "publisher": raw.publisher, **lost})
    else:
        many = raw.seq - raw.lost_first + 1
        click.echo(f"--- lost {many} of {raw.publisher}: #{raw.lost_first}..{raw.seq}", err=True)


def _text(raw: Raw, defined: Definition | None, path: str | None, *, full: bool) -> Iterator[str]:
    message = unpack(raw.payload)
    if path is not None:
        value, wire, unit = pick(message, defined, path)
        yield from value_lines(path, value, wire, unit, full=full)
        return
    unknown = "" if defined else "  (its publisher gave no definition: no units)"
    yield f"--- {raw.topic}  {raw.publisher}  #{raw.seq}  {clock_time(raw.stamp_ns)}{unknown}"
    yield from lines(message, defined, full=full)


def _json(raw: Raw, defined: Definition | None, path: str | None, *, full: bool) -> dict[str, Any]:
    message = unpack(raw.payload)
    head = {
        "topic": raw.topic, "publisher": raw.publisher, "seq": raw.seq, "stamp_ns": raw.stamp_ns,
        "type": raw.type_name,
    }  # fmt: skip
    if path is None:
        return {**head, "message": plain_message(message, defined, full=full), "units": units(defined)}
    value, wire, unit = pick(message, defined, path)
    return {**head, "field": path, "value": plain(value, wire, full=full), "unit": unit or None}
