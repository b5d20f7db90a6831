"""How it travels: nodes, their executor, the ZeroMQ transport, discovery, services, bags, replay and launch."""

from bus.node import (
    EVERY,
    CallError,
    CallFailed,
    Gone,
    LinkEvent,
    Lost,
    Node,
    Outcome,
    Raw,
    Source,
    Stale,
    Synced,
    client,
    on_link,
    parameter,
    publisher,
    service,
    subscription,
    tap,
    timer,
    worker,
)

__all__ = [
    "EVERY", "CallError", "CallFailed", "Gone", "LinkEvent", "Lost", "Node", "Outcome", "Raw", "Source", "Stale", "Synced",
    "client", "on_link", "parameter", "publisher", "service", "subscription", "tap", "timer", "worker",
]
