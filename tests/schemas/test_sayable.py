"""Text that may be said: whatever it was, it travels, and is not too long for a log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.sayable import sayable, shown

ANY_TEXT = st.text(st.characters(), max_size=300) | st.text(st.characters(categories=["Cs"]), max_size=20)


@given(ANY_TEXT, st.integers(10, 60))
def test_it_travels_and_is_short(text: str, most: int) -> None:
    said = sayable(text, most)
    said.encode()
    assert len(said) <= 6 * most + 5, "each character may have become an escape of six"
    if len(text) <= most and text.isascii():
        assert said == text


def test_the_beginning_and_the_end_are_kept() -> None:
    assert sayable("abc" + "x" * 10**6 + "yz", 8) == "abcx ... xxyz"


def test_of_a_large_value_no_more_is_written_than_is_shown() -> None:
    written: list[int] = []

    class Counting(int):
        def __repr__(self) -> str:
            written.append(self)
            return "7"

    assert shown([[Counting(n) for n in range(1000)] for _ in range(1000)]).startswith("[[7, 7, ")
    assert len(written) < 100


def test_a_value_that_python_cannot_write_is_named_by_its_type() -> None:
    tower: list[object] = []
    for _ in range(100_000):
        tower = [tower]
    assert shown(tower) == "[[[[...]]]]"
    assert shown(10**5000) == "<int>"
    assert shown("\ud800") == r"'\ud800'"
    while tower:
        tower = tower.pop()  # type: ignore[assignment] # a tower of lists: taken down floor by floor
