"""`rise node list | info`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bus.cli import completion
from bus.cli.graph import Verbs, domain_option, json_option, living, ms, one_node, print_json, print_table

if TYPE_CHECKING:
    from bus.discovery import Entry, ServiceEntry, TopicEntry
    from schemas.system import Diagnostics


@click.group(cls=Verbs)
def command() -> None:
    """Nodes that are alive."""


@command.command("list")
@json_option
@domain_option
def list_(as_json: bool, domain: str | None) -> None:
    """Every living node: process, how long it runs, what it was started from."""
    rows = [_row(entry) for entry in living(domain).values()]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("NODE", "READY", "PID", "UP", "TARGET"),
        [(r["name"], "yes" if r["ready"] else "no", _pid(r), _span(r["up_s"]), r["target"] + _marks(r)) for r in rows],
    )


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name, "ready": entry.ready, "pid": entry.pid, "host": entry.host,
        "here": entry.is_here,
        "up_s": round(max(0.0, (time.time_ns() - entry.started_ns) / 1e9), 1), "started_ns": entry.started_ns,
        "target": entry.target, "namespace": entry.namespace, "clock": entry.clock, "real": entry.real,
    }  # fmt: skip


def _pid(row: Mapping[str, Any]) -> str:
    return str(row["pid"]) if row["here"] else f"{row['pid']} in another container"


def _marks(row: Mapping[str, Any]) -> str:
    return (" (real machine)" if row["real"] else "") + (" (sim clock)" if row["clock"] == "sim" else "")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@command.command()
@click.argument("node", shell_complete=completion.nodes)
@json_option
@domain_option
def info(node: str, as_json: bool, domain: str | None) -> None:
    """What a NODE publishes, subscribes, serves, calls; its parameters, its health and its losses."""
    from bus.cli.listening import health

    entry = one_node(node, living(domain))
    said = health(domain, [entry.name]).get(entry.name)
    if as_json:
        print_json(_plain(entry, said))
        return
    row = _row(entry)
    click.echo(f"{entry.name}\n  {entry.target}{_marks(row)}  process {_pid(row)}, up {_span(row['up_s'])}")
    _print_topics("publishes", entry.publishes)
    _print_topics("subscribes", entry.subscribes)
    _print_services("serves", entry.serves)
    _print_services("calls", entry.calls)
    for name, value in entry.parameters.items():
        click.echo(f"  parameter {name} (at its start): {value!r}; now: rise param get {entry.name} {name}")
    for old, new in entry.remappings.items():
        click.echo(f"  remapped {old} := {new}")
    if said is None:
        click.echo("health: it has not said")
        return
    click.echo(
        f"health: {said.level.value}, {said.callbacks} callbacks, slowest of the last second "
        f"{said.callback_max_ms:.2f} ms, {said.queue_depth} queued"
    )
    for f in said.findings:
        click.echo(f"  {f.level.value} {f.code} ({f.count} times): {f.text}")
    heard = [t for t in said.topics if t.publisher != entry.name]
    if heard:
        print_table(
            ("  HEARS", "FROM", "RECEIVED", "LOST", "DROPPED", "EXPIRED", "P50 MS", "P99 MS"),
            [
                (
                    f"  {t.topic}", t.publisher, str(t.received), str(t.lost), str(t.dropped), str(t.expired),
                    ms(t.delay_p50_ms), ms(t.delay_p99_ms),
                )
                for t in heard
            ],
        )  # fmt: skip


def _print_topics(what: str, topics: tuple[TopicEntry, ...]) -> None:
    for t in topics:
        if t.name == "**":
            click.echo(f"  {what} any topic, undecoded")
        elif not t.name.endswith("/_event"):
            click.echo(f"  {what} {t.name}  {t.type_name}  {t.qos}")


def _print_services(what: str, services: tuple[ServiceEntry, ...]) -> None:
    for s in services:
        acts = "  ACTS ON A MACHINE" if s.acts_on_machine else ""
        click.echo(f"  {what} {s.name}  {s.request_type} -> {s.reply_type}{acts}")


def _plain(entry: Entry, said: Diagnostics | None) -> dict[str, Any]:
    def topics(rows: tuple[TopicEntry, ...]) -> list[dict[str, Any]]:
        return [
            {"name": t.name, "type": t.type_name, "hash": t.type_hash, "qos": t.qos, "key": t.key}
            for t in rows
            if t.name != "**"
        ]

    def services(rows: tuple[ServiceEntry, ...]) -> list[dict[str, Any]]:
        return [
            {
                "name": s.name, "request": s.request_type, "reply": s.reply_type, "acts_on_machine": s.acts_on_machine,
                "idempotent": s.idempotent,
            }
            for s in rows
        ]  # fmt: skip

    return {
        **_row(entry),
        "publishes": topics(entry.publishes),
        "subscribes": topics(entry.subscribes),
        "taps": any(t.name == "**" for t in entry.subscribes),
        "serves": services(entry.serves),
        "calls": services(entry.calls),
        "parameters": dict(entry.parameters),
        "remappings": dict(entry.remappings),
        "health": None if said is None else said.model_dump(mode="json"),
    }
