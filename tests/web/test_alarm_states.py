"""The states of ISA-18.2, first-out, and what outlives the hub."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.audit import AlarmState, StandingAlarm
from schemas.machine import Alarm, ConditionLevel
from web import alarm_states
from web.alarm_states import AlarmStates

UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED, NORMAL = AlarmState
FAULT, WARNING, OVER = ConditionLevel.FAULT, ConditionLevel.WARNING, ConditionLevel.NORMAL


def alarm(alarm_id: str, stamp_ns: int, level: ConditionLevel = FAULT) -> Alarm:
    return Alarm(stamp_ns=stamp_ns, alarm_id=alarm_id, level=level, origin="x", native_code="C", text=f"{stamp_ns}")


def told(alarms: AlarmStates) -> list[StandingAlarm]:
    """Everything that has changed."""
    return [alarms.take_changed() for _ in range(len(alarms.changed))]


def states(alarms: AlarmStates) -> dict[str, AlarmState]:
    return {a.alarm_id: a.state for a in alarms}


def test_acknowledged_while_it_is_so_stays_and_goes_with_its_cause() -> None:
    alarms = AlarmStates()
    alarms.hear(alarm("a", 1), "vmc1")
    assert states(alarms) == {"a": UNACKNOWLEDGED}
    assert alarms.acknowledge("a", "maria", 2) == ""
    assert states(alarms) == {"a": ACKNOWLEDGED}
    assert alarms.acknowledge("a", "bob", 3) == "maria has acknowledged it already"
    alarms.hear(alarm("a", 4, OVER), "vmc1")
    assert states(alarms) == {}
    assert [(a.alarm_id, a.state, a.acknowledged_by) for a in told(alarms)] == [("a", NORMAL, "maria")]


def test_over_before_anybody_looked_waits_for_somebody() -> None:
    alarms = AlarmStates()
    alarms.hear(alarm("a", 1), "vmc1")
    alarms.hear(alarm("a", 2, OVER), "vmc1")
    assert states(alarms) == {"a": RETURNED}
    alarms.hear(alarm("a", 3, OVER), "vmc1")
    assert states(alarms) == {"a": RETURNED}
    assert alarms.acknowledge("a", "maria", 4) == ""
    assert states(alarms) == {}
    assert "over and acknowledged" in alarms.acknowledge("a", "maria", 5)


def test_back_before_anybody_looked_is_unacknowledged_since_anew() -> None:
    alarms = AlarmStates()
    for seen in (alarm("a", 1), alarm("a", 2, OVER), alarm("a", 3)):
        alarms.hear(seen, "vmc1")
    (a,) = alarms
    assert (a.state, a.raised_ns) == (UNACKNOWLEDGED, 3)
    assert alarms.acknowledge("a", "maria", 4, of_ns=1) == "it came anew since: 3"
    assert alarms.acknowledge("a", "maria", 4, of_ns=3) == ""


def test_worse_must_be_looked_at_again_and_the_same_or_better_not() -> None:
    alarms = AlarmStates()
    alarms.hear(alarm("a", 1, WARNING), "vmc1")
    alarms.acknowledge("a", "maria", 2)
    alarms.hear(alarm("a", 3, WARNING), "vmc1")
    assert states(alarms) == {"a": ACKNOWLEDGED}
    alarms.hear(alarm("a", 4, FAULT), "vmc1")
    assert states(alarms) == {"a": UNACKNOWLEDGED}
    (a,) = alarms
    assert (a.raised_ns, a.stamp_ns, a.level) == (1, 4, FAULT)


def test_what_was_for_a_moment_only_waits_from_the_start() -> None:
    alarms = AlarmStates()
    alarms.hear(alarm("a", 1), "vmc1", over=True)
    assert states(alarms) == {"a": RETURNED}


def test_what_was_said_before_changes_nothing() -> None:
    alarms = AlarmStates()
    alarms.hear(alarm("a", 5), "vmc1")
    alarms.hear(alarm("a", 4, OVER), "vmc1")
    assert states(alarms) == {"a": UNACKNOWLEDGED}


def test_first_out_is_the_first_of_its_machine_until_all_is_quiet() -> None:
    alarms = AlarmStates()
    alarms.hear(alarm("a", 1), "vmc1")
    alarms.hear(alarm("b", 2), "vmc1")
    alarms.hear(alarm("c", 3), "vmc2")
    assert {a.alarm_id for a in alarms if a.first_out} == {"a", "c"}
    alarms.acknowledge("a", "maria", 4)
    alarms.hear(alarm("a", 5, OVER), "vmc1")
    alarms.hear(alarm("d", 6), "vmc1")
    assert {a.alarm_id for a in alarms if a.first_out} == {"c"}, "what followed does not become the first"
    for alarm_id in "bd":
        alarms.acknowledge(alarm_id, "maria", 7)
        alarms.hear(alarm(alarm_id, 8, OVER), "vmc1")
    alarms.hear(alarm("b", 9), "vmc1")
    assert {a.alarm_id for a in alarms if a.first_out} == {"b", "c"}


def test_an_earlier_life_is_gone_on_with() -> None:
    before = AlarmStates()
    for alarm_id in "abcd":
        before.hear(alarm(alarm_id, 1), "vmc1", publisher="vmc1/sensory_cortex")
    before.acknowledge("a", "maria", 2)
    before.acknowledge("b", "maria", 2)
    before.hear(alarm("c", 3, OVER), "vmc1")
    after = AlarmStates()
    for kept in before:
        after.restore(kept, until_ns=100)
    assert states(after) == {"a": ACKNOWLEDGED, "b": ACKNOWLEDGED, "c": RETURNED, "d": UNACKNOWLEDGED}
    after.hear(alarm("a", 1), "vmc1", publisher="vmc1/sensory_cortex")
    after.sweep(99)
    assert len(after) == 4
    after.sweep(100)
    assert states(after) == {"a": ACKNOWLEDGED, "c": RETURNED, "d": RETURNED}, "what nobody says any more is over"


def test_what_a_publisher_that_came_anew_does_not_say_again_is_over() -> None:
    alarms = AlarmStates()
    alarms.hear(alarm("a", 1), "vmc1", publisher="p")
    alarms.hear(alarm("b", 1), "vmc1", publisher="p")
    alarms.hear(alarm("c", 1), "vmc1", publisher="q")
    alarms.doubt("p", 10)
    alarms.hear(alarm("b", 2), "vmc1", publisher="p")
    alarms.sweep(10)
    assert states(alarms) == {"a": RETURNED, "b": UNACKNOWLEDGED, "c": UNACKNOWLEDGED}


def test_there_are_so_many_and_what_was_looked_at_goes_first() -> None:
    alarms = AlarmStates()
    for n in range(alarm_states.KEPT_MAX):
        alarms.hear(alarm(f"a{n}", n), "vmc1")
    alarms.acknowledge("a7", "maria", 1)
    alarms.hear(alarm("one_more", 1), "vmc1")
    assert len(alarms) == alarm_states.KEPT_MAX
    assert alarms.get("a7") is None
    assert alarms.get("one_more") is not None
    assert alarms.dropped == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["fault", "warning", "over", "ack", "moment"]),
    ),
    max_size=40,
)


@given(STEPS)
def test_nothing_unlooked_at_is_ever_forgotten(steps: list[tuple[str, str]]) -> None:
    """Against the rule in one sentence: an alarm leaves only when it is over and somebody has looked since it came."""
    alarms = AlarmStates()
    so: dict[str, bool] = {}
    looked: dict[str, bool] = {}
    worst: dict[str, str] = {}
    for now_ns, (name, what) in enumerate(steps, 1):
        if what == "ack":
            if name in so:
                alarms.acknowledge(name, "maria", now_ns)
                looked[name] = True
        elif what == "over":
            if name in so:
                so[name] = False
            alarms.hear(alarm(name, now_ns, OVER), "m")
        else:
            level = WARNING if what == "warning" else FAULT
            anew = not so.get(name, False) or (worst.get(name) == "warning" and level is FAULT)
            moment = what == "moment"
            alarms.hear(alarm(name, now_ns, level), "m", over=moment)
            looked[name] = looked.get(name, False) and not anew and not moment
            so[name] = not moment
            worst[name] = "warning" if level is WARNING else "fault"
        for gone in [n for n in so if not so[n] and looked[n]]:
            del so[gone], looked[gone], worst[gone]
    assert {a.alarm_id for a in alarms} == so.keys()
    assert {a.alarm_id for a in told(alarms) if a.state is not NORMAL} == so.keys()
