"""The processes of the benchmarks: `python -P -m tests.benchmarks.roles ROLE ...`, driven by lines on standard input.

Every role says `ready`, then answers each line `go` with one JSON line. Publishers send a burst and say what it cost;
subscribers answer with what arrived since the last `go`.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bus.clock import WallClock
from bus.discovery import Directory
from bus.executor import Executor
from bus.host import Spec
from bus.node import Node, client, parameter, publisher, service, subscription, timer
from schemas.base import Samples
from tests.benchmarks.messages import ACT, DECISION, FLOOD, IMAGE, TWENTY, Ask, Image, Twenty, twenty

monotonic_ns = time.monotonic_ns


class Received:
    """What a subscriber keeps of a burst."""

    def __init__(self) -> None:
        self.delays_ns: list[int] = []
        self.counts: list[int] = []
        self.cpu_s = time.process_time()

    def report(self) -> dict[str, Any]:
        counts = self.counts
        gaps = sum(1 for a, b in itertools.pairwise(counts) if b != a + 1)
        cpu_s = time.process_time()
        result = {
            "delays_us": [d / 1000 for d in self.delays_ns],
            "received": len(counts),
            "gaps": gaps,
            "cpu_s": cpu_s - self.cpu_s,
        }
        self.delays_ns, self.counts, self.cpu_s = [], [], cpu_s
        return result


class Steady(Node):
    """Sends `burst` messages at `rate_hz` when told to."""

    burst = parameter(1000)
    out = publisher(TWENTY)

    def on_configure(self) -> None:
        self.left = 0
        self.count = 0
        self.done: Callable[[], None] = lambda: None

    def go(self, done: Callable[[], None]) -> None:
        self.left = self.burst
        self.done = done

    @timer(0.001)
    def tick(self) -> None:
        if self.left:
            self.count += 1
            now = monotonic_ns()
            self.out.publish(twenty(self.count, now, now))
            self.left -= 1
            if not self.left:
                self.done()


class Pictures(Node):
    """Sends 0.9 MB images at 30 Hz."""

    burst = parameter(30)
    out = publisher(IMAGE)

    def on_configure(self) -> None:
        self.left = 0
        self.count = 0
        self.done: Callable[[], None] = lambda: None

    def go(self, done: Callable[[], None]) -> None:
        self.left = self.burst
        self.done = done

    @timer(1 / 30)
    def tick(self) -> None:
        if self.left:
            self.count += 1
            pixels = np.full((480, 640, 3), self.count % 256, dtype=np.uint8)
            self.out.publish(Image(sent_mono_ns=monotonic_ns(), count=self.count, pixels=Samples.take(pixels)))
            self.left -= 1
            if not self.left:
                self.done()


class Flood(Node):
    """Offers `rate_hz` messages a second for `seconds`, in slices of a millisecond."""

    rate_hz = parameter(150_000)
    seconds = parameter(10.0)
    out = publisher(FLOOD)

    def on_configure(self) -> None:
        self.start_ns = 0
        self.count = 0
        self.base = 0
        self.done: Callable[[], None] = lambda: None

    def go(self, done: Callable[[], None]) -> None:
        self.start_ns = monotonic_ns()
        self.base = self.count
        self.done = done

    @timer(0.001)
    def tick(self) -> None:
        if self.start_ns:
            elapsed_s = (monotonic_ns() - self.start_ns) / 1e9
            due = self.base + int(min(elapsed_s, self.seconds) * self.rate_hz)
            message = twenty(
                0, 0, 0
            )  # the count is the sequence number: making 150,000 messages/s is not the bus's work
            while self.count < due:
                self.count += 1
                self.out.publish(message)
            if elapsed_s >= self.seconds:
                self.start_ns = 0
                self.done()


class Listen(Node):
    """Receives the steady stream."""

    def on_configure(self) -> None:
        self.received = Received()
        self.clock = WallClock(Directory().anchor_ns())

    @subscription(TWENTY)
    def on_twenty(self, m: Twenty) -> None:
        # from publish() (before encoding) to here
        self.received.delays_ns.append(self.clock.now_ns() - self.source.stamp_ns)
        self.received.counts.append(m.count)


class ListenFlood(Node):
    """Receives the flood."""

    def on_configure(self) -> None:
        self.received = Received()

    @subscription(FLOOD)
    def on_twenty(self, m: Twenty) -> None:
        self.received.counts.append(self.source.seq)


class ListenPictures(Node):
    """Receives images."""

    def on_configure(self) -> None:
        self.received = Received()

    @subscription(IMAGE)
    def on_image(self, m: Image) -> None:
        self.received.delays_ns.append(monotonic_ns() - m.sent_mono_ns)
        self.received.counts.append(m.count)


class Decide(Node):
    """Judges every sample and asks the actor: sample -> decision -> accepted."""

    act = client(ACT)
    decided = publisher(DECISION)

    def on_configure(self) -> None:
        self.received = Received()

    @subscription(TWENTY)
    def on_twenty(self, m: Twenty) -> None:
        self.decided.publish(m)
        self.received.counts.append(m.count)
        self.act.call(Ask(sent_mono_ns=m.sent_mono_ns), timeout_s=1.0)


class Actor(Node):
    """Accepts, and notes how long after the sample."""

    def on_configure(self) -> None:
        self.received = Received()

    @service(ACT)
    def accept(self, request: Ask) -> Ask:
        self.received.delays_ns.append(monotonic_ns() - request.sent_mono_ns)
        self.received.counts.append(len(self.received.counts))
        return request


class SteadyActor(Actor, Steady):
    """Sender of samples and acceptor of stops in one, as sensory_cortex is."""

    def on_configure(self) -> None:
        Steady.on_configure(self)
        Actor.on_configure(self)


def serve(classes: list[type[Node]], parameters: dict[str, Any]) -> None:
    """Run nodes and answer `go`."""
    specs = [
        Spec(
            c,
            f"{c.__name__.lower()}_{os.getpid()}",
            str(parameters.get("namespace", "b")),
            {k: v for k, v in parameters.items() if k in c.interface.parameters},
        )
        for c in classes
    ]
    with Executor(specs) as x:
        x.start()
        say({"ready": x.not_answered})

        def read() -> None:
            for _ in sys.stdin:
                x.hosts[0].submit(answer)
            x.stop()

        def answer() -> None:
            cpu_s = time.process_time()
            senders = [h.node for h in x.hosts if hasattr(h.node, "go")]
            if senders:
                senders[0].go(lambda: finished(cpu_s))
            else:
                finished(cpu_s)

        def finished(cpu_s: float) -> None:
            result: dict[str, Any] = {"sent_cpu_s": time.process_time() - cpu_s}
            for h in x.hosts:
                if hasattr(h.node, "received"):
                    result |= h.node.received.report()
            say(result)

        threading.Thread(target=read, daemon=True).start()
        x.run()


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


# --- the peer: raw pyzmq, two frames, no codec ---------------------------------------------------------------------


def raw_publisher(path: str, size: int, burst: int, period_s: float) -> None:
    import zmq

    context = zmq.Context()
    socket = context.socket(zmq.PUB)
    socket.setsockopt(zmq.SNDHWM, 100_000)
    socket.bind(f"ipc://{path}")
    body = bytes(size)
    count = 0
    say({"ready": []})
    for _ in sys.stdin:
        cpu_s = time.process_time()
        start_ns = monotonic_ns()
        for i in range(burst):
            if period_s:
                wait_s = (start_ns + i * period_s * 1e9 - monotonic_ns()) / 1e9
                if wait_s > 0:
                    time.sleep(wait_s)  # the peer's own pacing, as a plain script would
            count += 1
            head = count.to_bytes(8, "little") + monotonic_ns().to_bytes(8, "little")
            if size < 65536:
                socket.send_multipart([b"bench/twenty", head + body])
            else:
                socket.send(head, zmq.SNDMORE)
                socket.send(bytearray(body), copy=False)
        say({"sent_cpu_s": time.process_time() - cpu_s})


def raw_subscriber(path: str) -> None:
    import zmq

    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 100_000)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(f"ipc://{path}")
    received = Received()
    lock = threading.Lock()
    say({"ready": []})

    def read() -> None:
        for _ in sys.stdin:
            with lock:
                say(received.report())
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        first = socket.recv()
        second = socket.recv()
        head = second if first == b"bench/twenty" else first
        now = monotonic_ns()
        received.delays_ns.append(now - int.from_bytes(head[8:16], "little"))
        received.counts.append(int.from_bytes(head[:8], "little"))


ROLES: dict[str, list[type[Node]]] = {
    "steady": [Steady],
    "listen": [Listen],
    "composed": [Steady, Listen],
    "flood": [Flood],
    "listen_flood": [ListenFlood],
    "pictures": [Pictures],
    "listen_pictures": [ListenPictures],
    "stop_composed": [Decide, SteadyActor],
    "steady_actor": [SteadyActor],
    "decide": [Decide],
}


def main() -> None:
    role, arguments = sys.argv[1], sys.argv[2:]
    if role == "raw_pub":
        raw_publisher(arguments[0], int(arguments[1]), int(arguments[2]), float(arguments[3]))
    elif role == "raw_sub":
        raw_subscriber(arguments[0])
    else:
        serve(ROLES[role], json.loads(arguments[0]) if arguments else {})


if __name__ == "__main__":
    main()
