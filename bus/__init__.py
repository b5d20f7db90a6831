"""How it travels: nodes, their executor, the ZeroMQ transport, discovery, services, bags, replay and launch.

`from bus import Node` brings what a node module is written with. The names are looked up in `bus.node` when first used:
`rise topic list` stands on `bus.discovery` alone and does not wait for numpy and pydantic.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes 8 ms to load, in which Ctrl-C would show a traceback of `rise`
if TYPE_CHECKING:
    from bus.node import (
        EVERY,
        CallError,
        CallFailed,
        Gone,
        LinkEvent,
        LogLost,
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
    "EVERY",
    "CallError",
    "CallFailed",
    "Gone",
    "LinkEvent",
    "LogLost",
    "Lost",
    "Node",
    "Outcome",
    "Raw",
    "Source",
    "Stale",
    "Synced",
    "client",
    "on_link",
    "parameter",
    "publisher",
    "service",
    "subscription",
    "tap",
    "timer",
    "worker",
]

if not TYPE_CHECKING:  # hidden from mypy, which would take any name for granted

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'bus' has no attribute {name!r}")
        import bus.node

        value = getattr(bus.node, name)
        globals()[name] = value
        return value
