"""The wire of `/ws`: binary msgpack maps both ways, subprotocol `rise.1`. Values in, bytes out; knows no socket.

The client asks:

    {"op": "subscribe", "id": 1, "topics": ["*/machine/state", "vmc1/machine/samples"], "window_s": 10.0,
     "resume": {"<topic>|<publisher_id>": last_seq}}
    {"op": "unsubscribe", "id": 1}
    {"op": "ping", "n": 1}

Topics are full names as `rise topic list` prints them (`launch/processes` has no slash in front); `*` is one level.
`id` is the client's own number of this subscription; another `subscribe` with it replaces the former. `window_s` is
how long a stretch of signals the client shows: up to 10 s every row comes, of more the least and greatest of bins. A
topic in several subscriptions comes once, with the finest of their windows. `resume` says the last number that the
client has of what it heard before.

The hub answers:

    {"op": "hello", "domain": "default", "now_ns": ..., "simulated": true, "user": {"name", "roles"} | null}
        first of all. `simulated`: all machines heard so far are simulated (there is at least one). `now_ns` is the time
        of the domain, as every stamp.
    {"op": "names", "topic": n, "name": "vmc1/machine/samples", "type": "SignalBlock",
     "publisher": "vmc1/sensory_cortex", "publisher_id": "8123...", "source": "simulator", "qos": "SENSOR",
     "columns": [{"name", "unit", "mtconnect_type"}] | null, "units": {"field.path": unit}}
        what `n` stands for in all that follows, before its first message, and again when columns change. One `n` per
        topic and publisher, and for signals per source of rows. A publisher that starts anew has another
        `publisher_id`, hence another `n`.
    {"op": "batch", "now_ns": ..., "messages": [[n, seq, publish_ns, {message}], ...],
     "signals": [[n, first_seq, last_seq, first_row, stamp_ns, period_ns, rows, columns, bytes], ...],
     "gaps": [[n, first, last, why], ...]}
        every 20 ms while there is something. `bytes` is little-endian float32, row after row; row i was taken at
        stamp_ns + i * period_ns; NaN is no reading. Sequence numbers go on without a hole per topic and publisher
        (over all `n` of its sources, in the order of the entries) but for those in `gaps`: `lost` on the way to the
        hub, `history` no longer kept when the client resumed, `busy` dropped by a hub that had no time, `unreadable`
        no message of its type. LATCHED topics are not resumed: their newest values come anyway.
        The newest value of every LATCHED topic (per key) comes in the first batch after `names`, older than its
        `now_ns`: its seq may be any, and it may come again after `dropped`.
    {"op": "decimated", "topic": n, "bin_rows": k}
        from here on signals of `n` have two rows per bin of k rows: the least and the greatest, column by column.
        period_ns is that of the bins, rows counts rows sent (two per bin), the sequence numbers say which blocks the
        bins were made of. Bins lie at multiples of k rows. k = 1: every row again.
    {"op": "dropped", "batches": k}
        this client was too slow: the k batches that would come here are gone, and the holes in the numbers of what
        follows are theirs. The latched values come again when it has caught up.
    {"op": "withdrawn", "topic": n, "key": text | null}
        a latched value was taken back; null: the publisher is gone, and all that it said is of the past.
    {"op": "error", "id": id | null, "text": ...}
        the request was refused, in words; the connection goes on, unless its close follows.
    {"op": "pong", "n": n, "now_ns": ...}

Ids of 64 bits travel as decimal text, stamps as integers of nanoseconds (beyond 2^53: a client must read 64-bit
integers). Close codes: 1008 too many or too long requests, 1012 the hub ends, 1013 no room for this client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.names import MAX_NAME_BYTES
from schemas.sayable import sayable, shown

SUBPROTOCOL = "rise.1"
REQUEST_MAX_BYTES = 64 * 1024
TOPICS_MAX = 64
"""patterns of one subscription"""
SUBSCRIPTIONS_MAX = 32
"""of one client"""
RESUME_MAX = 1024
WINDOW_MIN_S, WINDOW_MAX_S = 0.1, 24 * 3600.0
FULL_RATE_S = 10.0
"""windows up to this show every row"""

_PATTERN = re.compile(r"(\*|[a-z_][a-z0-9_]*)(/(\*|[a-z_][a-z0-9_]*))*")


class BadRequest(ValueError):
    """What a client sent is no request; says what was expected. `.id` is the subscription's, where it was readable."""

    def __init__(self, text: str, request_id: int | None = None) -> None:
        super().__init__(sayable(text))
        self.id = request_id


class Subscribe(msgspec.Struct, frozen=True, tag_field="op", tag="subscribe", forbid_unknown_fields=True):
    """Send me these topics from now on, or from where I was."""

    id: int
    topics: tuple[str, ...]
    window_s: float = FULL_RATE_S
    resume: dict[str, int] = {}


class Unsubscribe(msgspec.Struct, frozen=True, tag_field="op", tag="unsubscribe", forbid_unknown_fields=True):
    """Send the topics of this subscription no more."""

    id: int


