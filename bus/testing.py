"""For tests of nodes, ours and yours: a domain of one's own, nodes running in a thread or a process.

def test_warns(domain: Domain) -> None:
    with domain.running(Spec(SpindleWatch, namespace="vmc1")), domain.session(select=...) as session:
        ...
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from bus.executor import Executor
from bus.host import Spec
from bus.node import Raw
from bus.session import Select, Session


class Domain:
    """An isolated domain below a directory of its own; use as a context manager."""

    def __init__(self, name: str = "test") -> None:
        self.name = name
        # short, because a socket's path has at most 107 bytes
        self.root = Path(tempfile.mkdtemp(prefix="rise", dir="/tmp"))
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> Domain:
        own = {"RISE_RUNTIME_DIR": self.root, "RISE_STATE_DIR": self.root / "state", "RISE_DOMAIN": self.name}
        for key, value in own.items():
            self._before[key] = os.environ.get(key)
            os.environ[key] = str(value)
        return self

    def __exit__(self, *exc: object) -> None:
        for key, value in self._before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        shutil.rmtree(self.root, ignore_errors=True)

    @contextlib.contextmanager
    def running(self, *specs: Spec, timeout_s: float = 10.0) -> Iterator[Executor]:
        """The nodes, composed, in a thread; ready when the block begins, closed when it ends."""
        made: list[Executor] = []
        failed: list[BaseException] = []
        ready = threading.Event()

        def run() -> None:
            try:
                with Executor(specs, domain=self.name) as executor:
                    made.append(executor)
                    executor.start()
                    ready.set()
                    executor.run()
            except BaseException as error:
                failed.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=run, name="nodes", daemon=True)
        thread.start()
        if not ready.wait(timeout_s) or failed:
            raise failed[0] if failed else TimeoutError(f"not ready in {timeout_s} s")
        try:
            yield made[0]
        finally:
            made[0].stop()
            thread.join(timeout_s)
        if failed:
            raise failed[0]

    @contextlib.contextmanager
    def process(
        self, *arguments: str, timeout_s: float = 20.0, module: str = "bus.run"
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A node process (`bus.run` arguments), ready when the block begins, killed when it ends.

        Args:
            module: what is run; one of your own that ends in `bus.run.main`.
        """
        read, write = os.pipe()
        env = {**os.environ, "RISE_READY_FD": str(write), "PYTHONSAFEPATH": "1"}
        command = [sys.executable, "-P", "-m", module, "--domain", self.name, *arguments]
        with subprocess.Popen(command, env=env, pass_fds=(write,)) as child:
            os.close(write)
            try:
                with open(read, "rb") as pipe:
                    line = pipe.readline()
                if not line.startswith(b"READY"):
                    raise RuntimeError(f"{' '.join(arguments)} did not get ready; exit code {child.wait(timeout_s)}")
                yield child
            finally:
                child.kill()

    def session(self, *, select: Select | None = None, heard: Callable[[list[Raw]], None] | None = None) -> Session:
        return Session(self.name, select=select, heard=heard)
