"""`rise topic pub`: publish what was typed, checked, and not beside the node that writes the topic."""

from __future__ import annotations

import os

import click

from bus.cli.graph import directory, meets
from bus.cli.known_types import living_type, message_from, named, row_of_topic
from bus.discovery import Entry
from bus.executor import Executor
from bus.host import Spec
from bus.node import Node, publisher
from schemas.base import EVENT, PROFILES, Message, Service, Topic
from schemas.names import BadName, check_name, is_tool


def pub(
    domain: str | None, full: str, type_or_row: str, text: str, rate_hz: float | None, count: int | None, *, force: bool
) -> None:
    """Publish `count` messages, or for ever, `rate_hz` a second."""
    try:
        check_name(full)
    except BadName as error:
        raise click.UsageError(str(error)) from None
    entries = [e for e in directory(domain).entries().values() if not is_tool(e.name)]
    topic = _topic(full, type_or_row, entries, text)
    message_from(topic.type, text, stamp_ns=0)
    writers = [e.name for e in entries if any(t.name == full for t in e.publishes)]
    if writers and topic.writers == "one" and not force:
        raise click.ClickException(
            f"{full} has one writer, and {', '.join(writers)} is it: stop it first, or say --force"
        )
    # declared like any node's, so that whoever subscribes is there before the first message leaves
    cls = type("_Writer", (Node,), {"__doc__": "Publishes what was typed.", "out": publisher(topic)})
    with Executor([Spec(cls, f"_pub_{os.urandom(4).hex()}")], domain=domain, durable=False) as executor:
        executor.start()
        host = executor.hosts[0]
        sent = 0
        while count is None or sent < count:
            executor.publish(host, topic, full, message_from(topic.type, text, stamp_ns=executor.now_ns()))
            sent += 1
            executor.spin(lambda: False, 1 / rate_hz if rate_hz else 0.05)
    click.echo(f"{full}: {sent} published")


def _topic(full: str, type_or_row: str, entries: list[Entry], text: str) -> Topic[Message]:
    """The topic under its full name: kept as its row says, else as those keep it who know it, else as EVENT."""
    try:
        found = named(type_or_row)
    except click.ClickException:  # in no table here, but perhaps in a node's entry
        if (living := living_type(type_or_row, entries, full, text)) is None:
            raise
        found = living
    if isinstance(found, Service):
        raise click.UsageError(f"{type_or_row} is a service: rise service call NAME JSON")
    row = found if isinstance(found, Topic) else row_of_topic(full, found)
    kind: type[Message] = found.type if isinstance(found, Topic) else found
    if row is not None:
        return Topic(f"/{full}", kind, row.qos, row.depth, key=row.key, writers=row.writers)
    for entry in entries:
        for t in (*entry.publishes, *entry.subscribes):
            if meets(t.name, full) and t.qos in PROFILES:
                return Topic(f"/{full}", kind, PROFILES[t.qos], key=t.key)
    return Topic(f"/{full}", kind, EVENT)
