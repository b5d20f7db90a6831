"""What once was answered wrongly, by target: fed to it again in every `make test`, and where every fuzz run begins."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import msgpack

from bus.stream import record

DEEP = b"[" * 3000
LONG = b"9" * 5000
HUGE = b"1" + b"0" * 400
ROW = {"dtype": "<f4", "shape": [1, 3], "data": bytes(12)}
SIGNALS_BLOCK = {
    "stamp_ns": 1,
    "source": "drive",
    "first_row": 0,
    "data": {"dtype": "<f4", "shape": [1, 3], "data": bytes(12)},
}
LEFT = "\udcff"


def _entry(**fields: Any) -> bytes:
    return json.dumps({"version": 1, "name": "a", **fields}).encode()


def _steps(*steps: Any) -> bytes:
    packed: bytes = msgpack.packb(steps, unicode_errors="surrogatepass")
    return packed


def _row(topic: str, payload: bytes, defined: str, **words: str) -> list[Any]:
    return [topic, "n", 7, defined, "EVENT", 1, 1000, 1, payload, words]


def _rows(*rows: Any, entry: str = "{}") -> bytes:
    packed: bytes = msgpack.packb([entry, list(rows)])
    return packed


WORD = '{"name": "Word", "fields": [{"name": "number", "type": "int"}, {"name": "text", "type": "str"}]}'

SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "headers": (b"http://localhost:8000\nl\tocalhost:8000",),
    "codec": (
        b"\x03\x00" + msgpack.packb({"stamp_ns": 1, "count": 1, "mode": "a" * 3000}),
        b"\x0d\x00\x82\xa4\xed\xb2\xad\xff\xa1\xff\xa8stamp_ns\x01",
    ),
    "control": (msgpack.packb([1, "a", "b", -1, 2, 0, 3, 1, b"", 0]), msgpack.packb([3, 1, "a", -5, 3])),
    "stream": (b"\x00" + record(b"x" * 2001), b"\x00" + record(b"x" * 60_000)),
    "core": (
        _steps([1, "talk/kept", 666, 1, 0, b"\x80"], [2, False, [4, 666, "talk/kept", 1, 2**63, 1, []]], [8]),
        _steps([1, "talk/kept", 666, 1, 0, b"\x80"], [1, "talk/kept", 666, 2**31, 0, b"\x80"], [8], [8]),
        _steps(*([3, "", [[666, "rogue", {"talk/kept": n}]], []] for n in (2**62, 2**63))),
        _steps([2, False, [1, "talk/ask", "me", 5, -6, 0, 7, 1000, b"\x81\xa6number\x03", 0]]),
        _steps([7, {"version": 1, "name": "b", "pub": ["nonsense"], "rpc": ["x"], "serves": [], "publishes": [
            {"name": "talk/said", "type_name": "Word", "type_hash": "0", "qos": "EVENT"}]}, True]),
        _steps([7, {"version": 1, "name": "b", "publishes": [
            {"name": "x/\u00e9", "type_name": "Word", "type_hash": "0", "qos": "EVENT"}]}, True]),
        _steps([1, "talk/said", 666, 1, 0, b"\x82\xa4\xed\xb2\xad\xff\xa1\xff\xa6number\x01"]),
        _steps([7, {"version": 1, "name": "b", "rpc": [], "serves": [{
            "name": "talk/ask_late", "request_type": "Q", "request_hash": "0",
            "reply_type": "A", "reply_hash": "1"}]}, True], [6]),
    ),
    "trace_payload": (
        b"\x01" + msgpack.packb(["Lost", "a", "b", 1, 1, 1, float("nan"), 1]),
        b"\x01" + msgpack.packb(["x" * 3000, "a", "b", 1, 1, 1, 1, 1]), b"\x02" + msgpack.packb(["x" * 3000, "", None]),
    ),
    "bag_content": (
        _rows(_row("a/b", b"\x80", "{}")), _rows(_row("a/b", b"\x80", "[" * 3000)),
        _rows(_row("bag/lost", b"\xa1\xff", WORD)), _rows(_row("bag/lost", b"\x80", WORD)),
        _rows(_row("a\0b", b"\x80", WORD)), _rows(_row("a", b"\x80", WORD), entry="[]"),
        _rows(_row("a", b"\x80", WORD), entry='{"publishes": [{"title": 1}], "serves": 2.5}'),
        _rows(_row("a", b"\x81\xa4text\xa1\xff", WORD, key="text")),
    ),
    "definitions": (
        json.dumps({"name": "A", "fields": [{"name": "x", "type": "int", "fields": None}]}).encode(),
        json.dumps({"name": "A", "fields": [{"name": LEFT, "type": "decimal"}]}).encode(), DEEP,
    ),
    "defined_type": (
        json.dumps({"name": "A", "fields": [{"name": "s", "type": "samples"}, {"name": "x", "type": "int"}]}).encode(),
        json.dumps({"name": "A", "fields": [{"name": "_x", "type": "int"}]}).encode(),
    ),
    "impact": tuple(_steps([0, SIGNALS_BLOCK | {"period_ns": period}]) for period in (1, -1, 2**63, -(2**63))),
    "sensory": (_steps([0, {"fault": "CHATTER", "duration_s": 1e308}]),),
    "console": (_steps([5, {"intervention_id": "vmc1/x"}], [6, {
        "stamp_ns": 1, "intervention_id": "vmc1/x", "reaction": "STOP", "accepted": False, "action_id": "",
        "text": "[/]", "decision_to_accepted_ms": 0.0}]), *(_steps([9, {
            "stamp_ns": 1, "path": "b.mcap", "size_bytes": 1, "messages": 1, "lost": 0, "rate_hz": 1.0,
            "duration_s": seconds, "used_bytes": 1, "quota_bytes": 1}]) for seconds in (math.nan, math.inf, 1e308))),
    "recorder": (
        _steps(["vmc1/alarm", "Alarm", "LATCHED", 1, 1, 1, b"\x81\xa4text\xa1\xff", 0]),
        _steps(["vmc1/machine/state", "MachineState", "LATCHED", 1, -5, 1, b"\xc7\x0c\xff" + b"\xff" * 12, 0]),
    ),
    "entry": (
        _entry(name=LEFT), _entry(host=LEFT), _entry(version=10**4000), _entry(clock="x" * 3000), _entry(pid=10**30),
        _entry(definitions={"0": {}}), _entry(name="\u00e9"), b'{"version": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
    ),
    "anchor": (json.dumps({"anchor_ns": 10**30}).encode(), DEEP),
    "backtested": (
        _steps("", [], [[3, 1, 10**18, msgpack.packb(SIGNALS_BLOCK | {"stamp_ns": 2**63, "period_ns": 1})]]),
        _steps("{}", [[9, name, 10**18, 0, 0, b'[{"tool": -1}]'] for name in ("cuts", "tasks")], []),
    ),
    "linuxcnc": (
        b'S{"task_state": 4, "task_mode": 0, "interp_state": 0, "exec_state": 0, "paused": false, "homed": true, '
        b'"ini": "", "file": "/a.ngc", "line": 0, "block": "", "feed_word": 0.0, "stop_word": -1, '
        b'"units_per_mm": 0, "looks": 0}',
    ),
    "site": (
        b"a = " + DEEP, b"a = " + LONG, b"[machines.x]\nmode = [{" + b".".join([b"a"] * 3000) + b" = 1}]",
        *(b'a = """\n' + line + b'\n"""' for line in (b" " * 3000, b"[" + b"]" * 3000 + b"x", b"[" * 3000)),
    ),
    "argument": (b"\x07" + DEEP, b"\x0ax", b"\x00" + LONG),
    "launch": (b"x.split_s=" + DEEP, b"a:=" + LONG),
    "node_command": (b"nodes.recorder\0-p\0a=" + DEEP, b"/" + b"[" * 300 + b".py"),
    "name": (b"a" * 3000, b"\xff" * 100),
    "parameter": tuple(bytes((n,)) + value for n in range(40) for value in (HUGE, b'"' + b"x" * 3000 + b'"')),
    "columns": (
        b'{"motions": {"a": []}}', b'{"period_ms": 1, "columns": {"x_mm": {"column": 0, "scale": ' + HUGE + b"}}}",
        b'{"period_ms": 1e-300, "columns": {"x_mm": 0}}', b'{"skip_pattern": "x{99999999999}"}',
        b'{"skip_pattern": "x{' + LONG + b'}"}',
    ),
    "columns_toml": (b"a = " + DEEP, b"a = " + LONG, b"motions = { a = [] }"),
    "table": tuple(
        bytes((n,)) + text
        for n in range(31)
        for text in (
            b'1,"b"\rc\n', b"0,1,2\n" + b"9" * 30 + b",1,2\n", b"1,1,1\n1e17,1,1\n",
            b"2020-01-01,1,1\n9999-01-01,1,1\n")
    ),
    "show": (
        b"\x00\x81\x90\x01", b"\x00\x81\xa1a" + b"\x91" * 500 + b"\x01", b"\x00\x81\xa1a\x81\xc7\x01\x07x\x01",
        *(b"\x00" + msgpack.packb({"a": {"dtype": d, "shape": s, "data": bytes(8)}}) for d, s in (
            ("<f4", 1), ("S2", [4]), ("(1,", [1]), ("f4,f4", [1]), ("M8[s]", [1]))),
        b"\x03" + msgpack.packb({"findings": [1, 2]}),
    ),
    "message_json": tuple(
        bytes((n,)) + text
        for n in range(40)
        for text in (b'{"stamp_ns": ' + HUGE + b"}", b'{"now_ns": ' + HUGE + b', "rate": 1}')
    ),
}  # fmt: skip
