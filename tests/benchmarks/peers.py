"""The processes we are measured against: `... -m tests.benchmarks.peers PEER pub|sub ADDRESS SIZE BURST PERIOD_S`.

- `raw`: pyzmq, two frames (topic; header and a constant body), no codec. Two sends and two receives: send_multipart and
  recv_multipart make its p50 7 to 8 % longer each.
- `coded`: the same, its body made and read by our codec: what is left of our ratio is the bus itself.
- `zenoh`, `redis`: header and body in one payload, the body made and read by our codec too, the fastest one here that
  checks: what differs is the transport. `zenoh_default` has no option but to stay on this host.

All are paced alike. All take the time as our nodes do: from the call that encodes and sends until the receiver holds
what was sent, decoded; only `raw` has no codec to pay for. Each has the fastest options found in its documentation.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks.received import Received, say

monotonic_ns = time.monotonic_ns
TOPIC = "bench/twenty"
LARGE_BYTES = 65536
"""from here on a body travels without a copy, as in our transport"""

Send = Callable[[int], None]
"""send the message of this number"""
Arrived = Callable[[bytes], None]


def missing(peer: str) -> str | None:
    """The command that installs what a peer needs; None when it is there."""
    pip = ".venv/bin/pip install"
    if peer.startswith("zenoh") and importlib.util.find_spec("zenoh") is None:
        return f"{pip} eclipse-zenoh"
    if peer == "redis":
        client = all(importlib.util.find_spec(module) for module in ("redis", "hiredis"))
        needs = [] if client else [f"{pip} 'redis[hiredis]'"]
        needs += [] if shutil.which("redis-server") else ["sudo apt-get install redis-server"]
        return " && ".join(needs) or None
    return None


def publish(send: Send, burst: int, period_s: float) -> None:
    """A burst for every line: on an absolute schedule, by the sleep of a plain script."""
    count = 0
    say({"ready": []})
    for _ in sys.stdin:
        start_ns = monotonic_ns()
        for i in range(burst):
            wait_s = (start_ns + i * period_s * 1e9 - monotonic_ns()) / 1e9
            if wait_s > 0:
                time.sleep(wait_s)
            count += 1
            send(count)
        say({"sent": burst})


def head(count: int) -> bytes:
    return count.to_bytes(8, "little") + monotonic_ns().to_bytes(8, "little")


def reporting(received: Received) -> None:
    """Answer every line with what has arrived since the last one; the end of the lines is the end."""

    def read() -> None:
        for _ in sys.stdin:
            say(received.report())
        os._exit(0)

    say({"ready": []})
    threading.Thread(target=read, daemon=True).start()


def encoder() -> Callable[[], bytes]:
    """The body that our own nodes send; the message is made once, as raw's body is."""
    from schemas.codec import codec
    from tests.benchmarks.messages import Twenty, twenty

    message, encode = twenty(0, 0, 0), codec(Twenty).encode
    return lambda: encode(message)


def decoder() -> Callable[[bytes], object]:
    from schemas.codec import codec
    from tests.benchmarks.messages import Twenty

    return codec(Twenty).decode


def noting(received: Received) -> Arrived:
    """For a payload of head and encoded body."""
    decode = decoder()

    def arrived(data: bytes) -> None:
        decode(data[16:])
        received.note(monotonic_ns() - int.from_bytes(data[8:16], "little"), int.from_bytes(data[:8], "little"))

    return arrived


# --- pyzmq ---------------------------------------------------------------------------------------------------------


def bound(path: str) -> Any:
    import zmq

    socket = zmq.Context().socket(zmq.PUB)
    socket.setsockopt(zmq.SNDHWM, 100_000)
    socket.bind(f"ipc://{path}")
    return socket


def connected(path: str) -> Any:
    import zmq

    socket = zmq.Context().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 100_000)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(f"ipc://{path}")
    return socket


def raw_publisher(path: str, size: int) -> Send:
    import zmq

    socket = bound(path)
    topic, body = TOPIC.encode(), bytes(size)
    if size >= LARGE_BYTES:
        import numpy as np

    def send(count: int) -> None:
        data = head(count) + body
        socket.send(topic, zmq.SNDMORE)
        socket.send(data)

    def send_large(count: int) -> None:
        picture = np.full(size, count % 256, np.uint8)  # a new one each time, before the clock starts, as our camera's
        socket.send(head(count), zmq.SNDMORE)
        socket.send(picture.data, copy=False)

    return send if size < LARGE_BYTES else send_large


def raw_subscriber(path: str, size: int) -> None:
    socket = connected(path)
    received = Received()
    reporting(received)
    large = size >= LARGE_BYTES
    while True:
        first = socket.recv()
        if large:
            socket.recv(copy=False)
            data = first
        else:
            data = socket.recv()
        received.note(monotonic_ns() - int.from_bytes(data[8:16], "little"), int.from_bytes(data[:8], "little"))


