"""One node of a bag: the lives it had, what it is recorded to have decided, and what the bag lacks."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from bus import trace
from bus.bag import BagMessage
from bus.node import Node
from bus.replay.context import Result, called
from bus.replay.decisions import Decision, Decisions, at, measures, place, zeroed
from bus.replay.differences import differences
from bus.replay.inputs import Inputs, Names, RecordedNode
from bus.replay.known import NEVER, Known
from bus.replay.lockstep import Invoke, Life
from bus.replay.window import Span
from bus.trace import Kind, Record
from schemas.base import Message, Topic
from schemas.codec import DecodeError, codec
from schemas.grammar import type_hash
from schemas.system import ServiceEvent, TraceBlock

MAX_PROBLEMS = 100
CALL = int(Kind.CALL)
HEAD_NS = 100_000_000
"""What a node handled so soon after a bag begins in mid-run may have been received before: it is left out."""
SETTLE_NS = 2_000_000_000
"""so much after a beginning in mid-run is not compared, where no window says from when on"""


class Run:
    """One node's replay: its lives (a node may have been restarted), and what the bag says it decided."""

    def __init__(
        self,
        cls: type[Node],
        recorded: RecordedNode,
        inputs: Inputs,
        span: Span,
        parameters: Mapping[str, Any] | None = None,
        invoke: Invoke | None = None,
        *,
        dry: bool = False,
    ) -> None:
        self.cls = cls
        self.recorded = recorded
        self.inputs = inputs
        self.names = Names(recorded, cls.interface)
        self.span = span
        start_ns = span.bag_start_ns
        self.result = Result(recorded.name, start_ns, recorded=Decisions(recorded.name, start_ns))
        self.unchanged = Result(recorded.name, start_ns)
        """what the node decides with its parameters as recorded, where another replay asks for others in mid-run"""
        self.lives: dict[int, Life] = {}
        self.dry = dry
        """only the recorded decisions are wanted"""
        self.times = array("q")
        """when each callback began"""
        self._ends: dict[int, Record] = {}
        """by publisher_id, the last record of each life's trace"""
        self._parameters = parameters or {}
        self.changed = bool(parameters)
        self._invoke = invoke
        self._outputs: list[tuple[int, Topic[Any], BagMessage]] = []
        self._next_first: dict[int, int] = {}
        self._configured_ns: dict[int, int] = {}
        """by publisher_id, when a life whose beginning is in the bag began"""
        self._begun: set[int] = set()
        """lives, by publisher_id, of which a callback is run"""
        self._next_seq: dict[tuple[int, str], int] = {}

    def life(self, publisher_id: int) -> Life:
        """The life of the process that had this publisher_id."""
        made = self.lives.get(publisher_id)
        if made is None:
            made = Life(self.cls, self.recorded, self.inputs, self.result, self._parameters, self._invoke)
            self.lives[publisher_id] = made
        return made

    def keep(self, message: BagMessage, topic: Topic[Any]) -> None:
        """What the recorded node published, and whether anything before it is missing."""
        self._outputs.append((message.publish_ns, topic, message))
        key = (message.publisher_id, message.topic)
        expected = self._next_seq.get(key, message.seq)
        if message.seq > expected and not topic.qos.latched:
            self.problem(f"{message.topic}: its own messages {expected}..{message.seq - 1} are not in the bag")
        self._next_seq[key] = max(expected, message.seq + 1)

    def problem(self, text: str) -> None:
        """Why the bag is no reference."""
        if text not in self.result.problems and len(self.result.problems) < MAX_PROBLEMS:
            self.result.problems.append(text)

    def take(self, block: TraceBlock, publisher_id: int) -> Life:
        """A block of the trace to the life it belongs to."""
        life = self.life(publisher_id)
        first = publisher_id not in self._next_first
        expected = self._next_first.get(publisher_id, block.first)
        if block.first != expected:
            self.problem(f"trace of {self.recorded.name}: callbacks {expected}..{block.first - 1} are missing")
        self._next_first[publisher_id] = block.first + trace.count(block)
        records = list(trace.records(block))
        wall, end_ns = self.recorded.clock == "wall", self.span.end_ns
        if first and records:
            if records[0].kind != Kind.CONFIGURE:
                life.from_mid_run(self.span.read_ns + HEAD_NS if wall else 0)
            else:
                self._configured_ns[publisher_id] = records[0].now_ns
        if publisher_id not in self._begun:
            # a block says which parameters were in force as it began, so the beginning is one's
            if not records or records[0].now_ns < life.begin_ns:
                return life
            self._begun.add(publisher_id)
            life.parameters_json = block.parameters_json
            if life.mid_run and self.changed and not self.dry:
                life.begin_twin(self.unchanged)
        if wall and records and records[-1].now_ns >= end_ns:
            records = [record for record in records if record.now_ns < end_ns]
        if life.mid_run:
            life.number_calls(records)
        if any(record[0] == CALL for record in records):
            for record in records:
                if record.kind == CALL:
                    self._called(record)
            records = [record for record in records if record.kind != CALL]
        if records:
            self.times.extend([record[2] for record in records])
            self._ends[publisher_id] = records[-1]
        if not self.dry:
            life.queue.extend(records)
        return life

    def keep_reply(self, event: ServiceEvent) -> None:
        """What the recorded node answered."""
        service = self.names.server(event.service)
        if service is not None and event.server == self.recorded.name and event.outcome == "OK":
            kind: type[Message] = service.reply
            payload = self._as_today(event.service, kind, event.reply)
            if payload is not None:
                self.result.recorded.made.append(Decision(event.service, kind, payload, event.stamp_ns, what="reply"))

    def _called(self, record: Record) -> None:
        service = self.names.client(record.name)
        if service is None:
            self.result.notes.append(f"{self.recorded.name}: it called {record.name}, and its class declares no client")
            return
        kind: type[Message] = service.request
        payload = self._as_today(record.name, kind, record.payload)
        if payload is not None:
            self.result.recorded.made.append(called(record.name, service, payload, record.now_ns))

    def _as_today(self, name: str, kind: type[Message], payload: bytes) -> bytes | None:
        """A recorded payload as the code of today writes it, measurements 0; None, and a problem, when it is none."""
        try:
            return codec(kind).encode(zeroed(codec(kind).decode(payload)))
        except DecodeError as error:
            self.problem(f"{name}: recorded with another type, {error}")
            return None

    def finish(self, continues: str = "") -> None:
        """Put the recorded decisions in the callbacks they came from, and say what was missing.

        Args:
            continues: the bag of the same recording before this one.
        """
        times = self.times
        result = self.result
        result.callbacks = sum(life.stepped for life in self.lives.values())
        made = result.recorded.made
        mid_run = {publisher_id for publisher_id, life in self.lives.items() if life.mid_run}
        untraced = 0
        for publish_ns, topic, message in self._outputs:
            n = bisect_right(times, publish_ns)
            if n == 0 and times and not (topic.qos.latched and message.publisher_id in mid_run):
                continue  # published before the trace begins, and no state that it begins with
            if n and self._ends and message.publisher_id not in self._ends:
                untraced += publish_ns < self.span.end_ns
                continue  # of a life of which no callback is run
            if topic.persist and publish_ns < self._configured_ns.get(message.publisher_id, 0):
                continue  # an earlier life said it, and the executor offered it again
            kind: type[Message] = topic.type
            payload: bytes | None = message.payload
            if message.type_hash != type_hash(kind) or measures(kind) or topic.key:
                payload = self._as_today(message.topic, kind, message.payload)
            if payload is None:
                continue
            stamp = times[n - 1] if n else min(publish_ns, times[0] - 1) if times else publish_ns
            made.append(Decision.published(topic, message.topic, None, payload, stamp))
        made.sort(key=lambda d: d.stamp_ns)
        if times:
            result.span_ns = times[-1] - times[0]
            self._leave_out_ends(untraced)
            if not self.dry:
                result.known = self._known(times[0], times[-1])
                if continues and result.known is not None and result.known.unknown_until_ns and not self.span.from_ns:
                    result.notes.insert(1, f"the recording began before: with {continues} given too it replays exactly")
        from_ns = result.known.from_ns if result.known is not None else self.span.from_ns
        if mid_run and not times:
            from_ns = max(from_ns, self.span.read_ns + HEAD_NS)
        if from_ns and not (times and times[-1] >= from_ns):
            seconds = (from_ns - self.span.bag_start_ns) / 1e9
            self.problem(f"trace of {self.recorded.name}: no callback at {seconds:.3f} s or later in the window")
        for life in self.lives.values():
            for (topic_name, _), (count, seq, stamp) in life.hearing.missing.items():
                seconds = (stamp - result.start_ns) / 1e9
                self.problem(
                    f"{topic_name}: {count} messages that {self.recorded.name} handled are not in the bag, "
                    f"the first is number {seq} at {seconds:.3f} s"
                )

    def _leave_out_ends(self, untraced: int) -> None:
        """Take out what came of a life's last traced callback and after it, where no shutdown ends its trace.

        A killed node takes the last records of its trace with it, so nobody can run what published its last messages;
        and where the bag ends while the node runs, not all of the last callback's decisions need be in it.
        """
        times, result = self.times, self.result
        left_out = {end.now_ns: 0 for end in self._ends.values() if end.kind != Kind.SHUTDOWN}
        for decisions in (result.recorded, result, self.unchanged):
            kept = []
            for decision in decisions.made:
                n = bisect_right(times, decision.stamp_ns)
                last_ns = times[n - 1] if n else 0
                if last_ns not in left_out:
                    kept.append(decision)
                elif decisions is result.recorded:
                    left_out[last_ns] += 1
            decisions.made = kept
        for last_ns, count in left_out.items():
            if last_ns < times[-1] and count:
                result.notes.append(
                    f"{self.recorded.name}: no shutdown ends its trace at {at(last_ns, result.start_ns)} (killed?), so "
                    f"what ran then is not known: the last {count} messages before it began anew are not compared"
                )
        if untraced:
            result.notes.append(
                f"{self.recorded.name}: it was started and ended before it left a trace: {untraced} messages of that "
                "are not compared"
            )

    def _known(self, begins_ns: int, ends_ns: int) -> Known | None:
        """What of it can be compared."""
        result, span = self.result, self.span
        lives = list(self.lives.values())
        if not any(life.mid_run for life in lives):
            return Known(self.recorded.name, span.from_ns) if span.from_ns else None
        anew = [life.configured_ns for life in lives if not life.mid_run and life.configured_ns]
        known = Known(
            self.recorded.name,
            max(span.from_ns, begins_ns) if span.from_ns else begins_ns + min(SETTLE_NS, (ends_ns - begins_ns) // 2),
            min(anew, default=NEVER),
        )
        unchanged = self.unchanged if self.changed else result
        known.settle(result.recorded.made, unchanged.made, (begins_ns, ends_ns), changed=self.changed)
        result.notes[:0] = known.notes(span.bag_start_ns)
        self._in_step(known, unchanged)
        return known

    def _in_step(self, known: Known, unchanged: Decisions) -> None:
        """A node that decides otherwise from the first moment, with recorded parameters, cannot be judged from here."""
        for what in known.no_reference(changed=self.changed):
            self.problem(
                f"{what}: not as recorded from the first one on, with the parameters as recorded: what was before its "
                "beginning here decides (or the code is another). Replay from the beginning of its run"
            )
        sides = [
            Decisions(known.node, made=[d for d in side.made if not d.stream and not d.latched], known=known)
            for side in (self.result.recorded, unchanged)
        ]
        never = [place(known.node, topic) for _, topic in known.out_of_step()]
        if (self.changed and not never) or not (known.undecided or differences(*sides)):
            return
        if never:
            self.problem(
                f"{known.node}: {', '.join(never)} and its decisions are not those recorded, whatever the "
                "parameters: what was before decides. Replay from the beginning of its run"
            )
        elif not known.undecided:
            self.result.notes.append(
                f"{known.node}: with the parameters as recorded, a decision that differs comes of changed code or of "
                "what was before: only a replay from the beginning of its run tells which"
            )
