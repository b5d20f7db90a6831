"""Files of labels: what they mean, and every mistake in one with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.labels import BadLabels, Wrong, mistakes, of, parse, read

S = 1_000_000_000
NOON_NS = 1_764_072_000 * S  # 2025-11-25T12:00:00Z
TEXT = """\
# what happened in November
machine,start,end,kind,bag
vmc1,612.40,613,Crash,run.mcap
vmc1,2025-11-25T12:00:01.500Z,2025-11-25T13:00:02+01:00,breakage,

vmc2,0,3600,fine,run.mcap
"""


def test_seconds_are_of_the_bag_and_times_of_the_calendar() -> None:
    labels = parse(TEXT)
    bag, start_ns, end_ns = Path("bags/run.mcap"), NOON_NS, NOON_NS + 3600 * S
    assert of(labels, bag, "vmc1", start_ns, end_ns) == [
        Wrong(NOON_NS + 612_400_000_000, NOON_NS + 613 * S, "crash"),
        Wrong(NOON_NS + 1_500_000_000, NOON_NS + 2 * S, "breakage"),
    ]


def test_fine_says_that_nothing_was_wrong_and_no_label_says_nothing() -> None:
    labels = parse(TEXT)
    span = (NOON_NS, NOON_NS + 3600 * S)
    assert of(labels, Path("run.mcap"), "vmc2", *span) == []
    assert of(labels, Path("other.mcap"), "vmc2", *span) is None
    assert of(labels, Path("run.mcap"), "vmc3", *span) is None
    # of a day on which the bag was not recorded
    assert of(labels[1:2], Path("other.mcap"), "vmc1", NOON_NS + 86_400 * S, NOON_NS + 86_401 * S) is None


def test_columns_may_stand_in_any_order_and_a_windows_file_is_one() -> None:
    labels = parse("\ufeffKIND,end,start,machine,note\r\ncrash,2,1,vmc1,by maria\r\n")
    assert [(label.machine, label.start.ns, label.kind, label.line) for label in labels] == [("vmc1", S, "crash", 2)]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("vmc1,2,1,crash", "line 2: end 1 lies before start 2"),
        ("vmc1,soon,1,crash", "line 2: start: expected seconds from the bag's start, or 2026-11-25T12:21:06.5Z"),
        ("vmc1,2025-11-25T12:00:00,2025-11-25T12:00:01Z,crash", "line 2: start: expected seconds"),
        ("vmc1,1,2025-11-25T12:00:01Z,crash", "line 2: start and end: one is seconds"),
        ("vmc1,1,2,", "line 2: kind: expected a word"),
        ("vmc1,1,2", "line 2: kind: expected a word"),
        (",1,2,crash", "line 2: machine: expected a word"),
        ("vmc1,1e99,2,crash", "line 2: start: expected seconds"),
        ("vmc1,1,99999999999999,crash", "line 2: end: expected seconds"),
    ],
)
def test_a_mistake_is_told_with_its_line(row: str, text: str) -> None:
    with pytest.raises(BadLabels, match=text.replace("(", r"\(")):
        parse(f"machine,start,end,kind\n{row}\n")


def test_all_mistakes_are_told_at_once_and_not_too_many() -> None:
    with pytest.raises(BadLabels) as caught:
        parse("machine,start,end,kind\n" + "vmc1,x,y,crash\n" * 100)
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "labels: and 180 more"


@pytest.mark.parametrize(("text", "said"), [("", "empty"), ("machine,start\n", "end, kind not there")])
def test_a_file_without_its_columns_is_none(text: str, said: str) -> None:
    with pytest.raises(BadLabels, match=said):
        parse(text)


def test_a_file_that_is_no_text_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"machine,start,end,kind\n\xff\xfe")
    with pytest.raises(BadLabels, match="not UTF-8"):
        read(path)


def test_labels_that_fit_no_bag_are_told() -> None:
    labels = parse("machine,start,end,kind,bag\nvmc1,1,2,crash,\nvmc1,1,2,crash,c.mcap\n")
    assert list(mistakes(labels, [Path("a.mcap"), Path("b.mcap")])) == [
        "line 2: seconds of which bag? give its file's name in a column bag",
        "line 3: bag c.mcap is not given",
    ]
    assert list(mistakes(labels[:1], [Path("a.mcap")])) == []


words = st.sampled_from(
    ["machine", "start", "end", "kind", "bag", "vmc1", "1.5", "2025-11-25T12:00:00Z", "fine", '"', "#"]
)


@given(st.lists(st.lists(words | st.text(max_size=6), max_size=6).map(",".join), max_size=6).map("\n".join))
def test_any_text_is_read_or_refused_with_its_line(text: str) -> None:
    for whole in (text, f"machine,start,end,kind,bag\n{text}"):
        try:
            labels = parse(whole)
        except BadLabels as error:
            assert str(error).startswith("labels")
        else:
            assert all(label.end.ns >= label.start.ns for label in labels)
