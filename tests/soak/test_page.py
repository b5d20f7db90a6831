"""What is judged of a page's hour."""

from __future__ import annotations

from tests.soak.page import Result, Sample


def result(**rises: float) -> Result:
    """An hour in which these rise by so much."""
    told = Result(lost="0 0")
    for minute in range(60):
        grown = {
            name: 10.0 + rises.get(name, 0.0) * minute / 60.0 for name in ("heap_mb", "nodes", "listeners", "pss_mb")
        }
        told.samples.append(Sample(float(minute), **grown))
    return told


def test_what_is_flat_is_no_complaint_and_what_rises_is() -> None:
    assert result().complaints == []
    assert result(heap_mb=1.0, nodes=50.0).complaints == []
    assert result(heap_mb=3.0).complaints == ["heap_mb rises by 3.0 an hour"]
    assert result(listeners=400.0, pss_mb=20.0).complaints == [
        "pss_mb rises by 20.0 an hour",
        "listeners rises by 400.0 an hour",
    ]


def test_what_is_lost_is_a_complaint_however_flat_the_rest() -> None:
    told = result()
    told.lost = "2 0"
    assert told.complaints == ["lost: 2 0"]
