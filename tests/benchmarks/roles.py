"""The processes of the benchmarks: `python -P -m tests.benchmarks.roles ROLE ...`, driven by lines on standard input.

Every role says `ready`, then answers each line `go` with one JSON line: publishers when they have sent a burst,
subscribers with what arrived since the last `go`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bus import guard
from bus.clock import WallClock
from bus.discovery import Directory
from bus.executor import Executor
from bus.host import Spec
from bus.node import Node, client, parameter, publisher, service, subscription, timer
from bus.run import keep_what_lives
from schemas.base import Samples
from tests.benchmarks.messages import ACT, DECISION, FLOOD, IMAGE, TWENTY, Ask, Image, Twenty, twenty
from tests.benchmarks.received import Received, say

monotonic_ns = time.monotonic_ns


class Steady(Node):
    """Sends `burst` messages at 1 kHz when told to: always the same one, as the peers do."""

    burst = parameter(1000)
    out = publisher(TWENTY)

    def on_configure(self) -> None:
        self.left = 0
        self.message = twenty(0, 0, 0)
        self.done: Callable[[], None] | None = None

    def go(self, done: Callable[[], None]) -> None:
        self.left = self.burst
        self.done = done

    @timer(0.001)
    def tick(self) -> None:
        if self.left:
            self.out.publish(self.sample())
            self.left -= 1
        if self.done is not None and self.over():
            self.done()
            self.done = None

    def sample(self) -> Twenty:
        return self.message

    def over(self) -> bool:
        return not self.left


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
            self.out.publish(Image(count=self.count, pixels=Samples.take(pixels)))
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
        self.anchor_ns = Directory().anchor_ns()

    @subscription(TWENTY)
    def on_twenty(self, m: Twenty) -> None:
        # from publish() (before encoding) to here
        source = self.source
        self.received.note(monotonic_ns() + self.anchor_ns - source.stamp_ns, source.seq)


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
        self.clock = WallClock(Directory().anchor_ns())

    @subscription(IMAGE)
    def on_image(self, m: Image) -> None:
        self.received.note(self.clock.now_ns() - self.source.stamp_ns, m.count)


class Decide(Node):
    """Judges every sample and asks the actor: sample -> decision -> accepted."""

    act = client(ACT)
    decided = publisher(DECISION)

    def on_configure(self) -> None:
        self.received = Received()

    @subscription(TWENTY)
    def on_twenty(self, m: Twenty) -> None:
        self.decided.publish(m)
        self.received.counts.append(self.source.seq)
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

    def sample(self) -> Twenty:
        self.sent_ns = now_ns = monotonic_ns()
        return twenty(0, now_ns, now_ns)

    def over(self) -> bool:
        """All were accepted, or one is overdue by more than its caller waits."""
        everything = len(self.received.counts) == self.burst
        return not self.left and (everything or monotonic_ns() > self.sent_ns + 2_000_000_000)


def scheduled(wanted: str) -> str:
    """Schedule this thread as `realtime` in a launch file would, or with the `slice` that everybody may have.

    Returns what it got.
    """
    if wanted == "realtime":
        return guard.schedule(10, 0, []).partition(" (")[0].removesuffix(" either")
    return "slice 0.1 ms" if guard.short_slice() else "no slice"


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
        keep_what_lives()
        say({"ready": x.not_answered, "scheduling": parameters.get("scheduling", "normal")})

        def read() -> None:
            for _ in sys.stdin:
                x.hosts[0].submit(answer)
            x.stop()

        def answer() -> None:
            senders = [h.node for h in x.hosts if hasattr(h.node, "go")]
            if senders:
                senders[0].go(finished)
            else:
                finished()

        def finished() -> None:
            result: dict[str, Any] = {}
            for h in x.hosts:
                if hasattr(h.node, "burst"):
                    result["sent"] = h.node.burst
                if hasattr(h.node, "received"):
                    result |= h.node.received.report()
            say(result)

        threading.Thread(target=read, daemon=True).start()
        x.run()


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
    parameters: dict[str, Any] = json.loads(arguments[0]) if arguments else {}
    if wanted := parameters.pop("schedule", None):
        # and begin again, as the guard of a launch does: every thread inherits it, numpy's that are there already too
        again = json.dumps({**parameters, "scheduling": scheduled(wanted)})
        os.execv(sys.executable, [sys.executable, "-P", "-m", "tests.benchmarks.roles", role, again])
    serve(ROLES[role], parameters)


if __name__ == "__main__":
    main()
