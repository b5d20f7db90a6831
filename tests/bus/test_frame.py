"""The byte layout: what is packed is parsed, and garbage is refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import frame

U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)


@given(U64, U64, I64, I64, st.binary(max_size=300), st.sampled_from([0, frame.SPLIT]))
def test_a_frame_comes_back(publisher_id: int, seq: int, mono: int, wall: int, payload: bytes, flags: int) -> None:
    packed = frame.pack(frame.prefix("vmc1/machine/state"), publisher_id, seq, mono, wall, payload, flags)
    expected = frame.Published(b"vmc1/machine/state", flags, publisher_id, seq, mono, wall, payload)
    assert frame.parse(packed) == expected
    key = packed[: len(b"vmc1/machine/state") + frame.KEY_BYTES]
    assert frame.NUMBERS.unpack_from(packed, len(key)) == (seq, mono, wall)


@given(st.binary(max_size=200))
def test_whatever_arrives_is_parsed_or_refused(data: bytes) -> None:
    for read in (frame.parse, frame.decode_control, frame.decode_sync, frame.decode_beacon):
        try:
            read(data)
        except frame.BadFrame as refused:
            assert str(refused)


@given(st.binary(max_size=60), st.integers(0, 80))
def test_a_frame_cut_short_says_so(payload: bytes, length: int) -> None:
    packed = frame.pack(frame.prefix("a"), 1, 2, 3, 4, payload)
    cut = packed[: min(length, 2 + frame.HEADER_BYTES - 1)]
    with pytest.raises(frame.BadFrame, match=r"cut short|without the zero byte"):
        frame.parse(cut)


def test_another_version_is_named() -> None:
    packed = bytearray(frame.pack(frame.prefix("a"), 1, 2, 3, 4, b""))
    packed[2] = 9
    with pytest.raises(frame.BadFrame, match="version 9 of the frame layout, this node speaks 1"):
        frame.parse(bytes(packed))


@pytest.mark.parametrize("deep", [b"\x91" * 100_000, b"\x81\xa1a" * 100_000])
def test_a_tower_of_brackets_is_refused(deep: bytes) -> None:
    for read in (frame.decode_control, frame.decode_sync, frame.decode_beacon):
        with pytest.raises(frame.BadFrame):
            read(deep)


@given(
    st.one_of(
        st.builds(
            frame.Request, st.text(), st.text(), U64, U64, st.integers(0, 9), U64, st.integers(0, 10**6), st.binary()
        ),
        st.builds(frame.Reply, U64, st.text(), st.text(), st.binary(), U64),
        st.builds(frame.Repair, U64, st.text(), U64, U64),
        st.builds(
            frame.Repaired, U64, st.text(), U64, U64, U64, st.lists(st.tuples(st.binary(), st.binary()), max_size=3)
        ),
    )
)
def test_control_messages_come_back(message: frame.Control) -> None:
    assert frame.decode_control(frame.encode(message)) == message


def test_a_sync_token_sorts_after_every_topic() -> None:
    assert frame.prefix("zzz/z") < frame.BEACON < frame.SYNC


@pytest.mark.parametrize(
    "message",
    [
        frame.Request("a", "b", 1, -1, 0, 0, 0, b""), frame.Request("a", "b", -1, 1, 0, 0, 0, b""),
        frame.Request("a", "x" * 10_000, 1, 1, 0, 0, 0, b""), frame.Request("x" * 10_000, "b", 1, 1, 0, 0, 0, b""),
        frame.Repair(1, "a", -5, 3), frame.Repaired(1, "a", 1, -1, 0, []), frame.Reply(-1, "", "", b"", 0),
    ],
)  # fmt: skip
def test_numbers_below_zero_and_names_of_kilobytes_are_refused(message: frame.Control) -> None:
    """A trace has no room for the one, and memory none for the other: every name is kept somewhere."""
    with pytest.raises(frame.BadFrame):
        frame.decode_control(frame.encode(message))


def test_what_a_publisher_says_of_itself_is_bounded_too() -> None:
    with pytest.raises(frame.BadFrame):
        frame.decode_beacon(frame.encode(frame.Beacon(1, {"a": -1})))
    with pytest.raises(frame.BadFrame):
        frame.decode_sync(frame.encode(frame.Sync("x", [frame.NodeSync(1, "n", {"x" * 10_000: 1})], [])))
    assert len(str(frame.BadFrame("x" * 10**6))) < 1000
