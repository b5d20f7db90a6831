"""The shdr driver on a real bus against a real TCP adapter: what it tells arrives, what it no longer tells is gone."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bus.session import Session
from bus.testing import Domain
from nodes.sensory_cortex import SensoryCortex
from nodes.sensory_cortex.drivers.shdr import Shdr
from schemas import topics
from schemas.machine import (
    Alarm,
    ConditionLevel,
    ControllerMode,
    Execution,
    FeedHoldRequest,
    MachineInfo,
    MachineState,
    SignalBlock,
)
from tests.nodes.sensory_cortex.adapter import Adapter
from tests.nodes.sensory_cortex.real_data import ROOT, needs_real_data, real
from tests.nodes.sensory_cortex.test_live import Ear, mill, of_machine

LOG = (Path(__file__).parent / "adapter.shdr").read_bytes()
"""the kinds of lines of a real log, written by hand"""


class Machine:
    """A sensory cortex behind an adapter, and everything it says."""

    def __init__(self, domain: Domain, address: str, driver: str = "shdr") -> None:
        self.ear = Ear()
        self._running = domain.running(mill(driver=driver, address=address))
        self._session = domain.session(select=of_machine, heard=self.ear)

    def __enter__(self) -> Machine:
        self.executor = self._running.__enter__()
        self.session: Session = self._session.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._session.__exit__(*exc)
        self._running.__exit__(*exc)

    def until(self, found: Callable[[], object], timeout_s: float = 10.0) -> None:
        assert self.session.executor.spin(lambda: bool(found()), timeout_s), self.states()[-1:]

    def states(self) -> list[MachineState]:
        return self.ear.of(topics.MACHINE_STATE)

    def state(self) -> MachineState:
        return self.states()[-1]

    def is_(self, execution: Execution) -> bool:
        return bool(self.states()) and self.state().execution is execution

    def info(self) -> MachineInfo:
        return self.ear.of(topics.MACHINE_INFO)[-1]

    def blocks(self) -> list[SignalBlock]:
        return self.ear.of(topics.SAMPLES)

    def alarms(self) -> dict[str, Alarm]:
        return {a.alarm_id.removeprefix("m/"): a for a in self.ear.of(topics.ALARM)}

    def level(self, alarm_id: str) -> ConditionLevel | None:
        alarm = self.alarms().get(alarm_id)
        return alarm.level if alarm else None

    def text(self, alarm_id: str) -> str:
        alarm = self.alarms().get(alarm_id)
        return alarm.text if alarm else ""

    def last(self, name: str) -> float:
        names = [s.name for signals in self.ear.of(topics.SIGNALS)[-1:] for s in signals.signals]
        rows = self.blocks()
        if name not in names or not rows or rows[-1].data.array.shape[1] <= names.index(name):
            return -1.0
        return float(rows[-1].data.array[-1, names.index(name)])

    @property
    def driver(self) -> Shdr:
        node = self.executor.hosts[0].node
        assert isinstance(node, SensoryCortex)
        driver = node.machine.fitted[0].driver
        assert isinstance(driver, Shdr)
        return driver


@pytest.fixture
def adapter() -> Iterator[Adapter]:
    with Adapter(LOG) as made:
        yield made


def test_what_an_adapter_tells_is_the_machine(domain: Domain, adapter: Adapter) -> None:
    with Machine(domain, adapter.address) as machine:
        machine.until(lambda: machine.is_(Execution.ACTIVE) and machine.state().part_count == 12)
        state = machine.state()
        assert (state.controller_mode, state.program, state.block) == (
            ControllerMode.AUTOMATIC,
            "O1234.NC",
            "G1 X10|Y2",
        )
        assert (state.tool_number, state.tool_serial, state.block_number) == (2206, "123456.2206", 7)
        assert np.isnan(state.feed_commanded_mm_min)
        assert state.run_id
        machine.until(lambda: machine.last("spindle_load_pct") == 31.0 and machine.last("feed_mm_min") == 7998.75)
        assert machine.last("x_mm") == float(np.float32(1039.897))
        machine.until(lambda: machine.level("shdr/system/SV0436") is ConditionLevel.FAULT)
        assert machine.text("shdr/system/SV0436") == "servo overload"
        machine.until(lambda: machine.ear.of(topics.MACHINE_INFO))
        info = machine.info()
        assert (info.can_feed_hold, info.can_stop, info.simulated) == (False, False, False)
        asked = FeedHoldRequest(reason="test", requested_by="test", stamp_ns=0)
        held = machine.session.call("m/machine/feed_hold", topics.FEED_HOLD, asked, timeout_s=2.0)
        assert (held.accepted, "only tells" in held.text) == (False, True)
        # an idle adapter is alive: its PONG says that what was told holds
        pings = adapter.pings
        machine.until(lambda: adapter.pings >= pings + 4 and machine.is_(Execution.ACTIVE))
        adapter.say(b"|system|NORMAL|SV0436|||\n|p1execution|READY|S1load|UNAVAILABLE\n")
        machine.until(lambda: machine.is_(Execution.READY) and np.isnan(machine.last("spindle_load_pct")))
        machine.until(lambda: machine.level("shdr/system/SV0436") is ConditionLevel.NORMAL)
        assert machine.state().run_id == ""
        counts = machine.driver.counts
        assert not [name for name in counts if name.startswith("bad")]
        assert counts["assets"] == 2
        assert machine.ear.lost == 0


def test_a_cut_cable_is_unavailable_at_once_and_heals(domain: Domain, adapter: Adapter) -> None:
    with Machine(domain, adapter.address) as machine:
        machine.until(lambda: machine.is_(Execution.ACTIVE))
        adapter.dump = b"|avail|AVAILABLE|execution|READY\n"
        adapter.cut()
        machine.until(lambda: machine.is_(Execution.UNAVAILABLE))
        machine.until(lambda: machine.is_(Execution.READY))
        assert adapter.connected == 2
        # what the first connection told does not hold in the second
        assert machine.state().program == ""
        machine.until(lambda: machine.level("shdr/connection") is ConditionLevel.NORMAL)
        machine.until(lambda: machine.level("shdr/system/SV0436") is ConditionLevel.UNAVAILABLE)


def test_a_frozen_adapter_is_unavailable_and_hung_up_on(domain: Domain, tmp_path: Path) -> None:
    file = tmp_path / "dump.shdr"
    file.write_bytes(LOG)
    command = [sys.executable, "-P", "-m", "tests.nodes.sensory_cortex.adapter", str(file), "1000"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with Machine(domain, f"127.0.0.1:{port}") as machine:
                machine.until(lambda: machine.is_(Execution.ACTIVE))
                process.send_signal(signal.SIGSTOP)
                machine.until(lambda: machine.is_(Execution.UNAVAILABLE))  # how soon: test_telling.py
                machine.until(lambda: any(a.native_code == "SOURCE_SILENT" for a in machine.ear.of(topics.ALARM)))
                # twice the heartbeat later it hangs up; the kernel still answers for the frozen one
                machine.until(lambda: any("silent for 2 s" in a.text for a in machine.ear.of(topics.ALARM)))
                process.send_signal(signal.SIGCONT)
                machine.until(lambda: machine.is_(Execution.ACTIVE))
        finally:
            process.kill()


def test_garbage_is_counted_and_told_and_what_is_good_in_it_is_kept(domain: Domain, adapter: Adapter) -> None:
    with Machine(domain, adapter.address) as machine:
        machine.until(lambda: machine.is_(Execution.ACTIVE))
        adapter.say(
            b"\xff\xfe\x00|\n" + b"x" * 100_000 + b"\nyesterday|S1load|55\n|execution|FLYING\n|S1load|much\n" * 3
        )
        adapter.say(b"|line|8\n")
        machine.until(lambda: machine.state().block_number == 8)
        machine.until(lambda: "6 value" in machine.text("shdr/lines"))
        text = machine.text("shdr/lines")
        assert re.fullmatch(
            r"not understood: .*4 time, 1 too-long, 1 utf-8, 6 value; the last: S1load is 'much'.*", text
        ), text
        assert machine.is_(Execution.UNAVAILABLE)  # what it is in no word of ours is not known


def test_two_adapters_in_turn_on_one_port(domain: Domain) -> None:
    first = Adapter(b"|execution|ACTIVE|Sload|1\n")
    with Machine(domain, first.address) as machine:
        machine.until(lambda: machine.is_(Execution.ACTIVE))
        first.close()
        machine.until(lambda: machine.is_(Execution.UNAVAILABLE))
        with Adapter(b"|execution|READY|Srpm|5\n", port=first.port):
            machine.until(lambda: machine.is_(Execution.READY) and machine.last("spindle_speed_rpm") == 5.0)
            machine.until(lambda: np.isnan(machine.last("spindle_load_pct")))


def expected(log: bytes) -> tuple[int, int, dict[str, list[str]]]:
    """Observations, moments before an earlier one, values of each key: by other means, for a log without quotes."""
    count = back = 0
    values: dict[str, list[str]] = {}
    last = newest = ""
    for line in log.decode("utf-8-sig").splitlines():
        if not re.match(r"\ufeff?\d{4}-", line):
            continue
        moment, *rest = line.split("|")
        back += last != moment < newest
        last, newest = moment, max(moment, newest)
        if rest[0].startswith("@"):
            continue
        if rest[1] in ("NORMAL", "FAULT") and len(rest) == 6:
            rest = rest[:2]
        for key, value in zip(rest[::2], rest[1::2], strict=True):
            count += 1
            values.setdefault(key, []).append(value)
    return count, back, values


@needs_real_data
def test_a_real_log_comes_through_without_one_lost_observation(domain: Domain) -> None:
    log = real("okuma_shdr/okuma_part1.shdr").read_bytes()
    count, back, values = expected(log)
    with Adapter() as adapter, Machine(domain, adapter.address) as machine:
        machine.until(lambda: machine.states() and machine.driver.counts["commands"])  # both ends are heard
        counts = machine.driver.counts
        adapter.say(log)
        machine.until(lambda: counts["observations"] >= count, 40.0)
        machine.until(lambda: machine.ear.rows(topics.SAMPLES) >= machine.driver._observed._first_rows["shdr"])
        assert counts["observations"] == count
        assert counts["assets"] == 68 + 24
        assert not [name for name in counts if name.startswith("bad")]
        assert counts["time back"] == back
        known = {key for key in values if key in machine.driver._table.rows}
        assert counts["unknown"] == sum(len(v) for k, v in values.items() if k not in known and not k.endswith("_cond"))
        names = [s.name for s in machine.ear.of(topics.SIGNALS)[-1].signals]
        rows = np.full((len(machine.blocks()), len(names)), np.nan)
        for row, block in zip(rows, machine.blocks(), strict=True):
            row[: block.data.array.shape[1]] = block.data.array[0]
        stamps = [b.stamp_ns for b in machine.blocks()]
        assert stamps == sorted(stamps)
        for name, key in (("spindle_load_pct", "S1load"), ("feed_mm_min", "p1Fact"), ("x_load_pct", "X1load")):
            column = rows[:, names.index(name)]
            column = column[~np.isnan(column)]
            changes = column[np.r_[True, column[1:] != column[:-1]]]
            told = np.array([float(v) for v in values[key]], np.float32)
            assert changes.tolist() == told[np.r_[True, told[1:] != told[:-1]]].tolist(), name
        assert machine.ear.lost == 0
