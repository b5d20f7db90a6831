"""Bad logins are counted, the audit is spared, and what counts them is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from web.limits import (
    ADDRESS_MAX,
    BAD_MAX,
    KEPT_MAX,
    REFUSED,
    REFUSED_IN_ALL,
    STOPS,
    STOPS_IN_ALL,
    WINDOW_NS,
    AuditLimits,
    LoginLimits,
    Pace,
)


def test_after_five_bad_logins_one_waits() -> None:
    limits = LoginLimits()
    for n in range(BAD_MAX):
        assert limits.wait_ns("maria", "10.0.0.1", n) <= 0
        limits.failed("maria", "10.0.0.1", n)
    assert limits.wait_ns("maria", "10.0.0.1", BAD_MAX) == WINDOW_NS - 1
    assert limits.wait_ns("maria", "10.0.0.2", BAD_MAX) == 0, "nobody locks another terminal out"
    assert limits.wait_ns("bob", "10.0.0.1", BAD_MAX) == 0
    assert limits.wait_ns("maria", "10.0.0.1", WINDOW_NS + BAD_MAX) <= 0


def test_a_good_login_ends_the_count() -> None:
    limits = LoginLimits()
    for n in range(BAD_MAX - 1):
        limits.failed("maria", "here", n)
    limits.succeeded("maria", "here")
    limits.failed("maria", "here", 10)
    assert limits.wait_ns("maria", "here", 11) == 0


def test_many_names_from_one_address_wait_too() -> None:
    limits = LoginLimits()
    for n in range(ADDRESS_MAX):
        limits.failed(f"user{n}", "here", n)
    assert limits.wait_ns("another", "here", ADDRESS_MAX) > 0


def test_what_is_long_ago_does_not_count() -> None:
    limits = LoginLimits()
    for _ in range(BAD_MAX - 1):
        limits.failed("maria", "here", 0)
    limits.failed("maria", "here", WINDOW_NS + 1)
    assert limits.wait_ns("maria", "here", WINDOW_NS + 2) == 0


def test_it_is_bounded() -> None:
    limits = LoginLimits()
    for n in range(3 * KEPT_MAX):
        limits.failed(f"u{n}", f"a{n}", n)
    assert len(limits) == KEPT_MAX


ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "fe80::1"]) | st.text(max_size=8)
ATTEMPTS = st.lists(st.tuples(ADDRESSES, st.integers(0, 40_000_000_000), st.booleans()), max_size=400)


@given(ATTEMPTS)
def test_the_audit_is_never_filled_faster_than_its_paces_and_nothing_goes_uncounted(
    attempts: list[tuple[str, int, bool]],
) -> None:
    limits = AuditLimits()
    now_ns = told = 0
    times: dict[tuple[bool, str], list[int]] = {}
    for address, later_ns, stops in attempts:
        now_ns += later_ns
        if limits.tells(address, now_ns, stops=stops):
            told += 1
            times.setdefault((stops, address), []).append(now_ns)
    assert told + limits.take_left_out() == len(attempts)
    assert limits.take_left_out() == 0, "it is told once"
    for (stops, _), at in times.items():
        assert_within(STOPS if stops else REFUSED, at)
    for stops, pace in ((True, STOPS_IN_ALL), (False, REFUSED_IN_ALL)):
        assert_within(pace, sorted(t for (s, _), at in times.items() if s == stops for t in at))


def assert_within(pace: Pace, at: list[int]) -> None:
    """In no stretch of time there are more than its length and the burst allow."""
    for i, first_ns in enumerate(at):
        for j in range(i, len(at)):
            assert j - i + 1 <= pace.burst + 1 + (at[j] - first_ns) // pace.every_ns


@given(st.integers(1, 3000), st.lists(ADDRESSES, min_size=1, max_size=20))
def test_no_flood_of_what_is_refused_takes_the_audit_of_a_stop(count: int, addresses: list[str]) -> None:
    limits = AuditLimits()
    for n in range(count):
        limits.tells(addresses[n % len(addresses)], n)
    assert all(limits.tells(addresses[0], count, stops=True) for _ in range(STOPS.burst))


@given(st.integers(0, 10**15))
def test_who_was_quiet_is_told_again(quiet_ns: int) -> None:
    limits = AuditLimits()
    told = [limits.tells("here", 0) for _ in range(REFUSED.burst + 5)]
    assert told == [True] * REFUSED.burst + [False] * 5
    again = sum(limits.tells("here", quiet_ns) for _ in range(2 * REFUSED.burst))
    assert again == min(quiet_ns // REFUSED.every_ns, REFUSED.burst)


def test_one_address_leaves_room_for_another_and_all_together_do_not_fill_it() -> None:
    limits = AuditLimits()
    assert sum(limits.tells("10.0.0.1", 0) for _ in range(1000)) == REFUSED.burst
    assert limits.tells("10.0.0.2", 0)
    assert sum(limits.tells(f"address {n}", 0) for n in range(3 * KEPT_MAX)) == REFUSED_IN_ALL.burst - REFUSED.burst - 1
    assert len(limits) == KEPT_MAX
