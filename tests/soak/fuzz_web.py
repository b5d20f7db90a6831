"""The hub's two doors: what a page sends by WebSocket, and what strangers publish that goes on to pages."""

from __future__ import annotations

from typing import Any, cast

import msgpack
import msgspec

from schemas.base import Samples
from schemas.codec import codec
from schemas.machine import Alarm, ConditionLevel, MachineInfo, SignalBlock
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import Target
from tests.soak.fuzz_wire import example
from tests.web.raws import SAMPLES, block, raw, signals
from web import play_words
from web.client import Client
from web.hub import Hub
from web.protocol import BadRequest

MOST_STEPS = 30
ALARM = Alarm(stamp_ns=1, alarm_id="a", level=ConditionLevel.FAULT, origin="o", native_code="X", text="t")
KINDS = (
    (SAMPLES, "SignalBlock", "SENSOR"),
    ("vmc1/machine/signals", "Signals", "LATCHED"),
    ("vmc1/alarm", "Alarm", "LATCHED"),
    ("vmc1/machine/info", "MachineInfo", "LATCHED"),
    ("log", "LogRecord", "EVENT"),
)


class _Pages:
    """A hub with two pages, one of them with a long window; what they are told must be msgpack with our fields."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.clients: list[Client] = []
        self.begin()

    def begin(self) -> None:
        self.hub = Hub()
        self.clients = [self.hub.connect() for _ in range(2)]
        for client, window_s in zip(self.clients, (10.0, 60.0), strict=True):
            topics = ["*/machine/samples", "*/machine/signals", "*/alarm", "log"]
            self.hub.request(
                client, msgpack.packb({"op": "subscribe", "id": 1, "topics": topics, "window_s": window_s})
            )
        self.hub.take([raw("vmc1/machine/signals", signals("load", "speed"), 1), block(1), raw("vmc1/alarm", ALARM, 1)])

    def ask(self, data: bytes) -> None:
        """What the first page sends."""
        before = self.hub.counts["bad_requests"]
        self.hub.request(self.clients[0], data)
        said = self.read()
        if self.hub.counts["bad_requests"] > before:
            raise BadRequest(next(s["text"] for s in said if s["op"] == "error"))

    def publish(self, data: bytes) -> None:
        """Messages that come from the bus, as [kind, seq, publisher, lost, payload]."""
        try:
            steps = msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")
        except Exception:  # no input
            return
        listed = steps[:MOST_STEPS] if isinstance(steps, list) else []
        self.hub.take([each for step in listed if (each := _raw(step)) is not None])
        self.read()

    def read(self) -> list[dict[str, Any]]:
        """Everything that the pages are told, as they would read it."""
        said = []
        for client in self.clients:
            while client.queued:
                told = msgspec.msgpack.decode(client.take())
                assert isinstance(told["op"], str)
                for row in told.get("signals", ()):
                    assert len(row[8]) == row[6] * row[7] * 4
                said.append(told)
        return said


def _raw(step: Any) -> Any:
    """What the bus would hand over; None for what it would not: its numbers are checked before."""
    try:
        kind, seq, publisher_id, lost, payload = step
        topic, type_name, qos = KINDS[kind % len(KINDS)]
        if not isinstance(payload, bytes):
            payload = msgpack.packb(payload, unicode_errors="surrogatepass")
        if not all(type(number) is int for number in (kind, seq, publisher_id, lost)):
            return None
        if not (0 < seq < 2**64 and 0 <= publisher_id < 2**64 and 0 <= lost <= seq):
            return None
        made = block(1)._replace(
            topic=topic, type_name=type_name, qos=qos, seq=seq, publisher_id=publisher_id, payload=payload
        )
        return made if not lost else made._replace(lost_first=lost, payload=b"")
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def ws_request() -> Target:
    """What a page sends by /ws."""
    pages = _Pages()
    asked = {"op": "subscribe", "id": 1, "topics": ["*/machine/samples", "*/alarm"], "window_s": 30.0}
    resumed = {**asked, "resume": {f"{SAMPLES}|{block(1).publisher_id}": 0}}
    seeds = [asked, resumed, {"op": "unsubscribe", "id": 1}, {"op": "ping", "n": 7}]
    return Target(
        "ws_request", pages.ask, (BadRequest,), [msgpack.packb(s) for s in seeds], Grammar("msgpack"), wordy=True,
        settle=pages.begin, batch=50,
    )  # fmt: skip


def play_request() -> Target:
    """What a page sends by /ws/bags."""
    seeds = [
        {"op": "play", "speed": 4.0}, {"op": "pause"}, {"op": "seek", "at_ns": 2**60},
        {"op": "subscribe", "id": 1, "topics": ["*/alarm"]},
    ]  # fmt: skip
    packed = [msgpack.packb(s) for s in seeds]
    return Target("play_request", play_words.decode, (BadRequest,), packed, Grammar("msgpack"), wordy=True)


def ws_batch() -> Target:
    """What is published, as it goes on to pages."""
    pages = _Pages()
    plain = [
        codec(SignalBlock).encode(
            SignalBlock(stamp_ns=5, period_ns=1000, source="drive", first_row=4, data=Samples([[1.0, 2.0]]))
        ),
        codec(type(signals("x"))).encode(signals("x", "y")),
        codec(Alarm).encode(ALARM),
        codec(MachineInfo).encode(cast(MachineInfo, example(MachineInfo))),
        msgpack.packb({"text": "a line"}),
    ]
    steps = [[n, 5 + n, 7, 0, msgpack.unpackb(payload)] for n, payload in enumerate(plain)]
    seeds = [steps, [*steps[:1], [0, 9, 7, 6, b""], [0, 10, 7, 0, plain[0]]], [[0, n, 7, 0, plain[0]] for n in (1, 2)]]
    return Target(
        "ws_batch", pages.publish, (), [msgpack.packb(s) for s in seeds], Grammar("msgpack"), settle=pages.begin,
        batch=20,
    )  # fmt: skip
