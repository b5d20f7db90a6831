"""The order in which bags go."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bus.bag.quota import BLACK_BOX, RUN, Kept, limit_bytes, to_delete

DAY_NS = 86_400_000_000_000
NOW_NS = 1000 * DAY_NS


def bag(
    name: str, *, age_days: float = 1, kind: str = RUN, cutting: bool = True, run: str = "r", size: int = 10
) -> Kept:
    return Kept(Path(name), size, NOW_NS - int(age_days * DAY_NS), kind, cutting, (run,) if run else ())


def names(bags: list[Kept], quota: int, days: float = 30) -> list[str]:
    return [str(d.bag.path) for d in to_delete(bags, quota, days, NOW_NS)[0]]


SHELF = [
    bag("young black box", kind=BLACK_BOX),
    bag("old black box", kind=BLACK_BOX, age_days=99),
    bag("linked"),
    bag("linked, old", age_days=40),
    bag("linked, older", age_days=50),
    bag("unlinked", run=""),
    bag("idle", cutting=False, run=""),
    bag("idle, older", cutting=False, run="", age_days=2),
]


def test_idle_then_unlinked_then_linked_past_retention_then_old_black_boxes() -> None:
    order = ["idle, older", "idle", "unlinked", "linked, older", "linked, old", "old black box"]
    assert names(SHELF, 80) == []
    for n in range(1, 7):
        assert names(SHELF, 80 - 10 * n) == order[:n]


def test_what_is_linked_or_a_black_box_and_young_never_goes() -> None:
    going, over = to_delete(SHELF, 0, 30, NOW_NS)
    assert {str(d.bag.path) for d in going} == {str(b.path) for b in SHELF} - {"linked", "young black box"}
    assert over == 20
    assert all(d.reason for d in going)


def test_the_limit_is_the_smaller_of_5_gb_and_a_tenth() -> None:
    assert limit_bytes(0, 10**12) == 5 * 10**9
    assert limit_bytes(0, 10**10) == 10**9
    assert limit_bytes(2.5, 10**10) == 2_500_000_000


@given(
    st.lists(
        st.builds(
            bag,
            st.uuids().map(str),
            age_days=st.floats(0, 100),
            kind=st.sampled_from([RUN, BLACK_BOX]),
            cutting=st.booleans(),
            run=st.sampled_from(["", "r"]),
            size=st.integers(0, 1000),
        )
    ),
    st.integers(0, 20_000),
)
def test_no_more_goes_than_must(bags: list[Kept], quota: int) -> None:
    going, over = to_delete(bags, quota, 30, NOW_NS)
    used = sum(b.size_bytes for b in bags)
    gone = sum(d.bag.size_bytes for d in going)
    assert over == max(0, used - gone - quota)
    if going:
        assert used - gone + going[-1].bag.size_bytes > quota
