"""Two nodes that keep talking while strangers are at their doors, and say how it goes."""

from __future__ import annotations

import json

from bus.node import LinkEvent, Lost, Node, Outcome, client, on_link, publisher, service, subscription, timer
from schemas.base import EVENT, LATCHED, SENSOR, Topic
from tests.bus.toys.talk import ASK, ASK_LATE, Answer, Question, Word

SAID = Topic("soak/said", Word, EVENT)
SENSED = Topic("soak/sensed", Word, SENSOR)
REPORT = Topic("soak/report", Word, LATCHED)


class Speaker(Node):
    """Counts aloud a hundred times a second, and answers."""

    said = publisher(SAID)
    sensed = publisher(SENSED)

    def on_configure(self) -> None:
        self.number = 0

    @timer(0.01)
    def say(self) -> None:
        self.number += 1
        self.said.publish(Word(number=self.number, text="said"))
        self.sensed.publish(Word(number=self.number, text="sensed"))

    @service(ASK)
    def answer(self, question: Question) -> Answer:
        return Answer(number=question.number + 1, pid=0)


class Hearer(Node):
    """Hears the speaker, asks it four times a second, and reports."""

    reports = publisher(REPORT)
    ask = client(ASK)
    ask_late = client(ASK_LATE)

    def on_configure(self) -> None:
        self.heard = self.last = self.gaps = self.lost = self.answers = self.failed = 0

    @subscription(SAID)
    def on_said(self, word: Word) -> None:
        if self.source.node != "speaker":
            return
        self.heard += 1
        self.gaps += bool(self.last) and word.number != self.last + 1
        self.last = word.number

    @subscription(SENSED)
    def on_sensed(self, word: Word) -> None: ...

    @on_link(SAID)
    def on_said_link(self, event: LinkEvent) -> None:
        if isinstance(event, Lost) and event.source.node == "speaker":
            self.lost += event.last - event.first + 1

    @timer(0.25)
    def tick(self) -> None:
        self.ask.call(Question(number=self.last), timeout_s=5.0, then=self.answered)
        self.ask_late.call(Question(number=1), timeout_s=5.0, then=lambda outcome: None)
        words = {n: getattr(self, n) for n in ("heard", "gaps", "lost", "answers", "failed")}
        self.reports.publish(Word(number=self.heard, text=json.dumps(words)))

    def answered(self, outcome: Outcome[Answer]) -> None:
        self.answers += outcome.reply is not None
        self.failed += outcome.reply is None
