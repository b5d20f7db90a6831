"""The users in a browser: the first administrator makes the others, changes them, and ends their sessions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.web.dashboard.cell import Cell
from tests.web.dashboard.conftest import told
from tests.web.dashboard.test_views import at

pytestmark = [pytest.mark.full, pytest.mark.timeout(180)]
PASSWORD = "battery staple"


@pytest.fixture(scope="module")
def cell() -> Iterator[Cell]:
    """A cell of its own: here are users."""
    with Cell() as cell:
        yield cell


@pytest.fixture
def tablet(browser: Browser) -> Iterator[Page]:
    """A second page, with cookies of its own."""
    context = browser.new_context()
    yield told(context.new_page())
    context.close()


def sign_on(page: Page, user: str) -> None:
    page.get_by_role("button", name="Sign in").click()
    account = page.get_by_role("dialog", name="Account")
    account.get_by_label("Name").fill(user)
    account.get_by_label("Password").fill(PASSWORD)
    account.get_by_role("button", name="Sign in").click()


def test_an_administrator_makes_users_changes_them_and_ends_their_sessions(
    page: Page, tablet: Page, cell: Cell
) -> None:
    page.goto(cell.url)  # with the key
    expect(page.get_by_role("navigation").get_by_role("link", name="Users")).to_be_visible()
    page.get_by_role("button", name="first_administrator").click()
    page.get_by_role("dialog", name="Account").get_by_role("link", name="Users").click()

    # the first one, by keyboard alone
    page.get_by_label("name", exact=True).focus()
    page.keyboard.type("anna")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # operator is the default: not for her
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    anna, maria = page.locator("tr[data-user=anna]"), page.locator("tr[data-user=maria]")
    expect(anna).to_contain_text("administrator")
    expect(anna).not_to_contain_text("operator")

    page.get_by_role("link", name="Add another user").click()
    page.get_by_label("name", exact=True).fill("maria")
    page.get_by_label("Machines", exact=False).fill("vmc1, vmc2")
    page.get_by_label("Password", exact=False).fill("short")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="a password has 8 to 256 characters")).to_be_visible()
    expect(page.get_by_label("name", exact=True)).to_have_value("maria")  # what was typed stays
    page.get_by_label("Password", exact=False).fill(PASSWORD)
    page.get_by_role("button", name="Save").click()
    expect(maria).to_contain_text("vmc1, vmc2")

    at(tablet, cell, "users")
    expect(tablet.get_by_text("USERS needs somebody who is signed on", exact=False)).to_be_visible()
    sign_on(tablet, "maria")
    expect(tablet.get_by_role("button", name="maria")).to_be_visible()
    expect(tablet.get_by_role("navigation").get_by_role("link", name="Users")).to_have_count(0)
    expect(tablet.get_by_text("USERS needs the role administrator; maria has operator")).to_be_visible()

    page.get_by_role("link", name="anna").click()
    page.get_by_role("link", name="maria").click()
    expect(page.locator("tr[data-session]")).to_have_count(1)
    expect(page.locator("tr[data-session]")).to_contain_text("127.0.0.1")
    violations = Axe().run(page).response["violations"]
    assert not violations, [(v["id"], v["nodes"][0]["html"]) for v in violations]
    page.get_by_role("button", name="End the session from 127.0.0.1", exact=False).click()
    expect(page.get_by_text("Signed on nowhere.")).to_be_visible()
    tablet.reload()
    sign_on(tablet, "maria")

    page.get_by_role("button", name="Disable").click()
    expect(maria).to_contain_text("DISABLED")
    tablet.reload()
    sign_on(tablet, "maria")
    expect(tablet.get_by_text("maria is disabled", exact=False)).to_be_visible()
    tablet.get_by_role("button", name="Close").click()
    tablet.get_by_role("button", name="STOP vmc2").click()  # whoever is signed on, or nobody
    expect(tablet.get_by_text("vmc2: accepted after", exact=False)).to_be_visible()

    page.get_by_role("button", name="Forget this user").click()
    expect(maria).to_have_count(0)
    page.get_by_role("link", name="anna").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("no administrator would be left", exact=False)).to_be_visible()
    expect(anna).to_contain_text("enabled")
