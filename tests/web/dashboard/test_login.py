"""A hub that is open to the network, as a tablet in the shop meets it: the login alone, until somebody signs on."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from bus.testing import Domain
from schemas.audit import AuditOutcome
from tests.web.dashboard.conftest import told
from tests.web.rig import PASSWORD, people, shop
from web.opening import own_addresses

pytestmark = pytest.mark.full


@pytest.mark.skipif(not own_addresses(), reason="this computer has no address but loopback (ip addr)")
def test_a_stranger_sees_the_login_alone(browser: Browser, domain: Domain) -> None:
    people(domain)
    with shop(domain, listen="0.0.0.0") as made:
        context = browser.new_context(ignore_https_errors=True)  # its certificate is its own
        page = told(context.new_page())
        page.goto(made.url)
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_text("sign in to see the shop", exact=False)).to_be_visible()
        expect(page.locator("[data-machine]")).to_have_count(0)
        page.get_by_role("button", name="STOP vmc1").click()  # beside the open dialog, and nobody is signed on
        expect(page.get_by_text("vmc1: accepted after")).to_be_visible()
        assert made.audit(command="STOP", outcome=AuditOutcome.DONE).user == ""
        dialog.get_by_role("button", name="Close").click()
        expect(page.get_by_role("main").get_by_text("sign in to see the shop", exact=False)).to_be_visible()
        for view in ("alarms", "nodes", "bags", "topology"):
            page.goto(f"{made.url}/#/{view}")
            expect(page.get_by_role("main").get_by_text("vmc1", exact=False)).to_have_count(0)
            expect(page.get_by_role("button", name="STOP vmc1")).to_be_visible()
        page.goto(f"{made.url}/#/overview")
        page.get_by_role("button", name="Sign in").click()
        dialog.get_by_label("Name").fill("vera")
        dialog.get_by_label("Password").fill(PASSWORD)
        dialog.get_by_role("button", name="Sign in").click()
        expect(page.locator("[data-machine=vmc1]")).to_be_visible()
        expect(dialog).to_be_hidden()
        context.close()
