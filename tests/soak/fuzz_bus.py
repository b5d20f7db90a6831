"""A whole executor, less its sockets: frames, control messages, subscriptions and entries as strangers may send them.

One input is a list of steps. Everything that a socket would hand over is handed over here, so millions of inputs fit
into minutes, and what hangs or ends the node does so within reach of a debugger.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgpack

from bus import frame, trace
from bus.discovery import Directory, Entry, TopicEntry
from bus.entry import BadEntry, ServiceEntry
from bus.executor import Executor
from bus.host import Spec
from bus.link import HOLD_NS
from bus.node import LinkEvent, Node, Outcome, Raw, client, on_link, publisher, service, subscription, tap
from bus.trace import BadTrace, TraceWriter
from schemas.base import EVENT, LATCHED, SENSOR, Topic
from schemas.codec import DecodeError, codec
from schemas.grammar import definition, type_hash
from schemas.system import SetParameterRequest, TraceBlock
from tests.bus.toys.talk import ASK, ASK_LATE, KEPT, SAID, SENSED, Answer, Question, Word
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import Target, scratch

STATE = Topic("talk/state", Word, LATCHED)
BATCHED = Topic("talk/batched", Word, SENSOR)
PAIRED = Topic("talk/paired", Word, EVENT)
HEARD = (SAID, SENSED, KEPT, STATE, BATCHED, PAIRED)
ROGUE = 666


class Everything(Node):
    """Hears in every way there is, serves and asks; its callbacks never fail."""

    said = publisher(Topic("talk/own", Word, EVENT))
    kept = publisher(Topic("talk/own_state", Word, LATCHED))
    ask = client(ASK_LATE)

    @subscription(SAID)
    def on_said(self, word: Word) -> None: ...

    @subscription(SENSED)
    def on_sensed(self, word: Word) -> None: ...

    @subscription(KEPT)
    def on_kept(self, word: Word) -> None: ...

    @subscription(STATE, namespace="*")
    def on_state(self, word: Word) -> None: ...

    @subscription(BATCHED, batch_s=0.0001)
    def on_batched(self, words: list[Word]) -> None: ...

    @subscription(PAIRED, depth=2)
    def on_paired(self, word: Word) -> None: ...

    @on_link(SAID)
    def on_said_link(self, event: LinkEvent) -> None: ...

    @on_link(STATE)
    def on_state_link(self, event: LinkEvent) -> None: ...

    @tap(select="select", batch_s=0.0001)
    def on_raw(self, batch: list[Raw]) -> None: ...

    def select(self, topic: str, type_name: str) -> bool:
        return True

    @service(ASK)
    def answer(self, question: Question) -> Answer:
        return Answer(number=question.number, pid=1)


def rogue_entry(publisher_id: int = ROGUE, name: str = "rogue") -> Entry:
    """A stranger that says it publishes everything, and serves."""
    kind = type_hash(Word)
    topics = [TopicEntry(t.name, "Word", kind, t.qos.name, t.key) for t in HEARD]
    topics.append(TopicEntry("vmc1/talk/state", "Word", kind, "LATCHED"))
    serves = ServiceEntry(ASK_LATE.name, "Question", type_hash(Question), "Answer", type_hash(Answer))
    return Entry(
        name, publisher_id=publisher_id, pub=("ipc:///nowhere/pub",), rpc=("ipc:///nowhere/rpc",), serves=(serves,),
        publishes=tuple(topics), definitions={kind: definition(Word)}, ready=True,
    )  # fmt: skip


class _World:
    """The executor under test, and the clock it lives by."""

    def __init__(self) -> None:
        self.x = x = Executor([Spec(Everything, "everything")], directory=Directory("fuzz", scratch()))
        x.start()
        self.host = x.hosts[0]
        self.host.warn_once = self.said  # type: ignore[method-assign] # a million warnings are for nobody's screen
        self.late_ns = 0
        real_ns = x.monotonic_ns
        x.monotonic_ns = lambda: real_ns() + self.late_ns
        x.peers.on_subscription(True, frame.prefix("everything/trace"))
        x.peers._appeared(rogue_entry())
        self.doors: tuple[Callable[..., None], ...] = (
            self.frame, self.message, self.control, self.sync, self.beacon, self.subscribe, self.ask, self.appear,
            self.time,
        )  # fmt: skip

    def said(self, kind: str, text: str) -> None:
        """A warning: its text must be one that travels."""
        text.encode()

    def frame(self, first: Any = b"", tail: Any = None, *_: Any) -> None:
        """A frame as it comes."""
        if isinstance(first, bytes) and isinstance(tail, (bytes, type(None))):
            self.x.intake.take([(first, None if tail is None else memoryview(tail))])

    def message(
        self, topic: Any = "", id_: Any = 0, seq: Any = 0, wall_ns: Any = 0, payload: Any = None, *_: Any
    ) -> None:
        """A frame made of its parts."""
        try:
            data = frame.pack(_name(topic), id_, seq, 0, wall_ns, _packed(payload))
        except Exception:  # parts that no header holds
            return
        self.x.intake.take([(data, None)])

    def control(self, ours: Any = True, body: Any = None, *_: Any) -> None:
        """A request, reply, repair or repaired; `ours` is from whom we asked. Call number 0 is the one that is open."""
        if isinstance(body, list) and len(body) > 1 and body[0] == 2 and body[1] == 0:
            body = [2, self.x.caller._last_id, *body[2:]]
        self.x._on_control(None if ours else b"peer", _packed(body))

    def sync(self, endpoint: Any = "", nodes: Any = None, latched: Any = None, *_: Any) -> None:
        """An answer to our token."""
        body = [next(iter(self.x.peers._peers), "") if endpoint == "" else endpoint, nodes, latched]
        token = self.x.peers._token
        self.x.intake.take([(frame.pack(token, ROGUE, 0, 0, 0, _packed(body)), None)])

    def beacon(self, id_: Any = 0, last: Any = None, *_: Any) -> None:
        """The last numbers of a publisher."""
        self.x.intake.take([(frame.pack(frame.BEACON, ROGUE, 0, 0, 0, _packed([id_, last])), None)])

    def subscribe(self, wanted: Any = True, prefix: Any = b"", *_: Any) -> None:
        """Somebody wants something."""
        if isinstance(prefix, bytes):
            self.x.peers.on_subscription(bool(wanted), prefix)

    def ask(self, *_: Any) -> None:
        """A call that waits for an answer."""
        said: list[Outcome[Answer]] = []
        node: Any = self.host.node
        node.ask.call(Question(number=1), timeout_s=60.0, then=said.append)

    def appear(self, entry: Any = None, clean: Any = True, *_: Any) -> None:
        """A node comes and goes."""
        try:
            text = entry if isinstance(entry, bytes) else json.dumps(entry, default=str).encode()
        except (TypeError, ValueError, RecursionError):  # no JSON
            return
        try:
            found = Entry.from_json(text)
        except BadEntry:
            return
        if found.name == "rogue" or found.publisher_id == ROGUE:
            return
        self.x.peers._appeared(found)
        self.x.peers._vanished(found, bool(clean))
        self.x.peers._departed.clear()

    def time(self, *_: Any) -> None:
        """Holes have waited long enough."""
        self.late_ns += HOLD_NS + 1
        self.x.intake._tend()

    def settle(self) -> None:
        """Look at what came of it, and forget it: what one batch left must not be held against the next."""
        try:
            self.look()
        finally:
            self.forget()

    def look(self) -> None:
        """Whether a callback or the loop failed; and what is published of it travels."""
        x, host = self.x, self.host
        for _ in range(8):
            x.loop.round(until_ns=1)
        if x._failure is not None:
            raise AssertionError(x._failure)
        failed = host.findings.get("callback_failed")
        if failed is not None:
            raise AssertionError(failed.text)
        x.diagnose(host)
        x.flush_trace(host)

    def forget(self) -> None:
        """As if nothing had happened."""
        x, host = self.x, self.host
        x.intake.feeds.clear()
        x.intake._fast.clear()
        x.intake._tending = False
        x.loop.ready.clear()
        x._failure = None
        x.caller._pending.clear()
        x.desk._remembered.clear()
        x.desk._waiting = 0
        x.timers._heap.clear()
        x.peers.entries = {"rogue": rogue_entry()}
        for endpoint in [e for e in x.peers._peers if e != "ipc:///nowhere/pub"]:
            x.transport.disconnect(x.peers._peers.pop(endpoint).address)
        for topic in [t for t, r in x.peers.routes.items() if not r.named and t not in KNOWN]:
            del x.peers.routes[topic]
        x.peers._wanted_prefixes.clear()
        x.peers._wanted_prefixes.add(frame.prefix("everything/trace"))
        x.peers.listeners.clear()
        host.findings.clear()
        host._failures.clear()
        if host.trace is not None:
            host.trace = TraceWriter(host.parameters_json)
        for inbox in (*host.inboxes,):
            inbox.items.clear()
            inbox._flush_armed = False
        for each in host.taps:
            each.raws.clear()
            each._dropped.clear()
            each._armed = False


KNOWN = frozenset(t.name for t in HEARD) | {"vmc1/talk/state"}


def _name(topic: Any) -> bytes:
    return topic if isinstance(topic, bytes) else str(topic).encode("utf-8", "surrogatepass") + b"\0"


def _packed(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    try:
        packed: bytes = msgpack.packb(body, unicode_errors="surrogatepass")
    except (ValueError, OverflowError, TypeError):
        return b""
    return packed


def core() -> Target:
    """Everything a node's sockets hand over, in any order."""
    world = _World()
    word = codec(Word).encode(Word(number=1, text="x"))

    def run(data: bytes) -> None:
        try:
            steps = msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")
        except Exception:  # what is no list of steps is no input
            return
        for step in steps[:50] if isinstance(steps, list) else ():
            if isinstance(step, list) and step and isinstance(step[0], int):
                world.doors[step[0] % len(world.doors)](*step[1:])
        world.x.loop.round(until_ns=1)

    def f(topic: Topic[Word], seq: int) -> bytes:
        return frame.pack(frame.prefix(topic.name), ROGUE, seq, 0, 0, word)

    said, kept = SAID.name, KEPT.name
    numbers = [[ROGUE, "rogue", {said: 5, kept: 3, "vmc1/talk/state": 2}]]
    question = codec(Question).encode(Question(number=3))
    answer = codec(Answer).encode(Answer(number=1, pid=1))
    setting = codec(SetParameterRequest).encode(SetParameterRequest(name="a", json_value="1", changed_by="x"))
    steps: list[list[Any]] = [
        [[0, f(t, n), None] for t in HEARD for n in (1, 2, 4)] + [[8]],
        [[1, t.name, ROGUE, n, 10**18, {"number": n, "text": "y"}] for t in HEARD for n in (1, 3)] + [[8], [8]],
        [[3, "", numbers, [[f(KEPT, 1), b""], [f(KEPT, 2), b""]]], [4, ROGUE, {said: 9, kept: 7}],
         [0, f(SAID, 7), None], [8]],
        [[1, said, ROGUE, 1, 0, word], [1, said, ROGUE, 5, 0, word],
         [2, True, [4, ROGUE, said, 2, 4, 2, [[f(SAID, 2), b""], [f(SAID, 3), b""]]]], [8]],
        [[1, kept, ROGUE, 1, 0, word], [1, kept, ROGUE, 5, 0, word], [2, True, [4, ROGUE, kept, 2, 4, 2, []]], [8]],
        [[2, False, [1, ASK.name, "me", 5, 6, 0, 7, 1000, question, 0]],
         [2, False, [1, "everything/set_parameter", "me", 5, 7, 0, 7, 1000, setting, 0]]],
        [[2, False, [3, 1, "talk/own", 1, 5]], [2, False, [3, 1, "talk/own_state", 1, 5]]],
        [[6], [2, True, [2, 0, "", "", answer, 3]], [6], [2, True, [2, 0, "FAILED", "x", b"", 3]]],
        [[5, True, b"talk/own\0"], [5, True, frame.SYNC + b"0123abcd/1\0"], [5, False, b"talk/own\0"], [5, True, b""]],
        [[7, json.loads(rogue_entry(7, "other").to_json()), True]],
        [[7, rogue_entry(8, "third").to_json().encode(), False]],
    ]  # fmt: skip
    seeds = [msgpack.packb(s) for s in steps]
    grammar = Grammar("msgpack", 0, (b"\0", said.encode() + b"\0"))
    return Target("core", run, (), seeds, grammar, settle=world.settle, close=world.x.close)