class Ping(msgspec.Struct, frozen=True, tag_field="op", tag="ping", forbid_unknown_fields=True):
    """Are you there?"""

    n: int


Request = Subscribe | Unsubscribe | Ping
_requests = msgspec.msgpack.Decoder(Request)
_encode = msgspec.msgpack.Encoder().encode

Message = tuple[int, int, int, msgspec.Raw]
"""n, seq, publish_ns, the message as the msgpack map it is"""
Signals = tuple[int, int, int, int, int, int, int, int, bytes]
"""n, first_seq, last_seq, first_row, stamp_ns, period_ns, rows, columns, float32 row after row"""
Gap = tuple[int, int, int, str]
"""n, first, last, why"""


def decode(data: bytes) -> Request:
    """A client's request.

    Raises:
        BadRequest: too long, no such request, a bad pattern, or more than the limits allow.
    """
    request: Request = check(data, _requests)
    return request


def check(data: bytes, requests: msgspec.msgpack.Decoder[Any]) -> Any:
    """The same for whoever takes other requests, too."""
    if len(data) > REQUEST_MAX_BYTES:
        raise BadRequest(f"a request of {len(data)} bytes: at most {REQUEST_MAX_BYTES}")
    try:
        request = requests.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"no request of {SUBPROTOCOL}: {error}") from None
    if isinstance(request, Subscribe):
        _check(request)
    return request


def _check(request: Subscribe) -> None:
    if not 0 <= request.id < 2**31:
        raise BadRequest("id: expected 0..2147483647")
    if not 1 <= len(request.topics) <= TOPICS_MAX:
        raise BadRequest(f"topics: {len(request.topics)} patterns, expected 1..{TOPICS_MAX}", request.id)
    for pattern in request.topics:
        if len(pattern) > MAX_NAME_BYTES or not _PATTERN.fullmatch(pattern):
            text = f"topics: {shown(pattern)} is no full name of a topic; `*` stands for one level"
            raise BadRequest(text, request.id)
    if not WINDOW_MIN_S <= request.window_s <= WINDOW_MAX_S:
        raise BadRequest(f"window_s: expected {WINDOW_MIN_S}..{WINDOW_MAX_S:.0f} s", request.id)
    if len(request.resume) > RESUME_MAX:
        raise BadRequest(f"resume: {len(request.resume)} topics, at most {RESUME_MAX}", request.id)


def matches(pattern: str, topic: str) -> bool:
    """Whether a full name is meant: `*` is exactly one level.

    >>> matches("*/machine/state", "vmc1/machine/state"), matches("*", "vmc1/machine/state"), matches("*", "log")
    (True, False, True)
    """
    if pattern == topic:
        return True
    if "*" not in pattern:
        return False
    wanted, given = pattern.split("/"), topic.split("/")
    return len(wanted) == len(given) and all(w in ("*", g) for w, g in zip(wanted, given, strict=True))


def bin_rows(window_s: float) -> int:
    """How many rows make a bin of which the least and greatest are sent; 1: every row.

    Two rows for k: a window of any length is at most as many rows as one of 10 s at full rate.
    """
    return 1 if window_s <= FULL_RATE_S else int(-(-2 * window_s // FULL_RATE_S))


# --- what the hub says ------------------------------------------------------------------------------------------------


def hello(domain: str, now_ns: int, *, simulated: bool, user: Mapping[str, Any] | None) -> bytes:
    return _encode({"op": "hello", "domain": domain, "now_ns": now_ns, "simulated": simulated, "user": user})


def names(
    n: int, *, name: str, type_name: str, publisher: str, publisher_id: int, source: str, qos: str,
    columns: Sequence[Mapping[str, str]] | None, units: Mapping[str, str],
) -> bytes:  # fmt: skip
    return _encode(
        {
            "op": "names", "topic": n, "name": name, "type": type_name, "publisher": publisher,
            "publisher_id": str(publisher_id), "source": source, "qos": qos, "columns": columns, "units": units,
        }
    )  # fmt: skip


def batch(now_ns: int, messages: Iterable[Message], signals: Iterable[Signals], gaps: Iterable[Gap]) -> bytes:
    return _encode(
        {"op": "batch", "now_ns": now_ns, "messages": list(messages), "signals": list(signals), "gaps": list(gaps)}
    )


def decimated(n: int, rows: int) -> bytes:
    return _encode({"op": "decimated", "topic": n, "bin_rows": rows})


def dropped(batches: int) -> bytes:
    return _encode({"op": "dropped", "batches": batches})


def withdrawn(n: int, key: str | None) -> bytes:
    return _encode({"op": "withdrawn", "topic": n, "key": key})


def error(text: str, request_id: int | None = None) -> bytes:
    return _encode({"op": "error", "id": request_id, "text": sayable(text)})


def pong(n: int, now_ns: int) -> bytes:
    return _encode({"op": "pong", "n": n, "now_ns": now_ns})
