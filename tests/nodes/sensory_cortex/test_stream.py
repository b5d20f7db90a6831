"""The stream driver with real sockets, serial lines and devices: nothing is lost uncounted, and it comes back."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import socket
import threading
import time
import tty
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest

from nodes.sensory_cortex.chunk import Chunk
from nodes.sensory_cortex.drivers import Quality, Setting
from nodes.sensory_cortex.drivers.stream import Stream, StreamOptions
from nodes.sensory_cortex.frames import encode
from schemas.machine import Execution, Motion, SignalBlock
from schemas.system import LogLevel
from tests.nodes.sensory_cortex.daq import device, packet, port_of, values

THREE = ("x_accel", "y_accel", "z_accel")
MS = 1_000_000
WITHIN_S = 20.0


class Rig:
    """A driver whose reader runs in a thread, as the node's worker does; its chunks are taken here."""

    def __init__(self, url: str, **options: Any) -> None:
        self.logged: list[str] = []

        def log(level: LogLevel, text: str) -> None:
            self.logged.append(text)

        given = StreamOptions(url=url, **({"columns": THREE} | options))
        assert list(given.mistakes()) == []
        self.driver = Stream(Setting("vmc1", "daq", given, Random(1), lambda: "#1", log, time.monotonic_ns))
        self.blocks: list[SignalBlock] = []
        self.chunks: queue.Queue[Chunk] = queue.Queue()
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        for chunk in self.driver.read(self.end):
            self.chunks.put(chunk)

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *raised: object) -> None:
        self.end.set()
        self.thread.join(5)
        assert not self.thread.is_alive()

    def until(self, what: Any) -> None:
        """Take chunks until something holds."""
        deadline = time.monotonic() + WITHIN_S
        while not what():
            assert time.monotonic() < deadline, (self.rows(), self.quality, self.logged)
            try:
                self.driver.receive(self.chunks.get(timeout=0.05))
            except queue.Empty:
                continue
            while made := self.driver.advance(0):
                self.blocks += [m for m in made if isinstance(m, SignalBlock)]

    @property
    def quality(self) -> Quality:
        return self.driver.quality["daq"]

    def rows(self) -> int:
        return self.blocks[-1].first_row + len(self.blocks[-1].data.array) if self.blocks else 0

    def lost(self) -> int:
        return self.rows() - sum(len(b.data.array) for b in self.blocks)

    def values(self) -> np.ndarray[Any, Any]:
        return np.concatenate([b.data.array for b in self.blocks])


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WITHIN_S)
        yield server


def free_udp() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def here(server: socket.socket) -> str:
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


SIXTEEN = tuple({"signal": f"s{n}", "type": "VOLTAGE", "unit": "V"} for n in range(16))
SHAPES = [(10_000, 3, 100, THREE), (1000, 16, 10, SIXTEEN)]


@pytest.mark.parametrize("form", ["frames", "int16"])
@pytest.mark.parametrize(("rate", "channels", "rows", "columns"), SHAPES)
def test_over_tcp_every_row_comes(rate: int, channels: int, rows: int, columns: Any, form: str) -> None:
    total = 2 * rate
    words = [f"--rate={rate}", f"--channels={channels}", f"--rows={rows}", f"--total={total}", f"--format={form}"]
    with device("tcp:0", *words) as daq, Rig(f"tcp://127.0.0.1:{port_of(daq)}", columns=columns) as rig:
        rig.until(lambda: rig.rows() >= total)
    assert rig.lost() == 0
    assert (rig.values() == values(0, total, channels)).all()
    assert (rig.quality.bad_rows, rig.quality.doubled_rows, rig.quality.trouble) == (0, 0, "")
    assert rig.quality.jitter_p99_ms >= 0.0


@pytest.mark.parametrize(("rate", "channels", "rows", "columns"), SHAPES)
def test_over_udp_every_row_comes(rate: int, channels: int, rows: int, columns: Any) -> None:
    total, port = 2 * rate, free_udp()
    words = [f"--rate={rate}", f"--channels={channels}", f"--rows={rows}", f"--total={total}"]
    with Rig(f"udp://127.0.0.1:{port}", columns=columns) as rig:
        rig.until(lambda: rig.quality.trouble == "")
        with device(f"udp:{port}", *words):
            rig.until(lambda: rig.rows() >= total)
    assert rig.lost() == 0
    assert (rig.values() == values(0, total, channels)).all()


