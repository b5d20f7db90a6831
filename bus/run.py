"""The entry of every node process: `python -P -m bus.run [--domain D] NODE [+ NODE ...]`.

NODE is `MODULE[:Class] [--name N] [--namespace NS] [-p name=JSON]... [-r from:=to]...`; MODULE may be a path that ends
in .py. Several NODEs are a composition: one process, one thread. With RISE_READY_FD the process says `READY ...` on
that descriptor once it is, and `BEAT` once a second from the nodes' own thread.

Exit codes: 0 asked to end, 1 a node failed, 2 the command line or a parameter is wrong, 3 a name is taken.
"""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":  # asked to end while modules are loaded: there is nothing to close yet
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, lambda *_: os._exit(0))

import contextlib
import gc
import json
from collections.abc import Sequence
from typing import Any

from bus.discovery import BadRuntimeDirectory, Directory, NameTaken
from bus.executor import Executor, Failed, log_line
from bus.host import Spec
from bus.node import BadParameter
from bus.root import MixedRoots, project_root
from bus.target import BadTarget, node_class
from bus.transport import Unreachable
from schemas.base import BadName
from schemas.system import LogLevel


class BadCommand(ValueError):
    """The command line of a node process does not follow its form."""


def parse(arguments: Sequence[str]) -> tuple[dict[str, str], list[tuple[str, Spec]]]:
    """The process's options, and (target, spec) of each node.

    Raises:
        BadCommand, BadTarget.
    """
    options: dict[str, str] = {}
    words = list(arguments)
    while words and words[0] in ("--domain", "--clock", "--tcp"):
        if len(words) < 2:
            raise BadCommand(f"{words[0]} needs a value")
        options[words[0][2:]] = words[1]
        words = words[2:]
    groups: list[list[str]] = [[]]
    for word in words:
        if word == "+":
            groups.append([])
        else:
            groups[-1].append(word)
    return options, [_spec(group) for group in groups]


def _spec(words: list[str]) -> tuple[str, Spec]:
    if not words or words[0].startswith("-"):
        raise BadCommand(f"expected MODULE[:Class], got {words[0] if words else 'nothing'}")
    target, rest = words[0], words[1:]
    if len(rest) % 2:
        raise BadCommand(f"{rest[-1]} needs a value")
    name = namespace = ""
    parameters: dict[str, Any] = {}
    remappings: dict[str, str] = {}
    for option, value in zip(rest[::2], rest[1::2], strict=True):
        match option:
            case "--name":
                name = value
            case "--namespace":
                namespace = value
            case "-p":
                key, equals, text = value.partition("=")
                if not equals:
                    raise BadCommand(f"-p {value}: expected name=JSON")
                parameters[key] = json_value(text)
            case "-r":
                old, assigned, new = value.partition(":=")
                if not assigned:
                    raise BadCommand(f"-r {value}: expected from:=to")
                remappings[old] = new
            case _:
                raise BadCommand(f"unknown option {option}; known are --name, --namespace, -p, -r")
    return target, Spec(node_class(target), name, namespace, parameters, remappings)


def json_value(text: str) -> Any:
    """A value as JSON, or the text itself when it is no JSON: `-p mode=STOP` needs no quotes."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


class _Pipe:
    """Tells the supervisor that this process is ready, and alive."""

    def __init__(self) -> None:
        given = os.environ.pop("RISE_READY_FD", "")
        self._fd = int(given) if given.isdigit() else -1
        if self._fd >= 0:
            os.set_inheritable(self._fd, False)
            os.set_blocking(self._fd, False)

    def say(self, line: str) -> None:
        if self._fd >= 0:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._fd, f"{line}\n".encode())


def keep_what_lives() -> None:
    """Tell Python's garbage collector that what lives in this process by now lives to its end.

    Else the first full collection, some 10 s after the start, goes through all modules and classes and holds every
    callback up for 10 to 16 ms; after it they take well below 1 ms.
    """
    gc.collect()
    gc.freeze()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run nodes until asked to end; the exit code."""
    pipe = _Pipe()
    stopped = False
    directory: Directory | None = None
    executor: Executor | None = None

    def on_signal(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True
        if executor is not None:
            executor.stop()
        elif directory is None:
            os._exit(0)  # nothing is open yet

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    try:
        project_root()
        options, parsed = parse(sys.argv[1:] if arguments is None else arguments)
        if options.get("clock", "wall") not in ("wall", "sim"):
            raise BadCommand(f"--clock: expected wall or sim, got {options['clock']}")
        directory = Directory(options.get("domain"))
        executor = Executor(
            [spec for _, spec in parsed], directory=directory, clock=options.get("clock", "wall"),
            tcp_host=options.get("tcp"), beat=lambda: pipe.say("BEAT"),
        )  # fmt: skip
    except (MixedRoots, BadCommand, BadTarget, BadParameter, BadName, BadRuntimeDirectory, Unreachable) as error:
        log_line(LogLevel.ERROR, str(error))
        return 2
    except NameTaken as error:
        log_line(LogLevel.ERROR, str(error))
        return 3
    finally:
        if executor is None and directory is not None:
            directory.close()
    try:
        with executor:
            if not stopped:
                executor.start()
            if not stopped:
                keep_what_lives()
                pipe.say("READY " + " ".join(executor.not_answered))
                executor.run()
    except Failed as error:
        log_line(LogLevel.ERROR, str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
