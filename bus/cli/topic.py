"""`rise topic list | info | echo | hz | bw | delay | pub`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from bus.cli import completion
from bus.cli.graph import (
    Verbs,
    domain_option,
    json_option,
    living,
    meets,
    ms,
    nobody_of,
    print_json,
    print_table,
)
from bus.cli.number import Number
from bus.entry import EVERYTHING

if TYPE_CHECKING:
    from bus.discovery import Entry, TopicEntry


@click.group(cls=Verbs)
def command() -> None:
    """Topics: what travels, who writes it, who reads it."""


# --- who writes, who reads ----------------------------------------------------------------------------------------


def _graph(nodes: Mapping[str, Entry]) -> dict[str, dict[str, Any]]:
    """Every topic by its full name."""
    found: dict[str, dict[str, Any]] = {}

    def row(topic: TopicEntry) -> dict[str, Any]:
        return found.setdefault(
            topic.name,
            {
                "name": topic.name, "type": topic.type_name, "hash": topic.type_hash, "qos": topic.qos,
                "key": topic.key, "publishers": [], "subscribers": [],
            },
        )  # fmt: skip

    def plain(topics: tuple[TopicEntry, ...]) -> list[TopicEntry]:
        return [t for t in topics if not t.name.startswith("*")]

    for name, entry in nodes.items():
        for topic in plain(entry.publishes):
            row(topic)["publishers"].append(name)
        for topic in plain(entry.subscribes):
            row(topic)
    for name, entry in nodes.items():
        patterns = [t.name for t in entry.subscribes if t.name != EVERYTHING]
        for topic_name, each in found.items():
            if any(meets(pattern, topic_name) for pattern in patterns):
                each["subscribers"].append(name)
    return dict(sorted(found.items()))


def _is_plumbing(name: str) -> bool:
    return name.endswith(("/trace", "/parameters", "/_event"))


def _find(name: str, graph: Mapping[str, dict[str, Any]]) -> str:
    """The full name; its end is enough where only one topic ends so. `*/machine/state` stays as it is."""
    wanted = name.removeprefix("/")
    if wanted.startswith("*/"):
        return wanted
    ending = [n for n in graph if n.endswith(f"/{wanted}")]
    if wanted in graph or not ending:
        return wanted if wanted in graph else nobody_of("topic", name, graph)
    if len(ending) > 1:
        raise click.ClickException(f"several topics end in {name!r}: {', '.join(ending)}; say which")
    return ending[0]


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="also traces, parameter and service events of every node")
@json_option
@domain_option
def list_(everything: bool, as_json: bool, domain: str | None) -> None:
    """Every topic of the domain: type, QoS, how many write and read it."""
    rows = [row for row in _graph(living(domain)).values() if everything or not _is_plumbing(row["name"])]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("TOPIC", "TYPE", "QOS", "PUBLISHERS", "SUBSCRIBERS"),
        [
            (r["name"], r["type"], r["qos"], ", ".join(r["publishers"]) or "-", str(len(r["subscribers"])))
            if len(r["publishers"]) <= 2
            else (r["name"], r["type"], r["qos"], f"{len(r['publishers'])} nodes", str(len(r["subscribers"])))
            for r in rows
        ],
    )


@command.command()
@click.argument("name", shell_complete=completion.topics)
@click.option("--for", "seconds", type=Number(0.1, 3600), default=1.0, show_default=True, metavar="S",
              help="listen this long for rate and delay")  # fmt: skip
@json_option
@domain_option
def info(name: str, seconds: float, as_json: bool, domain: str | None) -> None:
    """A topic: type, QoS, publishers with their rate, subscribers with delay and losses.

    What a subscriber has received, lost and how late is what it says itself on /diagnostics, since its start. Rate, and
    the delay to this command, are measured here.
    """
    from bus.cli.listening import DIAGNOSTICS, Listening, diagnostics_in, plain_row
    from bus.cli.topic_measure import during, measure, measured_of

    nodes = living(domain)
    graph = _graph(nodes)
    found = _find(name, graph)
    row = graph.get(found) or nobody_of("topic", name, graph)
    full = row["name"]
    with Listening(domain, lambda topic, _: topic in (full, DIAGNOSTICS)) as listening:
        batch = during(listening, seconds)
    said = diagnostics_in(batch)
    measured = measure([raw for raw in batch if raw.topic == full], listening.started_ns)
    counts = [(node, c) for node, d in said.items() for c in d.topics if c.topic == full and node in nodes]
    plain = {
        **row,
        "taps": [n for n, e in nodes.items() if any(t.name == EVERYTHING for t in e.subscribes)],
        "publishers": [
            {
                "node": node,
                "published": next(
                    (c.received for n, c in counts if n == node == c.publisher), 0 if node in said else None
                ),
                "log": next((plain_row(log) for log in said[node].logs if log.topic == full), None)
                if node in said
                else None,
                **(measured.get(node) or measured_of([], [])),
            }
            for node in row["publishers"]
        ],
        "subscribers": [
            {
                "node": node,
                "heard": [plain_row(c) for n, c in counts if n == node != c.publisher],
                "cursors": [plain_row(c) for c in (said[node].cursors if node in said else ()) if c.topic == full],
            }
            for node in [
                *row["subscribers"],
                *sorted({n for n, c in counts if n != c.publisher} - {*row["subscribers"]}),
            ]
        ],
        "listened_s": seconds,
    }
    if as_json:
        print_json(plain)
    else:
        _print_info(plain)


def _print_info(plain: Mapping[str, Any]) -> None:
    key = f", one value per {plain['key']}" if plain["key"] else ""
    click.echo(f"{plain['name']}\n  type: {plain['type']} ({plain['hash']})\n  qos: {plain['qos']}{key}")
    click.echo(f"publishers: {len(plain['publishers'])}")
    for p in plain["publishers"]:
        sent = "nothing yet" if not p["published"] else f"{p['published']} published"
        click.echo(f"  {p['node']}: {sent}, {_rate(p, plain['listened_s'])}")
        if p["received"]:
            click.echo(
                f"    here: delay p50 {ms(p['delay_p50_ms'])} ms, p99 {ms(p['delay_p99_ms'])} ms, lost {p['lost']}"
            )
        if p["log"]:
            click.echo(f"    log: {_log(p['log'])}")
    click.echo(f"subscribers: {len(plain['subscribers'])}")
    for s in plain["subscribers"]:
        click.echo(f"  {s['node']}" + ("" if s["heard"] else ": has heard nothing"))
        for c in s["heard"]:
            bad = [f"{c[what]} {what}" for what in ("dropped", "expired", "repaired", "undecodable") if c[what]]
            click.echo(
                f"    from {c['publisher']}: received {c['received']}, lost {c['lost']}"
                f"{', ' + ', '.join(bad) if bad else ''}, "
                f"delay p50 {ms(c['delay_p50_ms'])} ms, p99 {ms(c['delay_p99_ms'])} ms"
            )
        for c in s["cursors"]:
            behind = "its publisher is away" if c["behind"] < 0 else f"{c['behind']} behind"
            click.echo(f"    cursor: #{c['seq']} in log {c['log_id']} of {c['publisher']}, {behind}")
    if plain["taps"]:
        click.echo(f"recorded or watched by: {', '.join(plain['taps'])}")


def _log(log: Mapping[str, Any]) -> str:
    if log["problem"]:
        return f"events are NOT kept: {log['problem']}"
    kept = f"#{log['first_seq']}..#{log['last_seq']}" if log["last_seq"] >= log["first_seq"] else "empty"
    return f"{log['log_id']}: {kept}, {log['size_bytes'] / 1e6:.1f} MB"


def _rate(p: Mapping[str, Any], seconds: float) -> str:
    if math.isnan(p["rate_hz"]):
        return f"{p['received']} in {seconds:g} s"
    return f"{p['rate_hz']:.1f} Hz"


# --- what is measured as it comes -------------------------------------------------------------------------------------


def measuring(function: Callable[..., None]) -> Callable[..., None]:
    """The topic and the options that hz, bw and delay have in common."""
    for decorate in (
        domain_option,
        json_option,
        click.option("--once", is_flag=True, help="one window"),
        click.option("--count", type=click.IntRange(1), help="this many windows, then end"),
        click.option(
            "--window",
            type=Number(0.1, 3600),
            default=1.0,
            show_default=True,
            metavar="S",
            help="measure this long for each line",
        ),
        click.argument("name", shell_complete=completion.topics),
    ):
        function = decorate(function)
    return function


@command.command()
@measuring
def hz(name: str, window: float, count: int | None, once: bool, as_json: bool, domain: str | None) -> None:
    """The rate of a topic, from its publisher's sequence numbers and time stamps. `*/machine/state` is every machine's.

    It is exact even when this command cannot keep up: how many it received and lost itself is said beside it.
    """
    from bus.cli.topic_measure import rate, run

    run(domain, _find(name, _graph(living(domain))), window, 1 if once else count, rate, as_json=as_json)


@command.command()
@measuring
def bw(name: str, window: float, count: int | None, once: bool, as_json: bool, domain: str | None) -> None:
    """The bytes per second of a topic, and how large its messages are, without the frame around them.

    What is lost on the way here is counted as large as what arrived.
    """
    from bus.cli.topic_measure import bandwidth, run

    run(domain, _find(name, _graph(living(domain))), window, 1 if once else count, bandwidth, as_json=as_json)


@command.command()
@measuring
def delay(name: str, window: float, count: int | None, once: bool, as_json: bool, domain: str | None) -> None:
    """How late the messages of a topic are here: since they were published, and since their own `stamp_ns`."""
    from bus.cli.topic_measure import delays, run

    run(domain, _find(name, _graph(living(domain))), window, 1 if once else count, delays, as_json=as_json)


# --- echo and pub are stories of their own --------------------------------------------------------------------------


@command.command()
@click.argument("name", shell_complete=completion.topics)
@click.option("--field", "path", metavar="PATH", help="only this field: spindle.load_pct, findings.0.code")
@click.option("--count", type=click.IntRange(1), help="this many messages, then end")
@click.option("--once", is_flag=True, help="one message")
@click.option("--full", is_flag=True, help="every value of arrays, tuples and bytes")
@json_option
@domain_option
def echo(
    name: str, path: str | None, count: int | None, once: bool, full: bool, as_json: bool, domain: str | None
) -> None:
    """The messages of a topic as they come, with units. `*/machine/state` hears every machine.

    Types are read by the definition that their publisher gave: one that this checkout does not know is shown as well.
    """
    from bus.cli.topic_echo import echo as run

    graph = _graph(living(domain))
    wanted = _find(name, graph)
    if not any(meets(wanted, n) and graph[n]["publishers"] for n in graph):
        click.echo(f"nobody publishes {wanted} yet; waiting", err=True)
    run(domain, wanted, path, 1 if once else count, full=full, as_json=as_json)


@command.command()
@click.argument("name", shell_complete=completion.topics)
@click.argument("type_or_row", metavar="TYPE")
@click.argument("text", metavar="JSON")
@click.option(
    "--rate",
    "rate_hz",
    type=Number(0.001, 10_000),
    metavar="HZ",
    help="again and again, until Ctrl-C or --count",
)
@click.option("--count", type=click.IntRange(1), help="this many; default 1, with --rate no end")
@click.option("--force", is_flag=True, help="although a living node writes this topic")
@domain_option
def pub(
    name: str, type_or_row: str, text: str, rate_hz: float | None, count: int | None, force: bool, domain: str | None
) -> None:
    """Publish a message: TYPE is a row of schemas/topics.py (ALARM), a message type, MODULE:NAME or
    FILE:NAME, or the name of a type as a living node defines it.

    A `stamp_ns` that JSON leaves out is the time of sending. A latched value lasts as long as this command.
    """
    from bus.cli.topic_pub import pub as run

    run(domain, name.removeprefix("/"), type_or_row, text, rate_hz, count or (None if rate_hz else 1), force=force)
