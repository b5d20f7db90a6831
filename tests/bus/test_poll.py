"""The clock to wake by and the bell, also while it is being closed."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import threading
import time

import pytest

from bus.poll import Alarm, Poller, readable, writable


def test_descriptors_beyond_what_select_takes_are_waited_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048 if hard < 0 else min(2048, hard), hard))
    read, write = os.pipe()
    high = fcntl.fcntl(read, fcntl.F_DUPFD, 1500)
    try:
        assert readable([high, read], 0) == []
        assert writable(write, 5)
        os.write(write, b"x")
        assert readable([high], 5) == [high]
        os.read(read, 1)
        os.close(write)
        assert readable([high], 5) == [high], "its other end is gone"
    finally:
        os.close(read)
        os.close(high)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_alarm_rings_and_is_set_again() -> None:
    alarm = Alarm()
    try:
        for _ in range(3):
            alarm.set(time.monotonic_ns() + 1_000_000)
            assert select.select([alarm.fd], [], [], 5)[0]
            alarm.clear()
        alarm.set(None)
        assert not select.select([alarm.fd], [], [], 0)[0]
    finally:
        alarm.close()


def test_what_is_patient_ends_no_sleep_that_says_so() -> None:
    poller = Poller()
    read, write = os.pipe()
    heard: list[bytes] = []
    try:
        poller.watch(read, lambda: heard.append(os.read(read, 9)), patient=True)
        os.write(write, b"x")
        due_ns = time.monotonic_ns() + 2_000_000
        poller.sleep(due_ns, patient=False)
        assert time.monotonic_ns() >= due_ns
        assert heard == []
        poller.wake()
        poller.sleep(None, patient=False)
        assert heard == []
        poller.sleep(None)
        assert heard == [b"x"]
        poller.unwatch(read)
        os.write(write, b"y")
        poller.look()
        assert heard == [b"x"]
    finally:
        poller.close()
        os.close(read)
        os.close(write)


def rings(alarm: Alarm, timeout_s: float = 5.0) -> bool:
    return bool(select.select([alarm.fd], [], [], timeout_s)[0])


def test_set_at_a_steady_pace_the_alarm_goes_on_by_itself() -> None:
    alarm, pace_ns = Alarm(), 2_000_000
    try:
        due_ns = time.monotonic_ns()
        for _ in range(3):
            due_ns += pace_ns
            alarm.set(due_ns)
            assert rings(alarm)
            alarm.clear()
        for _ in range(3):
            assert alarm.set_ns is not None
            assert alarm.set_ns % pace_ns == due_ns % pace_ns
            before_ns = alarm.set_ns
            assert rings(alarm)
            assert time.monotonic_ns() >= before_ns
            alarm.clear()
            assert (alarm.set_ns or 0) > time.monotonic_ns() - pace_ns, "what it missed is behind it"
        alarm.set(time.monotonic_ns() + 500_000)  # out of step
        assert rings(alarm)
        alarm.clear()
        assert alarm.set_ns == -1
        alarm.set(None)
        assert not rings(alarm, 0)
    finally:
        alarm.close()


def test_wake_in_the_middle_of_close_meets_no_closed_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    poller = Poller()
    closing = threading.Thread(target=poller.close)
    write = os.eventfd_write

    def held_up(fd: int, value: int) -> None:
        closing.start()
        closing.join(0.2)
        write(fd, value)

    monkeypatch.setattr(os, "eventfd_write", held_up)
    poller.wake()
    closing.join(10)
    assert not closing.is_alive()
    poller.wake()
