"""The page over a hub whose machines are not the demo's: one that only tells, and one that cries without end."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from bus.host import Spec
from bus.testing import Domain
from tests.web.crier import Crier
from tests.web.rig import shop

pytestmark = pytest.mark.full

ALARMS = 10_000


def test_a_machine_that_cannot_be_stopped_shows_the_red_button_in_place_of_stop(page: Page, domain: Domain) -> None:
    silent = {"driver": "shdr", "address": "127.0.0.1:9"}
    with shop(domain, sources=(silent,)) as made:
        page.goto(made.url)
        expect(page.get_by_role("img", name="USE THE RED BUTTON")).to_be_visible()
        expect(page.get_by_role("button", name="STOP vmc1")).to_have_count(0)
        expect(page.get_by_text("SIMULATED", exact=True)).to_have_count(0)
        expect(page.get_by_role("button", name="Crash vmc1")).to_have_count(0)


@pytest.mark.timeout(120)
def test_ten_thousand_alarms_at_5000_a_second_leave_the_page_usable(page: Page, domain: Domain) -> None:
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
