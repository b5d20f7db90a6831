"""Time, chance, threads and failures, as nodes feel them."""

from __future__ import annotations

import queue
import random
import threading
from typing import Any

import pytest

from bus.executor import Executor
from bus.host import Spec
from bus.node import BlockingCallError, Node, Raw, Synced, publisher, subscription, tap, timer
from bus.testing import Domain
from schemas import topics
from schemas.machine import ConditionLevel
from schemas.system import ClockTick, TopicCount
from tests.bus.live import node, until
from tests.bus.toys.talk import Failing, Listener, Talker, Word

# --- time, chance, threads ------------------------------------------------------------------------------------------


def test_chance_is_seeded_by_the_name(domain: Domain) -> None:
    with domain.running(Spec(Listener, name="a"), Spec(Listener, name="b")) as two:
        assert node(two, 0).rng.random() == random.Random("a").random()
        assert node(two, 1).rng.random() == random.Random("b").random()


def test_a_timer_slower_than_its_period_starves_nobody(domain: Domain) -> None:
    class Busy(Listener):
        pause = threading.Event()

        @timer(0.002)
        def work(self) -> None:
            self.pause.wait(0.005)

    with domain.running(Spec(Busy, name="busy")) as busy, domain.running(Spec(Talker)) as talker:
        talker.hosts[0].submit(node(talker).say, 20)
        until(lambda: node(busy).of("talk/said") == [list(range(1, 21))])


class _Ticking(Node):
    def on_configure(self) -> None:
        self.configured = getattr(self, "configured", 0) + 1
        self.ticks: list[int] = []

    @timer(0.1)
    def tick(self) -> None:
        self.ticks.append(self.now_ns())


def test_a_simulated_clock_moves_the_timers_and_a_jump_back_starts_over(domain: Domain) -> None:
    done = threading.Event()
    made: list[Executor] = []

    def run() -> None:
        with Executor([Spec(_Ticking, name="ticking")], domain=domain.name, clock="sim") as executor:
            made.append(executor)
            executor.run()
        done.set()

    class Clocked(Node):
        clock = publisher(topics.CLOCK)

    with domain.running(Spec(Clocked, name="clocked")) as source:
        threading.Thread(target=run, daemon=True).start()
        until(lambda: made and made[0]._started)

        def at(ms: int) -> None:
            source.hosts[0].submit(node(source).clock.publish, ClockTick(now_ns=ms * 1_000_000, rate=1.0))
            until(lambda: made[0].clock.now_ns() == ms * 1_000_000)

        ticking = node(made[0])
        until(lambda: getattr(ticking, "configured", 0) == 1)
        at(1000)
        until(lambda: ticking.ticks)
        first = len(ticking.ticks)
        for ms in range(1050, 1501, 50):
            at(ms)
        until(lambda: len(ticking.ticks) - first == 5)
        at(200)
        until(lambda: ticking.configured == 2)
        at(300)
        until(lambda: ticking.ticks == [300_000_000])
        made[0].stop()
        assert done.wait(10)


