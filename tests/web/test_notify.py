"""Which alarms go out, and when again."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from schemas.audit import AlarmState, StandingAlarm
from schemas.machine import ConditionLevel
from web.notify import AGAIN_NS, LISTED_MAX, REPEAT_NS, Notices, notice


def alarm(
    name: str,
    raised_ns: int = 0,
    state: AlarmState = AlarmState.UNACKNOWLEDGED,
    *,
    notify: bool = True,
    text: str = "t",
) -> StandingAlarm:
    return StandingAlarm(
        alarm_id=name, machine="vmc1", level=ConditionLevel.FAULT, origin="x", native_code="CODE", text=text,
        raised_ns=raised_ns, stamp_ns=raised_ns, state=state, notify=notify,
    )  # fmt: skip


def test_told_at_once_and_again_until_it_is_acknowledged() -> None:
    notices = Notices()
    open_now = [alarm("a")]
    assert notices.due(open_now, 10) is not None
    assert notices.due(open_now, 11) is None
    assert notices.due(open_now, 10 + REPEAT_NS - 1) is None
    assert notices.due([alarm("a", state=AlarmState.RETURNED)], 10 + REPEAT_NS) is not None, "over is not looked at"
    assert notices.due([alarm("a", state=AlarmState.ACKNOWLEDGED)], 10 + 2 * REPEAT_NS) is None
    assert notices.due([], 10 + 3 * REPEAT_NS) is None


def test_anew_is_told_at_once() -> None:
    notices = Notices()
    assert notices.due([alarm("a", raised_ns=1)], 10) is not None
    assert notices.due([alarm("a", raised_ns=5)], 11) is not None


def test_what_is_nobodys_business_stays_here() -> None:
    assert Notices().due([alarm("a", notify=False)], 10) is None


def test_what_did_not_arrive_goes_out_again_soon() -> None:
    notices = Notices()
    assert notices.due([alarm("a")], 0) is not None
    notices.failed(1)
    assert notices.due([alarm("a")], AGAIN_NS) is None
    assert notices.due([alarm("a")], AGAIN_NS + 1) is not None


def test_a_thousand_are_one_notice() -> None:
    due = Notices().due([alarm(f"a{n}", n) for n in range(1000)], 10)
    assert due is not None
    assert due.subject == "vmc1: CODE and 999 more"
    assert len(due.alarms) == LISTED_MAX
    assert due.unlisted == 1000 - LISTED_MAX
    assert f"and {due.unlisted} more" in due.text
    assert json.loads(due.as_json())["unlisted"] == due.unlisted


@given(st.text(max_size=2000), st.integers(-(2**63), 2**63 - 1))
def test_any_text_becomes_one_line(text: str, raised_ns: int) -> None:
    made = notice([alarm("a", raised_ns, text=text)])
    assert len(made.text.splitlines()) == 2
    assert "\n" not in made.subject
    assert len(made.text) < 600
    json.loads(made.as_json())
