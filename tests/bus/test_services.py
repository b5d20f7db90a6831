"""Calls: answered once whatever is sent twice, refused, late, to nobody, and never blocking the node's thread."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import pytest
import zmq

from bus import frame
from bus.executor import Executor
from bus.host import Spec
from bus.node import BlockingCallError, CallError, CallFailed, Node, Outcome, client, service
from bus.testing import Domain
from schemas.codec import codec
from schemas.system import ServiceEvent
from tests.bus.live import node, until
from tests.bus.toys.talk import ASK, ASK_AGAIN, ASK_LATE, Answer, Oracle, Question, Tapper


class Asker(Node):
    ask = client(ASK)
    again = client(ASK_AGAIN)

    def on_configure(self) -> None:
        self.outcomes: list[Outcome[Answer]] = []


Asker.default_name = "asker"


class Raw:
    """A client that says exactly what it is told to."""

    def __init__(self, executor: Executor) -> None:
        self._context = zmq.Context()
        self.dealer = self._context.socket(zmq.DEALER)
        self.dealer.linger = 0
        self.dealer.connect(executor.transport.rpc_endpoints[0])
        self.server_id = executor.hosts[0].publisher_id

    def send(
        self, call_id: int, number: int, *, service: str = ASK.name, attempt: int = 0, server_id: int | None = None,
        remaining_ms: int = 5000, payload: bytes | None = None,
    ) -> None:  # fmt: skip
        body = codec(Question).encode(Question(number=number)) if payload is None else payload
        server = self.server_id if server_id is None else server_id
        self.dealer.send(frame.encode(frame.Request(service, "raw", 77, call_id, attempt, server, remaining_ms, body)))

    def reply(self) -> frame.Reply:
        assert self.dealer.poll(10_000), "no answer"
        found = frame.decode_control(self.dealer.recv())
        assert isinstance(found, frame.Reply)
        return found

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *exc: object) -> None:
        self._context.destroy()


def asked(executor: Executor, number: int, timeout_s: float = 10.0) -> Outcome[Answer]:
    """Ask from the node's thread, wait in this one."""
    host = executor.hosts[0]
    asker = node(executor)
    future = host.submit(lambda: asker.ask.call(Question(number=number), timeout_s=timeout_s)).result(10)
    found: Outcome[Answer] = future.result(timeout_s + 5)
    return found


@pytest.mark.parametrize("composed", [True, False])
def test_an_answer_comes_back_on_the_nodes_thread(domain: Domain, composed: bool) -> None:
    specs = [Spec(Asker), Spec(Oracle)]
    with domain.running(*(specs if composed else specs[1:])) as server:
        if composed:
            check_answers(server, node(server, 1))
        else:
            with domain.running(Spec(Asker)) as caller:
                check_answers(caller, node(server))


def check_answers(caller: Executor, oracle: Any) -> None:
    asker = node(caller)
    outcomes: list[tuple[Outcome[Answer], bool]] = []

    def ask() -> None:
        def then(outcome: Outcome[Answer]) -> None:
            outcomes.append((outcome, caller.hosts[0]._inside))

        asker.ask.call(Question(number=21), timeout_s=10, then=then)
        assert not outcomes, "never nested"

    caller.hosts[0].submit(ask).result(10)
    until(lambda: outcomes)
    assert outcomes[0][0].unwrap().number == 42
    assert outcomes[0][1]
    assert oracle.clients == ["asker"], "self.source names who asks"
    failed = asked(caller, -1)
    assert failed.error is CallError.FAILED
    assert "ValueError: a negative number" in failed.text

    def blocks() -> None:
        asker.ask.call(Question(number=1), timeout_s=10).result(5)

    with pytest.raises(BlockingCallError):
        caller.hosts[0].submit(blocks).result(10)


