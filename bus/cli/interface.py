"""`rise interface list | show`: what travels, as this checkout defines it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from bus.cli.graph import Verbs, directory, domain_option, json_option, print_json, print_table

if TYPE_CHECKING:
    from schemas.base import Message
    from schemas.grammar import Definition


@click.group(cls=Verbs)
def command() -> None:
    """Message types: the table of topics and services, and what is in each message."""


@command.command("list")
@click.option("--types", "only_types", is_flag=True, help="message types instead of topics and services")
@json_option
def list_(only_types: bool, as_json: bool) -> None:
    """The table of topics and services in schemas/topics.py."""
    from bus.cli.known_types import message_types
    from schemas import topics
    from schemas.base import Topic
    from schemas.grammar import type_hash

    if only_types:
        types = [
            {"name": name, "hash": type_hash(kind), "doc": _doc(kind)} for name, kind in sorted(message_types().items())
        ]
        if as_json:
            print_json(types)
        else:
            print_table(("TYPE", "HASH", "WHAT"), [(t["name"], t["hash"], t["doc"]) for t in types])
        return
    rows: list[dict[str, Any]] = []
    for name, row in topics.table().items():
        if isinstance(row, Topic):
            rows.append(
                {
                    "row": name, "kind": "topic", "name": row.name, "type": row.type.__name__, "qos": row.qos.name,
                    "key": row.key, "writers": row.writers, "persist": row.persist,
                }
            )  # fmt: skip
        else:
            rows.append(
                {
                    "row": name, "kind": "service", "name": row.name, "request": row.request.__name__,
                    "reply": row.reply.__name__, "acts_on_machine": row.acts_on_machine, "idempotent": row.idempotent,
                }
            )  # fmt: skip
    if as_json:
        print_json(rows)
        return
    print_table(
        ("ROW", "NAME", "TYPE", "QOS"),
        [
            (r["row"], r["name"], r["type"], r["qos"] + (f" by {r['key']}" if r["key"] else ""))
            if r["kind"] == "topic"
            else (r["row"], r["name"], f"{r['request']} -> {r['reply']}", "service")
            for r in rows
        ],
    )


@command.command()
@click.argument("name", metavar="TYPE_OR_TOPIC")
@json_option
@domain_option
def show(name: str, as_json: bool, domain: str | None) -> None:
    """The fields of a message with their units: of a type, a row of the table, or a living topic or service.

    A living one is shown as its node defines it, which may differ from this checkout.
    """
    found = _living(name, domain)
    try:
        found = found or _here(name)
    except click.ClickException:  # in no table here, but perhaps in a node's entry
        from bus.cli.known_types import living_definition

        if (living := living_definition(name, directory(domain).entries().values())) is None:
            raise
        found = [(living[0], f"as {living[1].name} defines it")]
    if as_json:
        from schemas.grammar import hash_of, json_schema_of

        print_json(
            [
                {"name": d["name"], "hash": hash_of(d), "definition": d, "json_schema": json_schema_of(d)}
                for d, _ in found
            ]
        )
        return
    for i, (defined, doc) in enumerate(found):
        if i:
            click.echo("---")
        click.echo(defined["name"] + (f": {doc}" if doc else ""))
        for line in _fields(defined):
            click.echo(line)


def _doc(kind: type[Message]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _living(name: str, domain: str | None) -> list[tuple[Definition, str]]:
    """(definition, doc) of what living nodes publish or serve under a full name."""
    wanted = name.removeprefix("/")
    for entry in directory(domain).entries().values():
        for topic in entry.publishes:
            if topic.name == wanted and topic.type_hash in entry.definitions:
                return [(entry.definitions[topic.type_hash], f"as {entry.name} publishes it")]
        for service in entry.serves:
            hashes = (service.request_hash, service.reply_hash)
            if service.name == wanted and all(h in entry.definitions for h in hashes):
                return [(entry.definitions[h], f"as {entry.name} serves it") for h in hashes]
    return []


def _here(name: str) -> list[tuple[Definition, str]]:
    from bus.cli.known_types import named
    from schemas.base import Service, Topic
    from schemas.grammar import definition

    found = named(name)
    if isinstance(found, Service):
        kinds = [found.request, found.reply]
    else:
        kinds = [found.type if isinstance(found, Topic) else found]
    return [(definition(kind), _doc(kind)) for kind in kinds]


def _fields(defined: Definition, indent: str = "  ") -> Iterator[str]:
    """Each field, and below a message inside its fields."""
    from schemas.grammar import describe_type

    for field in defined["fields"]:
        unit = f" [{field['unit']}]" if field.get("unit") else ""
        default = " (has a default)" if field.get("default") else ""
        yield f"{indent}{field['name']}: {describe_type(field['type'])}{unit}{default}"
        inner = field["type"]
        while isinstance(inner, dict) and "message" not in inner and "enum" not in inner:
            inner = next(inner[kind] for kind in ("tuple", "optional", "of") if kind in inner)
        if isinstance(inner, dict) and "message" in inner:
            yield from _fields(inner["message"], f"{indent}  ")
