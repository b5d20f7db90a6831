"""There and back: a simulated machine, its adapter, and a second machine that is read from that adapter."""

from __future__ import annotations

import numpy as np
import pytest

from bus.host import Spec
from bus.node import Raw
from bus.testing import Domain
from nodes.sensory_cortex import SensoryCortex
from nodes.sensory_cortex.drivers.shdr import Shdr
from nodes.shdr_adapter import ShdrAdapter
from nodes.shdr_adapter.clients import PeerEvent, PeerKind
from schemas import topics
from schemas.codec import codec
from schemas.machine import Alarm, Execution, Fault, InjectRequest, MachineState, SignalBlock, Signals
from schemas.system import LogLevel
from tests.nodes.sensory_cortex.stage import Stage
from tests.nodes.sensory_cortex.test_live import of_machine

LEFT_OUT = {"stamp_ns", "run_id"}


def said(state: MachineState) -> tuple[object, ...]:
    return tuple(repr(v) for name, v in state.__dict__.items() if name not in LEFT_OUT)


class Heard:
    """What both machines say."""

    def __init__(self) -> None:
        self.states: dict[str, list[MachineState]] = {"m": [], "copy": []}
        self.rows: dict[str, dict[str, set[float]]] = {"m": {}, "copy": {}}
        self.names: dict[tuple[str, str], list[str]] = {}
        self.alarms: dict[str, Alarm] = {}

    def __call__(self, batch: list[Raw]) -> None:
        for raw in batch:
            machine, _, topic = raw.topic.partition("/")
            if topic == topics.MACHINE_STATE.name:
                self.states[machine].append(codec(MachineState).decode(raw.payload))
            elif topic == topics.SIGNALS.name:
                for s in codec(Signals).decode(raw.payload).signals:
                    names = self.names.setdefault((machine, s.source), [])
                    if s.name not in names:
                        names.append(s.name)
            elif topic == topics.SAMPLES.name:
                block = codec(SignalBlock).decode(raw.payload)
                # those before the table is heard have no names yet
                names = self.names.get((machine, block.source), [])
                for name, column in zip(names, block.data.array.T, strict=False):
                    self.rows[machine].setdefault(name, set()).update(column.tolist())
            elif topic == topics.ALARM.name:
                alarm = codec(Alarm).decode(raw.payload)
                self.alarms[f"{machine} {alarm.native_code}"] = alarm


@pytest.mark.timeout(120)
def test_a_machine_read_through_its_adapter_is_the_same_machine(domain: Domain) -> None:
    adapter = Spec(ShdrAdapter, namespace="m", parameters={"port": 0, "rate_hz": 50.0})
    heard = Heard()
    mill = Spec(SensoryCortex, namespace="m")
    with (
        domain.running(mill, adapter) as executor,
        domain.session(select=lambda t, n: of_machine(t, n) or t.startswith("copy/"), heard=heard) as session,
    ):
        spin = session.executor.spin
        node = next(h.node for h in executor.hosts if isinstance(h.node, ShdrAdapter))
        assert spin(lambda: bool(node.listening), 10.0)
        copy = Spec(
            SensoryCortex, namespace="copy", parameters={"sources": ({"driver": "shdr", "address": node.listening},)}
        )
        with domain.running(copy) as copying:
            states = heard.states
            assert spin(lambda: any(s.execution is Execution.ACTIVE for s in states["copy"]), 10.0)
            seen = len(states["copy"])
            assert spin(lambda: len({s.block_number for s in states["copy"][seen:]}) > 4, 30.0)
            crash = InjectRequest(fault=Fault.SENSOR_LOST, signal="spindle_load_pct")
            assert session.call("m/machine/inject", topics.INJECT, crash, timeout_s=5.0).accepted
            assert spin(lambda: "copy m/sensory_cortex/signal/spindle_load_pct" in heard.alarms, 10.0)
            assert spin(lambda: any(np.isnan(v) for v in heard.rows["copy"]["spindle_load_pct"]), 10.0)
            # every state and every reading of the copy is one of the machine's
            spin(lambda: {said(s) for s in states["copy"][seen:]} <= {said(s) for s in states["m"]}, 3.0)
            told = {said(s) for s in states["m"]}
            reader = copying.hosts[0].node
            assert isinstance(reader, SensoryCortex)
            driver = reader.machine.fitted[0].driver
            assert isinstance(driver, Shdr)
            assert not [n for n in driver.counts if n.startswith(("bad", "unknown", "second"))]
            assert not [s for s in states["copy"][seen:] if said(s) not in told]
    copied, own = heard.rows["copy"], heard.rows["m"]
    assert set(copied) == set(own)
    for name, values in copied.items():
        readings = {v for v in values if not np.isnan(v)}
        assert readings <= own[name], name
        assert len(readings) > 1 or len({v for v in own[name] if not np.isnan(v)}) < 3, name


def test_who_may_read_and_who_is_slow_is_said() -> None:
    stage = Stage()
    node = ShdrAdapter(stage, {"host": "0.0.0.0", "port": 0})
    node.on_configure()
    node.on_peer(PeerEvent(kind=PeerKind.LISTENING, client=7878, text="0.0.0.0:7878"))
    assert stage.logged[-1] == (LogLevel.WARNING, "SHDR adapter on 0.0.0.0:7878: whoever reaches it reads this machine")
    node.on_peer(PeerEvent(kind=PeerKind.FAILED, text="0.0.0.0:7878: Address already in use"))
    assert stage.findings["adapter_port"] == "cannot listen on 0.0.0.0:7878: Address already in use"
    for lost in (5, 9):
        node.on_peer(PeerEvent(kind=PeerKind.LOST_LINES, client=1, lost_lines=lost, text="a"))
    node.on_peer(PeerEvent(kind=PeerKind.CUT, client=2, lost_lines=3, text="b"))
    assert stage.findings["slow_client"].startswith("12 lines left out for slow clients, the last b")


def test_a_host_that_is_no_address_is_told_by_check() -> None:
    assert dict(ShdrAdapter.mistakes({"host": "mill"})) == {
        "adapter-host": "host: an IP address was expected, not 'mill'"
    }
    assert not list(ShdrAdapter.mistakes({"host": "::1"}))
