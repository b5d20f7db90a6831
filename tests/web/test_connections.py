"""What a connection may cost: whoever begins and does not go on, or sends without end, is let go; others are served."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import httpx
import pytest

from bus.testing import Domain
from tests.soak.fuzz_ws_stranger import BINARY, CONT, PING, PONG, TEXT, frame, until, upgrade
from tests.web.browser import Page
from tests.web.rig import hub
from web import connections
from web.node import FanucApi

WITHIN_S = 15.0


@pytest.fixture
def node(domain: Domain) -> Iterator[FanucApi]:
    with hub(domain) as node:
        yield node


def port(node: FanucApi) -> int:
    assert node.serving is not None
    return node.serving.port


def come(node: FanucApi) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port(node)), WITHIN_S)


def opened(node: FanucApi) -> socket.socket:
    made = come(node)
    made.sendall(upgrade(port(node)))
    assert until(made, lambda said: b"\r\n\r\n" in said).startswith(b"HTTP/1.1 101")
    return made


def assert_served(node: FanucApi) -> None:
    assert node.serving is not None
    with Page(node.serving.url) as page:
        page.ask("ping", n=1)
        assert page.until(lambda said: said["op"] == "pong")


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET /healthz HT", b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"],
    ids=["nothing", "a line", "a body"],
)
def test_a_request_that_does_not_go_on_is_let_go(node: FanucApi, monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(connections, "REQUEST_WITHIN_S", 0.05)
    with come(node) as slow:
        slow.sendall(begun)
        until(slow, lambda said: False)  # it ends, or this waits for ever
    assert_served(node)


def test_a_page_that_is_quiet_stays(node: FanucApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_WITHIN_S", 0.02)
    assert node.serving is not None
    with Page(node.serving.url) as page, come(node) as slow:
        until(slow, lambda said: False)  # so long that the page had been looked at several times
        page.ask("ping", n=1)
        assert page.until(lambda said: said["op"] == "pong")


def test_one_address_does_not_take_every_place(node: FanucApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "OF_ADDRESS_MAX", 5)
    held = [come(node) for _ in range(5)]
    with come(node) as one_more:
        assert until(one_more, lambda said: False) == b""
    for one in held:
        one.close()
    answered = httpx.HTTPTransport(retries=10)
    with httpx.Client(transport=answered, timeout=WITHIN_S) as client:
        while True:  # the hub sees them go a moment later
            try:
                assert client.get(f"http://127.0.0.1:{port(node)}/healthz").status_code == 200
                break
            except (httpx.ReadError, httpx.RemoteProtocolError):
                continue


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING, bytes(125)) * 3000,
        frame(PONG, b"nobody asked") * 3000,
        frame(BINARY, b"", fin=False) + frame(CONT, b"", fin=False) * 3000,
    ],
    ids=["pings", "pongs", "pieces"],
)
def test_frames_that_are_no_message_are_bounded(node: FanucApi, flood: bytes) -> None:
    assert node.hub is not None
    before = node.hub.counts["bad_frames"]
    with opened(node) as sock:
        try:
            sock.sendall(flood)
            until(sock, lambda said: False)
        except ConnectionError:
            pass
    assert_served(node)
    assert node.hub.counts["bad_frames"] == before + 1


def test_texts_count_as_requests(node: FanucApi) -> None:
    with opened(node) as sock:
        sock.sendall(frame(TEXT, b"x") * 150)
        said = until(sock, lambda said: b"too many requests a second" in said)
    assert b"too many requests a second" in said


def test_an_answer_that_cannot_be_given_any_more_is_no_error(node: FanucApi, caplog: pytest.LogCaptureFixture) -> None:
    """Found by fuzzing: behind the last request of a connection comes something that is none."""
    good = upgrade(port(node)).replace(b"/ws", b"/healthz").replace(b"Upgrade: websocket\r\n", b"")
    for last in (good.replace(b"HTTP/1.1", b"HTTP/1.0"), good.replace(b"Connection: Upgrade", b"Connection: close")):
        for rest in (b"\x00\r\n\r\n", b"GET\r\n\r\n", good):
            with come(node) as sock:
                sock.sendall(last + rest)
                until(sock, lambda said: False)
    assert_served(node)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


@pytest.mark.parametrize("path", ["/api/v1/session", "/api/v1/machines/vmc1/stop", "/api/v1/alarms/ack"])
def test_a_body_that_turns_bad_is_refused_once_and_without_a_traceback(
    node: FanucApi, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost:{port(node)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with come(node) as bad:
        bad.sendall(head.encode() + b"2\r\n{}\r\n")
        with come(node) as other:  # by its answer the request before has begun
            other.sendall(f"GET /healthz HTTP/1.1\r\nHost: localhost:{port(node)}\r\n\r\n".encode())
            until(other, lambda said: b"\r\n\r\n" in said)
        bad.sendall(b"ZZ\r\n")
        said = until(bad, lambda said: False)
    assert said.count(b"HTTP/1.1 ") == 1, said
    assert_served(node)
    assert not [record for record in caplog.records if record.exc_info], caplog.text
