"""`rise service list | call`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bus.cli import completion
from bus.cli.graph import Verbs, domain_option, json_option, living, nobody_of, print_json, print_table
from bus.cli.number import Number

if TYPE_CHECKING:
    from bus.discovery import Entry, ServiceEntry


@click.group(cls=Verbs)
def command() -> None:
    """Services: questions with one answer, and acts on a machine."""


def _served(nodes: Mapping[str, Entry]) -> dict[str, tuple[Entry, ServiceEntry]]:
    return {s.name: (entry, s) for entry in nodes.values() for s in entry.serves}


def _is_plumbing(name: str) -> bool:
    return name.endswith(("/describe_parameters", "/set_parameter"))


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="also those behind `rise param`, which every node has")
@json_option
@domain_option
def list_(everything: bool, as_json: bool, domain: str | None) -> None:
    """Every service of the domain: request, reply, who serves it, who calls it."""
    nodes = living(domain)
    rows: list[dict[str, Any]] = [
        {
            "name": name, "request": s.request_type, "reply": s.reply_type, "node": entry.name,
            "acts_on_machine": s.acts_on_machine, "idempotent": s.idempotent,
            "callers": [e.name for e in nodes.values() if any(c.name == name for c in e.calls)],
        }
        for name, (entry, s) in sorted(_served(nodes).items())
        if everything or not _is_plumbing(name)
    ]  # fmt: skip
    if as_json:
        print_json(rows)
        return
    print_table(
        ("SERVICE", "REQUEST", "REPLY", "SERVED BY", "ACTS ON A MACHINE"),
        [(r["name"], r["request"], r["reply"], r["node"], "yes" if r["acts_on_machine"] else "") for r in rows],
    )


@command.command()
@click.argument("name", shell_complete=completion.services)
@click.argument("text", metavar="[JSON]", default="{}")
@click.option("--timeout", "timeout_s", type=Number(0.01, 3600), default=1.0, show_default=True, metavar="S")
@json_option
@domain_option
def call(name: str, text: str, timeout_s: float, as_json: bool, domain: str | None) -> None:
    """Ask a service and print its reply with units.

    A `stamp_ns` that JSON leaves out is now. Exit code 1: no reply, or one whose `ok`, `accepted` or `done` is false.

    \b
        rise service call vmc1/machine/stop '{"reason": "by hand"}'
    """
    from bus.cli.known_types import message_from, service_of
    from bus.cli.show_values import lines, plain_message, units, unpack
    from bus.node import CallFailed
    from bus.session import Session
    from schemas.codec import codec
    from schemas.grammar import definition

    served = _served(living(domain))
    full = name.removeprefix("/")
    if full not in served:
        nobody_of("service", name, served)
    service = service_of(*served[full], text)
    message_from(service.request, text, stamp_ns=0)
    with Session(domain) as session:
        request = message_from(service.request, text, stamp_ns=session.now_ns)
        try:
            reply = session.call(full, service, request, timeout_s=timeout_s)
        except CallFailed as error:
            raise click.ClickException(f"{full}: {error}") from None
    said: dict[str, Any] = unpack(codec(service.reply).encode(reply))
    defined = definition(service.reply)
    if as_json:
        print_json({"service": full, "reply": plain_message(said, defined), "units": units(defined)})
    else:
        for line in lines(said, defined):
            click.echo(line)
    if any(said.get(word) is False for word in ("ok", "accepted", "done")):
        raise SystemExit(1)
