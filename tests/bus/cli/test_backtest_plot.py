"""The drawing of a backtest: well formed, every setting in it, whatever is varied."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bus.backtest import COLUMNS, Tally
from bus.cli.backtest_plot import LINES, MOST_MARKS, svg

SVG = "{http://www.w3.org/2000/svg}"


def tallies(count: int, most: int = 9) -> list[Tally]:
    return [Tally({name: (n * k) % (most + 1) for k, name in enumerate(COLUMNS)}) for n in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 40])
@pytest.mark.parametrize("numbers", [True, False])
def test_every_setting_is_a_point_on_every_line(count: int, numbers: bool) -> None:
    names = ["as recorded", *(f"mode=<{n}>" for n in range(1, count))]
    axis = [float(n) for n in range(1, count)] if numbers and count > 1 else None
    drawn = ElementTree.fromstring(svg(axis, names, tallies(count)))
    points = max(1, count - 1)
    lines = drawn.findall(f"{SVG}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [points] * len(LINES)
    assert len(drawn.findall(f"{SVG}circle")) == points * len(LINES)
    words = [text.text for text in drawn.findall(f"{SVG}text")]
    assert {text for text, _, _ in LINES.values()} <= set(words)
    assert len(words) <= len(LINES) + MOST_MARKS + 8


def test_nothing_lies_outside_of_the_drawing() -> None:
    drawn = ElementTree.fromstring(svg([3.0, 1.0, 2.0], ["as recorded", "a=3", "a=1", "a=2"], tallies(4, 1000)))
    for circle in drawn.findall(f"{SVG}circle"):
        assert 0 <= float(circle.attrib["cx"]) <= 860
        assert 0 <= float(circle.attrib["cy"]) <= 420


def test_no_decision_at_all_is_a_drawing_too() -> None:
    assert ElementTree.fromstring(svg([1.0], ["as recorded", "a=1"], [Tally(), Tally()])) is not None
