"""A real node, a real web server, real WebSocket clients: nothing is missing, whoever is too slow is told, all end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from bus.executor import Executor
from bus.host import Spec
from bus.testing import Domain
from tests.bus.live import node
from tests.web.browser import Page, Sequence, answered, url_of
from web.node import FanucApi

HUB = Spec(FanucApi, parameters={"port": 0})


@pytest.fixture
def mill(domain: Domain) -> Iterator[None]:
    """In a process of its own: this one computes too much to keep a millisecond."""
    with domain.process("nodes.sensory_cortex", "--namespace", "vmc1"):
        yield


@pytest.fixture
def hub(domain: Domain, mill: None) -> Iterator[Executor]:
    with domain.running(HUB) as executor:
        yield executor


def rows_of(said: dict[str, object]) -> object:
    return said["op"] == "batch" and said["signals"]


def test_a_page_sees_a_mill_whole(hub: Executor) -> None:
    with Page(url_of(hub)) as page:
        hello = page.read()
        assert (hello["op"], hello["domain"], hello["user"]) == ("hello", "test", None)
        page.ask("subscribe", id=1, topics=["*/machine/samples", "*/machine/vibration", "*/machine/state"])
        seen = Sequence()
        ends_ns = hello["now_ns"] + 2_000_000_000
        for said in page.until(lambda said: said.get("now_ns", 0) > ends_ns):
            seen.take(page, said)
        assert (seen.holes, seen.gaps) == ([], [])
        by_topic = {name: rows for (name, _), rows in seen.rows.items()}
        assert by_topic["vmc1/machine/samples"] > 1000
        assert by_topic["vmc1/machine/vibration"] > 10_000
        named = {n["name"]: n for n in page.names.values()}
        assert named["vmc1/machine/samples"]["columns"][0]["name"] == "spindle_load_pct"
        assert named["vmc1/machine/state"]["units"]["feed_override_pct"] == "%"
    with Page(url_of(hub)) as page:
        assert page.read()["simulated"] is True
        page.ask("subscribe", id=1, topics=["*/machine/state"])
        assert page.read()["op"] == "names"
        assert page.read()["messages"][0][3]["execution"]
        page.ask("ping", n=9)
        assert page.until(lambda said: said["op"] == "pong")[-1]["n"] == 9


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"origin": "http://evil.example"}, 403, "a page of 'http://evil.example' may not ask this"),
        ({"origin": None}, 403, "says no Origin"),
        ({"subprotocols": None}, 400, "ask for the subprotocol rise.1"),
    ],
)
def test_whoever_is_no_page_of_ours_is_refused_before_the_handshake(
    hub: Executor, more: dict[str, Any], status: int, said: str
) -> None:
    url = url_of(hub)
    fields: dict[str, Any] = {"origin": url.rstrip("/"), "subprotocols": ["rise.1"], **more}
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{url.replace('http', 'ws', 1)}ws", **fields).__enter__()
    assert refused.value.response.status_code == status
    assert said in refused.value.response.body.decode()
    assert refused.value.response.headers["content-type"] == "application/problem+json"
    assert httpx.get(f"{url}api/v1/health").json()["clients"] == 0


def test_a_name_of_somebody_else_that_points_here_is_refused(hub: Executor) -> None:
    """What a page does that has its own name's address changed to ours under it."""
    url = url_of(hub)
    asked = {
        "Host": "evil.example", "Origin": "http://evil.example", "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "rise.1",
    }  # fmt: skip
    answer = httpx.get(f"{url}ws", headers=asked)
    assert answer.status_code == 403
    assert "'evil.example' is no name of this hub" in answer.json()["detail"]


def _ask_without_end(page: Page) -> None:
    for n in range(5000):
        page.ask("ping", n=n)
    page.until(lambda said: False)


def _read_without_end(page: Page, seen: Sequence) -> None:
    while True:
        seen.take(page, page.read())


def test_too_long_or_too_many_requests_end_the_connection(hub: Executor) -> None:
    url = url_of(hub)
    with Page(url) as page:
        page.ws.send(b"\0" * 70_000)
        with pytest.raises(ConnectionClosed) as closed:
            page.until(lambda said: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    with Page(url) as page:
        with pytest.raises(ConnectionClosed) as closed:
            _ask_without_end(page)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "too many requests a second")
    with Page(url) as page:
        page.ws.send("text")
        assert "binary msgpack" in page.until(lambda said: said["op"] == "error")[-1]["text"]
        page.ws.send(b"\xc1")
        assert page.until(lambda said: said["op"] == "error")
        page.ask("ping", n=1)
        assert page.until(lambda said: said["op"] == "pong")


