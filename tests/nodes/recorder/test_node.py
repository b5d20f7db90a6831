"""The recorder on a live bus, and killed."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import pytest

from bus.bag import BagReader, read
from bus.bag.check import check
from bus.host import Spec
from bus.node import BadParameter, Node, Raw, parameter, publisher, timer
from bus.testing import Domain
from nodes.recorder import Recorder
from schemas import topics
from schemas.codec import codec
from schemas.machine import SignalBlock
from schemas.system import BagSplit, BlackBoxRequest, RecorderStatus, SetParameterRequest
from tests.bus.bag.bags import block, state
from tests.bus.live import until


class Mill(Node):
    """One sample block per millisecond, one state per second."""

    per_ms = parameter(1, ge=0)
    samples = publisher(topics.SAMPLES)
    machine_state = publisher(topics.MACHINE_STATE)

    def on_configure(self) -> None:
        self.rows = 0
        self.machine_state.publish(state(self.now_ns()))

    @timer(0.001)
    def tick(self) -> None:
        for _ in range(self.per_ms):
            self.samples.publish(block(self.now_ns(), self.rows))
            self.rows += 1


@pytest.fixture
def domain() -> Domain:
    return Domain()


def recorder(folder: Path, **parameters: object) -> Spec:
    return Spec(Recorder, parameters={"directory": str(folder), "keep_free_mb": 0.0, **parameters})


def test_everything_a_node_says_is_in_the_bag(tmp_path: Path, domain: Domain) -> None:
    heard: list[Raw] = []
    with domain, domain.session(select=lambda topic, _: topic.startswith("bag/"), heard=heard.extend) as session:
        with domain.running(recorder(tmp_path)), domain.running(Spec(Mill, namespace="vmc1")):

            def enough() -> bool:
                said = [r for r in heard if r.type_name == "RecorderStatus" and r.payload]
                return bool(said) and codec(RecorderStatus).decode(said[-1].payload).messages > 300

            assert session.spin(enough, 20)
        assert session.spin(lambda: any(r.topic == "bag/closed" for r in heard), 10)
    closed = codec(BagSplit).decode(next(r.payload for r in heard if r.topic == "bag/closed"))
    assert (closed.lost, closed.run_ids) == (0, ("run#1",))
    report = check(closed.path)
    assert report.ok, report.problems
    with BagReader(closed.path) as bag:
        rows = [codec(SignalBlock).decode(m.payload).first_row for m in bag.messages() if "samples" in m.topic]
        assert len(rows) >= 100
        assert rows == list(range(rows[0], rows[0] + len(rows)))
        assert {"vmc1/test_node", "recorder"} <= bag.nodes().keys()
        assert bag.nodes()["vmc1/test_node"]["parameters"] == {"per_ms": 1}
        topics_in = {c.topic for c in bag.channels.values()}
        assert {"vmc1/machine/state", "vmc1/test_node/trace", "diagnostics", "bag/status"} <= topics_in
        assert "bag/lost" not in topics_in


def test_include_exclude_and_no_traces(tmp_path: Path, domain: Domain) -> None:
    parameters = {"include": "^vmc1/", "exclude": "state$", "traces": False}
    mills = (Spec(Mill, namespace="vmc1"), Spec(Mill, namespace="vmc2"))
    with (
        domain,
        domain.running(recorder(tmp_path, **parameters)) as executor,
        domain.running(*mills),
        domain.session() as session,
    ):
        node = executor.hosts[0].node
        assert isinstance(node, Recorder)
        assert (disk := node.disk) is not None
        assert session.spin(lambda: disk.recording.messages > 50, 20)
    (path,) = tmp_path.glob("*.mcap")
    assert {m.topic for m in read(path)} == {"vmc1/machine/samples"}


def test_a_black_box_by_service(tmp_path: Path, domain: Domain) -> None:
    with (
        domain,
        domain.running(recorder(tmp_path, continuous=False, black_box_after_s=0.0)) as executor,
        domain.running(Spec(Mill, namespace="vmc1")),
        domain.session() as session,
    ):
        node = executor.hosts[0].node
        assert isinstance(node, Recorder)
        assert (disk := node.disk) is not None
        assert session.spin(lambda: disk.recording.messages > 50, 20)
        assert session.call("bag/black_box", topics.BLACK_BOX, BlackBoxRequest(reason="look"), timeout_s=2.0).ok
        assert session.spin(lambda: bool(list(tmp_path.glob("black_box_*.mcap"))), 10)
    (path,) = tmp_path.glob("*.mcap")
    with BagReader(path) as bag:
        assert bag.metadata()["recording"]["reason"] == "look"
        assert bag.info.messages > 50


def test_what_was_flushed_outlives_kill_9_and_the_next_start_recovers(tmp_path: Path, domain: Domain) -> None:
    arguments = ["nodes.recorder", "-p", f'directory="{tmp_path}"', "-p", "keep_free_mb=0"]
    heard: list[Raw] = []

    def status() -> RecorderStatus | None:
        said = [r for r in heard if r.topic == "bag/status" and r.payload]
        return codec(RecorderStatus).decode(said[-1].payload) if said else None

    with (
        domain,
        domain.session(select=lambda topic, _: topic.startswith("bag/"), heard=heard.extend) as session,
        domain.running(Spec(Mill, namespace="vmc1")),
    ):
        with domain.process(*arguments) as process:
            assert session.spin(lambda: (s := status()) is not None and s.messages > 1500, 30)
            said = status()
            assert said is not None

            def on_disk() -> bool:
                with BagReader(said.path) as bag:
                    return bag.info.messages >= said.messages

            assert session.spin(on_disk, 10)
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        (path,) = tmp_path.glob("*.mcap")
        rows = [codec(SignalBlock).decode(m.payload).first_row for m in read(path) if "samples" in m.topic]
        assert rows == list(range(rows[0], rows[0] + len(rows)))
        with domain.process(*arguments):
            assert session.spin(lambda: any(r.topic == "bag/recovered" for r in heard), 20)
    recovered = codec(BagSplit).decode(next(r.payload for r in heard if r.topic == "bag/recovered"))
    assert recovered.path == str(path)
    assert check(path).ok


def test_a_directory_that_cannot_be_is_said_and_the_node_lives(tmp_path: Path, domain: Domain) -> None:
    (tmp_path / "file").write_text("")
    heard: list[Raw] = []
    with (
        domain,
        domain.running(recorder(tmp_path / "file" / "bags")) as executor,
        domain.session(select=lambda topic, _: topic == "diagnostics", heard=heard.extend) as session,
    ):
        assert "no_directory" in executor.hosts[0].findings
        assert not session.call("bag/black_box", topics.BLACK_BOX, BlackBoxRequest(reason="x"), timeout_s=2.0).ok
        assert session.spin(lambda: any(b"nothing is recorded" in r.payload for r in heard), 10)


@pytest.mark.parametrize("name", ["include", "exclude"])
def test_a_pattern_that_is_none_is_told_and_leaves_nothing_out(tmp_path: Path, domain: Domain, name: str) -> None:
    for wrong in ("(", "x{99999999999}", "x{" + "9" * 5000 + "}", "(" * 5000):
        assert [id_ for id_, _ in Recorder.mistakes({"include": wrong, "exclude": ""})] == ["bad-pattern"]
    assert not list(Recorder.mistakes({"include": "vmc", "exclude": "^x"}))
    with domain, domain.running(recorder(tmp_path)) as running, domain.session() as session:
        change = SetParameterRequest(name=name, json_value='"x("', changed_by="test")
        session.call("recorder/set_parameter", topics.NODE_SET_PARAMETER, change, timeout_s=10)
        with domain.running(Spec(Mill, namespace="vmc1")):
            until(lambda: running.hosts[0].node.disk.recording.messages > 50)  # type: ignore[attr-defined] # a Recorder
        assert "callback_failed" not in running.hosts[0].findings
        assert "is no regular expression" in running.hosts[0].findings[f"bad_{name}"].text


@pytest.mark.parametrize("name", ["quota_gb", "retention_days", "keep_free_mb", "split_mb", "split_s"])
def test_what_has_no_end_is_no_number_of_bytes_or_days(name: str) -> None:
    with pytest.raises(BadParameter, match=f"{name}: inf is above"):
        Recorder.interface.parameters[name].check(math.inf)