# --- traces ---------------------------------------------------------------------------------------------------------


def trace_block() -> Target:
    """A block of a trace, and what the payloads in it hold."""
    unpack = (trace.unpack_batch, trace.unpack_link, trace.unpack_outcome, trace.unpack_arguments)

    def run(data: bytes) -> None:
        block = codec(TraceBlock).decode(data)
        for record in trace.read([block, block.model_copy(update={"first": block.first + trace.count(block)})]):
            unpack[PLACES[record.kind % len(PLACES)]](record.payload)

    writer = TraceWriter(lambda: "{}")
    for kind, payload in enumerate(_payloads()):
        writer.record(kind, f"on_x a/b{kind}", 10**18, ROGUE, kind, payload)
    block = writer.take()
    assert block is not None
    allowed = (trace.BadTrace, DecodeError)
    return Target("trace_block", run, allowed, [codec(TraceBlock).encode(block)], Grammar("msgpack"))


PLACES = (0, 1, 1, 1, 1, 2, 2, 3)
"""how each of the payloads below is read"""


def _payloads() -> list[bytes]:
    from bus.node import CallError, Gone, Lost, Source, Stale, Synced

    s = Source("n", "a/b", 3, 10**18, ROGUE)
    events: list[LinkEvent] = [Lost(s, 1, 2), Stale(s, 0.5), Gone(s, True), Synced(s)]
    return [
        trace.pack_batch([("a/b", 1, 2), ("a/c", 1, 3)]), *map(trace.pack_link, events),
        trace.pack_outcome(CallError.DEADLINE, "late", None), trace.pack_outcome(None, "", b"\x80"),
        trace.pack_arguments((1, "x")),
    ]  # fmt: skip


def trace_payload() -> Target:
    """What one payload of a trace holds: the first byte says as what it is read."""
    unpack = (trace.unpack_batch, trace.unpack_link, trace.unpack_outcome, trace.unpack_arguments)

    def run(data: bytes) -> None:
        unpack[data[0] % 4 if data else 0](data[1:])

    seeds = [bytes((n,)) + p for n, p in zip(PLACES, _payloads(), strict=True)]
    return Target("trace_payload", run, (BadTrace,), seeds, Grammar("msgpack", 1))
