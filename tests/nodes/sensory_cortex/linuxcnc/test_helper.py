"""The parts of the helper that touch no LinuxCNC."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.sensory_cortex.linuxcnc import helper


def test_a_block_is_the_programs_line_and_another_program_is_read_anew(tmp_path: Path) -> None:
    one, two = tmp_path / "one.ngc", tmp_path / "two.ngc"
    one.write_text("%\nN10 G0 X1  \nN20 M2\n")
    two.write_bytes(b"(\xe4)\n")
    program = helper.Program()
    assert program.block(str(one), 2) == "N10 G0 X1"
    assert [program.block(str(one), n) for n in (0, 4, -1)] == ["", "", ""]
    assert program.block(str(two), 1) == "(\u00e4)"
    assert program.block(str(tmp_path / "gone.ngc"), 1) == ""


def test_a_reader_that_died_does_not_count_and_one_that_lives_does() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        pins = [f"rise-{other.pid}.hold", f"rise-{os.getpid()}.hold", "rise-inhibit", "sampler.0.pin.1"]
        assert helper.readers(pins) == [other.pid]
        assert other.stdin is not None
        other.stdin.close()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, and still listed
        assert helper.readers(pins) == []
    assert helper.readers(pins) == []


def test_a_task_that_died_and_is_still_listed_is_none(tmp_path: Path) -> None:
    task = tmp_path / "milltask"
    shutil.copy("/bin/cat", task)
    pipe = subprocess.PIPE
    with (
        subprocess.Popen([task], stdin=pipe, stdout=pipe) as living,
        subprocess.Popen([task], stdin=pipe, stdout=pipe) as dead,
    ):
        for one in (living, dead):
            assert one.stdin is not None
            assert one.stdout is not None
            one.stdin.write(b"up\n")
            one.stdin.flush()
            assert one.stdout.readline() == b"up\n"
        dead.kill()
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # dead, and still listed
        assert helper.state_of(dead.pid) == "Z"
        assert helper.task_of(os.geteuid()) == living.pid
        living.kill()
        os.waitid(os.P_PID, living.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(helper.NotThere):
            helper.task_of(os.geteuid())


def test_who_does_not_listen_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        sent = 0
        while helper.tell(ours, bytes(1000)):
            sent += 1
        assert sent > 10
        assert len(theirs.recv(2000)) == 1000
        assert helper.tell(ours, b"S")


def test_a_command_that_is_not_known_or_not_taken_is_answered() -> None:
    class Refused(Exception):
        pass

    def run(arg: object) -> None:
        raise Refused(f"cannot, {arg}")

    known = {"run": run, "abort": lambda arg: None}
    assert helper.obey(json.dumps({"do": "run", "arg": "x"}).encode(), known, Refused)["text"] == "cannot, x"
    assert helper.obey(b'{"do": "abort"}', known, Refused) == {"do": "abort", "text": ""}
    assert helper.obey(b'{"do": "dance"}', known, Refused)["text"] == "is not known"


def test_a_process_that_is_stopped_does_not_run() -> None:
    assert helper.runs(os.getpid())
    assert helper.home_of(os.getpid())


def test_without_linuxcnc_it_ends_and_says_why() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            words = [sys.executable, "-I", "-B", helper.__file__, "task", str(theirs.fileno())]
            child = subprocess.Popen(words, pass_fds=(theirs.fileno(),))
        ours.settimeout(20.0)
        said = ours.recv(1000)
        assert child.wait(20.0) == 0
    # where one happens to run on this computer, that it was not started for us, or that there is none
    assert said[:1] in b"XS"


class Pin:
    """Memory, as a pin of HAL is."""

    def __init__(self) -> None:
        self.value: float = 0


def test_what_is_asked_is_a_write_of_a_pin() -> None:
    memory = {name: Pin() for name in (*helper.PINS, "load")}
    pins = helper.Pins(memory)

    def high() -> set[str]:
        return {name for name, pin in memory.items() if pin.value}

    for datagram in (b"h", b"s", b"q", b"l" + struct.pack("<d", 7.5), b"?", b"lxx"):
        pins.do(datagram)
    assert high() == {"hold", "stop", "spindle-off", "load"}
    assert memory["load"].value == 7.5
    pins.do(b"b")
    assert {"beat", "guard"} <= high()
    pins.do(b"c")
    assert high() == {"beat", "load"}
    pins.do(b"b")
    assert high() == {"load"}, "the guard stays low until the watchdog has seen it"
    pins.do(b"b")
    assert high() == {"beat", "guard", "load"}
    pins.do(b"g")
    assert "guard" not in high()