def test_submit_runs_on_the_nodes_thread_and_gives_back_the_result(domain: Domain) -> None:
    with domain.running(Spec(Listener)) as listener:
        assert listener.hosts[0].submit(threading.get_ident).result(10) == listener.thread
        with pytest.raises(ZeroDivisionError):
            listener.hosts[0].submit(lambda: 1 // 0).result(10)

        def waits_for_itself() -> object:
            return listener.hosts[0].submit(lambda: 1).result(1)

        with pytest.raises(BlockingCallError, match="own thread"):
            listener.hosts[0].submit(waits_for_itself).result(10)
    assert listener.hosts[0].submit(lambda: 1).cancelled(), "nobody runs it any more"


def test_submit_is_bounded(domain: Domain) -> None:
    with domain.running(Spec(Listener)) as listener:
        held = threading.Event()
        listener.hosts[0].submit(held.wait, 10)
        with pytest.raises(queue.Full, match="1024 submitted calls wait already"):
            [listener.hosts[0].submit(lambda: None) for _ in range(2000)]
        held.set()


# --- failures -------------------------------------------------------------------------------------------------------


def test_an_exception_skips_the_message_is_logged_once_and_is_a_fault(
    domain: Domain, capfd: pytest.CaptureFixture[str]
) -> None:
    with domain.running(Spec(Failing)) as failing, domain.running(Spec(Talker)) as talker:
        talker.hosts[0].submit(node(talker).say, 3)
        until(
            lambda: (
                failing.hosts[0].findings.get("callback_failed")
                and failing.hosts[0].findings["callback_failed"].count == 3
            )
        )
        assert failing.hosts[0].findings["callback_failed"].level is ConditionLevel.FAULT
    said = capfd.readouterr().err
    assert said.count("Traceback") == 1


def test_a_slow_callback_is_a_finding(domain: Domain) -> None:
    with (
        domain.running(Spec(Failing, parameters={"slow_ms": 60})) as failing,
        domain.running(Spec(Talker)) as talker,
    ):
        talker.hosts[0].submit(node(talker).said.publish, Word(number=0, text=""))
        until(lambda: "slow_callback" in failing.hosts[0].findings)
        assert "on_said took" in failing.hosts[0].findings["slow_callback"].text


def test_a_slow_callback_is_no_finding_for_good(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        domain.running(Spec(Failing, parameters={"slow_ms": 60})) as failing,
        domain.running(Spec(Talker)) as talker,
    ):
        talker.hosts[0].submit(node(talker).said.publish, Word(number=0, text=""))
        until(lambda: "slow_callback" in failing.hosts[0].findings)
        monkeypatch.setattr("bus.host.SLOW_TOLD_NS", 1)  # not a whole minute
        until(lambda: "slow_callback" not in failing.hosts[0].findings)


def test_diagnostics_tell_the_counters(domain: Domain) -> None:
    class Watch(Node):
        rows: dict[str, tuple[TopicCount, ...]]

        def on_configure(self) -> None:
            self.rows = {}

        @subscription(topics.DIAGNOSTICS)
        def on_diagnostics(self, d: Any) -> None:
            self.rows[d.node] = d.topics

    with (
        domain.running(Spec(Watch, name="watch")) as watch,
        domain.running(Spec(Listener)) as _listener,
        domain.running(Spec(Talker)) as talker,
    ):
        talker.hosts[0].submit(node(talker).say, 10)

        def told() -> bool:
            rows = node(watch).rows.get("listener", ()) or next(
                (r for n, r in node(watch).rows.items() if n == _listener.hosts[0].name), ()
            )
            return any(r.topic == "talk/said" and r.received == 10 and r.lost == 0 for r in rows)

        until(told)


def test_synced_is_told_to_composed_nodes_too(domain: Domain) -> None:
    with domain.running(Spec(Talker), Spec(Listener)) as both:
        until(lambda: any(isinstance(e, Synced) for e in node(both, 1).events))


def test_a_silent_composed_publisher_is_stale(domain: Domain) -> None:
    with domain.running(Spec(Talker), Spec(Listener)) as both:
        until(lambda: "Stale" in node(both, 1).kinds("talk/sensed"))


class Sayer(Node):
    """Says what a file name may be: no UTF-8."""

    def say(self, text: str) -> None:
        self.log.warning(text)
        self.report("odd", ConditionLevel.WARNING, text)


def test_whatever_a_node_says_is_said(domain: Domain, capfd: pytest.CaptureFixture[str]) -> None:
    """Also from the timer that publishes diagnostics, where no callback's net is below it."""
    with domain.running(Spec(Listener)), domain.running(Spec(Sayer, "talker")) as sayer:
        for text in ("broken \udcff text", "x" * 10**6):
            sayer.hosts[0].submit(node(sayer).say, text).result(10)
        assert len(sayer.hosts[0].findings["odd"].text) < 30_000
    said = capfd.readouterr().err
    assert r"talker: broken \udcff text" in said
    assert len(said) < 30_000


class Chooser(Node):
    """Cannot say of every topic whether it wants it."""

    def on_configure(self) -> None:
        self.heard: set[str] = set()

    @tap(select="select")
    def on_raw(self, batch: list[Raw]) -> None:
        self.heard |= {raw.topic for raw in batch}

    def select(self, topic: str, type_name: str) -> bool:
        if topic == "talk/sensed":
            raise ValueError(f"no opinion on {topic}")
        return topic.startswith("talk/")


def test_a_tap_that_fails_to_choose_goes_on_without_that_topic(domain: Domain) -> None:
    with domain.running(Spec(Chooser)) as chooser, domain.running(Spec(Talker, parameters={"burst": 3})):
        until(lambda: "talk/said" in node(chooser).heard)
        assert "talk/sensed" not in node(chooser).heard
        assert "no opinion on talk/sensed" in chooser.hosts[0].findings["callback_failed"].text
