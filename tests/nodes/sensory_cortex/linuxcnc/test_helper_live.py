"""The helper on a real HAL: when it is killed and no beat comes any more, HAL itself inhibits motion."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from nodes.linuxcnc.control import parts
from nodes.sensory_cortex.linuxcnc import helper
from nodes.sensory_cortex.linuxcnc.said import rows
from nodes.sensory_cortex.linuxcnc.table import AT, Layout
from tests.nodes.linuxcnc.mill import mill, needs_linuxcnc, wait_for

TYPES = Layout.of(()).types


@contextmanager
def attached() -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    """A helper beside HAL, attached."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(10.0)
    with ours:
        with theirs:
            words = ["/usr/bin/python3", "-I", "-B", helper.__file__, "hal", str(theirs.fileno()), TYPES]
            child = subprocess.Popen(words, pass_fds=(theirs.fileno(),), cwd="/")
        try:
            assert ours.recv(4096) == b"H"
            yield ours, child
        finally:
            child.kill()
            child.wait(10.0)


def inhibited(line: socket.socket) -> bool:
    data = line.recv(65536)
    return data[:1] == b"R" and bool(rows(data, len(TYPES))[1][-1, AT["inhibited"]])


@needs_linuxcnc
def test_a_killed_helper_leaves_the_machine_held_until_it_is_released() -> None:
    with mill():
        assert wait_for(lambda: {"milltask", "rtapi_app"} <= set(parts().values()))
        with attached() as (line, child):
            for _ in range(3):
                line.send(b"b")
                assert not inhibited(line)
            child.kill()
        with attached() as (line, _):
            end_s = time.monotonic() + 10.0
            while not inhibited(line):
                assert time.monotonic() < end_s
            line.send(b"c")
            while inhibited(line):
                assert time.monotonic() < end_s
