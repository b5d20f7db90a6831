"""What an operator does, and what goes wrong: STOP, a crash, the hub killed and back, a machine that falls silent."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.web.dashboard.cell import Cell
from tests.web.dashboard.test_views import at

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def cell() -> Iterator[Cell]:
    """A cell of its own: here things break."""
    with Cell() as cell:
        yield cell


def test_a_key_signs_on_once_and_stop_needs_nobody(page: Page, cell: Cell) -> None:
    at(page, cell, "overview")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.get_by_role("button", name="STOP vmc2").click()
    expect(page.get_by_text(re.compile(r"vmc2: accepted after \d+ ms"))).to_be_visible()
    expect(page.locator("[data-machine=vmc2] [data-what=state] svg")).to_have_attribute(
        "aria-label", re.compile("STOPPED|INTERRUPTED")
    )
    told = json.loads(cell.rise("topic", "echo", "vmc2/machine/state", "--once", "--json"))
    assert told["message"]["execution"] in ("STOPPED", "INTERRUPTED"), told


def test_who_is_not_signed_on_is_refused_in_words(page: Page, cell: Cell) -> None:
    at(page, cell, "machine", "?m=vmc2")
    page.get_by_placeholder("Why may it run again?").fill("all clear")
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_text("sign", exact=False).filter(has_text="RESET needs").first).to_be_visible()


def test_a_crash_is_a_red_card_with_the_reason_a_story_and_a_verdict(page: Page, cell: Cell) -> None:
    page.goto(cell.url)  # with the key
    expect(page.get_by_role("button", name="first_administrator")).to_be_visible()
    assert "key" not in page.url
    page.get_by_role("button", name="Crash vmc1").click()
    card = page.locator("[data-machine=vmc1]")
    expect(card).to_have_class(re.compile("danger"))
    # whichever limit is met first where the clamp stands, or the control's own word on it, which may be the newest
    reason = r"asked for (FEED_HOLD|STOP): .*(load|accel)|servo overload: the control stopped the axes itself"
    expect(card.get_by_text(re.compile(reason)).first).to_be_visible()
    page.goto(f"{cell.base}#/machine?m=vmc1")
    story = page.locator("section", has=page.get_by_role("heading", name="Last event"))
    # where it is hard enough the stop comes without a hold before it
    for step in (r"^contact$", r"^decision (FEED HOLD|STOP)$", r"^accepted$", r"^axes stood$"):
        expect(story.get_by_text(re.compile(step)).first).to_be_visible()
    expect(story.get_by_text(re.compile(r"\d+\.\d\d mm overtravel since contact")).first).to_be_visible()
    page.get_by_role("button", name="False stop").click()
    expect(story.get_by_text("judged FALSE_STOP by first_administrator", exact=False)).to_be_visible()
    page.get_by_placeholder("Why may it run again?").fill("clamp taken away")
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("[data-what=state] svg")).to_have_attribute("aria-label", re.compile("ACTIVE|READY"))


def test_an_alarm_is_spoken_and_only_who_is_signed_on_acknowledges_it(page: Page, cell: Cell) -> None:
    cell.runs("vmc1")
    at(page, cell, "alarms")
    cell.rise("service", "call", "/vmc1/machine/inject", '{"fault": "CRASH"}')
    row = page.locator("li[data-state=UNACKNOWLEDGED], li[data-state=RETURNED]").filter(has_text="vmc1").first
    expect(row).to_be_visible(timeout=30_000)
    expect(page.locator("p[aria-live=assertive]").first).to_have_text(re.compile("New alarm: "))
    row.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("alert")).to_contain_text("ACKNOWLEDGE needs somebody who is signed on")
    expect(row).to_be_visible()


def test_a_bag_answers_what_another_limit_would_have_decided(page: Page, cell: Cell) -> None:
    at(page, cell, "bags")
    box = page.get_by_role("button", name=re.compile("black_box"))
    expect(box.first).to_be_visible(timeout=30_000)
    box.first.click()
    page.get_by_role("slider").fill("30")  # a limit that the crash meets before any other
    answer = page.locator("[data-answer]")
    expect(answer.get_by_text(re.compile(r"vmc1 impact/intervention .* -> "))).to_be_visible(timeout=30_000)


def test_a_machine_that_falls_silent_is_stale_and_unprotected(page: Page, cell: Cell) -> None:
    at(page, cell, "overview")
    processes = json.loads(cell.rise("ps", "--json"))
    rows = processes["processes"] if isinstance(processes, dict) else processes
    pid = next(p["pid"] for p in rows if "vmc2/sensory_cortex" in p["nodes"])
    os.kill(pid, signal.SIGSTOP)
    try:
        card = page.locator("[data-machine=vmc2]")
        expect(card.get_by_text("STALE", exact=False)).to_be_visible()
        expect(card.locator("[data-what=protection] svg")).to_have_attribute("aria-label", "UNPROTECTED")
        expect(page.locator("[data-machine=vmc1]").get_by_text("STALE", exact=False)).to_have_count(0)
        at(page, cell, "signals", "?m=vmc2")
        expect(page.get_by_text("STALE: last heard", exact=False)).to_be_visible()
        expect(page.locator("[data-plot]")).to_have_class(re.compile("stale"))
        page.goto(f"{cell.base}#/overview")
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(card.get_by_text("STALE", exact=False)).to_have_count(0)


def test_a_machine_that_an_address_names_and_nobody_knows_takes_no_stop_away(page: Page, cell: Cell) -> None:
    for name in ("vmc7", "vmc8", "vmc9"):
        at(page, cell, "machine", f"?m={name}")
        for real in ("vmc1", "vmc2"):
            expect(page.get_by_role("button", name=f"STOP {real}")).to_be_visible()
        expect(page.get_by_role("button", name=f"STOP {name}")).to_have_count(0)
    page.goto(f"{cell.base}#/overview")
    expect(page.get_by_role("button", name="STOP")).to_have_count(2)


def test_stop_is_within_reach_while_somebody_signs_in(page: Page, cell: Cell) -> None:
    at(page, cell, "overview")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("dialog", name="Account")).to_be_visible()
    page.get_by_role("button", name="STOP vmc2").click()
    expect(page.get_by_text(re.compile(r"vmc2: accepted after \d+ ms"))).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Account")).to_be_hidden()


def test_a_killed_hub_is_unmistakable_and_the_page_comes_back_by_itself(page: Page, cell: Cell) -> None:
    at(page, cell, "overview")
    processes = json.loads(cell.rise("ps", "--json"))
    rows = processes["processes"] if isinstance(processes, dict) else processes
    os.kill(next(p["pid"] for p in rows if "fanuc_api" in p["nodes"]), signal.SIGKILL)
    expect(page.get_by_text("NO CONNECTION to the hub", exact=False)).to_be_visible()
    expect(page.get_by_role("main")).to_have_class(re.compile("stale"))
    expect(page.locator("[data-machine=vmc1]").get_by_text("STALE", exact=False)).to_be_visible()
    expect(page.get_by_text("NO CONNECTION to the hub", exact=False)).to_have_count(0, timeout=30_000)
    expect(page.locator("[data-machine=vmc1]").get_by_text("STALE", exact=False)).to_have_count(0)
    assert page.locator(".numbers").get_attribute("data-unexplained") == "0"