def test_nobody_serves_it_is_said_at_once(domain: Domain) -> None:
    with domain.running(Spec(Asker)) as caller:
        outcome = asked(caller, 1, timeout_s=3600)
    assert outcome.error is CallError.NOT_AVAILABLE
    assert outcome.text == "nobody serves talk/ask in domain 'test'"
    with pytest.raises(CallFailed, match="NOT_AVAILABLE"):
        outcome.unwrap()


def test_a_wrong_type_is_refused_before_it_is_sent(domain: Domain) -> None:
    with domain.running(Spec(Asker)) as caller, pytest.raises(TypeError, match="talk/ask takes Question, not Answer"):
        node(caller).ask.call(Answer(number=1, pid=1), timeout_s=1)


def test_the_same_call_sent_again_is_one_call(domain: Domain) -> None:
    with domain.running(Spec(Oracle, parameters={"delay_ms": 150})) as server, Raw(server) as raw:
        for attempt in range(4):  # the later ones attach to the first, which is being served
            raw.send(1, 5, attempt=attempt)
        assert codec(Answer).decode(raw.reply().payload).number == 10
        raw.send(1, 5, attempt=4)  # served: the answer is repeated
        assert codec(Answer).decode(raw.reply().payload).number == 10
        raw.send(2, 6)
        while raw.reply().call_id != 2:
            pass
        assert node(server).asked == [5, 6]


def test_a_restarted_server_does_not_guess(domain: Domain) -> None:
    with domain.running(Spec(Oracle)) as server, Raw(server) as raw:
        raw.send(1, 5, attempt=1, server_id=12345)
        reply = raw.reply()
        assert reply.error == "OUTCOME_UNKNOWN"
        assert "oracle was restarted after the request was sent" in reply.text
        raw.send(2, 6, attempt=1, server_id=12345, service=ASK_AGAIN.name)
        assert raw.reply().error == ""
        assert node(server).asked == [6]


def test_a_late_request_is_dropped_unless_the_service_says_execute(domain: Domain) -> None:
    with domain.running(Spec(Oracle, parameters={"delay_ms": 100})) as server, Raw(server) as raw:
        raw.send(1, 1)
        raw.send(2, 2, remaining_ms=20)
        raw.send(3, 3, remaining_ms=20, service=ASK_LATE.name)
        replies = {r.call_id: r.error for r in (raw.reply(), raw.reply(), raw.reply())}
        assert replies == {1: "", 2: "DEADLINE", 3: ""}
        assert node(server).asked == [1, 3]


def test_what_a_request_waited_at_a_stopped_server_counts(domain: Domain) -> None:
    with domain.running(Spec(Oracle)) as server, Raw(server) as raw:
        old_ns = server.monotonic_ns() - 2_000_000_000
        body = codec(Question).encode(Question(number=9))
        raw.dealer.send(frame.encode(frame.Request(ASK.name, "raw", 77, 1, 0, raw.server_id, 500, body, old_ns)))
        assert raw.reply().error == "DEADLINE"
        assert node(server).asked == []


def test_the_caller_hears_of_its_deadline(domain: Domain) -> None:
    with domain.running(Spec(Oracle, parameters={"delay_ms": 400})), domain.running(Spec(Asker)) as caller:
        assert asked(caller, 1, timeout_s=0.1).error is CallError.DEADLINE


def test_garbage_is_refused_and_the_node_lives(domain: Domain) -> None:
    with domain.running(Spec(Oracle)) as server, Raw(server) as raw:
        for call_id, payload in enumerate((b"", b"\xff" * 50, b"\x81\xa6number\xa1x", b"\x91" * 100_000), 1):
            raw.send(call_id, 0, payload=payload)
            reply = raw.reply()
            assert reply.error == "REFUSED"
            assert "not a Question" in reply.text
        raw.send(9, 0, service="no/such")
        assert raw.reply().error == "NOT_AVAILABLE"
        for junk in (b"", os.urandom(200), b"\x91" * 100_000, b"\x00" * 10_000_000):
            raw.dealer.send(junk)
        raw.send(10, 4)
        assert raw.reply().error == ""
        until(lambda: "bad_frames" in server.hosts[0].findings)
        assert server.intake.bad_frames == 4


