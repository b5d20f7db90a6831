"""A node of your own: says when the spindle load stays high. Change it, and keep its test beside it.

A file beside this one is imported with a dot, messages of your own for example: `from .messages import LoadStat`.
"""

from bus import Node, on_link, parameter, publisher, subscription
from bus.node import LinkEvent, Synced
from schemas import topics
from schemas.machine import Alarm, ConditionLevel, SignalBlock, Signals


class SpindleWatch(Node):
    """Raises a warning when the spindle load has been above a limit for a while, and withdraws it."""

    limit_pct = parameter(85.0, unit="%", doc="load above this counts as high", ge=0, le=200)
    patience_s = parameter(0.5, unit="s", doc="for this long", ge=0, le=60)
    alarms = publisher(topics.ALARM)

    def on_configure(self) -> None:
        self.columns: dict[str, int] = {}
        self.high_since_ns: int | None = None
        self.warned = False

    @subscription(topics.SIGNALS)
    def on_signals(self, signals: Signals) -> None:
        """Which column of which source is the load; latched, so it comes however late this node starts."""
        rows = [s for s in signals.signals if s.topic == topics.SAMPLES.name]
        for source in {s.source for s in rows}:
            names = [s.name for s in rows if s.source == source]
            if "spindle_load_pct" in names:
                self.columns[source] = names.index("spindle_load_pct")

    @subscription(topics.SAMPLES)
    def on_samples(self, block: SignalBlock) -> None:
        column = self.columns.get(block.source)
        if column is None:
            return
        load_pct = float(block.data.array[:, column].max())
        if not load_pct > self.limit_pct:  # NaN is no reading, and not high
            self.high_since_ns = None
            self.say(ConditionLevel.NORMAL, "")
            return
        if self.high_since_ns is None:
            self.high_since_ns = block.stamp_ns
        if block.stamp_ns - self.high_since_ns >= self.patience_s * 1e9:
            self.say(ConditionLevel.WARNING, f"spindle load {load_pct:.0f} % above {self.limit_pct:g} %")

    @on_link(topics.SAMPLES)
    def on_samples_link(self, event: LinkEvent) -> None:
        """Silence is not a low load: what was high before it says nothing now."""
        if not isinstance(event, Synced):
            self.high_since_ns = None

    def say(self, level: ConditionLevel, text: str) -> None:
        warn = level is ConditionLevel.WARNING
        if warn != self.warned:
            self.warned = warn
            self.alarms.publish(
                Alarm(
                    stamp_ns=self.now_ns(),
                    alarm_id=f"{self.name}/spindle_load",
                    level=level,
                    origin=self.name,
                    native_code="",
                    text=text,
                )
            )