def test_stamps_lie_on_the_counters_schedule_and_not_on_the_arrivals() -> None:
    with device("tcp:0", "--rate=10000") as daq, Rig(f"tcp://127.0.0.1:{port_of(daq)}") as rig:
        rig.until(lambda: rig.rows() >= 20_000)
        now_ns = time.monotonic_ns()
    settled = itertools.pairwise(rig.blocks[50:])
    steps = [b.stamp_ns - a.stamp_ns - len(a.data.array) * 100_000 for a, b in settled]
    assert max(map(abs, steps)) < 2 * MS
    ends = [b.stamp_ns + len(b.data.array) * b.period_ns for b in rig.blocks]
    assert all(b.stamp_ns >= end - 60_000 for b, end in zip(rig.blocks[1:], ends, strict=False))
    assert rig.blocks[-1].stamp_ns <= now_ns
    assert {b.period_ns for b in rig.blocks} <= set(range(99_900, 100_101))


def test_a_cut_cable_is_connected_again_and_what_was_missed_is_a_gap(listening: socket.socket) -> None:
    with Rig(here(listening)) as rig:
        first, _ = listening.accept()
        first.sendall(encode(0, MS, values(0, 50, 3)))
        rig.until(lambda: rig.rows() == 50)
        first.close()
        rig.until(lambda: rig.quality.trouble == "closed by the other side")
        second, _ = listening.accept()
        second.sendall(encode(80, MS, values(80, 20, 3)))
        rig.until(lambda: rig.rows() == 100)
        second.close()
        third, _ = listening.accept()
        third.sendall(encode(0, MS, values(0, 20, 3)))  # a device that was switched off
        rig.until(lambda: rig.rows() == 120)
        third.close()
    assert rig.lost() == 30
    assert rig.quality.trouble == ""
    stamps = [b.stamp_ns for b in rig.blocks]
    assert stamps == sorted(stamps)


def test_nobody_there_is_told_and_tried_again() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    with Rig(f"tcp://127.0.0.1:{port}") as rig:
        rig.until(lambda: "Connection refused" in rig.quality.trouble)
        with socket.create_server(("127.0.0.1", port)) as server:
            server.settimeout(WITHIN_S)
            connection, _ = server.accept()
            connection.sendall(encode(0, MS, values(0, 1, 3)))
            rig.until(lambda: rig.rows() == 1)
            connection.close()
    assert [text for text in rig.logged if "refused" in text] == rig.logged[:1], "once, not at each attempt"


def test_a_device_that_is_stopped_for_a_while_loses_nothing() -> None:
    with device("tcp:0", "--rate=1000", "--rows=10", "--total=3000") as daq:
        with Rig(f"tcp://127.0.0.1:{port_of(daq)}") as rig:
            rig.until(lambda: rig.rows() >= 1000)
            daq.send_signal(signal.SIGSTOP)
            stopped_s = time.monotonic()
            rig.until(lambda: time.monotonic() - stopped_s > 0.7)
            stopped_at = rig.rows()
            daq.send_signal(signal.SIGCONT)
            rig.until(lambda: rig.rows() >= 3000)
        assert stopped_at < 2000
        assert rig.lost() == 0
        assert rig.quality.jitter_p99_ms > 100.0, "and how late they were is shown"


def test_garbage_is_left_out_counted_and_logged_once(listening: socket.socket) -> None:
    with Rig(here(listening)) as rig:
        connection, _ = listening.accept()
        for n in range(5):
            connection.sendall(b"DAQF nonsense" * 20 + encode(n * 10, MS, values(n * 10, 10, 3)))
        rig.until(lambda: rig.rows() == 50)
        connection.sendall(encode(50, MS, values(50, 10, 2)))
        rig.until(lambda: rig.quality.bad_rows == 6)
        connection.close()
    assert rig.lost() == 0
    assert len([text for text in rig.logged if "cannot be read" in text]) == 1


