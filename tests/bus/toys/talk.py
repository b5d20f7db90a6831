"""Nodes that say numbers, and nodes that listen: run in threads and processes by the tests of the bus."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from threading import Event

from bus.node import LinkEvent, Node, Raw, on_link, parameter, publisher, service, subscription, tap, timer, worker
from schemas import topics
from schemas.base import EVENT, LATCHED, SENSOR, Message, Service, Topic
from schemas.system import LogRecord


class Word(Message):
    number: int
    text: str


class Question(Message):
    number: int


class Answer(Message):
    number: int
    pid: int


SAID = Topic("talk/said", Word, EVENT, deadline_s=0.3)
SENSED = Topic("talk/sensed", Word, SENSOR, depth=8, deadline_s=0.3)
KEPT = Topic("talk/kept", Word, LATCHED, key="text")
COUNTED = Topic("talk/counted", Word, LATCHED)
ASK = Service("talk/ask", Question, Answer)
ASK_AGAIN = Service("talk/ask_again", Question, Answer, idempotent=True)
ASK_LATE = Service("talk/ask_late", Question, Answer, late="execute")


class Talker(Node):
    """Says numbers: `burst` at once when it starts, `last` when it ends, `per_tick` every millisecond."""

    burst = parameter(0)
    last = parameter(0)
    per_tick = parameter(0)
    limit = parameter(1_000_000)
    stop_after_burst = parameter(False)

    said = publisher(SAID)
    sensed = publisher(SENSED)
    kept = publisher(KEPT)

    def on_configure(self) -> None:
        self.number = 0
        self.started = False

    def say(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.said.publish(Word(number=self.number, text="said"))
            self.sensed.publish(Word(number=self.number, text="sensed"))

    @timer(0.001)
    def tick(self) -> None:
        if not self.started:
            self.started = True
            self.kept.publish(Word(number=1, text="first"))
            self.say(self.burst)
            if self.stop_after_burst:
                os.kill(os.getpid(), signal.SIGTERM)
        if self.number < self.limit:
            self.say(self.per_tick)

    def on_shutdown(self) -> None:
        self.say(self.last)


class Listener(Node):
    """Writes down what it hears."""

    def on_configure(self) -> None:
        self.heard: dict[str, list[int]] = {}
        self.events: list[LinkEvent] = []

    def note(self, word: Word) -> None:
        self.heard.setdefault(f"{self.source.topic} {self.source.publisher_id}", []).append(word.number)

    def of(self, topic: str) -> list[list[int]]:
        """What each publisher said on the topic."""
        return [numbers for key, numbers in self.heard.items() if key.startswith(f"{topic} ")]

    def kinds(self, topic: str) -> list[str]:
        return [type(e).__name__ for e in self.events if e.source.topic == topic]

    @subscription(SAID)
    def on_said(self, word: Word) -> None:
        self.note(word)

    @subscription(SENSED)
    def on_sensed(self, word: Word) -> None:
        self.note(word)

    @subscription(KEPT)
    def on_kept(self, word: Word) -> None:
        self.note(word)

    @on_link(SAID)
    def on_said_link(self, event: LinkEvent) -> None:
        self.events.append(event)

    @on_link(SENSED)
    def on_sensed_link(self, event: LinkEvent) -> None:
        self.events.append(event)


class Counter(Node):
    """Hears numbers and keeps a count of them latched, so that another process can see what came."""

    counted = publisher(COUNTED)

    def on_configure(self) -> None:
        self.count = 0
        self.last = 0

    @subscription(SAID)
    def on_said(self, word: Word) -> None:
        self.count += 1
        text = "" if word.number == self.last + 1 or not self.last else f"{self.last} then {word.number}"
        self.last = word.number
        if text or self.count % 100 == 0:
            self.counted.publish(Word(number=self.count, text=text))


class Oracle(Node):
    """Answers; `delay_ms` is spent in the callback."""

    delay_ms = parameter(0)

    def on_configure(self) -> None:
        self.asked: list[int] = []
        self.clients: list[str] = []
        self.busy = Event()

    def answer(self, question: Question) -> Answer:
        self.asked.append(question.number)
        self.clients.append(self.source.node)
        if self.delay_ms:
            self.busy.wait(self.delay_ms / 1000)
        if question.number < 0:
            raise ValueError("a negative number")
        return Answer(number=question.number * 2, pid=os.getpid())

    @service(ASK)
    def ask(self, question: Question) -> Answer:
        return self.answer(question)

    @service(ASK_AGAIN)
    def ask_again(self, question: Question) -> Answer:
        return self.answer(question)

    @service(ASK_LATE)
    def ask_late(self, question: Question) -> Answer:
        return self.answer(question)


class Failing(Node):
    """Fails at every number, and at the start when told to."""

    at_start = parameter(False)
    slow_ms = parameter(0)
    ratio = parameter(0.5)

    def on_configure(self) -> None:
        self.wait = Event()
        if self.at_start:
            raise RuntimeError("no such machine")

    @subscription(SAID)
    def on_said(self, word: Word) -> None:
        self.wait.wait(self.slow_ms / 1000)
        if word.number > 0:
            raise RuntimeError(f"number {word.number}")


class Digger(Node):
    """Its worker yields numbers and, when told to, ends with an error."""

    total = parameter(100)
    fails = parameter(False)

    def on_configure(self) -> None:
        self.dug: list[int] = []

    @worker(depth=4)
    def dig(self, stop: Event) -> Iterator[Word]:
        for n in range(1, self.total + 1):
            yield Word(number=n, text="")
        if self.fails:
            raise OSError("the spade broke")

    @dig.received
    def on_dug(self, word: Word) -> None:
        self.dug.append(word.number)


class Tapper(Node):
    """Writes down what is said on every topic of the talkers."""

    def on_configure(self) -> None:
        self.raws: list[Raw] = []

    @tap(select="select")
    def on_raw(self, batch: list[Raw]) -> None:
        self.raws += batch

    def select(self, topic: str, type_name: str) -> bool:
        return "talk/" in topic or topic.startswith(("talker", "failing"))


for _cls in (Talker, Listener, Counter, Oracle, Failing, Digger, Tapper):
    _cls.default_name = _cls.__name__.lower()


class Collected(Node):
    """Says what the garbage collector leaves alone, and what it looks at; then ends."""

    @timer(0.05)
    def look(self) -> None:
        self.log.info(f"left alone {gc.get_freeze_count()}, looked at {len(gc.get_objects())}")
        os.kill(os.getpid(), signal.SIGTERM)


class FailingAtLogs(Node):
    """Fails at every line of a log, which is a line of its own log again."""

    def on_configure(self) -> None:
        for n in range(20):
            self.log.info(f"line {n}")

    @subscription(topics.LOG)
    def on_log(self, record: LogRecord) -> None:
        raise RuntimeError(f"cannot bear {record.text!r:.20}")
