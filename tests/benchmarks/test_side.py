"""Both sides of a comparison really send, and stand still while they are not measured."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from bus.testing import Domain
from tests.benchmarks.peers import missing
from tests.benchmarks.process import Role, cpu_s
from tests.benchmarks.side import ours, peer

INSTALLED = [name for name in ("raw", "coded", "zenoh", "zenoh_default", "redis") if not missing(name)]
PROCESSES = "tests.benchmarks"


def stopped() -> set[bool]:
    """Whether the roles that this test started stand still."""
    found = [p for p in psutil.Process().children() if any(PROCESSES in part for part in p.cmdline())]
    return {p.status() == psutil.STATUS_STOPPED for p in found}


@pytest.mark.parametrize("name", INSTALLED)
def test_a_peer_sends_and_rests(name: str, tmp_path: Path) -> None:
    with Domain("bench") as domain, peer(name, domain.root, burst=50) as side:
        assert stopped() == {True}
        first, second = side.burst(), side.burst()
        assert stopped() == {True}
    assert (first["received"], second["received"]) == (50, 50)
    assert first["gaps"] == second["gaps"] == 0
    assert min(first[key] for key in ("p50", "publisher cpu", "subscriber cpu", "publisher PSS")) > 0
    assert (first["cpu"] > first["publisher cpu"] + first["subscriber cpu"] + 1) is (name == "redis"), (
        "its server counts"
    )


def test_a_large_body_arrives_whole() -> None:
    with Domain("bench") as domain, peer("raw", domain.root, size=921_600, burst=3, period_s=0.01) as side:
        assert side.burst()["received"] == 3


def test_our_nodes_send_and_rest() -> None:
    with Domain("bench"), ours("steady", "listen") as side:
        assert stopped() == {True}
        burst = side.burst()
        assert stopped() == {True}
    assert burst["received"] + burst["gaps"] > 0
    assert burst["p50"] > 0


@pytest.mark.parametrize("wanted", ["", "realtime", "slice"])
def test_a_role_says_how_it_is_scheduled(wanted: str) -> None:
    with Domain("bench"), Role("listen", f'{{"schedule": "{wanted}"}}') as role:
        said = role.ready["scheduling"]
        policies = {os.sched_getscheduler(t.id) for t in psutil.Process(role.pid).threads()}
    assert policies == ({os.SCHED_FIFO} if said.startswith("FIFO") else {os.SCHED_OTHER}), "libzmq's threads too"
    assert (said == "normal") is (not wanted)


def test_the_cpu_of_a_process_is_what_its_own_clock_says() -> None:
    before = time.process_time()
    seen = cpu_s(os.getpid())
    assert before <= seen <= time.process_time()


def test_what_is_not_installed_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing("raw") is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt-get install redis-server" in (missing("redis") or "")
