"""What an executor does beside the messages: a look at everything each second, and beacons of what was said last."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bus import frame
from bus.clock import WallClock
from schemas.machine import ConditionLevel

if TYPE_CHECKING:
    from bus.executor import Executor

BEACON_AFTER_S = 0.05
DIAGNOSE_UNHEARD_EVERY = 10
CLOCK_STEP_S = 1.0
SWEEP_EVERY = 5
"""seconds between asking all locks again; inotify tells of deaths at once"""


class Upkeep:
    """Beats, beacons, and the looks at locks, logs, clocks and health.

    Args:
        beat: called each second from the loop, for whoever watches this process.
    """

    def __init__(self, executor: Executor, beat: Callable[[], None] | None) -> None:
        self._x = executor
        self._beat = beat
        self._seconds = 0
        self._bad_frames_told = 0
        self._last_published_ns = 0
        self._beacon_armed = False

    # --- beacons: whoever lost the last message of a topic learns it by them --------------------------------------

    def published(self, mono_ns: int) -> None:
        """A message has left that is repaired when it is lost."""
        self._last_published_ns = mono_ns
        if not self._beacon_armed:
            self._beacon_armed = True
            self._x.after(BEACON_AFTER_S, self._beacon_when_quiet)

    def _beacon_when_quiet(self) -> None:
        if self._x.monotonic_ns() - self._last_published_ns < BEACON_AFTER_S * 1e9:
            self._x.after(BEACON_AFTER_S, self._beacon_when_quiet)
            return
        self._beacon_armed = False
        self.send_beacons()

    def send_beacons(self) -> None:
        """Say the last number of every topic that is repaired."""
        x = self._x
        for host in x.hosts:
            last = {o.full_name: o.seq for o in host.outlets.values() if o.interest and o.topic.qos.repaired and o.seq}
            if last and x.peers.wanted_elsewhere(frame.BEACON):
                body = frame.encode(frame.Beacon(host.publisher_id, last))
                x.transport.send(
                    frame.BEACON, frame.pack(frame.BEACON, host.publisher_id, 0, x.monotonic_ns(), x.now_ns(), body)
                )

    # --- each second ----------------------------------------------------------------------------------------------

    def each_second(self) -> None:
        x = self._x
        self._seconds += 1
        if self._beat is not None:
            self._beat()
        if x.directory.degraded or self._seconds % SWEEP_EVERY == 0:
            x.directory.sweep()
            x.peers.refresh()
        self.send_beacons()
        x.transport.tend()
        x.transport.ended()
        self._tell_bad_frames()
        self._compare_clocks()
        if x.logs is not None:
            x.logs.look()
        if x.keeping is not None:
            x.keeping.look()
        for host in x.hosts:
            # while nobody listens, the value that late joiners are shown may be a little old
            outlet = host.outlets["diagnostics"]
            if outlet.interest or outlet.feed is not None or self._seconds % DIAGNOSE_UNHEARD_EVERY == 0:
                x.diagnose(host)

    def _compare_clocks(self) -> None:
        """Say that the system clock was set: the bus keeps its time, so people's watches differ from its stamps."""
        clock, host = self._x.clock, self._x.hosts[0]
        step_s = clock.step_ns() / 1e9 if isinstance(clock, WallClock) else 0.0
        if abs(step_s) < CLOCK_STEP_S:
            host.clear("clock_stepped")
        else:
            text = (
                f"the system clock is {abs(step_s):.0f} s {'ahead of' if step_s > 0 else 'behind'} the time of this "
                "domain, which never steps; it is taken over when the whole domain starts anew"
            )
            host.report("clock_stepped", ConditionLevel.WARNING, text)

    def _tell_bad_frames(self) -> None:
        bad = self._x.intake.bad_frames
        if bad != self._bad_frames_told:
            self._bad_frames_told = bad
            text = f"{bad} frames or connections that are none of this bus"
            self._x.hosts[0].report("bad_frames", ConditionLevel.WARNING, text)
