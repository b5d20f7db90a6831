"""A node that cries without end."""

from __future__ import annotations

from bus import Node, parameter, publisher, timer
from schemas import topics
from schemas.machine import Alarm, ConditionLevel


class Crier(Node):
    """Says alarms, each another one, at 20 times `at_once` a second."""

    count = parameter(10_000)
    at_once = parameter(250)

    alarms = publisher(topics.ALARM)

    def on_configure(self) -> None:
        self.said = 0

    @timer(0.05)
    def cry(self) -> None:
        for n in range(self.said, min(self.said + self.at_once, self.count)):
            self.alarms.publish(
                Alarm(
                    stamp_ns=self.now_ns(),
                    alarm_id=f"{self.name}/{n}",
                    level=ConditionLevel.FAULT if n % 10 == 0 else ConditionLevel.WARNING,
                    origin=self.name,
                    native_code=f"A{n}",
                    text=f"number {n}",
                )
            )
        self.said = min(self.said + self.at_once, self.count)
