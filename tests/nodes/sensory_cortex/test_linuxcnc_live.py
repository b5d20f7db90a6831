"""A real LinuxCNC behind the node on a real bus: it runs a program, is held, stopped, killed, and comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from bus.host import Spec
from bus.session import Session
from bus.testing import Domain
from nodes.linuxcnc.control import parts
from nodes.sensory_cortex import SensoryCortex
from schemas import topics
from schemas.base import Message, Service
from schemas.machine import (
    ActionReply,
    Execution,
    Fault,
    FeedHoldRequest,
    InjectRequest,
    MachineState,
    MotionEvent,
    MotionPhase,
    ResetRequest,
    StopRequest,
)
from tests.bus.cli.shop import rise
from tests.nodes.linuxcnc.mill import Mill, mill, needs_linuxcnc
from tests.nodes.sensory_cortex.test_live import Ear, domain, of_machine

__all__ = ["domain"]  # a fixture
SIMULATED = {"driver": "linuxcnc", "simulated": True, "program": "demo.ngc"}


@pytest.fixture(scope="module")
def control() -> Iterator[Mill]:
    with mill() as made:
        yield made


class Shop:
    """The machine of LinuxCNC, heard and asked."""

    def __init__(self, session: Session, ear: Ear) -> None:
        self.session, self.ear = session, ear

    def spin(self, until: Callable[[], bool], seconds: float = 30.0) -> bool:
        return self.session.executor.spin(until, seconds)

    @property
    def state(self) -> MachineState | None:
        states = self.ear.raw.get("m/machine/state")
        return self.ear.of(topics.MACHINE_STATE)[-1] if states else None

    def is_now(self, execution: Execution, block: int | None = None) -> bool:
        state = self.state
        return state is not None and state.execution is execution and block in (None, state.block_number)

    def cuts(self) -> bool:
        """Waits until it moves along x at 50 mm/s, more than a second before its end."""
        return self.spin(
            lambda: self.is_now(Execution.ACTIVE, 50) and self.read("feed_mm_min") > 2500.0 and self.read("x_mm") < 40.0
        )

    def read(self, signal: str) -> float:
        names = [s.name for s in self.ear.of(topics.SIGNALS)[-1].signals]
        return float(self.ear.of(topics.SAMPLES)[-1].data.array[-1, names.index(signal)])

    def call(self, service: Service[Any, Any], request: Message) -> Any:
        return self.session.call(f"m/{service.name}", service, request, timeout_s=2.0)

    def hold(self) -> ActionReply:
        return self._asked(topics.FEED_HOLD, FeedHoldRequest)

    def stop(self) -> ActionReply:
        return self._asked(topics.STOP, StopRequest)

    def _asked(
        self, service: Service[Any, ActionReply], kind: type[FeedHoldRequest] | type[StopRequest]
    ) -> ActionReply:
        request = kind(reason="test", requested_by="test", stamp_ns=self.session.now_ns)
        reply: ActionReply = self.call(service, request)
        return reply

    def reset(self) -> bool:
        """Waits until it is taken: a program must be paused first."""
        request = ResetRequest(operator="joe", reason="test")
        return self.spin(lambda: bool(self.call(topics.RESET, request).accepted))

    def steps(self, action_id: str) -> dict[MotionPhase, MotionEvent]:
        return {e.phase: e for e in self.ear.of(topics.MOTION) if e.action_id == action_id}

    def sees(self, phase: MotionPhase, action_id: str) -> bool:
        return self.spin(lambda: phase in self.steps(action_id))


@pytest.fixture
def shop(control: Mill, domain: Domain) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield opened(stack, domain, **SIMULATED)


def opened(stack: ExitStack, domain: Domain, **source: Any) -> Shop:
    ear = Ear()
    stack.enter_context(domain.running(Spec(SensoryCortex, namespace="m", parameters={"sources": (source,)})))
    return Shop(stack.enter_context(domain.session(select=of_machine, heard=ear)), ear)


@needs_linuxcnc
class TestRuns:
    def test_a_hold_and_a_stop_run_their_course_and_are_released(self, shop: Shop) -> None:
        assert shop.cuts()
        hold = shop.hold()
        assert hold.accepted
        assert shop.sees(MotionPhase.AXES_STANDING, hold.action_id)
        steps = shop.steps(hold.action_id)
        assert steps[MotionPhase.DECELERATING].stamp_ns < steps[MotionPhase.AXES_STANDING].stamp_ns
        assert 0.5 < steps[MotionPhase.AXES_STANDING].travel_mm < 20.0, "0.6 mm is what the acceleration needs"
        assert shop.spin(lambda: shop.is_now(Execution.FEED_HOLD))
        assert shop.reset()
        assert shop.cuts(), "it was paused, and a simulated machine resumes"
        stop = shop.stop()
        assert shop.sees(MotionPhase.SPINDLE_STANDING, stop.action_id)
        order = [e.phase for e in shop.ear.of(topics.MOTION) if e.action_id == stop.action_id]
        assert order == [
            MotionPhase.ACCEPTED,
            MotionPhase.DECELERATING,
            MotionPhase.AXES_STANDING,
            MotionPhase.SPINDLE_STANDING,
        ]
        assert shop.is_now(Execution.STOPPED)
        assert shop.reset()
        assert shop.cuts()

    def test_an_overload_is_seen_in_the_rows(self, shop: Shop) -> None:
        assert shop.cuts()
        assert shop.call(topics.INJECT, InjectRequest(fault=Fault.CRASH)).accepted
        assert shop.spin(lambda: any(e.phase is MotionPhase.CONTACT for e in shop.ear.of(topics.MOTION)))
        block = shop.ear.of(topics.SAMPLES)[-1]
        (signals,) = shop.ear.of(topics.SIGNALS)[-1:]
        loads = block.data.array[:, [s.name for s in signals.signals].index("spindle_load_pct")]
        assert loads[-1] > 150.0
        stop = shop.stop()
        assert shop.sees(MotionPhase.AXES_STANDING, stop.action_id)
        assert shop.reset()
        assert shop.cuts()

    def test_every_servo_period_comes_as_a_row(self, shop: Shop) -> None:
        assert shop.cuts()
        first = shop.ear.rows(topics.SAMPLES)
        assert shop.spin(lambda: shop.ear.rows(topics.SAMPLES) > first + 2000)
        blocks = [b for b in shop.ear.of(topics.SAMPLES) if b.first_row >= first]
        assert sum(len(b.data.array) for b in blocks) == shop.ear.rows(topics.SAMPLES) - blocks[0].first_row
        assert shop.ear.lost == 0

    def test_the_beat_that_stays_away_holds_the_machine_in_hal(self, control: Mill, domain: Domain) -> None:
        with ExitStack() as stack:
            shop = opened(stack, domain, **SIMULATED, watchdog=True)
            assert shop.cuts()
            core = stack.enter_context(ExitStack())
            core.enter_context(domain.process("nodes.impact_cortex", "--namespace", "m", "-p", "mode=STOP"))
            assert shop.spin(lambda: shop.ear.last_is(topics.HAL_PROTECTION, "PROTECTED"))
            assert shop.cuts(), "between two runs of the program there is nothing to hold"
            core.close()  # killed
            assert shop.spin(lambda: shop.is_now(Execution.FEED_HOLD))
            assert shop.reset()
            assert shop.cuts()


@needs_linuxcnc
class TestGone:
    def test_a_control_that_is_killed_is_unavailable_and_comes_back(self, control: Mill, shop: Shop) -> None:
        assert shop.cuts()
        for pid in parts():
            os.kill(pid, signal.SIGKILL)
        assert shop.spin(lambda: shop.is_now(Execution.UNAVAILABLE))
        assert not shop.stop().accepted
        assert control.gone()
        control.start()
        assert shop.cuts()

    def test_a_stop_outlives_the_control(self, control: Mill, shop: Shop) -> None:
        assert shop.cuts()
        stop = shop.stop()
        assert shop.sees(MotionPhase.SPINDLE_STANDING, stop.action_id)
        control.end()
        assert shop.spin(lambda: shop.is_now(Execution.UNAVAILABLE))
        control.start()
        assert shop.spin(lambda: shop.is_now(Execution.STOPPED))
        assert shop.reset()
        assert shop.cuts()

    def test_a_task_that_is_stopped_is_unavailable_until_it_goes_on(self, shop: Shop) -> None:
        assert shop.cuts()
        (task,) = (pid for pid, name in parts().items() if name == "milltask")
        os.kill(task, signal.SIGSTOP)
        try:
            assert shop.spin(lambda: shop.is_now(Execution.UNAVAILABLE))
        finally:
            os.kill(task, signal.SIGCONT)
        assert shop.cuts()

    def test_a_control_that_ends_and_starts_again_runs_again(self, control: Mill, shop: Shop) -> None:
        assert shop.cuts()
        control.end()
        assert shop.spin(lambda: shop.is_now(Execution.UNAVAILABLE))
        control.start()
        assert shop.cuts()


@needs_linuxcnc
def test_a_probe_says_what_answers_and_how_fast(control: Mill) -> None:
    done = rise("machine", "probe", "linuxcnc://", "--seconds", "3", "--name", "mill")
    assert done.exit_code == 0, done.output
    assert "linuxcnc:// answers: LinuxCNC" in done.output
    assert "spindle_load_pct" in done.output
    assert 'sources = [{ driver = "linuxcnc" }]' in done.output
