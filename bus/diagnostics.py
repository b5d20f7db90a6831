"""A node's health as a message: what it has received, lost, dropped, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from schemas.machine import ConditionLevel
from schemas.system import Diagnostics, TopicCount

if TYPE_CHECKING:
    from bus.host import Host
    from bus.inbox import Feed

_WORST = (ConditionLevel.FAULT, ConditionLevel.UNAVAILABLE, ConditionLevel.WARNING)


def diagnostics(host: Host) -> Diagnostics:
    """What the executor knows of one of its nodes, now."""
    x = host.executor
    host.forget_slow()
    levels = {f.level for f in host.findings.values()}
    level = next((each for each in _WORST if each in levels), ConditionLevel.NORMAL)
    mine = {id(i) for i in host.inboxes} | {id(t) for t in host.taps}
    feeds = [*x.intake.feeds.values(), *x.own_feeds.values()]
    heard = [f for f in feeds if any(id(q) in mine for q in (*f.route.inboxes, *f.route.taps))]
    sent = [
        TopicCount(
            topic=o.full_name, publisher=host.name, received=o.seq, lost=0, dropped=o.latched_dropped, expired=0,
            repaired=0, undecodable=0, unknown_fields=0, delay_p50_ms=math.nan, delay_p99_ms=math.nan,
        )
        for o in host.outlets.values()
        if o.seq
    ]  # fmt: skip
    message = Diagnostics(
        stamp_ns=host.now_ns(), node=host.name, level=level, findings=tuple(host.findings.values()),
        topics=(*sent, *map(_heard, heard)), callbacks=host.callbacks,
        callback_max_ms=host.callback_max_ns / 1e6,
        queue_depth=sum(len(i.items) for i in host.inboxes) + sum(len(t.raws) for t in host.taps),
        logs=x.logs.status(host) if x.logs is not None else (), cursors=x.readers.status(host),
    )  # fmt: skip
    host.callback_max_ns = 0
    return message


def _heard(feed: Feed) -> TopicCount:
    c = feed.counts
    p50_ms, p99_ms = percentiles_ms(c.delays_ns)
    return TopicCount(
        topic=feed.topic, publisher=feed.node, received=c.received, lost=c.lost, dropped=c.dropped, expired=c.expired,
        repaired=c.repaired, undecodable=c.undecodable, unknown_fields=c.unknown_fields, delay_p50_ms=p50_ms,
        delay_p99_ms=p99_ms,
    )  # fmt: skip


def percentiles_ms(delays_ns: Iterable[int]) -> tuple[float, float]:
    """The median and the 99th percentile in ms; NaN for nothing."""
    ordered = sorted(delays_ns)
    if not ordered:
        return math.nan, math.nan
    return ordered[len(ordered) // 2] / 1e6, ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] / 1e6
