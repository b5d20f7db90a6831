"""A data acquisition device as a process: `python -P -m tests.nodes.sensory_cortex.daq WHERE`.

WHERE is tcp:PORT (it listens; 0 takes any port), udp:PORT (it sends there) or a path (a serial line). It says its port,
and sends to one after the other who connects; the counter goes on meanwhile, as in a device.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nodes.sensory_cortex.frames import encode, encode_int16

Send = Callable[[bytes], object]


def values(first: int, rows: int, channels: int) -> np.ndarray[Any, Any]:
    """What the device measures: whole numbers that a float32 and an int16 hold."""
    numbers = (first + np.arange(rows)) % 4096
    return (numbers[:, None] + 1000 * np.arange(channels)[None, :]).astype(np.float32)


def packet(form: str, first: int, rows: int, channels: int, period_ns: int, start_ns: int = 0) -> bytes:
    measured = values(first, rows, channels)
    if form == "csv":
        return "".join(",".join(f"{v:g}" for v in row) + "\n" for row in measured).encode()
    stamp_ns = start_ns + first * period_ns
    if form == "int16":
        scale, offset = np.full(channels, 0.5, np.float32), 1000.0 * np.arange(channels, dtype=np.float32)
        return encode_int16(first, period_ns, (measured - offset) / scale, scale, offset, stamp_ns=stamp_ns)
    return encode(first, period_ns, measured, stamp_ns=stamp_ns)


def send(to: Send, given: argparse.Namespace, start_s: float, first: int) -> int:
    """Rows when they are due, from `first` on; returns how far it came."""
    done, rows = first, int(given.rows)
    pause = threading.Event()
    period_ns = round(1e9 / given.rate)
    start_ns = time.time_ns() - round((time.monotonic() - start_s) * 1e9)
    while done < given.total:
        due_s = start_s + (done + given.rows) / given.rate
        if (wait_s := due_s - time.monotonic()) > 0:
            pause.wait(wait_s)
        try:
            to(packet(given.format, done, given.rows, given.channels, period_ns, start_ns))
        except OSError:
            return done + rows
        done += rows
    return done


def connections(port: int) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", port)) as server:
        sys.stdout.write(f"{server.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            connection, _ = server.accept()
            with connection:
                yield connection


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("where")
    parser.add_argument("--rate", type=float, default=10_000.0)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--total", type=int, default=10**9)
    parser.add_argument("--format", default="frames", choices=("frames", "int16", "csv"))
    given = parser.parse_args()
    kind, _, port = given.where.partition(":")
    start_s, done = time.monotonic(), 0
    if kind == "tcp":
        for n, connection in enumerate(connections(int(port))):
            start_s = start_s if n else time.monotonic()
            if n:  # what was measured meanwhile is gone
                done = min(int((time.monotonic() - start_s) * given.rate), given.total)
            done = send(connection.sendall, given, start_s, done)
            if done >= given.total:
                with contextlib.suppress(OSError):
                    connection.recv(1)
    elif kind == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", int(port)))
            send(sock.send, given, start_s, 0)
    else:
        line = os.open(given.where, os.O_WRONLY | os.O_NOCTTY)
        send(lambda data: _whole(line, data), given, start_s, 0)


def _whole(line: int, data: bytes) -> None:
    while data:
        data = data[os.write(line, data) :]


@contextlib.contextmanager
def device(where: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The device, running; of one that listens, `port_of` says where."""
    command = [sys.executable, "-P", "-m", "tests.nodes.sensory_cortex.daq", where, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


if __name__ == "__main__":
    main()
