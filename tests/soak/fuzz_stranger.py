"""A stranger at one door of a living node: mutated traffic, raw bytes, cut connections, floods of connections.

    python -P -m tests.soak.fuzz_stranger DOOR --inputs N --seed S --domain D

Where the door is, it reads in the entry of `speaker` or `hearer`. The last line of its output is how many inputs it
sent. What it sends waits for room, so that nothing of it is dropped on its own side.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import select
import socket
import sys
from collections.abc import Callable, Mapping

import zmq

from bus import frame
from bus.discovery import Directory
from bus.entry import Entry, ServiceEntry, TopicEntry
from bus.stream import record
from bus.transport import end
from schemas.codec import codec
from schemas.grammar import definition, type_hash
from tests.bus.test_transport import greeting
from tests.bus.toys.talk import ASK_LATE, Answer, Question, Word
from tests.soak.fuzz_mutate import BYTES, Grammar, Mutator
from tests.soak.fuzz_toys import SAID, SENSED

TEN_MB = 10_000_000
RECONNECT_EVERY = 3000
"""messages of one connection: who comes and goes must leave nothing behind"""
ROGUE = 1 << 40 | os.getpid()
"""no two lives have one id: the last stranger may be missed late, and would take this one with it"""


def framed(body: bytes, more: bool = False) -> bytes:
    """A ZMTP frame."""
    if len(body) < 256:
        return bytes((more, len(body))) + body
    return bytes((2 | more,)) + len(body).to_bytes(8, "big") + body


class Wire:
    """A connection that is made anew whenever it is over."""

    def __init__(self, address: str, hello: bytes) -> None:
        self.address = address
        self.hello = hello
        self.sock: socket.socket | None = None

    def open(self, hello: bytes) -> socket.socket:
        scheme, _, where = self.address.partition("://")
        made = socket.socket(socket.AF_INET if scheme == "tcp" else socket.AF_UNIX)
        made.settimeout(30)
        host, _, port = where.rpartition(":")
        while True:
            try:
                made.connect((host, int(port)) if scheme == "tcp" else where)
                break
            except BlockingIOError:  # the queue at the door is full
                os.sched_yield()
        made.sendall(hello)
        return made

    def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            if self.sock is None:
                self.sock = self.open(self.hello)
            self.sock.sendall(data)
            while select.select([self.sock], [], [], 0)[0]:
                if not self.sock.recv(1 << 16):
                    self.close()
                    break
            return
        self.close()

    def once(self, data: bytes) -> None:
        """A connection of its own, cut off behind `data`."""
        with contextlib.suppress(ConnectionError, TimeoutError), self.open(b"") as sock:
            sock.sendall(data)

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None


def at_door(wire: Wire, mutator: Mutator, wrap: Callable[[bytes], bytes], inputs: int) -> int:
    """Messages well wrapped around what is wrong in them, wrong wrappings, cut connections, and megabytes."""
    rng = mutator.rng
    for n in range(inputs):
        data = wrap(mutator.next())
        what = rng.random()
        if n % 5000 == 17:
            wire.send(wrap(rng.randbytes(100) * (TEN_MB // 100)))
        elif n % 5000 == 18:
            wire.once(wire.hello + wrap(bytes(TEN_MB))[: TEN_MB // 2])
        elif what < 0.96:
            wire.send(data)
        elif what < 0.985:
            wire.send(mutator.mutate_bytes(data))
        elif what < 0.995:
            wire.once((wire.hello + data)[: rng.randrange(len(wire.hello) + len(data) + 1)])
        else:
            wire.once(mutator.mutate_bytes(wire.hello) if rng.random() < 0.5 else rng.randbytes(200))
        if n % RECONNECT_EVERY == RECONNECT_EVERY - 1:
            wire.close()
    wire.close()
    return inputs


SUBSCRIPTIONS = tuple(
    how + prefix
    for how in (b"\x01", b"\x00")
    for prefix in (frame.prefix(SAID.name), frame.prefix(SENSED.name), frame.BEACON, frame.SYNC + b"0123abcd/1\0", b"")
)


def requests() -> list[bytes]:
    """What a peer asks."""
    question = codec(Question).encode(Question(number=1))
    asked = {"name": "x", "json_value": "1", "changed_by": "y"}
    messages = [
        frame.Request("talk/ask", "me", 1, 1, 0, 0, 1000, question), frame.Reply(1, "", "", b"\x80", 1),
        frame.Request("speaker/set_parameter", "me", 1, 2, 0, 0, 1000, frame.encode(asked)),
        frame.Request("speaker/describe_parameters", "me", 1, 3, 0, 0, 1000, b"\x80"),
        frame.Repair(ROGUE, SAID.name, 1, 100), frame.Repaired(ROGUE, SAID.name, 1, 2, 1, [(b"x", b"")]),
    ]  # fmt: skip
    return [frame.encode(m) for m in messages]


def mutator(seed: int, pool: list[bytes] | tuple[bytes, ...], grammar: Grammar = BYTES) -> Mutator:
    return Mutator(random.Random(seed), grammar, pool)


def zeromq(
    address: str, kind: bytes, pool: list[bytes] | tuple[bytes, ...], grammar: Grammar, inputs: int, seed: int
) -> int:
    """At a bound ZeroMQ socket; a message in twenty has several parts."""
    made = mutator(seed, pool, grammar)

    def wrap(body: bytes) -> bytes:
        if made.rng.random() < 0.05:
            return framed(body[:9], more=True) + framed(b"", more=True) + framed(body)
        return framed(body)

    return at_door(Wire(address, greeting(kind)), made, wrap, inputs)


def lane(address: str, inputs: int, seed: int) -> int:
    made = mutator(seed, SUBSCRIPTIONS)

    def wrap(body: bytes) -> bytes:
        tail = b"tail" if made.rng.random() < 0.05 else b""
        return record(body, tail) + tail

    return at_door(Wire(address, b""), made, wrap, inputs)


def connections(addresses: list[str], inputs: int, seed: int) -> int:
    """Comes in crowds, some of whom greet, and leaves again."""
    rng = random.Random(seed)
    held: list[socket.socket] = []
    for _ in range(inputs):
        address = rng.choice(addresses)
        hello = greeting(rng.choice((b"SUB", b"DEALER", b"XXX"))) if rng.random() < 0.5 else b""
        with contextlib.suppress(OSError):
            held.append(Wire(address, hello).open(hello))
        if len(held) > 400 or rng.random() < 0.002:
            for one in held:
                one.close()
            held.clear()
    return inputs


def deaf(entry: Entry, inputs: int) -> int:
    """Asks for much and reads nothing: repairs, and sync answers by ZeroMQ and by lane."""
    lane_at = next(p for p in entry.pub if p.startswith("unix://"))
    places = [(entry.rpc[0], greeting(b"DEALER")), (entry.pub[0], greeting(b"SUB")), (lane_at, b"")]
    held: list[socket.socket | None] = [None] * len(places)
    for n in range(inputs):
        which = n % len(places)
        token = frame.SYNC + b"deaf/%d\0" % n
        data = (
            framed(frame.encode(frame.Repair(entry.publisher_id, SAID.name, 1, 2**60))),
            framed(b"\x01" + token), record(b"\x01" + token),
        )[which]  # fmt: skip
        try:
            sock = held[which]
            if sock is None:
                address, hello = places[which]
                sock = held[which] = Wire(address, hello).open(hello)
                sock.settimeout(5)
            sock.sendall(data)
        except (ConnectionError, TimeoutError):
            held[which] = None
    return inputs


# --- those who pretend to be nodes ----------------------------------------------------------------------------------


class Rogue:
    """Says that it is a node that publishes what the hearer wants, and serves what it asks for."""

    def __init__(self, domain: str, *, by_lane: bool) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        directory = Directory(domain)
        self.directory = directory
        pub, rpc, lane_path = (directory.socket_path() for _ in range(3))
        self.pub, self.router = self.context.socket(zmq.XPUB), self.context.socket(zmq.ROUTER)
        self.pub.setsockopt(zmq.XPUB_NODROP, 1)
        self.router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.router.setsockopt(zmq.RCVTIMEO, 30_000)
        self.pub.setsockopt(zmq.RCVTIMEO, 30_000)
        self.pub.bind(f"ipc://{pub}")
        self.router.bind(f"ipc://{rpc}")
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(lane_path)
        self.listening.listen()
        kind = type_hash(Word)
        topics = tuple(TopicEntry(t.name, "Word", kind, t.qos.name) for t in (SAID, SENSED))
        serves = ServiceEntry(ASK_LATE.name, "Question", type_hash(Question), "Answer", type_hash(Answer))
        entry = Entry(
            "rogue", publisher_id=ROGUE, pub=(f"ipc://{pub}", *((f"unix://{lane_path}",) if by_lane else ())),
            rpc=(f"ipc://{rpc}",), publishes=topics, serves=(serves,), definitions={kind: definition(Word)}, ready=True,
        )  # fmt: skip
        self.endpoint = entry.pub[0]
        self.registration = directory.register(entry)

    def frames(self, token: bytes) -> list[bytes]:
        """What a publisher sends."""
        word = codec(Word).encode(Word(number=1, text="x"))
        sync = frame.Sync(self.endpoint, [frame.NodeSync(ROGUE, "rogue", {SAID.name: 3, SENSED.name: 4})], [(b"", b"")])
        return [
            frame.pack(frame.prefix(t.name), ROGUE, seq, 0, 0, word) for t in (SAID, SENSED) for seq in (1, 2, 5, 6)
        ] + [
            frame.pack(token, ROGUE, 0, 0, 0, frame.encode(sync)),
            frame.pack(frame.BEACON, ROGUE, 0, 0, 0, frame.encode(frame.Beacon(ROGUE, {SAID.name: 9}))),
        ]  # fmt: skip

    def close(self) -> None:
        self.registration.close()
        self.listening.close()
        for each in (self.pub, self.router):
            each.close(linger=0)
        end(self.context)
        self.directory.close()


def sub(domain: str, inputs: int, seed: int) -> int:
    """At the SUB socket of the hearer, as a publisher it listens to."""
    rogue = Rogue(domain, by_lane=False)
    token = b""
    while not token.startswith(frame.SYNC):
        token = rogue.pub.recv()[1:]
    made = mutator(seed, rogue.frames(token), Grammar("bytes", 0, (token, frame.BEACON, frame.prefix(SAID.name))))
    for n in range(inputs):
        # what does not begin as a subscription does would not even leave
        whole = made.rng.choice(made.pool)
        at = whole.find(b"\0") + 1 if made.rng.random() < 0.9 else 0
        data = whole[:at] + made.mutate(whole[at:])
        if n % 5000 == 17:
            data += bytes(TEN_MB)
        if n % 50 == 0:
            rogue.pub.send_multipart([data, made.next()])
        else:
            rogue.pub.send(data)
    rogue.close()
    return inputs


def ears(domain: str, inputs: int, seed: int) -> int:
    """At the hearer's end of a lane."""
    rogue = Rogue(domain, by_lane=True)
    made = mutator(seed, rogue.frames(frame.SYNC + b"x\0"))
    peer: socket.socket | None = None
    for n in range(inputs):
        head, tail = (
            made.next() or b"x",
            made.rng.choice((b"", b"", b"", b"tail", bytes(TEN_MB) if n % 5000 == 17 else b"")),
        )
        data = record(head, tail) + tail
        if made.rng.random() < 0.001:
            data = made.mutate_bytes(data)
        try:
            if peer is None:
                peer, _ = rogue.listening.accept()
            peer.sendall(data)
        except ConnectionError:
            if peer is not None:
                peer.close()
            peer = None
    rogue.close()
    return inputs


