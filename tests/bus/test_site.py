"""A site file, whatever stands in it: mistakes with their lines, never an exception, and no line takes for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.site import PlacedList, read_site


def mistakes(folder: Path, text: str) -> list[tuple[str, int]]:
    path = folder / "site.toml"
    path.write_text(text)
    return [(m.id, m.where.line) for m in read_site(path)[1]]


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5000 + "]" * 5000, "a = " + "1" * 5000, "a = [" * 300 + "]" * 300, "a." * 3000 + "a = [[["],
    ids=["a tower", "a long number", "nested tables", "a long key"],
)
def test_what_tomllib_does_not_call_a_mistake_is_one(tmp_path: Path, text: str) -> None:
    assert mistakes(tmp_path, text)[0][0] == "site-syntax"


def test_a_value_too_deep_to_be_written_is_told(tmp_path: Path) -> None:
    text = "[machines.vmc1]\nmode = [{" + ".".join("a" * 3000) + " = 1}]"
    assert mistakes(tmp_path, text) == [("site-value", 2)]


@pytest.mark.parametrize(
    "long", [" " * 50_000, "[" + "]" * 50_000, "[" * 50_000, "[" + " " * 50_000 + "x", "a " * 25_000]
)
def test_a_long_line_is_gone_through_once(tmp_path: Path, long: str) -> None:
    """The test's own timeout tells: with the square of its length each of them takes minutes."""
    assert mistakes(tmp_path, f'[nodes.x]\ntext = """\n{long}\n"""\n[machine.vmc1]\n') == [("site-key", 5)]


def test_keys_are_found_however_they_are_written(tmp_path: Path) -> None:
    text = (
        '[machines."vmc1"] # the mill\nmode = 1\n  [ machines.vmc2 ]\n  "mode" = 2\n'
        "[[x]]\n[machines.'vmc3']\nm\u006fde = 3\nmachines.vmc4.mode = 4\n"
    )
    assert mistakes(tmp_path, text) == [("site-key", 5), ("site-value", 2), ("site-value", 4), ("site-value", 7)]


@pytest.mark.parametrize(
    ("text", "first", "items"),
    [
        ("[machines.a]\nsources = [{ driver = 'x' }, { driver = 'y' }]\n", 2, [2, 2]),
        (
            "[machines.a]\nsources = [ # a { b\n  { driver = '}' },\n\n  { c = [{ d = 1 }] },\n]\nmode = 'HOLD'\n",
            2,
            [3, 5],
        ),
        ("[machines.a]\n[[machines.a.sources]]\nx = 1\n[[machines.a.sources]]\nx = 2\n", 4, [2, 4]),
        ("machines.a.sources = [1, 2]\n", 1, []),
    ],
)
def test_each_source_of_a_machine_remembers_its_line(tmp_path: Path, text: str, first: int, items: list[int]) -> None:
    (tmp_path / "site.toml").write_text(text)
    site, wrong = read_site(tmp_path / "site.toml")
    assert wrong == []
    placed = site.machines[0].sources
    assert isinstance(placed, PlacedList)
    given = placed.given()
    assert (given.where.line, [w.line for w in given.items]) == (first, items)
    assert [given.at(n).line for n in range(len(items))] == items
    assert given.at(99) == given.at() == given.where


def test_sources_that_are_no_list_are_a_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "[machines.a]\nsources = { driver = 'x' }\n") == [("site-value", 2)]
