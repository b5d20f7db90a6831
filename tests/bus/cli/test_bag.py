"""The `rise bag` commands as a user meets them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bus.bag import BagReader, read
from bus.cli import cli
from bus.host import Spec
from bus.testing import Domain
from nodes.recorder import Recorder
from tests.bus.bag.bags import small
from tests.nodes.recorder.test_node import Mill


def rise(*words: object) -> Result:
    return CliRunner().invoke(cli, ["bag", *map(str, words)], catch_exceptions=False)


def test_info(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    text = rise("info", tmp_path / "a.mcap")
    assert text.exit_code == 0
    assert "0.019 s" in text.output
    assert "vmc1/machine/samples  SignalBlock  vmc1/sensory_cortex" in text.output
    assert "lost: 0 said by the recorder (`rise bag check` " in text.output
    plain = json.loads(rise("info", tmp_path / "a.mcap", "--json").output)
    assert (plain["messages"], plain["finished"], plain["nodes"]) == (21, True, ["vmc1/sensory_cortex"])


def test_info_of_a_damaged_bag_does_not_say_that_nothing_is_lost(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap", close=False).abandon()
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    (tmp_path / "b.mcap").write_bytes(data)
    with BagReader(tmp_path / "b.mcap") as bag:
        span, _ = bag._chunks[-1]
    data[(span.body + span.end) // 2] ^= 0xFF
    (tmp_path / "b.mcap").write_bytes(data)
    assert "lost: not counted, the bag is damaged" in rise("info", tmp_path / "b.mcap").output
    assert json.loads(rise("info", tmp_path / "b.mcap", "--json").output)["lost"] is None


def test_a_cut_that_ends_before_it_starts_is_refused(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    done = rise("cut", tmp_path / "a.mcap", "--start", "0.015", "--end", "0.005", "-o", tmp_path / "b.mcap")
    assert (done.exit_code, (tmp_path / "b.mcap").exists()) == (2, False)
    assert "a window from 0.015 s to 0.005 s is none" in done.output


def test_check_recover_and_exit_codes(tmp_path: Path) -> None:
    writer = small(tmp_path / "a.mcap", close=False)
    writer.flush()
    assert rise("check", tmp_path / "a.mcap", "--recover").exit_code == 2
    writer.abandon()
    assert "format/unfinished" in rise("check", tmp_path / "a.mcap").output
    assert "sound, 21 messages" in rise("check", tmp_path / "a.mcap", "--recover").output
    plain = json.loads(rise("check", tmp_path / "a.mcap", "--json").output)
    assert (plain["ok"], plain["problems"]) == (True, [])
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.mcap").write_bytes(data)
    damaged = rise("check", tmp_path / "a.mcap")
    assert damaged.exit_code == 1
    assert "NOT SOUND" in damaged.output


def test_usage_cut_convert(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    rows = json.loads(rise("usage", tmp_path / "a.mcap", "--json").output)["topics"]
    assert rows[0]["topic"] == "vmc1/machine/samples"
    made = rise("cut", tmp_path / "a.mcap", "--start", "0.005", "--end", "0.008", "-o", tmp_path / "new" / "b.mcap")
    assert made.exit_code == 0, made.output
    assert len(list(read(tmp_path / "new" / "b.mcap"))) == 5
    assert rise("cut", tmp_path / "a.mcap", "--around", "0.01", "-o", tmp_path / "new" / "b.mcap").exit_code == 2
    assert rise("cut", tmp_path / "a.mcap", "--around", "0.01", "-f", "-o", tmp_path / "new" / "b.mcap").exit_code == 0
    assert rise("convert", tmp_path / "a.mcap", "--to", "json", "-o", tmp_path / "j.mcap").exit_code == 0
    csv = rise("convert", tmp_path / "a.mcap", "--to", "csv", "-o", tmp_path / "csv", "--topics", "samples")
    assert "vmc1.machine.samples.drive.csv" in csv.output
    assert len(list((tmp_path / "csv").iterdir())) == 1
    again = ("convert", tmp_path / "a.mcap", "--to", "csv", "-o", tmp_path / "csv")
    assert "is there already" in rise(*again).output
    assert rise(*again, "-f").exit_code == 0
    parquet = rise("convert", tmp_path / "a.mcap", "--to", "parquet", "-o", tmp_path / "pq")
    assert "vmc1.machine.samples.drive.parquet" in parquet.output
    assert parquet.output.splitlines()[-1] == "21 messages"


def test_without_pyarrow_the_line_to_paste_is_said(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    blocked = "import sys; sys.modules['pyarrow'] = None; from bus.cli import main; main()"
    command = [sys.executable, "-P", "-c", blocked, "bag", "convert", "a.mcap", "--to", "parquet", "-o", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"  {sys.executable} -m pip install 'fanuc-rise[parquet]'"
    assert not (tmp_path / "out").exists()


def test_usage_of_a_folder_says_what_goes_next(tmp_path: Path) -> None:
    small(tmp_path / "cutting.mcap", 40)
    for n in range(2):
        small(tmp_path / f"idle{n}.mcap", 10, states=False)
    writing = small(tmp_path / "now.mcap", close=False)
    writing.flush()
    (tmp_path / "garbage.mcap").write_bytes(b"PK" * 100)
    total = sum(p.stat().st_size for p in tmp_path.iterdir())
    words = ["usage", tmp_path, "--retention-days", "100000"]
    plain = json.loads(rise(*words, "--quota-gb", (total - 10) / 1e9, "--json").output)
    assert plain["used_bytes"] == total
    what = {Path(row["path"]).name: row["what"] for row in plain["bags"]}
    assert what == {
        "cutting.mcap": "run",
        "idle0.mcap": "idle",
        "idle1.mcap": "idle",
        "now.mcap": "being written",
        "garbage.mcap": "no bag",
    }
    assert [(Path(r["path"]).name, r["now"]) for r in plain["next"]] == [("idle0.mcap", True), ("idle1.mcap", False)]
    samples = next(row for row in plain["topics"] if row["topic"] == "vmc1/machine/samples")
    assert samples["messages"] == 40 + 10 + 10 + 20
    text = rise(*words, "--quota-gb", 1).output
    assert "next to go:" in text
    assert "idle0.mcap: idle: no machine cut" in text
    assert "topics" not in json.loads(rise(*words, "--quick", "--json").output)
    writing.abandon()


def test_usage_asks_the_recorder_that_runs(tmp_path: Path) -> None:
    parameters = {"directory": str(tmp_path / "bags"), "quota_gb": 0.25, "retention_days": 3.0, "keep_free_mb": 0.0}
    with Domain() as domain, domain.running(Spec(Recorder, parameters=parameters)):
        plain = json.loads(rise("usage", "--domain", domain.name, "--json").output)
        other = json.loads(rise("usage", tmp_path, "--domain", domain.name, "--json").output)
    assert (plain["folder"], plain["recorder"]) == (str(tmp_path / "bags"), "recorder")
    assert (plain["quota_bytes"], plain["retention_days"]) == (250_000_000, 3.0)
    assert (other["recorder"], other["retention_days"]) == ("", 30.0)


def test_merge(tmp_path: Path) -> None:
    for n in range(2):
        small(tmp_path / f"{n}.mcap")
    made = rise("merge", tmp_path / "0.mcap", tmp_path / "1.mcap", "-o", tmp_path / "new" / "m.mcap", "--json")
    assert made.exit_code == 0, made.output
    plain = json.loads(made.output)
    assert (plain["messages"], plain["duplicates"], plain["lost"]) == (21, 21, 0)
    again = ["merge", tmp_path / "0.mcap", tmp_path / "1.mcap", "-o", tmp_path / "new" / "m.mcap"]
    assert "is there already" in rise(*again).output
    assert rise(*again, "-f").exit_code == 0
    for words, says in (
        (["merge", tmp_path / "0.mcap", tmp_path / "0.mcap", "-o", tmp_path / "x"], "named twice"),
        (["merge", tmp_path / "0.mcap", tmp_path / "1.mcap", "-f", "-o", tmp_path / "1.mcap"], "one of the bags"),
        (["merge", tmp_path / "0.mcap", tmp_path / "1.mcap", "-f", "-o", tmp_path], "is a folder"),
    ):
        result = rise(*words)
        assert (result.exit_code, says in result.output) == (2, True), result.output


@pytest.mark.parametrize("verb", ["info", "check", "usage", "play", "cut", "convert", "merge"])
@pytest.mark.parametrize("kind", ["missing", "empty", "garbage", "folder"])
def test_what_is_no_bag_is_one_line_and_exit_code_2(tmp_path: Path, verb: str, kind: str) -> None:
    path = tmp_path / "a.mcap"
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(random.Random(1).randbytes(10_000_000))
        case "folder":
            path.mkdir()
    more = {"cut": ["-o", tmp_path / "b"], "convert": ["--to", "csv", "-o", tmp_path / "b"]}
    more["merge"] = more["cut"]
    result = rise(verb, path, *more.get(verb, []))
    assert result.exit_code == 2
    assert str(path) in result.output
    assert len(result.output.splitlines()) == 1


def test_mistakes_in_options(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    bag = tmp_path / "a.mcap"
    for words, says in (
        (["cut", bag, "-o", "x", "--around", "1", "--start", "1"], "not both"),
        (["cut", bag, "-o", tmp_path / "x", "--node", "nobody"], "there is vmc1/sensory_cortex"),
        (["cut", bag, "-o", tmp_path / "x", "--start", "99"], "nothing lies in that window"),
        (["convert", bag, "-o", "x", "--to", "csv", "--topics", "("], "no regular expression"),
        (["convert", bag, "-o", "x", "--to", "csv", "--topics", "x{" + "9" * 5000 + "}"], "no regular expression"),
        (["play", bag, "--remap", "a"], "expected FROM:=TO"),
        (["play", bag, "--remap", "a:=b"], "holds no topic a"),
        (["play", bag, "--remap", "vmc1/machine/samples:=BAD"], "bad name"),
        (["play", bag, "--start", "5000"], "s long"),
        (["play", bag, "--topics", "nothinglikethis"], "holds no topic that fits nothinglikethis"),
    ):
        with Domain():
            result = rise(*words)
        assert result.exit_code == 2, words
        assert says in result.output


def test_play(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    with Domain():
        plain = json.loads(rise("play", tmp_path / "a.mcap", "--json").output)
    assert plain["messages"] == 21


def test_record_until_interrupted(tmp_path: Path) -> None:
    with Domain() as domain, domain.running(Spec(Mill, namespace="vmc1")):
        command = [sys.executable, "-P", "-c", "from bus.cli import main; main()", "bag", "record"]
        command += ["-o", str(tmp_path), "--include", "samples|state", "-p", "keep_free_mb=0"]
        with subprocess.Popen(command, env=os.environ | {"RISE_DOMAIN": domain.name}) as process, domain.session() as s:

            def recorded() -> bool:
                for path in tmp_path.glob("*.mcap"):
                    with BagReader(path) as bag:
                        return bag.info.messages > 100
                return False

            try:
                assert s.spin(recorded, 30)
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 0
            finally:
                process.kill()
    (path,) = tmp_path.glob("*.mcap")
    with BagReader(path) as bag:
        assert bag.finished
        assert {c.topic for c in bag.channels.values()} == {"vmc1/machine/samples", "vmc1/machine/state"}


@pytest.mark.parametrize("option", ["--around", "--start", "--end", "--before"])
@pytest.mark.parametrize("value", ["nan", "inf", "1e300"])
def test_a_time_that_is_none_is_a_mistake_in_usage(tmp_path: Path, option: str, value: str) -> None:
    small(tmp_path / "a.mcap")
    for words in (["cut", tmp_path / "a.mcap", "-o", tmp_path / "b.mcap"], ["play", tmp_path / "a.mcap"]):
        done = rise(*words, option, value)
        assert done.exit_code == 2
        assert "Traceback" not in done.output


@pytest.mark.parametrize("option", ["--quota-gb", "--retention-days"])
@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "-1"])
def test_a_quota_that_is_none_is_a_mistake_in_usage(tmp_path: Path, option: str, value: str) -> None:
    done = rise("usage", tmp_path, option, value)
    assert done.exit_code == 2
    assert "Traceback" not in done.output
