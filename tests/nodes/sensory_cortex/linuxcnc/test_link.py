"""The worker's side where LinuxCNC is not there, or what it starts is no helper."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.linuxcnc import link
from nodes.sensory_cortex.linuxcnc.link import HAL, Link

TABLE = """\
       key      shmid perms                  size  cpid  lpid nattch   uid
1212238898          8   600               1048576 14685 14734      {attached} 65534
"""


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """What the kernel lists where HAL's memory is in use."""
    file = tmp_path / "shm"
    file.write_text(TABLE.format(attached=4))
    return file


def first_chunk(made: Link) -> Chunk:
    end = threading.Event()
    chunks = made.chunks(end)
    chunk = next(chunks)
    end.set()
    assert list(chunks) == []
    return chunk


def test_whether_somebody_is_attached_is_read_off_the_kernels_list(memory: Path) -> None:
    assert link.hal_lives(memory)
    memory.write_text(TABLE.format(attached=0))
    assert not link.hal_lives(memory)
    assert not link.hal_lives(memory.with_name("gone"))


def test_without_linuxcnc_nothing_is_started_and_that_is_said(tmp_path: Path) -> None:
    chunk = first_chunk(Link("/nowhere/python3", "f", time.time_ns, tmp_path / "gone"))
    assert (chunk.kind, chunk.text) == (ChunkKind.LINK, "LinuxCNC does not run on this computer")


def test_what_cannot_be_started_or_ends_is_said(memory: Path) -> None:
    nowhere = Link("/nowhere/python3", "f", time.time_ns, memory)
    assert "cannot start /nowhere/python3: No such file" in first_chunk(nowhere).text
    assert "ended" in first_chunk(Link("/bin/true", "f", time.time_ns, memory)).text


def test_what_a_helper_says_that_is_no_word_is_counted(tmp_path: Path, memory: Path) -> None:
    other = tmp_path / "helper.py"
    other.write_text(
        "import socket, sys\nwith socket.socket(fileno=int(sys.argv[2])) as s:\n    s.send(b'?')\n    s.recv(1)\n"
    )
    chunk = first_chunk(Link(sys.executable, "f", time.time_ns, memory, other))
    assert (chunk.kind, chunk.bad_rows) == (ChunkKind.BAD, 1)


def test_nothing_is_sent_to_nobody() -> None:
    assert not Link("/bin/true", "f", time.time_ns).send(HAL, b"h")
