"""A stranger at `/ws` of a living hub: hostile upgrades, hostile frames, and wrong msgpack in frames that are right.

    python -P -m tests.soak.fuzz_ws_stranger --port P --inputs N --seed S

An input is a request to upgrade, or a frame. It ends with 1 and says what it saw where the hub answered wrongly.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable

import msgpack

from tests.soak.fuzz_mutate import Grammar, Mutator

WITHIN_S = 20.0
POLITE_FRAMES = 90
"""of one connection: the hub lets go of whoever asks more than a hundred times at once"""
HELD = 60
"""connections that are begun and not gone on with"""
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
TOPICS = ["*/machine/state", "vmc1/machine/samples", "*/alarm", "log", "*"]
REQUESTS = [
    msgpack.packb(request)
    for request in (
        {"op": "subscribe", "id": 1, "topics": TOPICS[:1], "window_s": 10.0, "resume": {"vmc1/machine/state|8": 1}},
        {"op": "subscribe", "id": 2, "topics": TOPICS, "window_s": 60.0},
        {"op": "unsubscribe", "id": 1},
        {"op": "ping", "n": 2**63},
        {"op": "ping", "n": 1, "x": [None, True, -1, 1.5, b"\xff", msgpack.Timestamp(1, 2)]},
    )
]
PING_REQUEST = msgpack.packb({"op": "ping", "n": 7})


def frame(
    opcode: int, data: bytes, *, fin: bool = True, rsv: int = 0, mask: bytes | None = bytes(4), says: int | None = None,
    wide: int = 0,
) -> bytes:  # fmt: skip
    """A frame as a client sends it.

    Args:
        mask: None leaves it unmasked, as only a server may.
        says: the length that stands in it, whatever follows.
        wide: at least so many bytes of extended length (0, 2, 8), also where fewer would do.
    """
    length = len(data) if says is None else says
    masked = 0 if mask is None else 0x80
    head = bytes((fin << 7 | rsv << 4 | opcode,))
    if length < 126 and not wide:
        head += bytes((masked | length,))
    elif length < 65536 and wide < 8:
        head += bytes((masked | 126,)) + struct.pack("!H", length)
    else:
        head += bytes((masked | 127,)) + struct.pack("!Q", length)
    if mask is None:
        return head + data
    if any(mask):
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
    return head + mask + data


def upgrade(port: int, **changed: str | None) -> bytes:
    """A request to upgrade as a page of the hub sends it, but for what is changed; None leaves a header out."""
    headers: dict[str, str | None] = {
        "Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}", "Connection": "Upgrade",
        "Upgrade": "websocket", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "rise.1",
    }  # fmt: skip
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join(["GET /ws HTTP/1.1", *lines, "", ""]).encode("latin-1")


def bad_upgrades(port: int) -> list[bytes]:
    """Those that were thought of."""
    good = upgrade(port)
    return [
        upgrade(port, Origin=None), upgrade(port, Origin="http://evil.example"), upgrade(port, Origin="null"),
        upgrade(port, Host=None), upgrade(port, Host="evil.example"), upgrade(port, Host="127.0.0.1:1\tx"),
        upgrade(port, Sec_WebSocket_Key=None), upgrade(port, Sec_WebSocket_Key="A"), upgrade(port, Upgrade="h2c"),
        upgrade(port, Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAA==, AAAAAAAAAAAAAAAAAAAAAA=="),
        upgrade(port, Sec_WebSocket_Version="12"), upgrade(port, Sec_WebSocket_Version="99999999999999999999"),
        upgrade(port, Sec_WebSocket_Protocol=None), upgrade(port, Sec_WebSocket_Protocol="rise.2," * 500),
        upgrade(port, Sec_WebSocket_Extensions="permessage-deflate; server_max_window_bits=99; x"),
        upgrade(port, Cookie="rise_session=" + "x" * 4000), upgrade(port, Cookie="\xff;=;rise_ticket=a:b:c"),
        upgrade(port, Content_Length="5") + b"hello", upgrade(port, Transfer_Encoding="chunked") + b"5\r\nhello\r\n",
        upgrade(port, Connection="close"), upgrade(port, X="y" * 20_000), good.replace(b"GET", b"POST"),
        good.replace(b"HTTP/1.1", b"HTTP/1.0"), good.replace(b"/ws", b"/ws/%00%ff?" + b"a" * 3000),
        good.replace(b"\r\n\r\n", b"\r\n" + b"X: y\r\n" * 300 + b"\r\n"), good.replace(b"\r\n", b"\n"), good * 3,
        b"GET http://evil.example/ws HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\n",
    ]  # fmt: skip


def violations(rng: random.Random) -> list[list[bytes]]:
    """Runs of frames of which the last is none; the hub closes behind it, or before."""
    some = rng.randbytes(rng.randrange(60))
    return [
        [frame(BINARY, some, mask=None)], [frame(BINARY, some, rsv=4)], [frame(TEXT, some, rsv=rng.randrange(1, 8))],
        [frame(rng.choice((3, 4, 7, 11, 15)), some)], [frame(PING, b"x", fin=False)], [frame(PING, bytes(126))],
        [frame(CONT, some)], [frame(TEXT, b"\xff\xfe")], [frame(TEXT, b"\xed\xa0\x80")],
        [frame(TEXT, b"\xe2\x82", fin=False), frame(CONT, b"\x41")],
        [frame(BINARY, b"\x81", fin=False), frame(PING, b"in between"), frame(BINARY, b"\x81")],
        [frame(BINARY, b"", says=2**63)], [frame(BINARY, b"", says=2**64 - 1)], [frame(BINARY, b"", says=65_537)],
        [frame(BINARY, bytes(65_536), fin=False), frame(CONT, b"x")], [frame(BINARY, bytes(200_000))],
        [frame(BINARY, some, wide=8)], [frame(CLOSE, b"\x03")], [frame(CLOSE, struct.pack("!H", 1005))],
        [frame(CLOSE, struct.pack("!H", 65_535) + b"\xff")], [frame(CLOSE, b""), frame(BINARY, PING_REQUEST)],
        [frame(BINARY, b"", fin=False), *[frame(CONT, b"", fin=False)] * 2000], [frame(PING, bytes(125))] * 2000,
        [frame(PONG, b"nobody asked")] * 2000, [frame(BINARY, PING_REQUEST)] * 1000, [frame(TEXT, b"")] * 1000,
        [rng.randbytes(300)],
    ]  # fmt: skip


class Stranger:
    """What it holds open, and how much it has sent."""

    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.rng = random.Random(seed)
        self.sent = 0
        self.held: deque[socket.socket] = deque()
        self.msgpack = Mutator(self.rng, Grammar("msgpack"), REQUESTS)
        self.bytes = Mutator(self.rng, Grammar("bytes"), bad_upgrades(port))

    def connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), WITHIN_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def opened(self) -> socket.socket:
        """A connection that the hub has accepted."""
        made = self.connect()
        made.sendall(upgrade(self.port))
        self.sent += 1
        said = until(made, lambda said: b"\r\n\r\n" in said)
        if not said.startswith(b"HTTP/1.1 101 "):
            raise AssertionError(f"a right request to upgrade was answered {said[:200]!r}")
        return made

    def knock(self) -> None:
        """Requests to upgrade that are none; nobody is let in by one that was changed in what counts."""
        for data in (self.rng.choice(self.bytes.pool), self.bytes.next()):
            with contextlib.suppress(ConnectionError), self.connect() as sock:
                sock.sendall(data or b"\r\n")
                no_more(sock)
                until(sock, lambda said: b"\r\n\r\n" in said)
            self.sent += 1

    def be_polite(self) -> None:
        """Right frames around whatever; the hub answers all of them and the ping behind them."""
        with self.opened() as sock:
            out = []
            for _ in range(POLITE_FRAMES):
                data = self.msgpack.next()
                out.append(self.message(data[:60_000]))
            out.append(frame(BINARY, PING_REQUEST))
            sock.sendall(b"".join(out))
            self.sent += len(out)
            if b"\xa4pong" not in until(sock, lambda said: b"\xa4pong\xa1n\x07" in said):
                raise AssertionError("the hub let go of somebody who only sent nonsense in right frames")
            self.leave(sock)

    def message(self, data: bytes) -> bytes:
        what = self.rng.random()
        if what < 0.7:
            return frame(BINARY, data)
        if what < 0.8:
            return frame(BINARY, data, mask=self.rng.randbytes(4))
        if what < 0.9 and len(data) > 2:  # in pieces, with a control frame in between
            at = self.rng.randrange(len(data))
            pieces = frame(BINARY, data[:at], fin=False), frame(PING, data[:9]), frame(CONT, data[at:])
            return b"".join(pieces)
        if what < 0.95:
            return frame(TEXT, data.decode("utf-8", "ignore").encode())
        return frame(PONG, data[:125]) + frame(BINARY, b"")

    def be_wild(self) -> None:
        """Frames that are none; the hub closes, whoever goes on sending."""
        with self.opened() as sock:
            run = self.rng.choice(violations(self.rng))
            with contextlib.suppress(ConnectionError, TimeoutError):
                sock.sendall(b"".join([self.message(self.msgpack.next()[:500]), *run]))
                no_more(sock)
                until(sock, lambda said: False, most=1 << 16)
            self.sent += 1 + len(run)
            self.leave(sock)

    def be_slow(self) -> None:
        """Begin and do not go on: a request, a frame; or read nothing of all that one asked for."""
        what = self.rng.randrange(3)
        sock = self.connect() if what == 0 else self.opened()
        data = upgrade(self.port) if what == 0 else frame(BINARY, REQUESTS[1])
        with contextlib.suppress(ConnectionError):
            sock.sendall(data if what == 2 else data[: self.rng.randrange(len(data))])
        self.sent += 1
        self.held.append(sock)
        if len(self.held) > HELD:
            self.held.popleft().close()
        for one in self.rng.sample(list(self.held), min(5, len(self.held))):
            with contextlib.suppress(OSError):
                one.sendall(self.rng.randbytes(1))

    def leave(self, sock: socket.socket) -> None:
        if self.rng.random() < 0.5:  # at once, as a computer that is switched off
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def go_on(self, inputs: int) -> None:
        acts: list[Callable[[], None]] = [self.knock, self.be_polite, self.be_wild, self.be_slow]
        while self.sent < inputs:
            (act,) = self.rng.choices(acts, (3, 10, 6, 1))
            act()


def no_more(sock: socket.socket) -> None:
    """Say that nothing more comes; whoever has closed already need not hear it."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def until(sock: socket.socket, enough: Callable[[bytes], bool], most: int = 1 << 24) -> bytes:
    """What the hub says, until it is enough or the hub closes."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while not enough(said) and len(said) < most:
            data = sock.recv(1 << 16)
            if not data:
                break
            said += data
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--inputs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    stranger = Stranger(asked.port, asked.seed)
    try:
        stranger.go_on(asked.inputs)
    except (AssertionError, OSError) as error:
        sys.stdout.write(f"after {stranger.sent} inputs: {type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(f"{stranger.sent}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
