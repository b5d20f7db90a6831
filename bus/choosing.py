"""A tap changes its mind: what it no longer selects is not listened to any more, and costs its publisher nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus import frame
from bus.node import EVERY

if TYPE_CHECKING:
    from bus.executor import Executor


def choose_again(executor: Executor) -> None:
    """Ask every tap of this process anew which topics it wants of those that others publish.

    What is heard from now on begins with the next message: what went by meanwhile is not counted as lost.
    """
    peers, intake, transport = executor.peers, executor.intake, executor.transport
    named = {t.name: t.type_name for e in peers.entries.values() for t in e.publishes}
    news = False
    for topic, type_name in named.items():
        if topic.startswith(f"{EVERY}/") or topic in executor.published_names:
            continue
        route = peers.routes.get(topic)
        if route is None:
            news |= peers.wants(topic, type_name) is not None
            continue
        route.taps[:] = [tap for tap in peers.taps if tap.selects(topic, type_name)]
        if not route.taps and not route.inboxes and not route.named:
            del peers.routes[topic]
            transport.unsubscribe(frame.prefix(topic))
            intake.forget(topic)
    if news:
        peers.renew_token()
