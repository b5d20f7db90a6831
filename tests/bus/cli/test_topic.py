from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.cli.topic_measure import bandwidth, delays, measure
from bus.host import Spec
from bus.node import Raw
from bus.testing import Domain
from tests.bus.cli.shop import document, open_shop, rise, stream
from tests.bus.durable.toys import Reader, Teller
from tests.bus.live import node, until

RISE = [sys.executable, "-P", "-m", "bus.cli"]
ROW = "tests.bus.cli.shop:EVENTS"


@pytest.fixture(scope="module")
def shop() -> Iterator[Domain]:
    with open_shop() as domain:
        yield domain


@pytest.mark.usefixtures("shop")
class TestList:
    def test_shape(self) -> None:
        rows = {row["name"]: row for row in document("topic", "list")}
        assert rows["vmc1/shop/reading"] == {
            "name": "vmc1/shop/reading",
            "type": "Reading",
            "hash": rows["vmc1/shop/reading"]["hash"],
            "qos": "SENSOR",
            "key": None,
            "publishers": ["vmc1/mill"],
            "subscribers": ["vmc1/watch"],
        }
        assert rows["diagnostics"]["key"] == "node"
        assert "vmc1/mill/trace" not in rows
        assert "vmc1/mill/trace" in {row["name"] for row in document("topic", "list", "--all")}

    def test_for_people(self) -> None:
        said = rise("topic", "list").stdout.splitlines()
        assert said[0].split() == ["TOPIC", "TYPE", "QOS", "PUBLISHERS", "SUBSCRIBERS"]
        assert ["vmc1/shop/reading", "Reading", "SENSOR", "vmc1/mill", "1"] in [line.split() for line in said]

    def test_an_empty_domain_names_the_others(self) -> None:
        done = rise("topic", "list", "--domain", "nowhere")
        assert done.exit_code == 1
        assert "No node is running in domain 'nowhere'" in done.stderr
        assert "shop (2 nodes)" in done.stderr

    def test_a_domain_that_is_none(self) -> None:
        assert rise("topic", "list", "--domain", "a b").exit_code == 2

    def test_imports_neither_sockets_nor_models(self) -> None:
        code = (
            "import sys; from bus.cli import cli; cli.main(['topic', 'list'], standalone_mode=False); "
            "sys.exit(str({'zmq', 'pydantic', 'numpy', 'rich', 'msgpack', 'msgspec'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
        assert done.stderr.strip() == "set()"


@pytest.mark.usefixtures("shop")
class TestEcho:
    def test_units_no_reading_and_arrays_in_short(self) -> None:
        said = rise("topic", "echo", "vmc1/shop/reading", "--once").stdout.splitlines()
        assert said[0].startswith("--- vmc1/shop/reading  vmc1/mill  #")
        assert "speed_rpm: 9549 rpm" in said
        assert "load_pct: no reading" in said
        assert "  load_pct: 1.5 %" in said
        assert "data: <f4 [20, 2]  min / mean / max by column" in said
        assert "  [0] 0 / 19 / 38" in said

    def test_as_json(self) -> None:
        (line,) = stream("topic", "echo", "vmc1/shop/reading", "--once")
        assert set(line) == {"topic", "publisher", "seq", "stamp_ns", "type", "message", "units"}
        assert line["message"]["axes"] == [{"name": "x", "load_pct": 1.5}, {"name": "y", "load_pct": None}]
        assert line["message"]["data"] == {"dtype": "<f4", "shape": [20, 2], "min": 0, "mean": 19.5, "max": 39}
        assert line["units"] == {"stamp_ns": "ns", "speed_rpm": "rpm", "load_pct": "%", "axes.load_pct": "%"}

    def test_full(self) -> None:
        (line,) = stream("topic", "echo", "vmc1/shop/reading", "--once", "--full")
        assert line["message"]["data"]["values"][:2] == [[0, 1], [2, 3]]

    def test_one_field_of_some_messages(self) -> None:
        assert rise("topic", "echo", "shop/reading", "--field", "axes.0.load_pct", "--count", 3).stdout == (
            "axes.0.load_pct: 1.5 %\n" * 3
        )
        seqs = [line["seq"] for line in stream("topic", "echo", "shop/reading", "--field", "speed_rpm", "--count", 3)]
        assert seqs == list(range(seqs[0], seqs[0] + 3))

    def test_latched_and_any_namespace(self) -> None:
        (line,) = stream("topic", "echo", "*/shop/state", "--once")
        assert line["topic"] == "vmc1/shop/state"
        assert line["message"]["word"] == "CUTTING"

    def test_misspelled(self) -> None:
        topic = rise("topic", "echo", "vmc1/shop/readin")
        assert (topic.exit_code, "did you mean 'vmc1/shop/reading'?" in topic.stderr) == (1, True)
        field = rise("topic", "echo", "vmc1/shop/reading", "--field", "speed")
        assert (field.exit_code, "did you mean 'speed_rpm'?" in field.stderr) == (1, True)
        verb = rise("topic", "ecko", "x")
        assert (verb.exit_code, "did you mean 'echo'?" in verb.stderr) == (2, True)

    def test_a_closed_pipe_is_quiet(self) -> None:
        with subprocess.Popen(
            [*RISE, "topic", "echo", "vmc1/shop/reading"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            assert child.stdout.readline().startswith("--- ")
            child.stdout.close()
            assert child.stderr.read() == ""
        assert child.returncode in (0, 1)

    def test_ctrl_c_is_clean(self) -> None:
        with subprocess.Popen(
            [*RISE, "topic", "echo", "vmc1/shop/reading"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            os.kill(child.pid, signal.SIGINT)
            _, errors = child.communicate(timeout=20)
        assert (child.returncode, errors.strip()) == (130, "")


@pytest.mark.usefixtures("shop")
class TestMeasuring:
    def test_hz_from_the_publishers_numbers(self) -> None:
        (line,) = stream("topic", "hz", "vmc1/shop/reading", "--once", "--window", 0.5)
        assert set(line) == {
            "topic", "publisher", "window_s", "rate_hz", "received", "lost", "delay_p50_ms", "delay_p99_ms",
        }  # fmt: skip
        assert line["publisher"] == "vmc1/mill"
        assert 0 < line["rate_hz"] <= 110
        assert line["received"] > 1

    def test_the_rate_is_exact_when_most_is_lost_here(self) -> None:
        def raw(seq: int, lost_first: int = 0) -> Raw:
            stamp_ns = 10**18 + seq * 1_000_000
            return Raw("t", "mill", 7, seq, stamp_ns, stamp_ns + 500_000, b"", "T", "h", "SENSOR", lost_first)

        batch = [raw(1), raw(2), raw(499, lost_first=3), raw(500), raw(1001)]
        m = measure(batch, 0)["mill"]
        assert (m["rate_hz"], m["received"], m["lost"]) == (1000.0, 4, 997)
        assert m["delay_p50_ms"] == 0.5
        assert measure(batch, 10**18 + 10**9)["mill"]["received"] == 1

    @pytest.mark.parametrize("verb", ["hz", "bw", "delay"])
    def test_every_machine_at_once(self, verb: str) -> None:
        (line,) = stream("topic", verb, "*/shop/reading", "--once", "--window", 0.5)
        assert (line["topic"], line["publisher"]) == ("vmc1/shop/reading", "vmc1/mill")
        assert "topic '*/shop/nothing'" not in rise("topic", verb, "*/shop/nothing", "--once", "--window", 0.1).output

    def test_bw(self) -> None:
        (line,) = stream("topic", "bw", "vmc1/shop/reading", "--once", "--window", 0.5)
        assert set(line) == {
            "topic", "publisher", "window_s", "bytes_per_s", "rate_hz", "mean_bytes", "min_bytes", "max_bytes",
            "received", "lost",
        }  # fmt: skip
        assert 200 < line["min_bytes"] <= line["mean_bytes"] <= line["max_bytes"] < 400
        assert line["bytes_per_s"] == pytest.approx(line["rate_hz"] * line["mean_bytes"])
        said = rise("topic", "bw", "shop/reading", "--once", "--window", 0.2).stdout
        assert said.startswith("vmc1/shop/reading from vmc1/mill: ")
        assert "kB/s" in said

    def test_delay(self) -> None:
        (line,) = stream("topic", "delay", "vmc1/shop/reading", "--once", "--window", 0.5)
        assert set(line) == {
            "topic", "publisher", "window_s", "delay_p50_ms", "delay_p99_ms", "stamp_p50_ms", "stamp_p99_ms",
            "received", "lost",
        }  # fmt: skip
        assert 0 <= line["delay_p50_ms"] <= line["stamp_p50_ms"]  # it is stamped before it is published
        assert line["delay_p50_ms"] <= line["delay_p99_ms"]
        said = rise("topic", "delay", "shop/reading", "--once", "--window", 0.2).stdout
        assert "ms since it was published; p50 " in said

    def test_a_quiet_topic(self) -> None:
        for verb in ("hz", "bw", "delay"):
            assert rise("topic", verb, "vmc1/mill/parameters", "--once", "--window", 0.1).stdout == (
                "vmc1/mill/parameters: nothing in 0.1 s\n"
            )
            assert stream("topic", verb, "vmc1/mill/parameters", "--once", "--window", 0.1) == []

    def test_what_came_in_part(self) -> None:
        def raw(seq: int, payload: bytes, lost_first: int = 0) -> Raw:
            stamp_ns = 10**18 + seq * 1_000_000
            return Raw("t", "mill", 7, seq, stamp_ns, stamp_ns + 500_000, payload, "T", "h", "SENSOR", lost_first)

        heard = [raw(1, b"1" * 100), raw(3, b"1" * 300)]
        plain, text = bandwidth(heard, measure(heard, 0)["mill"])
        assert (plain["bytes_per_s"], plain["lost"]) == (200 * 1000, 1)
        assert text == "200.00 kB/s, 2 messages of 200 B (100 B .. 300 B)"
        gap = [raw(3, b"", lost_first=1)]
        assert bandwidth([], measure(gap, 0)["mill"])[1] == "nothing whole"
        assert delays(heard, measure(heard, 0)["mill"])[1] == (
            "p50 0.50 ms, p99 0.50 ms since it was published; 2 received"
        )

    def test_info(self) -> None:
        ends = time.monotonic() + 20
        while True:  # the shop is young: its nodes say once a second what they have sent and heard
            told = document("topic", "info", "vmc1/shop/reading", "--for", 0.5)
            (publisher,) = told["publishers"]
            if (publisher["published"] and told["subscribers"][0]["heard"]) or time.monotonic() > ends:
                break
        assert publisher["node"] == "vmc1/mill"
        assert publisher["published"] > 0
        assert publisher["rate_hz"] > 0
        assert publisher["delay_p50_ms"] >= 0
        (subscriber,) = told["subscribers"]
        assert subscriber["node"] == "vmc1/watch"
        (heard,) = subscriber["heard"]
        assert heard["publisher"] == "vmc1/mill"
        assert heard["lost"] == 0
        assert heard["received"] > 0

    def test_info_for_people(self) -> None:
        said = rise("topic", "info", "vmc1/shop/reading", "--for", 0.2).stdout
        assert "qos: SENSOR" in said
        assert "from vmc1/mill: received " in said


def test_info_of_a_topic_with_a_log() -> None:
    with (
        Domain("books") as domain,
        domain.running(Spec(Teller, parameters={"burst": 7})) as teller,
        domain.running(Spec(Reader)) as reader,
    ):
        until(lambda: len(node(reader).heard) == 7)
        for one in (teller, reader):
            one.hosts[0].submit(one.diagnose, one.hosts[0]).result(10)
        told = document("topic", "info", "count/events", "--for", 0.5)
        log = told["publishers"][0]["log"]
        assert (log["first_seq"], log["last_seq"], log["problem"]) == (1, 7, "")
        assert log["size_bytes"] > 500
        (cursor,) = told["subscribers"][0]["cursors"]
        assert (cursor["publisher"], cursor["seq"], cursor["behind"]) == ("teller", 7, 0)
        assert cursor["log_id"] == log["log_id"]
        said = rise("topic", "info", "count/events", "--for", 0.1).stdout
        assert f"    log: {log['log_id']}: #1..#7, 0.0 MB" in said
        assert f"    cursor: #7 in log {log['log_id']} of teller, 0 behind" in said


class TestPub:
    def test_reaches_whoever_subscribes(self, shop: Domain) -> None:
        heard: list[str] = []
        with shop.session(
            select=lambda topic, _: topic == "log", heard=lambda b: heard.extend(str(r.payload) for r in b)
        ) as s:
            done = rise("topic", "pub", "vmc1/shop/event", ROW, '{"word": "hello"}', "--count", 2, "--rate", 50)
            assert (done.exit_code, done.stdout) == (0, "vmc1/shop/event: 2 published\n"), done.output
            assert s.spin(lambda: sum("heard hello" in text for text in heard) == 2, 10.0)

    def test_a_type_that_only_a_living_node_defines(self, shop: Domain) -> None:
        done = rise("topic", "pub", "vmc1/shop/event", "State", '{"word": "hello"}')
        assert (done.exit_code, done.stdout) == (0, "vmc1/shop/event: 1 published\n"), done.output
        wrong = rise("topic", "pub", "vmc1/shop/event", "State", '{"word": 3}')
        assert (wrong.exit_code, "word: input should be a valid string" in wrong.stderr) == (2, True)

    def test_a_type_in_a_file(self, shop: Domain, tmp_path: Path) -> None:
        (tmp_path / "messages.py").write_text(
            "from schemas.base import Message\nclass State(Message):\n    stamp_ns: int\n    word: str\n"
        )
        file = f"{tmp_path}/messages.py"
        done = rise("topic", "pub", "vmc1/shop/event", f"{file}:State", '{"word": "hello"}')
        assert (done.exit_code, done.stdout) == (0, "vmc1/shop/event: 1 published\n"), done.output
        for row, said in ((f"{file}:Stat", "has no message type"), (f"{tmp_path}/no.py:State", "there is no file")):
            wrong = rise("topic", "pub", "vmc1/shop/event", row, "{}")
            assert (wrong.exit_code, said in wrong.stderr) == (1, True)

    def test_refuses_beside_the_one_writer(self, shop: Domain) -> None:
        arguments = ["topic", "pub", "vmc1/shop/state", "tests.bus.cli.shop:STATE", '{"word": "IDLE"}']
        done = rise(*arguments)
        assert done.exit_code == 1
        assert "vmc1/shop/state has one writer, and vmc1/mill is it" in done.stderr
        assert rise(*arguments, "--force").exit_code == 0

    @pytest.mark.parametrize(
        ("row", "text", "said"),
        [
            (ROW, '{"word": 3}', "word: input should be a valid string, got 3"),
            (ROW, '{"wrd": "a"}', "wrd: State has no such field; did you mean 'word'?"),
            (ROW, "{", "not JSON"),
            (ROW, "[]", "expected a JSON object, got list"),
            ("tests.bus.cli.shop:READING", '{"axes": [{"name": 1}]}', "axes.0.name: input should be"),
            ("tests.bus.cli.shop:FEED", "{}", "is a service"),
            ("ALARN", "{}", "did you mean 'ALARM'?"),
            ("tests.bus.cli.shop:NOTHING", "{}", "there is"),
            ("no.module:NOTHING", "{}", "there is no module 'no'"),
        ],
    )
    def test_mistakes_say_where(self, shop: Domain, row: str, text: str, said: str) -> None:
        done = rise("topic", "pub", "vmc1/shop/event", row, text)
        assert done.exit_code in (1, 2)
        assert said in done.stderr
        assert "Traceback" not in done.output

    def test_a_bad_name(self, shop: Domain) -> None:
        done = rise("topic", "pub", "vmc1/Shop", ROW, '{"word": "a"}')
        assert (done.exit_code, "^" in done.stderr) == (2, True)