def dealer(domain: str, inputs: int, seed: int) -> int:
    """At the DEALER of the hearer, as a server it asks."""
    rogue = Rogue(domain, by_lane=False)
    identity, *_ = rogue.router.recv_multipart()
    replies = [
        frame.encode(m)
        for n in range(4)
        for m in (frame.Reply(n, "", "", b"\x80", 1), frame.Reply(n, "FAILED", "x", b"", 1))
    ]
    made = mutator(seed, replies + requests(), Grammar("msgpack"))
    for n in range(inputs):
        data = made.next() if n % 5000 != 17 else bytes(TEN_MB)
        rogue.router.send_multipart([identity, data] if n % 50 else [identity, data, b"", made.next()])
    rogue.close()
    return inputs


Door = Callable[[str, Mapping[str, Entry], int, int], int]
CONTROL = Grammar("msgpack")


def _tcp(endpoints: tuple[str, ...]) -> str:
    return next(e for e in endpoints if e.startswith("tcp://"))


def _all(entry: Entry) -> list[str]:
    return [*entry.pub, *entry.rpc]


DOORS: Mapping[str, Door] = {
    "xpub": lambda d, e, n, s: zeromq(e["speaker"].pub[0], b"SUB", SUBSCRIPTIONS, BYTES, n, s),
    "router": lambda d, e, n, s: zeromq(e["speaker"].rpc[0], b"DEALER", requests(), CONTROL, n, s),
    "lane": lambda d, e, n, s: lane(next(p for p in e["speaker"].pub if p.startswith("unix://")), n, s),
    "tcp_xpub": lambda d, e, n, s: zeromq(_tcp(e["speaker"].pub), b"SUB", SUBSCRIPTIONS, BYTES, n, s),
    "tcp_router": lambda d, e, n, s: zeromq(_tcp(e["speaker"].rpc), b"DEALER", requests(), CONTROL, n, s),
    "sub": lambda d, e, n, s: sub(d, n, s),
    "ears": lambda d, e, n, s: ears(d, n, s),
    "dealer": lambda d, e, n, s: dealer(d, n, s),
    "deaf": lambda d, e, n, s: deaf(e["speaker"], n),
    "connections": lambda d, e, n, s: connections(_all(e["speaker"]), n, s),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("door", choices=DOORS)
    parser.add_argument("--inputs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--domain", required=True)
    asked = parser.parse_args()
    entries = Directory(asked.domain).entries()
    sent = DOORS[asked.door](asked.domain, entries, asked.inputs, asked.seed)
    sys.stdout.write(f"{sent}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
