"""Every fuzz target, for a moment: what once was answered wrongly, the seeds, and a few hundred inputs near them."""

from __future__ import annotations

import pytest

from tests.soak.fuzz_seeds import SEEDS
from tests.soak.fuzz_targets import FILES, GUIDED, TARGETS, find, share
from tests.soak.fuzz_worker import mutate

FEW = 150


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_values_and_documented_errors(name: str) -> None:
    target = find(name)
    report = mutate(target, len(target.seeds) + max(10, round(FEW * share(name) ** 0.5)), 0.0, 7, None)
    assert report.inputs > len(target.seeds)
    assert not report.findings, "\n".join(f"{f.kind} at {f.where}: {f.text}" for f in report.findings)


def test_the_tables_fit_each_other() -> None:
    assert set(SEEDS) | GUIDED <= set(TARGETS)
    assert sum(map(len, FILES.values())) == len(TARGETS), "a target stands in one file"