def test_doubled_and_reordered_datagrams_come_once_and_in_order() -> None:
    port = free_udp()
    with Rig(f"udp://127.0.0.1:{port}") as rig, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        rig.until(lambda: rig.quality.trouble == "")
        for n in (0, 2, 1, 1, 3, 5, 4, 6, 6, 8, 9):  # 7 never comes
            sock.sendto(encode(n * 10, MS, values(n * 10, 10, 3)), ("127.0.0.1", port))
        rig.until(lambda: rig.rows() == 100)
    assert rig.lost() == 10
    assert rig.quality.doubled_rows == 20
    assert (rig.values() == np.delete(values(0, 100, 3), range(70, 80), 0)).all()


def test_datagrams_of_others_are_left_out() -> None:
    port = free_udp()
    with Rig(f"udp://127.0.0.1:{port}?from=127.0.0.2") as rig:
        rig.until(lambda: rig.quality.trouble == "")
        for own, first in (("127.0.0.3", 0), ("127.0.0.2", 10)):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((own, 0))
                sock.sendto(encode(first, MS, values(first, 5, 3)), ("127.0.0.1", port))
        rig.until(lambda: rig.rows() == 5)
    assert rig.values()[0, 0] == 10.0


class Pty:
    """A serial line without a device: what is written to `master` comes out of `path`."""

    def __enter__(self) -> Pty:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)
        return self

    def __exit__(self, *raised: object) -> None:
        os.close(self.master)
        os.close(self.slave)


@pytest.mark.parametrize("framing", ["8N1", "7E2"])
def test_over_a_serial_line_every_row_comes_whatever_it_joined_in(framing: str) -> None:
    if framing == "7E2":
        options: dict[str, Any] = {"format": "csv", "columns": (), "column_map": LINES}
        data = b"4,20\n" + packet("csv", 0, 200, 3, MS)
    else:
        options, data = {}, b"F\x00\x01" * 9 + b"".join(encode(n * 10, MS, values(n * 10, 10, 3)) for n in range(20))
    with Pty() as line, Rig(f"serial://{line.path}?baud=115200&framing={framing}", **options) as rig:
        rig.until(lambda: rig.quality.trouble == "")
        writer = threading.Thread(target=os.write, args=(line.master, data), daemon=True)
        writer.start()
        bad_lines = int(framing == "7E2")
        rig.until(lambda: rig.rows() == 200 + bad_lines)
        assert (rig.values() == values(0, 200, 3)).all()
        assert rig.quality.bad_rows == 1
        writer.join(5)


LINES = {"columns": {"x_accel": 0, "y_accel": 1, "z_accel": 2}, "period_ms": 1.0}
MAPPED = {
    "columns": {"x_mm": "x", "y_mm": "y"}, "stamp_column": "t", "stamp_unit": "ms",
    "motion_column": "m", "motions": {"G0": "RAPID", "G1": "FEED"},
}  # fmt: skip


def test_lines_of_text_are_read_by_a_column_map_and_say_what_the_machine_does(listening: socket.socket) -> None:
    with Rig(here(listening), format="csv", columns=(), column_map=MAPPED) as rig:
        connection, _ = listening.accept()
        connection.sendall(b"t,x,y,m\n0,1,2,G0\n10,2,3,G0\n20,3,")
        rig.until(lambda: rig.rows() == 2)
        assert rig.driver.state(0).motion is Motion.RAPID
        assert rig.driver.state(0).execution is Execution.UNAVAILABLE
        connection.sendall(b"4,G1\n30,?,4,G1\n" + b"9" * 200_000 + b"\n40,5,6,G1\n")
        rig.until(lambda: rig.rows() == 6)
        assert rig.driver.state(0).motion is Motion.FEED
        connection.close()
        again, _ = listening.accept()
        again.sendall(b"t,x,y,m\n0,7,8,G1\n")
        rig.until(lambda: rig.rows() == 7)
        again.close()
    assert rig.values().tolist() == [[1, 2], [2, 3], [3, 4], [5, 6], [7, 8]]
    assert rig.quality.bad_rows == 2
    assert [s.source for s in rig.driver.signals] == ["daq", "daq"]
    stamps = [b.stamp_ns + i * b.period_ns for b in rig.blocks for i in range(len(b.data.array))]
    assert stamps == sorted(stamps)


