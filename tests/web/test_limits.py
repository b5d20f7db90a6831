"""Bad logins are counted, and what counts them is bounded."""

from __future__ import annotations

from web.limits import ADDRESS_MAX, BAD_MAX, KEPT_MAX, WINDOW_NS, LoginLimits


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
