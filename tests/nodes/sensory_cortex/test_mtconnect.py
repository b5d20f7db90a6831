"""The mtconnect driver on a real bus against a real HTTP agent."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from bus.testing import Domain
from nodes.sensory_cortex.drivers.mtconnect import keys_of
from nodes.sensory_cortex.items import items
from schemas import topics
from schemas.machine import ConditionLevel, Execution
from schemas.wire.mtconnect import BadDocument, Devices, parse
from tests.nodes.sensory_cortex.agent import Agent
from tests.nodes.sensory_cortex.real_data import ROOT, needs_real_data, real
from tests.nodes.sensory_cortex.test_shdr import Machine


@pytest.fixture
def agent() -> Iterator[Agent]:
    with Agent() as made:
        made.tell("a", "Availability", "AVAILABLE")
        made.tell("e", "Execution", "ACTIVE")
        made.tell("xp", "Position", "1.5")
        made.tell("f", "PathFeedrate", "10", subType="ACTUAL")
        made.tell("Sload", "Load", "UNAVAILABLE")
        made.tell("s", "Fault", "servo overload", nativeCode="SV0436", qualifier="HIGH")
        yield made


class OverHttp(Machine):
    def __init__(self, domain: Domain, address: str) -> None:
        super().__init__(domain, address, driver="mtconnect")


def test_what_an_agent_tells_is_the_machine(domain: Domain, agent: Agent) -> None:
    with OverHttp(domain, agent.address) as machine:
        machine.until(lambda: machine.is_(Execution.ACTIVE) and machine.last("x_mm") == 1.5)
        machine.until(lambda: machine.last("feed_mm_min") == 600.0 and np.isnan(machine.last("spindle_load_pct")))
        machine.until(lambda: machine.level("mtconnect/logic/SV0436") is ConditionLevel.FAULT)
        machine.until(lambda: machine.ear.of(topics.MACHINE_INFO))
        assert not machine.info().can_stop
        agent.tell("xp", "Position", "2.5")
        agent.tell("s", "Normal", "")
        agent.tell("e", "Execution", "READY")
        machine.until(lambda: machine.is_(Execution.READY) and machine.last("x_mm") == 2.5)
        machine.until(lambda: machine.level("mtconnect/logic/SV0436") is ConditionLevel.NORMAL)
        # an idle agent's empty documents are signs of life
        rows = machine.ear.rows(topics.SAMPLES)
        machine.until(lambda: machine.ear.rows(topics.SAMPLES) > rows + 3 and machine.is_(Execution.READY))


def test_an_agent_that_began_anew_is_read_anew(domain: Domain, agent: Agent) -> None:
    with OverHttp(domain, agent.address) as machine:
        machine.until(lambda: machine.last("x_mm") == 1.5)
        agent.restart()
        agent.tell("xp", "Position", "7.5")
        agent.tell("e", "Execution", "INTERRUPTED")
        machine.until(lambda: machine.last("x_mm") == 7.5 and machine.is_(Execution.INTERRUPTED))
        assert sum(path.endswith("/probe") for path in agent.asked) == 2


def test_what_the_buffer_no_longer_holds_is_counted(domain: Domain) -> None:
    with Agent(buffer=5, streams=False) as agent:
        agent.tell("xp", "Position", "0")
        with OverHttp(domain, agent.address) as machine:
            machine.until(lambda: machine.last("x_mm") == 0.0)
            with agent._news:  # nobody asks meanwhile
                for n in range(1, 101):
                    agent.tell("xp", "Position", str(n))
            machine.until(lambda: machine.last("x_mm") == 100.0)
            machine.until(lambda: machine.text("mtconnect/lost").startswith("95 observations lost"))


def test_an_agent_that_goes_is_unavailable_and_comes_back(domain: Domain) -> None:
    first = Agent()
    first.tell("e", "Execution", "ACTIVE")
    with OverHttp(domain, first.address) as machine:
        machine.until(lambda: machine.is_(Execution.ACTIVE))
        first.close()
        machine.until(lambda: machine.is_(Execution.UNAVAILABLE))
        with Agent(port=first.port) as second:
            second.tell("e", "Execution", "READY")
            machine.until(lambda: machine.is_(Execution.READY))


def test_a_frozen_agent_is_unavailable(domain: Domain) -> None:
    command = [sys.executable, "-P", "-m", "tests.nodes.sensory_cortex.agent"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with OverHttp(domain, f"http://127.0.0.1:{port}") as machine:
                machine.until(lambda: machine.is_(Execution.ACTIVE))
                process.send_signal(signal.SIGSTOP)
                machine.until(lambda: machine.is_(Execution.UNAVAILABLE))
                process.send_signal(signal.SIGCONT)
                machine.until(lambda: machine.is_(Execution.ACTIVE))
        finally:
            process.kill()


def test_no_agent_at_all_is_told(domain: Domain) -> None:
    from tests.nodes.sensory_cortex.adapter import Adapter

    with Adapter(b"* PONG 10000\n") as adapter, OverHttp(domain, f"http://127.0.0.1:{adapter.port}") as machine:
        machine.until(lambda: machine.level("mtconnect/connection") is ConditionLevel.UNAVAILABLE)
        assert machine.is_(Execution.UNAVAILABLE)


def probed(document: bytes) -> Devices:
    found = parse(document)
    assert isinstance(found, Devices)
    return found


def test_a_key_is_the_name_the_id_or_what_the_type_says() -> None:
    from tests.nodes.sensory_cortex.agent import DEVICES

    head = '<Header instanceId="1"/>'
    keys = keys_of(probed(DEVICES.format(head).encode()), items({"vel": "feed_mm_min", "n": ""}))
    assert keys == {
        "a": ("avail", 1.0),
        "xp": ("x_mm", 1.0),
        "xl": ("x_load_pct", 1.0),
        "Sload": ("Sload", 1.0),
        "e": ("execution", 1.0),
        "f": ("vel", 60.0),
        "n": ("n", 1.0),
        "s": ("logic", 1.0),
    }


@needs_real_data
def test_real_models() -> None:
    with pytest.raises(BadDocument, match="one of the agent's devices: OKUMA, Mazak"):
        keys_of(probed(real("mtconnect/probe.xml").read_bytes()), items({}))
    fanuc = keys_of(probed(real("mtconnect/fanuc.xml").read_bytes()), items({}))
    assert {"execution", "mode", "program", "Xact", "Xload"} <= {key for key, _ in fanuc.values()}