def test_a_client_that_does_not_read_is_told_and_holds_nobody_up(hub: Executor) -> None:
    url = url_of(hub)
    api = node(hub)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", api.serving.port))
    with Page(url, sock=raw, max_queue=(2, 1), ping_interval=None) as slow, Page(url) as quick:
        for page in (slow, quick):
            page.ask("subscribe", id=1, topics=["*/machine/vibration", "*/machine/samples", "*/machine/state"])
        seen = Sequence()
        for said in quick.until(lambda said: max(c.dropped for c in list(api.hub.clients)) > 5, 40):
            seen.take(quick, said)
        assert (seen.holes, seen.gaps) == ([], [])
        dropped = slow.until(lambda s: s["op"] == "dropped", 30)[-1]
        assert dropped["batches"] > 0
        again = slow.until(lambda s: s["op"] == "batch" and s["messages"])[-1]
        assert "execution" in again["messages"][0][3]


def test_a_hub_that_was_killed_comes_back_and_the_gap_is_named(domain: Domain, mill: None) -> None:
    seen = Sequence()
    arguments = ("web.node", "--name", "fanuc_api", "-p", "port=0")
    with domain.process(*arguments) as process:
        with Page(address(domain)) as page:
            page.ask("subscribe", id=1, topics=["*/machine/samples"])
            for said in page.until(rows_of):
                seen.take(page, said)
            process.send_signal(signal.SIGKILL)
            with pytest.raises(ConnectionClosed):
                _read_without_end(page, seen)
        process.wait(10)
    ((name, publisher_id),) = seen.last
    with domain.process(*arguments), Page(address(domain)) as page:
        resume = {f"{name}|{publisher_id}": seen.last[name, publisher_id]}
        page.ask("subscribe", id=1, topics=["*/machine/samples"], resume=resume)
        for said in page.until(rows_of):
            seen.take(page, said)
    assert [g[3] for g in seen.gaps] == ["history"]
    assert seen.holes == []


def address(domain: Domain) -> str:
    """Where the hub says it is; it answers by then."""
    url = (domain.root / "state" / domain.name / "web" / "address").read_text().strip().partition("#")[0]
    answered(url)
    return url


def test_it_ends_at_once_with_clients_attached_and_tells_them(domain: Domain, mill: None) -> None:
    with ExitStack() as stack, domain.process("web.node", "--name", "fanuc_api", "-p", "port=0") as process:
        pages = [stack.enter_context(Page(address(domain))) for _ in range(5)]
        for page in pages:
            page.ask("subscribe", id=1, topics=["*/machine/vibration"])
            page.until(rows_of)
        process.send_signal(signal.SIGTERM)
        for page in pages:
            with pytest.raises(ConnectionClosed) as closed:
                page.until(lambda said: False)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
        assert process.wait(10) == 0


def test_a_port_that_is_taken_is_replaced_by_the_next(domain: Domain) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with domain.running(Spec(FanucApi, parameters={"port": port})) as executor:
            url_of(executor)
            assert port < node(executor).serving.port <= port + 50


def uvicorn(domain: Domain, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "uvicorn", "web.app:app", "--port", "0", *options]
    return subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_uvicorn_serves_it_as_people_expect(domain: Domain, mill: None) -> None:
    with uvicorn(domain) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, b"")
        url = next(line.decode().split()[4] for line in lines if b"Uvicorn running on" in line) + "/"
        try:
            with Page(url) as page:
                page.ask("subscribe", id=1, topics=["*/machine/state"])
                assert page.until(lambda said: said["op"] == "batch")[-1]["messages"][0][3]["execution"]
            nodes = {n["name"] for n in httpx.get(f"{url}api/v1/nodes").json()}
            assert nodes == {"fanuc_api", "vmc1/sensory_cortex"}
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(15) in (0, 130, -signal.SIGINT)


def test_more_than_one_worker_is_refused_with_the_reason(domain: Domain) -> None:
    with uvicorn(domain, "--workers", "2") as process:
        assert process.stdout is not None
        said = process.stdout.read().decode()
        assert process.wait(30) != -signal.SIGKILL
    assert "--workers 2: the hub is one process, since every client must see the same state" in said


def test_a_second_hub_of_a_domain_is_refused_with_the_reason(domain: Domain) -> None:
    with domain.running(HUB), uvicorn(domain) as process:
        assert process.stdout is not None
        said = process.stdout.read().decode()
        assert process.wait(30) == 3
    assert "the hub cannot take part in the bus" in said
    assert "fanuc_api" in said


def test_the_address_is_for_its_user_alone(domain: Domain) -> None:
    with domain.running(HUB) as executor:
        url_of(executor)
        path = Path(domain.root) / "state" / domain.name / "web" / "address"
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text().startswith("http://127.0.0.1:")
