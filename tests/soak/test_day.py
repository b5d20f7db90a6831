"""The day of the demo cell, some minutes of it."""

from __future__ import annotations

import pytest

from bus.plan import load
from tests.soak.day import Result, Sample, day, site


@pytest.mark.full
@pytest.mark.timeout(300)
def test_some_minutes_of_the_cell_lose_nothing_and_leave_nothing() -> None:
    result = day(6.0, 0.1, lambda text: None)
    assert result.good, str(result)
    assert result.hours >= 0.09
    assert {"recorder", "console", "vmc1/core", "vmc2/core", "launch"} <= set(result.names)


def test_the_site_is_the_demos_with_another_speed(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("day") / "site.toml"
    file.write_text(site(7.0))
    plan = load("cell", site=file)
    speeds = {n.name: n.parameters["sources"].value[0]["speed"] for n in plan.nodes() if "sensory" in n.name}
    assert speeds == {"vmc1/sensory_cortex": 7.0, "vmc2/sensory_cortex": 7.0}


def rising(mb_h: float, hours: float = 10.0) -> Result:
    made = Result(20.0, hours, hours * 180, parts={"vmc1": 1, "vmc2": 1})
    for minute in range(int(hours * 60)):
        at = minute / 60
        noise = 3.0 * (minute % 2)
        made.samples.append(Sample(at, {"a": 50.0 + mb_h * at + noise, "b": 40.0 + noise}, 20, 100.0))
    return made


@pytest.mark.parametrize(("mb_h", "flat"), [(0.0, True), (0.5, True), (1.5, False), (-2.0, True)])
def test_a_leak_is_told_from_noise(mb_h: float, flat: bool) -> None:
    result = rising(mb_h)
    result.judge()
    assert result.is_flat("b")
    assert result.is_flat("a") is flat
    assert result.good is flat
    assert result.slope_mb_h("a") == pytest.approx(mb_h, abs=0.02)


def test_everything_else_that_is_wrong_is_named() -> None:
    result = rising(0.0)
    result.samples[-1].files = 21
    result.samples[-1].bags_mb = 9000.0
    result.losses = {"lost by x of y": 3}
    result.parts = {"vmc1": 5}
    result.judge()
    assert not result.good
    text = str(result)
    for words in (
        "the runtime directory held between 20 and 21 files",
        "bags took 9000 MB",
        "3 lost by x of y",
        "vmc2 finished no part",
    ):
        assert f"NOT AS IT MUST BE: {words}" in text