def test_random_control_messages(domain: Domain) -> None:
    rng = random.Random(7)
    with domain.running(Spec(Oracle)) as server, Raw(server) as raw:
        for call_id in range(1, 40):
            for _ in range(25):
                raw.dealer.send(rng.randbytes(rng.randrange(60)))
            raw.send(call_id, 1)
            while raw.reply().call_id != call_id:
                pass


def test_every_call_is_an_event(domain: Domain) -> None:
    with (
        domain.running(Spec(Tapper, name="tapper")) as tapper,
        domain.running(Spec(Oracle)),
        domain.running(Spec(Asker)) as caller,
    ):
        asked(caller, 3)
        asked(caller, -3)
        until(lambda: sum(r.topic == "talk/ask/_event" for r in node(tapper).raws) == 2)
        events = [codec(ServiceEvent).decode(r.payload) for r in node(tapper).raws if r.topic == "talk/ask/_event"]
        assert [(e.client, e.server, e.outcome) for e in events] == [
            ("asker", "oracle", "OK"),
            ("asker", "oracle", "FAILED"),
        ]
        assert codec(Question).decode(events[0].request).number == 3
        assert codec(Answer).decode(events[0].reply).number == 6


def test_an_open_call_ends_with_its_caller(domain: Domain) -> None:
    with domain.running(Spec(Oracle, parameters={"delay_ms": 600})) as _server:
        with domain.running(Spec(Asker)) as caller:
            future = caller.hosts[0].submit(lambda: node(caller).ask.call(Question(number=1), timeout_s=60)).result(10)
        assert future.result(5).error is CallError.OUTCOME_UNKNOWN


def test_a_server_that_dies_and_comes_back(domain: Domain) -> None:
    arguments = ("tests.bus.toys.talk:Oracle", "--name", "oracle")
    with domain.running(Spec(Asker)) as caller:
        host, asker = caller.hosts[0], node(caller)
        with domain.process(*arguments, "-p", "delay_ms=20000") as first:
            until(lambda: caller.peers.server(ASK.name))
            once = host.submit(lambda: asker.ask.call(Question(number=1), timeout_s=20)).result(10)
            again = host.submit(lambda: asker.again.call(Question(number=2), timeout_s=20)).result(10)
            os.kill(first.pid, signal.SIGKILL)
        until(lambda: caller.peers.server(ASK.name) is None)
        assert asked(caller, 5).error is CallError.NOT_AVAILABLE
        with domain.process(*arguments) as second:
            assert once.result(20).error is CallError.OUTCOME_UNKNOWN
            assert again.result(20).unwrap() == Answer(number=4, pid=second.pid)


def test_a_number_that_no_trace_holds_ends_no_traced_server(domain: Domain) -> None:
    with domain.running(Spec(Tapper)), domain.running(Spec(Oracle, "talker")) as server, Raw(server) as raw:
        until(lambda: server.hosts[0].trace is not None)
        raw.send(-1, 1)
        until(lambda: server.intake.bad_frames == 1)
        raw.send(2**64 - 1, 1)
        assert raw.reply().call_id == 2**64 - 1


class Broken(Node):
    """Fails with a text that is no UTF-8, as the names of files may be."""

    @service(ASK)
    def ask(self, question: Question) -> Answer:
        raise OSError("no such file: \udcff")


def test_a_failure_that_cannot_be_said_is_answered_all_the_same(domain: Domain) -> None:
    with domain.running(Spec(Broken)), domain.running(Spec(Asker)) as caller:
        outcome = asked(caller, 1)
        assert (outcome.error, outcome.text) == (CallError.FAILED, r"talk/ask: OSError: no such file: \udcff")
