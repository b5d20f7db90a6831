"""The entry of a node process: exit codes, readiness, the last messages, what is left behind; and death by kill -9."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from bus.host import Spec
from bus.node import Gone
from bus.testing import Domain
from tests.bus.live import counts, node, until
from tests.bus.toys.talk import Listener, Talker, Tapper

TOYS = "tests.bus.toys.talk"


@pytest.fixture(autouse=True, params=["lane", "zeromq"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything here holds by lane and by ZeroMQ alike."""
    monkeypatch.setenv("RISE_LANES", "1" if request.param == "lane" else "0")
    return str(request.param)


def run(*arguments: str, domain: Domain) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "bus.run", "--domain", domain.name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "expected MODULE[:Class], got nothing"),
        (("no.such.module",), 2, "no"),
        ((f"{TOYS}:Nobody",), 2, "Nobody"),
        ((TOYS,), 2, "Talker"),
        ((f"{TOYS}:Talker", "--speed", "3"), 2, "unknown option --speed"),
        ((f"{TOYS}:Talker", "-p", "burst"), 2, "expected name=JSON"),
        ((f"{TOYS}:Talker", "-p", "brust=3"), 2, "Talker has no parameter brust"),
        ((f"{TOYS}:Talker", "-p", "burst=many"), 2, "burst: expected int, got str 'many'"),
        ((f"{TOYS}:Talker", "--name", "Talker!"), 2, "bad name"),
        ((f"{TOYS}:Talker", "-p", "burst=" + "[" * 50_000), 2, "burst: expected int, got str '[["),
        (("x/" + "y" * 300 + ".py",), 2, "there is no file x/yyy"),
        (("--tcp", "0.0.0.0", f"{TOYS}:Talker"), 2, "only a loopback address such as 127.0.0.1"),
        (("--tcp", "localhost", f"{TOYS}:Talker"), 2, "only a loopback address such as 127.0.0.1"),
        (("--clock", "lunar", f"{TOYS}:Talker"), 2, "expected wall or sim, got lunar"),
        ((f"{TOYS}:Failing", "-p", "at_start=true"), 1, "no such machine"),
    ],
)
def test_exit_codes(domain: Domain, arguments: tuple[str, ...], code: int, text: str) -> None:
    done = run(*arguments, domain=domain)
    assert (done.returncode, text in done.stderr) == (code, True), done.stderr
    assert code == 1 or "Traceback" not in done.stderr
    assert left(domain) == []


def left(domain: Domain) -> list[str]:
    """What the runtime directory still holds."""
    return sorted(str(p.relative_to(domain.root)) for p in domain.root.rglob("*"))


def test_a_runtime_directory_too_long_for_a_socket_is_a_users_mistake(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "bus.run", f"{TOYS}:Talker"]
    env = {**os.environ, "RISE_RUNTIME_DIR": str(tmp_path / ("long" * 25))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False, env=env)
    assert done.returncode == 2
    assert "set RISE_RUNTIME_DIR to a shorter directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_name_is_exit_3_and_says_who_has_it(domain: Domain) -> None:
    with domain.running(Spec(Talker)):
        done = run(f"{TOYS}:Talker", domain=domain)
    assert done.returncode == 3
    assert f"process {os.getpid()}" in done.stderr


