"""The node on a bus of its own. After `make setup-dev` in the checkout of Fanuc Rise, run in this shop's folder the
Python of that checkout: CHECKOUT/.venv/bin/python -P -m pytest
"""

from pathlib import Path

from bus.check import check
from bus.host import Spec
from bus.node import Raw
from bus.plan import load
from bus.target import node_class
from bus.testing import Domain
from schemas import topics
from schemas.base import Samples
from schemas.codec import codec
from schemas.machine import Alarm, ConditionLevel, SignalBlock, SignalInfo, Signals

SHOP = Path(__file__).resolve().parent.parent
LOAD = SignalInfo(name="spindle_load_pct", mtconnect_type="LOAD", unit="%", source="drive", topic=topics.SAMPLES.name)


def block(at_ms: int, load_pct: float) -> SignalBlock:
    return SignalBlock(
        stamp_ns=at_ms * 1_000_000,
        period_ns=1_000_000,
        source="drive",
        first_row=at_ms,
        data=Samples([[load_pct]]),
    )


def test_the_launch_file_has_no_mistake() -> None:
    assert check(load(SHOP / "launch/shop.py")) == []


def test_warns_of_a_load_that_stays_high() -> None:
    watch = Spec(node_class(f"{SHOP}/nodes/spindle_watch.py"), namespace="vmc1", parameters={"limit_pct": 80.0})
    alarms: list[Alarm] = []

    def heard(batch: list[Raw]) -> None:
        alarms.extend(codec(Alarm).decode(raw.payload) for raw in batch)

    with (
        Domain() as domain,
        domain.running(watch),
        domain.session(select=lambda topic, _: topic == "vmc1/alarm", heard=heard) as session,
    ):
        session.publish(topics.SIGNALS, "vmc1/machine/signals", Signals(signals=(LOAD,)))
        for at_ms in range(0, 10_000, 10):
            session.publish(topics.SAMPLES, "vmc1/machine/samples", block(at_ms, 95.0))
            if session.spin(lambda: bool(alarms), timeout_s=0.02):
                break
    assert alarms[0].level is ConditionLevel.WARNING
    assert "above 80 %" in alarms[0].text
