"""`rise machine probe` against a real adapter and a real agent; what it prints can be pasted."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from bus.site import read_site
from nodes.sensory_cortex import SensoryCortex
from tests.bus.cli.shop import rise
from tests.nodes.sensory_cortex.adapter import Adapter
from tests.nodes.sensory_cortex.agent import Agent

LINES = b"2022-08-08T13:51:34Z|x|1\n|avail|AVAILABLE|execution|ACTIVE|Sload|31|S2speed|5\n|system|FAULT|7||HIGH|hot\n"


def test_an_adapter_and_a_block_that_can_be_pasted(tmp_path: Path) -> None:
    with Adapter(LINES) as adapter:
        done = rise("machine", "probe", adapter.address, "--seconds", "1", "--name", "mill7")
    assert done.exit_code == 0
    assert f"{adapter.address} answers: MTConnect adapter" in done.stdout
    assert "6 observations in" in done.stdout
    assert re.search(r"its clock is \d+\.\d{3} s behind ours", done.stdout)
    assert "rows/s" in done.stdout
    for words in (
        ("execution", "ACTIVE"),
        ("spindle_load_pct", "31", "%", "LOAD,"),
        ("S2speed", "'5'"),
        ("FAULT:", "hot"),
    ):
        assert any(line.split()[: len(words)] == list(words) for line in done.stdout.splitlines()), words
    plain = done.stdout.partition("# for site.toml\n")[2]
    filled = plain.replace("\nsources", "\n#").replace("\n# sources", "\nsources")  # the second list for the first
    source = {"driver": "shdr", "address": adapter.address}
    for text, wanted in ((plain, source), (filled, source | {"items": {"S2speed": "", "x": ""}})):
        file = tmp_path / "site.toml"
        file.write_text(text)
        site, mistakes = read_site(file)
        assert not mistakes
        (machine,) = site.machines
        assert (machine.name, machine.mode, list(machine.sources)) == ("mill7", "OBSERVE", [wanted])
        assert not list(SensoryCortex.mistakes({"sources": machine.sources}))


def test_an_agent_as_json() -> None:
    with Agent() as agent:
        agent.tell("e", "Execution", "READY")
        agent.tell("f", "PathFeedrate", "2")
        done = rise("machine", "probe", f"{agent.address}/mill", "--seconds", "1", "--json")
    found = json.loads(done.stdout)
    assert (found["answered"], found["driver"], found["state"]["execution"]) == (True, "mtconnect", "READY")
    assert [(s["name"], s["last"]) for s in found["signals"]] == [("feed_mm_min", 120.0)]
    assert "[machines.mill]" in found["site"]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("ftp://mill", "no driver for ftp://; there is shdr://, http://"),
        ("shdr://", "expected shdr://host:7878"),
        ("shdr://mill:x", "expected shdr://host:7878"),
    ],
)
def test_what_is_no_address_is_a_mistake_in_usage(address: str, text: str) -> None:
    done = rise("machine", "probe", address)
    assert done.exit_code == 2
    assert text in done.stderr


def test_nobody_there_and_a_bad_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = rise("machine", "probe", f"shdr://127.0.0.1:{port}", "--seconds", "0.5")
    assert (done.exit_code, "Connection refused" in done.stderr) == (1, True)
    done = rise("machine", "probe", "shdr://127.0.0.1:1", "--name", "Mill 7")
    assert (done.exit_code, "bad name" in done.stderr) == (2, True)
