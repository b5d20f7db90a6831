"""The page over a hub whose machines are not the demo's: one that only tells, and one that cries without end."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from bus import Node, publisher, timer
from bus.host import Spec
from bus.testing import Domain
from schemas import topics
from schemas.machine import Alarm, ConditionLevel
from tests.web.rig import shop

pytestmark = pytest.mark.full

ALARMS = 10_000
AT_ONCE = 100
"""fewer than a reader of a LATCHED topic keeps"""


class Crier(Node):
    """Says 10,000 alarms, each another one."""

    alarms = publisher(topics.ALARM)

    def on_configure(self) -> None:
        self.said = 0

    @timer(0.02)
    def cry(self) -> None:
        for n in range(self.said, min(self.said + AT_ONCE, ALARMS)):
            level = ConditionLevel.FAULT if n % 10 == 0 else ConditionLevel.WARNING
            self.alarms.publish(
                Alarm(
                    stamp_ns=self.now_ns(),
                    alarm_id=f"{self.name}/{n}",
                    level=level,
                    origin=self.name,
                    native_code=f"A{n}",
                    text=f"number {n}",
                )
            )
        self.said = min(self.said + AT_ONCE, ALARMS)


def test_a_machine_that_cannot_be_stopped_shows_the_red_button_in_place_of_stop(page: Page, domain: Domain) -> None:
    silent = {"driver": "shdr", "address": "127.0.0.1:9"}
    with shop(domain, sources=(silent,)) as made:
        page.goto(made.url)
        expect(page.get_by_role("img", name="USE THE RED BUTTON")).to_be_visible()
        expect(page.get_by_role("button", name="STOP vmc1")).to_have_count(0)
        expect(page.get_by_text("SIMULATED", exact=True)).to_have_count(0)
        expect(page.get_by_role("button", name="Crash vmc1")).to_have_count(0)


@pytest.mark.timeout(120)
def test_ten_thousand_alarms_leave_the_page_usable(page: Page, domain: Domain) -> None:
    with shop(domain) as made, domain.running(Spec(Crier, namespace="vmc1")):
        page.goto(f"{made.url}/#/alarms")
        expect(page.get_by_text(re.compile(f"200 of {ALARMS} alarms"))).to_be_visible(timeout=90_000)
        page.get_by_label("Filter").fill("number 9990")
        expect(page.get_by_text(f"1 of {ALARMS} alarms")).to_be_visible()
        expect(page.locator("li[data-state]")).to_have_count(1)
        page.reload()  # what came before this page was opened is there as well
        expect(
            page.get_by_text(f"1 of {ALARMS} alarms", exact=False).or_(page.get_by_text(f"of {ALARMS} alarms"))
        ).to_be_visible()
        page.get_by_role("button", name="STOP vmc1").click()
        expect(page.get_by_text(re.compile(r"vmc1: accepted after \d+ ms"))).to_be_visible()