def test_a_header_that_lacks_a_column_is_told(listening: socket.socket) -> None:
    with Rig(here(listening), format="csv", columns=(), column_map=MAPPED) as rig:
        connection, _ = listening.accept()
        connection.sendall(b"t,x,z,m\n")
        rig.until(lambda: "the header lacks 'y'" in rig.quality.trouble)
        connection.close()


def test_lines_by_datagram_need_no_end_of_line() -> None:
    port = free_udp()
    with Rig(f"udp://127.0.0.1:{port}", format="csv", columns=(), column_map=LINES) as rig:
        rig.until(lambda: rig.quality.trouble == "")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for line in (b"1,2,3", b"4,5,6\n7,8,9\n"):
                sock.sendto(line, ("127.0.0.1", port))
        rig.until(lambda: rig.rows() == 3)


def test_a_channel_is_scaled_renamed_and_left_out(listening: socket.socket) -> None:
    columns = ({"signal": "x_accel", "scale": 9.80665, "offset": 1.0}, "", "z_accel")
    with Rig(here(listening), columns=columns) as rig:
        connection, _ = listening.accept()
        connection.sendall(encode(0, MS, np.array([[1.0, 2.0, 3.0]], dtype=np.float32)))
        rig.until(lambda: rig.rows() == 1)
        connection.close()
    assert rig.values().tolist() == [[pytest.approx(10.80665), 3.0]]


def test_the_devices_own_clock_is_compared_with_ours(listening: socket.socket) -> None:
    with Rig(here(listening)) as rig:
        connection, _ = listening.accept()
        rig.until(lambda: rig.quality.trouble == "")
        for n in range(20):
            taken_ns = time.monotonic_ns() - 7_000 * MS  # seven seconds behind
            connection.sendall(encode(n, MS, values(n, 1, 3), stamp_ns=taken_ns))
            rig.until(lambda n=n: rig.rows() == n + 1)
        connection.close()
    assert 7000.0 <= rig.quality.clock_offset_ms < 7100.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "stream-url url: '': expected tcp://HOST:PORT"),
        ({"url": "tcp://10.0.0.9"}, "expected tcp://HOST:PORT"),
        ({"url": "tcp://10.0.0.9:99999"}, "is no URL: Port out of range"),
        ({"url": "udp://0.0.0.0:5000?form=1.2.3.4"}, "udp takes no 'form'; did you mean 'from'?"),
        ({"url": "serial://ttyUSB0"}, "with three slashes"),
        ({"url": "serial:///dev/ttyUSB0?baud=fast"}, "baud is 50..4000000, not 'fast'"),
        ({"url": "serial:///dev/ttyUSB0?framing=9X1"}, "framing is 8N1, 7E2 and the like, not '9X1'"),
        ({"columns": ()}, "column-map columns: give the signal of each channel, in order"),
        ({"columns": ("x_acel",)}, "channel 1: not in the vocabulary of signals; did you mean 'x_accel'?"),
        ({"columns": ("x_mm", "x_mm")}, "'x_mm' stands there twice"),
        ({"columns": (3,)}, "channel 1: expected a signal's name, or { signal = ... }, got 3"),
        ({"format": "csv"}, "column-map column_map: give the path of a TOML file, or the map itself"),
        ({"format": "csv", "column_map": LINES}, "bad-option columns is for format = 'frames'"),
        ({"column_map": LINES}, "bad-option column_map is for format = 'csv'"),
    ],
)
def test_what_cannot_be_is_told_before_anything_runs(options: dict[str, Any], said: str) -> None:
    base = {"url": "tcp://h:1"} if options else {}
    given = StreamOptions(**({"columns": THREE} | base | options))
    assert any(said in f"{id_} {text}" for id_, text in given.mistakes()), list(given.mistakes())
