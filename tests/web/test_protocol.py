"""The wire of /ws: what is taken, what is refused with which words, what any msgpack library reads."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from web import protocol
from web.protocol import BadRequest, Ping, Subscribe, Unsubscribe


def packed(**fields: Any) -> bytes:
    data: bytes = msgpack.packb(fields)
    return data


def test_requests_are_read() -> None:
    asked = packed(op="subscribe", id=1, topics=["*/machine/state"], window_s=60, resume={"vmc1/machine/state|7": 12})
    assert protocol.decode(asked) == Subscribe(1, ("*/machine/state",), 60.0, {"vmc1/machine/state|7": 12})
    assert protocol.decode(packed(op="subscribe", id=0, topics=["launch/processes"])) == Subscribe(
        0, ("launch/processes",), 10.0, {}
    )
    assert protocol.decode(packed(op="unsubscribe", id=1)) == Unsubscribe(1)
    assert protocol.decode(packed(op="ping", n=3)) == Ping(3)


@pytest.mark.parametrize(
    ("fields", "said", "request_id"),
    [
        ({"op": "stop"}, "stop", None),
        ({"op": "subscribe", "id": 1}, "topics", None),
        ({"op": "subscribe", "id": 1, "topics": []}, "0 patterns, expected 1..64", 1),
        ({"op": "subscribe", "id": 1, "topics": ["x"] * 65}, "65 patterns", 1),
        ({"op": "subscribe", "id": 4, "topics": ["vmc1/**"]}, "'vmc1/**' is no full name", 4),
        ({"op": "subscribe", "id": 4, "topics": ["/log"]}, "'/log' is no full name", 4),
        ({"op": "subscribe", "id": 4, "topics": ["a" * 201]}, "is no full name", 4),
        ({"op": "subscribe", "id": 4, "topics": ["log"], "window_s": 0.0}, "window_s: expected 0.1..86400 s", 4),
        ({"op": "subscribe", "id": 4, "topics": ["log"], "window_s": float("nan")}, "window_s: expected", 4),
        ({"op": "subscribe", "id": -1, "topics": ["log"]}, "id: expected 0..2147483647", None),
        ({"op": "subscribe", "id": 1, "topics": ["log"], "window": 3}, "unknown field `window`", None),
        ({"op": "subscribe", "id": 1, "topics": ["log"], "resume": {str(n): n for n in range(1025)}}, "1025 topics", 1),
        ({"op": "ping", "n": "1"}, "Expected `int`, got `str`", None),
    ],
)
def test_what_is_no_request_is_refused_with_words(fields: dict[str, Any], said: str, request_id: int | None) -> None:
    with pytest.raises(BadRequest) as refused:
        protocol.decode(msgpack.packb(fields))
    assert said in str(refused.value)
    assert refused.value.id == request_id


def test_a_request_has_a_greatest_length() -> None:
    with pytest.raises(BadRequest, match="65537 bytes: at most 65536"):
        protocol.decode(b"\x00" * 65537)


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_but_be_refused(data: bytes) -> None:
    try:
        asked = protocol.decode(data)
    except BadRequest as error:
        assert str(error)
    else:
        assert isinstance(asked, (Subscribe, Unsubscribe, Ping))


def test_a_pattern_stands_for_one_level() -> None:
    assert protocol.matches("*/machine/state", "vmc1/machine/state")
    assert protocol.matches("vmc1/*/*", "vmc1/machine/state")
    assert protocol.matches("launch/processes", "launch/processes")
    assert not protocol.matches("*/machine/state", "machine/state")
    assert not protocol.matches("*", "vmc1/alarm")
    assert not protocol.matches("vmc1/machine", "vmc1/machine/state")


@pytest.mark.parametrize(("window_s", "rows"), [(0.1, 1), (10.0, 1), (10.1, 3), (60.0, 12), (600.0, 120)])
def test_a_long_window_is_no_more_rows_than_one_of_ten_seconds(window_s: float, rows: int) -> None:
    assert protocol.bin_rows(window_s) == rows
    assert rows == 1 or window_s / rows * 2 <= 10.0


def test_any_msgpack_library_reads_what_the_hub_says() -> None:
    message = msgspec.Raw(msgpack.packb({"load_pct": 12.5}))
    rows = (2, 5, 6, 10, 10**18, 10**6, 2, 1, b"\0\0\x80?\0\0\0@")
    said = msgpack.unpackb(protocol.batch(7, [(1, 3, 10**18, message)], [rows], [(2, 1, 4, "lost")]))
    assert said == {
        "op": "batch", "now_ns": 7, "messages": [[1, 3, 10**18, {"load_pct": 12.5}]], "signals": [list(rows)],
        "gaps": [[2, 1, 4, "lost"]],
    }  # fmt: skip
    named = msgpack.unpackb(
        protocol.names(
            1, name="vmc1/alarm", type_name="Alarm", publisher="vmc1/sensory_cortex", publisher_id=2**63, source="",
            qos="LATCHED", columns=None, units={"stamp_ns": "ns"},
        )
    )  # fmt: skip
    assert (named["publisher_id"], named["units"], named["columns"]) == (str(2**63), {"stamp_ns": "ns"}, None)
    assert msgpack.unpackb(protocol.hello("d", 1, simulated=True, user=None))["user"] is None
    assert msgpack.unpackb(protocol.error("bad " * 1000, 3))["id"] == 3
    assert msgpack.unpackb(protocol.withdrawn(1, None)) == {"op": "withdrawn", "topic": 1, "key": None}
    assert msgpack.unpackb(protocol.decimated(1, 12)) == {"op": "decimated", "topic": 1, "bin_rows": 12}
    assert msgpack.unpackb(protocol.dropped(3)) == {"op": "dropped", "batches": 3}
    assert msgpack.unpackb(protocol.pong(3, 4)) == {"op": "pong", "n": 3, "now_ns": 4}
