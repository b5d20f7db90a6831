"""What `rise topic hz | bw | delay | info` measure: the publisher's numbers and stamps, and what came of them here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from bus.cli.graph import meets, ms, print_json_line
from bus.cli.listening import Listening
from bus.cli.show_values import WALL_NS, Unreadable, unpack
from bus.diagnostics import percentiles_ms

if TYPE_CHECKING:
    from bus.node import Raw

UNITS = ("B", "kB", "MB", "GB")

Measured = dict[str, Any]
"""per publisher, with what `measured_of` says"""
Line = Callable[[list["Raw"], Measured], tuple[Measured, str]]
"""from one publisher's messages, and what is known of them, to the line: as data and for people"""


def run(domain: str | None, full: str, window_s: float, count: int | None, line: Line, *, as_json: bool) -> None:
    """A line per topic, publisher and window, `count` windows or for ever."""
    with Listening(domain, lambda topic, _: meets(full, topic)) as listening:
        since_ns = listening.session.now_ns
        while count is None or count > 0:
            batch = during(listening, window_s)
            if not batch and not as_json:
                click.echo(f"{full}: nothing in {window_s:g} s")
            for topic in sorted({raw.topic for raw in batch}):
                own = [raw for raw in batch if raw.topic == topic]
                for publisher, m in sorted(measure(own, since_ns).items()):
                    heard = [raw for raw in own if raw.publisher == publisher and _counts(raw, since_ns)]
                    plain, text = line(heard, m)
                    if as_json:
                        print_json_line({"topic": topic, "publisher": publisher, "window_s": window_s, **plain})
                    else:
                        click.echo(f"{topic} from {publisher}: {text}")
            count = None if count is None else count - 1


def during(listening: Listening, seconds: float) -> list[Raw]:
    """Everything that comes in a time."""
    batch: list[Raw] = []
    ends_ns = listening.session.now_ns + int(seconds * 1e9)
    while (left_ns := ends_ns - listening.session.now_ns) > 0:
        batch += listening.take(left_ns / 1e9)
    return batch


def _counts(raw: Raw, since_ns: int) -> bool:
    """Whether it is a message, and no latched value from before."""
    return not raw.lost_first and raw.stamp_ns >= since_ns


def measure(batch: list[Raw], since_ns: int) -> dict[str, Measured]:
    """Per publisher what its sequence numbers say. Latched values from before do not count."""
    measured = {}
    for publisher in {raw.publisher for raw in batch}:
        own = [raw for raw in batch if raw.publisher == publisher]
        gaps = [raw for raw in own if raw.lost_first]
        measured[publisher] = measured_of([r for r in own if _counts(r, since_ns)], gaps)
    return measured


def measured_of(heard: list[Raw], gaps: list[Raw]) -> Measured:
    """The publisher's own rate: numbers and time stamps are its, so what is lost on the way here changes nothing."""
    # a restarted publisher counts from 1 again
    heard = [raw for raw in heard if raw.publisher_id == heard[-1].publisher_id]
    rate_hz = math.nan
    if len(heard) > 1 and heard[-1].stamp_ns > heard[0].stamp_ns:
        rate_hz = (heard[-1].seq - heard[0].seq) / ((heard[-1].stamp_ns - heard[0].stamp_ns) / 1e9)
    p50_ms, p99_ms = percentiles_ms(raw.received_ns - raw.stamp_ns for raw in heard)
    missing = heard[-1].seq - heard[0].seq + 1 - len(heard) if heard else 0
    return {
        "rate_hz": rate_hz,
        "received": len(heard),
        "lost": max(missing, sum(raw.seq - raw.lost_first + 1 for raw in gaps)),
        "delay_p50_ms": p50_ms,
        "delay_p99_ms": p99_ms,
    }


# --- lines ------------------------------------------------------------------------------------------------------------


def rate(heard: list[Raw], m: Measured) -> tuple[Measured, str]:
    said = "no rate yet" if math.isnan(m["rate_hz"]) else f"{m['rate_hz']:.2f} Hz"
    return m, f"{said}, here {m['received']} received, {m['lost']} lost"


def bandwidth(heard: list[Raw], m: Measured) -> tuple[Measured, str]:
    sizes = [len(raw.payload) for raw in heard]
    mean = sum(sizes) / len(sizes) if sizes else math.nan
    low, high = (min(sizes), max(sizes)) if sizes else (None, None)
    plain = {
        "bytes_per_s": mean * m["rate_hz"], "rate_hz": m["rate_hz"], "mean_bytes": mean, "min_bytes": low,
        "max_bytes": high, "received": m["received"], "lost": m["lost"],
    }  # fmt: skip
    if low is None or high is None:
        return plain, "nothing whole"
    per_s = "no rate yet" if math.isnan(m["rate_hz"]) else f"{_size(mean * m['rate_hz'])}/s"
    return plain, f"{per_s}, {m['received']} messages of {_size(mean)} ({_size(low)} .. {_size(high)})"


def _size(count: float) -> str:
    power = 0
    while count >= 1000 and power < len(UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.2f} {UNITS[power]}" if power else f"{count:.0f} B"


def delays(heard: list[Raw], m: Measured) -> tuple[Measured, str]:
    own_ns = [raw.received_ns - stamp_ns for raw in heard if (stamp_ns := _own_stamp_ns(raw)) is not None]
    own_p50_ms, own_p99_ms = percentiles_ms(own_ns)
    plain = {
        "received": m["received"], "lost": m["lost"], "delay_p50_ms": m["delay_p50_ms"],
        "delay_p99_ms": m["delay_p99_ms"], "stamp_p50_ms": own_p50_ms, "stamp_p99_ms": own_p99_ms,
    }  # fmt: skip
    text = f"p50 {ms(m['delay_p50_ms'])} ms, p99 {ms(m['delay_p99_ms'])} ms since it was published"
    if own_ns:
        text += f"; p50 {ms(own_p50_ms)} ms, p99 {ms(own_p99_ms)} ms since its stamp_ns"
    return plain, f"{text}; {m['received']} received"


def _own_stamp_ns(raw: Raw) -> int | None:
    """When the message says that it was taken, where that is a time of day."""
    try:
        stamp_ns = unpack(raw.payload).get("stamp_ns")
    except Unreadable:
        return None
    return stamp_ns if isinstance(stamp_ns, int) and stamp_ns > WALL_NS else None
