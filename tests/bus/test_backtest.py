"""Settings from a command line, nodes of a bag, and parts from processes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import backtest
from bus.backtest import COLUMNS, Held, Job, NoBacktest, Part, Question, Tally, nodes_of, run, text_of, twice, varied
from bus.target import target_of
from nodes.impact_cortex import ImpactCortex
from tests.bus.replay.toys import Judge

CRASH = Path(__file__).parents[1] / "bags" / "vmc1_crash.mcap"
ENGINE = "vmc1/impact_cortex"


def test_a_range_holds_both_its_ends_and_decimals_are_what_they_say() -> None:
    made = varied(["breakage_threshold_pct_s=0.1:0.3:0.1"], ImpactCortex)
    assert made == [{}, *({"breakage_threshold_pct_s": value} for value in (0.1, 0.2, 0.3))]
    assert [s["limit_k"] for s in varied(["limit_k=5:1:-2"], ImpactCortex)[1:]] == [5, 3, 1]
    assert [s["limit_pct"] for s in varied(["limit_pct=70:120:25"], ImpactCortex)[1:]] == [70.0, 95.0, 120.0]


def test_every_value_goes_with_every_other() -> None:
    made = varied(["limit_pct=80,90", "accel_reaction=WARN,STOP"], ImpactCortex)
    assert [text_of(s) for s in made] == [
        "as recorded",
        "limit_pct=80, accel_reaction=WARN",
        "limit_pct=80, accel_reaction=STOP",
        "limit_pct=90, accel_reaction=WARN",
        "limit_pct=90, accel_reaction=STOP",
    ]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["limit_pc=1:2:1"], "did you mean 'limit_pct'"),
        (["limit_pct"], "expected NAME=FROM:TO:STEP"),
        (["limit_pct=1:2"], "three numbers"),
        (["limit_pct=1:2:0"], "three numbers"),
        (["limit_pct=1:x:1"], "three numbers"),
        (["limit_pct=1:nan:1"], "three numbers"),
        (["limit_pct=2:1:1"], "0 values"),
        (["limit_pct=0:400:0.001"], "400001 values"),
        (["limit_pct=390:410:10"], "410"),
        (["limit_k=1:2:0.5"], "limit_k"),
        (["limit_pct=70:80:5", "limit_pct=1,2"], "given twice"),
        (["limit_pct=1:100:1", "hard_limit_pct=1:100:1"], "10000 settings"),
    ],
)
def test_what_cannot_be_varied_so_is_told(texts: list[str], said: str) -> None:
    with pytest.raises(NoBacktest, match=said):
        varied(texts, ImpactCortex)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(NoBacktest) as caught:
        varied(["limit_pc=1:2:1", "limit_pct=1:2"], ImpactCortex)
    assert len(str(caught.value).splitlines()) == 2


@given(st.text(max_size=20))
def test_any_text_is_a_range_or_is_refused(text: str) -> None:
    try:
        made = varied([f"limit_pct={text}"], ImpactCortex)
    except NoBacktest:
        return
    assert all(0 <= s["limit_pct"] <= 400 for s in made[1:])


def test_a_node_is_meant_by_its_name_or_by_its_module() -> None:
    assert [n.name for n, _ in nodes_of(ENGINE, CRASH)] == [ENGINE]
    assert [n.name for n, _ in nodes_of("nodes.impact_cortex", CRASH)] == [ENGINE]  # nothing of vmc2 is left
    for node, said in {
        "vmc3/impact_cortex": "did you mean",
        "vmc1/sensory_cortex": "SensoryCortex offers no backtest",
        "nodes.knowledge_graph": "no KnowledgeGraph in it",
    }.items():
        with pytest.raises(NoBacktest, match=said):
            nodes_of(node, CRASH)


def test_delays_are_told_by_their_rank() -> None:
    tally = Tally(delays_ms=[5.0, 1.0, 3.0])
    assert [tally.delay_ms(p) for p in (0, 34, 50, 95)] == [1.0, 3.0, 3.0, 5.0]
    assert Tally().delay_ms(50) != Tally().delay_ms(50)
    tally.add(Tally(dict.fromkeys(COLUMNS, 2), [9.0]))
    assert set(tally.counts.values()) == {2}
    assert tally.delays_ms[-1] == 9.0


def jobs(bags: list[Path]) -> list[Job]:
    settings: tuple[dict[str, float], ...] = (
        {},
        {"limit_pct": 400.0, "cusum_threshold_pct_s": 1e4, "axis_limit_pct": 400.0},
    )
    return [Job(bag, nodes_of(ENGINE, CRASH)[0][0], target_of(ImpactCortex), settings, Question()) for bag in bags]


@pytest.mark.parametrize("processes", [1, 2])
def test_parts_come_from_here_or_from_other_processes_and_what_is_no_bag_is_told(
    tmp_path: Path, processes: int
) -> None:
    copies = [Path(shutil.copy(CRASH, tmp_path / f"{n}.mcap")) for n in range(2)]
    none = tmp_path / "none.mcap"
    none.write_text("nothing")
    told: list[float] = []
    parts = {job.bag.name: part for job, part in run(jobs([*copies, none]), processes, told.append)}
    assert isinstance(parts["none.mcap"], str)
    assert "no bag" in parts["none.mcap"]
    for name in ("0.mcap", "1.mcap"):
        part = parts[name]
        assert isinstance(part, Part)
        assert [t.counts["interventions"] for t in part.tallies] == [1, 0]
        assert part.cpu_s > 0
    assert told == sorted(told)
    assert told[-1] <= 1.0


def test_a_node_without_a_module_offers_none() -> None:
    assert Judge.backtest == ""
    assert ImpactCortex.backtest
    assert backtest.cores() >= 1


def held(start: int, end: int, life: int = 1, node: str = "vmc1/impact_cortex") -> Held:
    return Held(Path(f"{start}_{end}.mcap"), node, frozenset({life}), start * 1_000_000_000, end * 1_000_000_000)


@pytest.mark.parametrize(
    ("bags", "out"),
    [
        ([held(0, 100), held(40, 55)], {1}),
        ([held(40, 55), held(40, 55)], {0}),  # a copy
        ([held(0, 50), held(50, 100), held(42, 57)], {2}),  # a box across two splits
        ([held(0, 50), held(60, 100), held(42, 65)], set()),  # what lies between them is in the box alone
        ([held(0, 50), held(45, 60)], set()),
        ([held(0, 100), held(40, 55, life=2)], set()),  # another computer's machine of this name
        ([held(0, 100), held(40, 55, node="vmc2/impact_cortex")], set()),
        ([held(0, 50), held(50, 100)], set()),
        ([], set()),
    ],
)
def test_bags_whose_time_others_hold_are_found(bags: list[Held], out: set[int]) -> None:
    assert twice(bags) == out
