"""A process that forks nodes which come and go: `visitors.py COUNT AT_ONCE SEED`. Each hears the talker for a while."""

from __future__ import annotations

import os
import random
import signal
import sys

from bus.executor import Executor
from bus.host import Spec
from tests.bus.toys.count import Listener


def visit(number: int, rng: random.Random) -> None:
    """Hear some messages, then leave: in good order, killed while at work, or killed at once."""
    hears, how = rng.randrange(1, 60), rng.choice(("leave", "killed at work", "killed at once"))
    spec = Spec(Listener, "listener", f"visitor{number}", remappings={"toy/count": "/toy/count"})
    executor = Executor([spec])
    if how != "killed at once":
        node = executor.hosts[0].node
        assert isinstance(node, Listener)
        assert executor.spin(lambda: node.__dict__.get("received", 0) >= hears, 30.0)
    if how != "leave":
        os.kill(os.getpid(), signal.SIGKILL)
    executor.close()


def main(count: int, at_once: int, seed: int) -> bool:
    """Whether every visitor ended as it meant to."""
    alive: set[int] = set()
    well = True
    for number in range(count + at_once):
        if len(alive) == at_once or number >= count:
            pid, status = os.wait()
            alive.discard(pid)
            well &= os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
        if number < count:
            pid = os.fork()
            if pid == 0:
                visit(number, random.Random(seed * count + number))
                os._exit(0)
            alive.add(pid)
    return well


if __name__ == "__main__":
    sys.exit(not main(*map(int, sys.argv[1:])))
