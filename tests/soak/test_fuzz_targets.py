"""Every fuzz target, for a moment: what once was answered wrongly, the seeds, and inputs near them."""

from __future__ import annotations

import pytest

from tests.soak.fuzz_seeds import SEEDS
from tests.soak.fuzz_targets import FILES, TARGETS, find
from tests.soak.fuzz_worker import Report, mutate


def told(report: Report) -> str:
    return "\n".join(f"{f.kind} at {f.where}: {f.text}" for f in report.findings)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_values_and_documented_errors(name: str) -> None:
    target = find(name)
    wanted = len(target.seeds) + len(target.known) + 60
    report = mutate(target, wanted, 0.0, 7, None)
    assert report.inputs == wanted
    assert not report.findings, told(report)


@pytest.mark.full
@pytest.mark.parametrize("name", TARGETS)
def test_the_same_with_a_tenth_of_a_soak_as_far_as_it_gets(name: str) -> None:
    report = mutate(find(name), 100_000, 0.5, 8, None)
    assert not report.findings, told(report)


def test_the_tables_fit_each_other() -> None:
    assert set(SEEDS) <= set(TARGETS)
    assert sum(map(len, FILES.values())) == len(TARGETS), "a target stands in one file"
