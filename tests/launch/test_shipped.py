"""The shipped launch files, and the shop that `rise new` writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from bus.check import check
from bus.cli import cli
from bus.node import Raw
from bus.plan import SHIPPED, load
from bus.testing import Domain
from schemas import topics
from schemas.codec import codec
from schemas.impact import Protection, ProtectionState
from schemas.machine import Cause, Fault, MotionPhase, ResetRequest, SignalBlock, StopRequest
from schemas.system import Processes, ProcessState, ProcessStatus
from tests.bus.test_launcher import Launch, Watched, domain, started
from tests.nodes.impact_cortex.test_live import Ear, in_order, stopped

__all__ = ["domain", "started"]  # fixtures


@pytest.mark.parametrize(
    ("file", "argument"),
    [
        *(("shop", a) for a in ("compose:=true", "compose:=false", "record:=false", "web:=false", "limit_pct:=70")),
        *(("cell", a) for a in ("compose:=true", "compose:=false", "web:=false", "limit_pct:=70")),
    ],
)
def test_no_argument_of_the_shop_or_the_cell_makes_a_mistake(file: str, argument: str) -> None:
    plan = load(file, [argument])
    assert check(plan) == []
    assert {n.namespace for n in plan.nodes()} >= {"vmc1", "vmc2"}


def test_a_load_sensor_that_is_none_is_told_with_its_line_in_the_site_file(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    text = (SHIPPED / "site.toml").read_text()
    assert 'load_sensor = "drive_torque"' in text
    site.write_text(text.replace('load_sensor = "drive_torque"', 'load_sensor = "load_meter"'))
    assert check(load("shop", site=site)) == []
    site.write_text(text.replace('load_sensor = "drive_torque"', 'load_sensor = "load_metre"'))
    (mistake,) = check(load("shop", site=site))
    assert (mistake.id, "did you mean 'load_meter'?" in mistake.text) == ("load-sensor", True)
    assert "load_sensor" in site.read_text().splitlines()[mistake.where.line - 1]


@pytest.mark.parametrize("file", sorted(p.name for p in SHIPPED.glob("*.py")))
def test_every_shipped_file_describes_itself(file: str) -> None:
    missing = [m for m in load(file).mistakes if m.id != "missing-argument"]
    assert missing == []


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("smrt_michigan", "cannot read smrt_michigan: No such file or directory; of the shipped maps did you mean "),
        ("site", "of the shipped maps there is lmas_vibration, smart_michigan"),
        ("{folder}/map.toml", "{folder}/map.toml is not TOML: "),
        ("smart_michigan", "path: cannot read {folder}/gone.csv: No such file or directory"),
    ],
)
def test_a_recording_that_cannot_be_played_is_a_mistake(tmp_path: Path, columns: str, said: str) -> None:
    (tmp_path / "map.toml").write_text("[columns\n")
    arguments = [f"file:={tmp_path}/gone.csv", f"columns:={columns.format(folder=tmp_path)}"]
    (mistake,) = check(load("recording", arguments))
    assert said.format(folder=tmp_path) in mistake.text
    assert mistake.where.file == str(SHIPPED / "recording.py")


def test_both_forms_of_the_shop_run_the_same_nodes() -> None:
    composed, apart = load("shop"), load("shop", ["compose:=false"])
    assert sorted(n.name for n in composed.nodes()) == sorted(n.name for n in apart.nodes())
    assert len(composed.processes) < len(apart.processes)


@pytest.mark.timeout(150)
def test_twenty_deaths_of_one_mill_cost_the_other_no_sample(domain: Domain, tmp_path: Path, started: ExitStack) -> None:
    """vmc1 is killed 20 times; every row that vmc2 takes at 1 kHz meanwhile arrives, and it is PROTECTED all along."""
    launch = Launch(tmp_path, (SHIPPED / "shop.py").read_text(), "record:=false", "--site", str(SHIPPED / "site.toml"))
    started.callback(launch.end)
    launch.wait_for("ready:")
    rows: list[tuple[int, int]] = []
    lost: list[Raw] = []
    states: list[str] = []

    def heard(batch: list[Raw]) -> None:
        for raw in batch:
            if raw.lost_first:
                lost.append(raw)
            elif raw.topic == "vmc2/machine/samples":
                block = codec(SignalBlock).decode(raw.payload)
                if block.source == "drive":
                    rows.append((block.first_row, block.data.array.shape[0]))
            elif raw.topic == "vmc2/machine/protection":
                states.append(codec(Protection).decode(raw.payload).state.value)
            else:
                status.update({p.name: p for p in codec(Processes).decode(raw.payload).processes})

    status: dict[str, ProcessStatus] = {}
    chosen = {"vmc2/machine/samples", "vmc2/machine/protection", "launch/processes"}
    with domain.session(select=lambda topic, _: topic in chosen, heard=heard) as session:
        assert session.spin(lambda: bool(rows) and "vmc1/core" in status and "PROTECTED" in states, 20.0)
        other = status["vmc2/core"].pid
        seen = {0}
        for _ in range(20):
            pid = status["vmc1/core"].pid
            seen.add(pid)
            os.kill(pid, signal.SIGKILL)
            assert session.spin(
                lambda: status["vmc1/core"].pid not in seen and status["vmc1/core"].state is ProcessState.READY, 20.0
            )
    assert status["vmc1/core"].restarts == 20
    assert status["vmc2/core"].pid == other
    assert not lost
    assert len(rows) > 1000
    assert all(first + count == after for (first, count), (after, _) in pairwise(rows))
    assert states[states.index("PROTECTED") :] == ["PROTECTED"] * (len(states) - states.index("PROTECTED"))


class Killing(Ear):
    """Hears vmc1, and meanwhile kills some processes with -9, again and again as they come back."""

    def __init__(self, domain: Domain, watched: Watched, victims: tuple[str, ...]) -> None:
        super().__init__(domain)
        self.watched = watched
        self.killed: dict[str, set[int]] = {name: set() for name in victims}

    def until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        super().until(lambda: self.kill() or condition(), timeout_s)

    def kill(self) -> bool:
        self.watched.spin(lambda: False, 0.001)
        for name, killed in self.killed.items():
            pid = self.watched.status[name].pid
            if pid and pid not in killed:
                killed.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return False


def test_a_stop_needs_neither_recorder_nor_graph_nor_table_nor_hub(
    domain: Domain, tmp_path: Path, started: ExitStack
) -> None:
    """The cell loses all that is not a machine's own: a crash is held and stopped all the same, an operator obeyed."""
    text = (SHIPPED / "cell.py").read_text().replace('"shop.py"', f'"{SHIPPED / "shop.py"}"')
    launch = Launch(tmp_path, text, "--site", str(SHIPPED / "site.toml"))
    started.callback(launch.end)
    launch.wait_for("ready:")
    victims = ("recorder", "knowledge_graph", "console", "fanuc_api")
    with Watched(domain.name) as watched, Killing(domain, watched, victims) as ear:
        watched.ready(*victims, "vmc1/core")
        core = watched.status["vmc1/core"].pid
        ear.until(lambda: (p := ear.protection()) is not None and p.state is ProtectionState.PROTECTED)
        ear.until(lambda: all(ear.killed.values()))
        ear.until_cutting()
        ear.inject(Fault.CRASH)
        ear.until(lambda: stopped(ear))
        in_order(ear)
        reset = ResetRequest(operator="anna", reason="clamp moved, tool changed")
        ear.until(lambda: standing(ear) == 1)
        assert ear.session.call("vmc1/machine/reset", topics.RESET, reset, timeout_s=5.0).accepted
        ear.until_cutting()
        nobody = Cause(publisher="", topic="", seq=0)
        request = StopRequest(reason="a noise", requested_by="anna", stamp_ns=0, cause=nobody)
        assert ear.session.call("vmc1/machine/stop", topics.STOP, request, timeout_s=5.0).accepted
        ear.until(lambda: standing(ear) == 2)
        watched.ready("vmc1/core")
        assert (watched.status["vmc1/core"].pid, watched.status["vmc1/core"].restarts) == (core, 0)
        assert all(watched.status[name].restarts for name in victims)


def standing(ear: Ear) -> int:
    """How often the spindle has come to a stand by a stop."""
    return sum(e.phase is MotionPhase.SPINDLE_STANDING for e in ear.of(topics.MOTION))


def test_a_new_shop_is_checked_tested_and_runs(domain: Domain, tmp_path: Path, started: ExitStack) -> None:
    folder = tmp_path / "myshop"
    result = CliRunner().invoke(cli, ["new", "shop", str(folder)])
    assert result.exit_code == 0, result.output
    assert f" launch {folder}/launch/shop.py --check\n" in result.output
    assert f"{sys.executable} -P -m pytest {folder}\n" in result.output
    assert CliRunner().invoke(cli, ["new", "shop", str(folder)]).exit_code == 2
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RISE_", "PYTEST"))}
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert tested.returncode == 0, tested.stdout
    launch = Launch(
        folder / "launch", (folder / "launch/shop.py").read_text(), "record:=false", "--site", str(folder / "site.toml")
    )
    started.callback(launch.end)
    assert launch.wait_for("ready:").startswith("ready: 3 nodes in ")
    assert launch.end() == 0