def test_of_those_that_start_at_once_under_one_name_one_wins(domain: Domain) -> None:
    read, write = os.pipe()
    env = {**os.environ, "RISE_READY_FD": str(write)}
    command = [sys.executable, "-P", "-m", "bus.run", f"{TOYS}:Talker", "--name", "prize"]
    rivals = [
        subprocess.Popen(command, env=env, pass_fds=(write,), stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    os.close(write)
    with ExitStack() as stack, open(read, "rb") as ready:
        for rival in rivals:
            stack.enter_context(rival)
            stack.callback(rival.kill)
        assert ready.readline() == b"READY \n"
        until(lambda: sum(rival.poll() is not None for rival in rivals) == 3, 30)
        (winner,) = (rival for rival in rivals if rival.poll() is None)
        for rival in rivals:
            if rival is not winner:
                assert rival.stderr is not None
                assert (rival.returncode, f"by process {winner.pid} on" in rival.stderr.read()) == (3, True)
        winner.terminate()
        assert winner.wait(20) == 0
        assert b"READY" not in ready.read()
    assert left(domain) == []


def test_callbacks_that_keep_failing_end_the_process(domain: Domain) -> None:
    with domain.process(f"{TOYS}:Failing") as failing, domain.running(Spec(Talker)) as talker:
        until(lambda: talker.transport and talker.hosts[0].outlets["talk/said"].interest)
        talker.hosts[0].submit(node(talker).say, 11)
        assert failing.wait(20) == 1


def test_a_node_that_fails_at_its_own_log_ends_too_and_says_so_once(domain: Domain) -> None:
    ended = run(f"{TOYS}:FailingAtLogs", domain=domain)
    assert ended.returncode == 1
    assert ended.stderr.count("this process ends") == 1
    assert ended.stderr.count("\n") < 60


def test_ready_and_beat_and_a_clean_end(domain: Domain, way: str) -> None:
    read, write = os.pipe()
    env = {**os.environ, "RISE_READY_FD": str(write)}
    command = [sys.executable, "-P", "-m", "bus.run", "--domain", domain.name, f"{TOYS}:Talker"]
    with subprocess.Popen(command, env=env, pass_fds=(write,)) as child, open(read, "rb") as pipe:
        os.close(write)
        assert pipe.readline() == b"READY \n"
        assert pipe.readline() == b"BEAT\n"
        sockets = 3 if way == "lane" else 2
        assert len(left(domain)) == 2 + sockets + 4, "entry, lock, sockets; the domain, its anchor and two folders"
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    assert left(domain) == []


def test_collections_leave_alone_what_lives_since_the_start(domain: Domain) -> None:
    said = re.search(r"left alone (\d+), looked at (\d+)", run(f"{TOYS}:Collected", domain=domain).stderr)
    assert said is not None
    assert int(said[1]) > 20 * int(said[2])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_last_messages_arrive(domain: Domain, number: signal.Signals) -> None:
    with domain.running(Spec(Listener)) as listener:
        with domain.process(f"{TOYS}:Talker", "-p", "last=50") as talker:
            talker.send_signal(number)
            assert talker.wait(20) == 0
        until(lambda: "Gone" in node(listener).kinds("talk/said"))
        assert node(listener).of("talk/said") == [list(range(1, 51))]
        assert [e.clean for e in node(listener).events if isinstance(e, Gone)] == [True, True]


def test_a_burst_and_a_clean_exit(domain: Domain) -> None:
    with domain.running(Spec(Listener)) as listener:
        with domain.process(f"{TOYS}:Talker", "-p", "burst=5000", "-p", "stop_after_burst=true") as talker:
            assert talker.wait(20) == 0
        until(lambda: "Gone" in node(listener).kinds("talk/said"), 30)
        assert node(listener).of("talk/said") == [list(range(1, 5001))]
        assert "Lost" not in node(listener).kinds("talk/said")


def test_killed_and_started_again_under_its_name(domain: Domain) -> None:
    with domain.running(Spec(Listener)) as listener:
        for life in range(1, 4):
            with domain.process(f"{TOYS}:Talker", "--name", "phoenix", "-p", "per_tick=1") as talker:
                until(lambda n=life: len([s for s in node(listener).of("talk/said") if s[-1] >= 50]) == n)  # type: ignore[misc] # loop value bound as default
                os.kill(talker.pid, signal.SIGKILL)
                talker.wait(20)
            until(lambda n=life: node(listener).kinds("talk/said").count("Gone") == n, 5)  # type: ignore[misc] # loop value bound as default
        assert not any(e.clean for e in node(listener).events if isinstance(e, Gone))
        for numbers in node(listener).of("talk/said"):
            assert numbers == list(range(1, len(numbers) + 1))
        assert node(listener).kinds("talk/said").count("Synced") == 3


def test_a_stopped_subscriber_misses_no_event(domain: Domain) -> None:
    with (
        domain.running(Spec(Tapper, name="tapper")) as tapper,
        domain.process(f"{TOYS}:Counter") as counter,
        domain.running(Spec(Talker, parameters={"per_tick": 1, "limit": 4000})) as talker,
    ):
        until(lambda: node(talker).number > 500)
        os.kill(counter.pid, signal.SIGSTOP)
        until(lambda: node(talker).number >= 3500)
        os.kill(counter.pid, signal.SIGCONT)

        def words() -> list[tuple[int, str]]:
            from schemas.codec import codec
            from tests.bus.toys.talk import Word

            raws = [r for r in node(tapper).raws if r.topic == "talk/counted"]
            return [(w.number, w.text) for w in (codec(Word).decode(r.payload) for r in raws)]

        until(lambda: words() and words()[-1][0] == 4000, 30)
        assert {text for _, text in words()} == {""}, "no gap"


def test_two_subscribers_of_one_topic_and_one_leaves(domain: Domain) -> None:
    with (
        domain.running(Spec(Talker)) as talker,
        domain.running(Spec(Listener, name="stays")) as stays,
    ):
        with domain.running(Spec(Listener, name="leaves")) as leaves:
            talker.hosts[0].submit(node(talker).say, 5)
            until(lambda: node(leaves).of("talk/said") == [[1, 2, 3, 4, 5]])
        talker.hosts[0].submit(node(talker).say, 5)
        until(lambda: node(stays).of("talk/said") == [list(range(1, 11))])
        outlet = talker.hosts[0].outlets["talk/said"]
        assert outlet.interest
        stays.stop()
        until(lambda: not outlet.interest)


def test_composition_in_a_process_of_its_own(domain: Domain) -> None:
    talker = (f"{TOYS}:Talker", "--namespace", "vmc1", "-p", "per_tick=1", "-p", "limit=200", "+")
    counter = (f"{TOYS}:Counter", "--namespace", "vmc1")
    with domain.running(Spec(Listener, namespace="vmc1")) as listener, domain.process(*talker, *counter):
        until(lambda: node(listener).of("vmc1/talk/said") and node(listener).of("vmc1/talk/said")[0][-1] == 200)
        assert node(listener).of("vmc1/talk/said") == [list(range(1, 201))]
        assert counts(listener, "vmc1/talk/said")["lost"] == 0


def test_tcp_on_loopback_is_announced(domain: Domain) -> None:
    with domain.process("--tcp", "127.0.0.1", f"{TOYS}:Talker"), domain.session() as session:
        entry = session.executor.peers.entries["talker"]
        assert [e.split(":")[0] for e in entry.pub][:2] == ["ipc", "tcp"]
