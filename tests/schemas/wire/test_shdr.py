"""The SHDR codec: what adapters send, cut anywhere; what is encoded comes back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.wire.shdr import (
    LEVELS,
    Asset,
    AssetsRemoved,
    Bad,
    Command,
    Condition,
    Decoder,
    Event,
    Kind,
    MessageText,
    TimeSeries,
    Value,
    encode,
)

KINDS = {"cond": Kind.CONDITION, "msg": Kind.MESSAGE, "vib": Kind.TIME_SERIES}
SECOND = 1_000_000_000
AT = 1_659_966_694 * SECOND
T = "2022-08-08T13:51:34Z"


def events(text: str | bytes, **options: Any) -> list[Event]:
    return Decoder(KINDS, **options).receive(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{T}|execution|ACTIVE|Srpm|8000", [Value(AT, "execution", "ACTIVE"), Value(AT, "Srpm", "8000")]),
        (f"{T}|block||line|7", [Value(AT, "block", ""), Value(AT, "line", "7")]),
        (f"{T}|block|", [Value(AT, "block", "")]),
        ("|Srpm|1", [Value(None, "Srpm", "1")]),
        ("1250.5|Srpm|1", [Value(None, "Srpm", "1")]),
        (f"{T}@0.25|avg|3", [Value(AT, "avg", "3", "", 0.25)]),
        (f"{T}|mill:Srpm|1", [Value(AT, "Srpm", "1", "mill")]),
        (f'{T}|block|"a\\|b"|line|7', [Value(AT, "block", "a|b"), Value(AT, "line", "7")]),
        (f'{T}|block|say "a"', [Value(AT, "block", 'say "a"')]),
        (f'{T}|block|"open|line|7', [Value(AT, "block", '"open'), Value(AT, "line", "7")]),
        (f"{T}|path|C:\\new", [Value(AT, "path", "C:\\new")]),
        (f"{T}|system|NORMAL||||", [Condition(AT, "system", "NORMAL")]),
        (f"{T}|system|UNAVAILABLE||||", [Condition(AT, "system", "UNAVAILABLE")]),
        (f"{T}|s|fault|SV0436|1|HIGH|overload", [Condition(AT, "s", "FAULT", "SV0436", "1", "HIGH", "overload")]),
        (f"{T}|cond|FAULT|7", [Condition(AT, "cond", "FAULT", "7")]),
        (f"{T}|cond|NORMAL|||||Srpm|1", [Condition(AT, "cond", "NORMAL"), Value(AT, "Srpm", "1")]),
        (f"{T}|a|NORMAL|b|1|c|2", [Value(AT, "a", "NORMAL"), Value(AT, "b", "1"), Value(AT, "c", "2")]),
        (
            f"{T}|a|UNAVAILABLE|b|1||2",
            [Value(AT, "a", "UNAVAILABLE"), Value(AT, "b", "1"), Bad("fields", "a value without a key: '2'")],
        ),
        (f"{T}|msg|CHG|change it", [MessageText(AT, "msg", "CHG", "change it")]),
        (f"{T}|msg|change it", [MessageText(AT, "msg", "", "change it")]),
        (f"{T}|vib|3|1000|1 2.5 -3|Srpm|1", [TimeSeries(AT, "vib", 1000.0, (1.0, 2.5, -3.0)), Value(AT, "Srpm", "1")]),
        (f"{T}|vib|UNAVAILABLE", [Value(AT, "vib", "UNAVAILABLE")]),
        (f"{T}|@REMOVE_ASSET@|T1", [AssetsRemoved(AT, "T1")]),
        (f"{T}|@REMOVE_ALL_ASSETS@|CuttingTool", [AssetsRemoved(AT, "", "CuttingTool")]),
        (f"{T}|@ASSET@|T1|CuttingTool|<a/>", [Asset(AT, "T1", "CuttingTool", "<a/>")]),
        ("* PONG 10000", [Command("PONG", "10000")]),
        ("* device: mill", [Command("device", "mill")]),
        ("", []),
        ("   ", []),
    ],
)
def test_lines(line: str, expected: list[Event]) -> None:
    assert events(line + "\n") == expected
    assert events(line + "\r\n") == expected


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        (T, ["fields"]),
        (f"{T}|Srpm", ["fields"]),
        ("yesterday|Srpm|1", ["time"]),
        ("2022-13-08T13:51:34Z|Srpm|1", ["time"]),
        (f"{T}@long|Srpm|1", ["time"]),
        (f"{T}|vib|2|1000|1 2 3", ["number"]),
        (f"{T}|vib|a|1000|1", ["number"]),
        (f"{T}|vib|1", ["number"]),
        (f"{T}|cond|BROKEN", ["fields"]),
        (f"{T}|@ASSET@", ["asset"]),
    ],
)
def test_what_is_wrong_is_told_and_the_rest_of_the_line_kept(line: str, kinds: list[str]) -> None:
    found = events(f"{line}\n{T}|b|2\n")
    assert [e.kind for e in found if isinstance(e, Bad)] == kinds
    assert found[-1] == Value(AT, "b", "2")
    if kinds == ["time"]:
        assert isinstance(found[1], Value)
        assert (found[1].key, found[1].text) == ("Srpm", "1")


def test_a_bom_no_utf_8_and_a_latin_text() -> None:
    assert events(b"\xef\xbb\xbf* PONG 1\n") == [Command("PONG", "1")]
    assert events("\ufeff* PONG 1\n\ufeff|a|1\n") == [Command("PONG", "1"), Value(None, "a", "1")]
    bad, value = events(b"|block|D\xfcse\n")
    assert isinstance(bad, Bad)
    assert (bad.kind, value) == ("utf-8", Value(None, "block", "D�se"))


def test_an_asset_over_several_lines_keeps_its_text() -> None:
    text = f"{T}|@ASSET@|T1|CuttingTool|--multiline--AB\n<a>\n  x|y\n</a>\n--multiline--AB\n|b|2\n"
    assert events(text) == [Asset(AT, "T1", "CuttingTool", "<a>\n  x|y\n</a>"), Value(None, "b", "2")]


def test_a_text_that_never_ends_costs_no_more_than_its_bound() -> None:
    found = events(f"{T}|@ASSET@|T1|CuttingTool|--multiline--AB\n" + "x" * 99 + "\n" + "|b|2\n" * 9, asset_max=100)
    assert isinstance(found[0], Bad)
    assert found[0].kind == "too-long"
    assert found[1:] == [Value(None, "b", "2")] * 8


@given(st.integers(1, 5000), st.integers(1, 200))
def test_a_line_too_long_is_left_out_however_it_comes(length: int, piece: int) -> None:
    data = b"|a|" + b"x" * length + b"\n|b|2\n"
    decoder = Decoder(line_max=1000)
    found = [e for n in range(0, len(data), piece) for e in decoder.receive(data[n : n + piece])]
    first = "too-long" if length + 3 > 1000 else "value"
    assert ["too-long" if isinstance(e, Bad) else "value" for e in found] == [first, "value"]


def test_what_a_cut_connection_leaves_is_told_once() -> None:
    decoder = Decoder()
    assert decoder.receive(b"|a|1\n|b|PROCESS_DEVELOP") == [Value(None, "a", "1")]
    (cut,) = decoder.close()
    assert isinstance(cut, Bad)
    assert cut.kind == "cut"
    assert decoder.close() == []
    assert decoder.receive(b"|c|3\n") == [Value(None, "c", "3")]
    decoder.receive(b"|@ASSET@|1|T|--multiline--A\nx\n")
    assert [e.kind for e in decoder.close() if isinstance(e, Bad)] == ["cut"]


text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\r\n\ufeff"), max_size=20)
word = st.text("abcXYZ019_", min_size=1, max_size=8)
stamp = st.none() | st.integers(0, 4_000_000_000 * SECOND)
number = st.floats(allow_nan=False)
about = {"stamp_ns": stamp, "device": st.just("") | word, "duration_s": st.none() | st.floats(0, 1e6)}
observations: st.SearchStrategy[Event] = st.one_of(
    st.builds(Value, key=word.map("v".__add__), text=text, **about),
    st.builds(
        Condition, key=st.just("cond"), level=st.sampled_from(LEVELS), native_code=text, native_severity=text,
        qualifier=text, text=text, **about,
    ),
    st.builds(MessageText, key=st.just("msg"), native_code=text, text=text, **about),
    st.builds(TimeSeries, key=st.just("vib"), rate_hz=number, values=st.lists(number, max_size=5).map(tuple), **about),
    st.builds(Asset, stamp_ns=stamp, asset_id=word, asset_type=word, text=text),
    st.builds(AssetsRemoved, stamp_ns=stamp, asset_id=word),
    st.builds(AssetsRemoved, stamp_ns=stamp, asset_type=word),
    st.builds(Command, name=word, argument=word),
)  # fmt: skip


@given(st.lists(observations, max_size=10), st.integers(1, 40))
def test_what_is_encoded_comes_back_however_tcp_cuts_it(sent: list[Event], piece: int) -> None:
    data = b"".join(map(encode, sent))
    decoder = Decoder(KINDS)
    came = [e for n in range(0, len(data), piece) for e in decoder.receive(data[n : n + piece])]
    assert came == sent
    assert decoder.close() == []


@given(st.lists(text, min_size=1, max_size=4))
def test_an_asset_of_several_lines_comes_back(lines: list[str]) -> None:
    asset = Asset(None, "T1", "CuttingTool", "\n".join(["<a>", *lines]))
    assert Decoder().receive(encode(asset)) == [asset]


@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_give_the_same_however_they_are_cut(data: bytes, piece: int) -> None:
    whole, cut = Decoder(KINDS, line_max=100), Decoder(KINDS, line_max=100)
    once = whole.receive(data) + whole.close()
    again = [e for n in range(0, len(data), piece) for e in cut.receive(data[n : n + piece])] + cut.close()
    assert repr(again) == repr(once)
    with pytest.raises(ValueError, match="no line"):
        encode(Bad("time", "x"))
