"""Numbers on a command line: within bounds, and numbers."""

from __future__ import annotations

import click
import pytest

from bus.cli.number import SECONDS, Number


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "1e300", "x", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        SECONDS.convert(text, None, None)


def test_what_is_one_is_taken() -> None:
    assert SECONDS.convert("-1.5", None, None) == -1.5
    assert Number(0.1, 2.0).convert("2", None, None) == 2.0