def coded_publisher(path: str) -> Send:
    import zmq

    socket = bound(path)
    topic, encode = TOPIC.encode(), encoder()

    def send(count: int) -> None:
        data = head(count) + encode()
        socket.send(topic, zmq.SNDMORE)
        socket.send(data)

    return send


def coded_subscriber(path: str) -> None:
    socket = connected(path)
    received = Received()
    arrived = noting(received)
    reporting(received)
    while True:
        socket.recv()
        arrived(socket.recv())


# --- zenoh ---------------------------------------------------------------------------------------------------------


ONE_THREAD = "(rx: (handover: app), acc: (handover: app), tx: (handover: app), net: (handover: app))"
"""of zenoh's five pools of threads: a fifth off its p50, a quarter off its CPU"""
FAST: dict[str, object] = {
    "transport/shared_memory/enabled": False,  # pays from 4 KiB on
    "transport/unicast/qos/enabled": False,  # excludes the next
    "transport/unicast/lowlatency": True,  # no queue and no batching on the way out
    "transport/link/tx/queue/batching/enabled": False,
}


def zenoh_session(listen: str, connect: str, options: dict[str, object]) -> tuple[Any, Any]:
    """Peer to peer over a socket file, nothing searched for and nothing beyond this host."""
    if options:
        os.environ["ZENOH_RUNTIME"] = ONE_THREAD  # read when zenoh begins
    zenoh = importlib.import_module("zenoh")
    config = zenoh.Config()
    for key, value in {
        "mode": "peer",
        "listen/endpoints": [listen] if listen else [],
        "connect/endpoints": [connect] if connect else [],
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        **options,
    }.items():
        config.insert_json5(key, json.dumps(value))
    return zenoh, zenoh.open(config)


def zenoh_publisher(path: str, options: dict[str, object]) -> Send:
    zenoh, session = zenoh_session(f"unixsock-stream/{path}", "", options)
    qos = {"express": True, "priority": zenoh.Priority.REAL_TIME} if options else {}
    outlet, encode = session.declare_publisher(TOPIC, **qos), encoder()

    def send(count: int, _open: object = session) -> None:  # a session that nobody holds is closed
        outlet.put(head(count) + encode())

    return send


def zenoh_subscriber(path: str, options: dict[str, object]) -> None:
    zenoh, session = zenoh_session("", f"unixsock-stream/{path}", options)
    received = Received()
    arrived = noting(received)
    # on the thread that receives; by default it is handed to another one
    callback = zenoh.handlers.Callback(lambda sample: arrived(sample.payload.to_bytes()), indirect=not options)
    with session.declare_subscriber(TOPIC, callback):
        reporting(received)
        threading.Event().wait()


# --- redis ---------------------------------------------------------------------------------------------------------

REDIS_SERVER = (
    "redis-server", "--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no",
    "--client-output-buffer-limit", "pubsub 0 0 0",
)  # fmt: skip
"""A server of our own: no tcp, nothing kept on disk; `--unixsocket` and `--dir` are still to be said."""


def redis_client(path: str) -> Any:
    """Socket file instead of tcp; hiredis parses where it is installed; RESP2, whose messages need no extra handler."""
    redis = importlib.import_module("redis")
    return redis.Redis(unix_socket_path=path, protocol=2, socket_timeout=None, single_connection_client=True)


def redis_publisher(path: str) -> Send:
    client = redis_client(path)
    encode = encoder()

    def send(count: int) -> None:
        client.publish(TOPIC, head(count) + encode())

    return send


def redis_subscriber(path: str) -> None:
    listener = redis_client(path).pubsub(ignore_subscribe_messages=True)
    listener.subscribe(TOPIC)
    received = Received()
    arrived = noting(received)
    reporting(received)
    for message in listener.listen():
        if message is not None:
            arrived(message["data"])


def main() -> None:
    peer, side, path, *numbers = sys.argv[1:]
    size, burst, period_s = int(numbers[0]), int(numbers[1]), float(numbers[2])
    publishers: dict[str, Callable[[], Send]] = {
        "raw": lambda: raw_publisher(path, size),
        "coded": lambda: coded_publisher(path),
        "zenoh": lambda: zenoh_publisher(path, FAST),
        "zenoh_default": lambda: zenoh_publisher(path, {}),
        "redis": lambda: redis_publisher(path),
    }
    subscribers: dict[str, Callable[[], None]] = {
        "raw": lambda: raw_subscriber(path, size),
        "coded": lambda: coded_subscriber(path),
        "zenoh": lambda: zenoh_subscriber(path, FAST),
        "zenoh_default": lambda: zenoh_subscriber(path, {}),
        "redis": lambda: redis_subscriber(path),
    }
    if side == "sub":
        subscribers[peer]()
    else:
        publish(publishers[peer](), burst, period_s)


if __name__ == "__main__":
    main()
