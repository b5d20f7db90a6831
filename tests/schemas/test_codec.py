"""Every message type: there and back, plain msgpack on the wire, and nothing but DecodeError for what is none."""

from __future__ import annotations

import struct
import tracemalloc
import types
import typing
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, get_args, get_origin

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec as codec_module
from schemas.base import Message, Samples, Unit
from schemas.codec import SPLIT_BYTES, DecodeError, EncodeError, codec, prepare
from schemas.grammar import fields
from schemas.machine import Cause, Execution, MachineState, SignalBlock, SignalInfo, Signals, StopRequest
from tests.schemas.strategies import INTEGERS, every_message, messages

EVERY_TYPE = pytest.mark.parametrize("cls", every_message(), ids=lambda c: c.__name__)


class Leaf(Message):
    """Below a tuple below an optional."""

    name: str
    weight: typing.Annotated[float, Unit("kg")] = 1.5


class Everything(Message):
    """One field of each kind the grammar has."""

    count: int
    ratio: float
    yes: bool
    text: str
    raw: bytes
    state: Execution
    leaf: Leaf
    leaves: tuple[Leaf, ...]
    table: tuple[tuple[int, ...], ...]
    perhaps: Leaf | None
    note: str | None = None
    many: tuple[Leaf | None, ...] = (None,)
    data: Samples


class Last(Message):
    """The array is the last field, so that it can travel apart."""

    name: str
    data: Samples


def plain(value: Any) -> Any:
    """What `msgpack.unpackb` must give for a field, made without the codec; floats as bits, so that NaN compares."""
    if isinstance(value, Message):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Samples):
        array = value.array
        return {"dtype": array.dtype.str, "shape": list(array.shape), "data": array.tobytes()}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, StrEnum):
        return value.value
    return struct.pack("<d", value) if isinstance(value, float) else value


def same(a: Any, b: Any) -> bool:
    """Equal, with NaN equal to itself, and every nested value of the same type."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Message):
        return all(same(getattr(a, n), getattr(b, n)) for n in type(a).model_fields)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(plain(a) == plain(b))


@EVERY_TYPE
@settings(max_examples=25)
@given(data=st.data())
def test_there_and_back(cls: type[Message], data: st.DataObject) -> None:
    there_and_back(data.draw(messages(cls)))


@given(messages(Everything))
def test_there_and_back_with_every_kind_of_field(message: Everything) -> None:
    there_and_back(message)


def there_and_back(message: Message) -> None:
    coder = codec(type(message))
    payload = coder.encode(message)
    assert plain(msgpack.unpackb(payload)) == plain(message)
    back = coder.decode(payload)
    assert same(back, message)
    assert same(coder.decode(memoryview(payload)), message)
    assert coder.encode(back) == payload
    assert back.model_fields_set == set(type(message).model_fields)
    assert same(back.model_copy(), message)


def paths(cls: type[Message], value: dict[str, Any], at: str = "$") -> Iterator[tuple[dict[str, Any], str, Any, str]]:
    """Every field below a map: its map, key, annotation and path as an error names it."""
    for field in fields(cls):
        if field.name not in value:
            continue
        path = f"{at}.{field.name}"
        yield value, field.name, field.type, path
        inner: Any = field.type
        item = value[field.name]
        while get_args(inner):
            if get_origin(inner) is tuple:
                item = item[0] if item else None
                path += "[0]"
            inner = next(a for a in get_args(inner) if a is not type(None))
        if isinstance(inner, type) and issubclass(inner, Message) and isinstance(item, dict):
            yield from paths(inner, item, path)


def wrong_for(annotation: Any) -> list[Any]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return wrong_for(args[0])
    if origin is tuple:
        return [3, "text", None, {}]
    if origin in (typing.Union, types.UnionType):
        inner = next(a for a in args if a is not type(None))
        return [w for w in wrong_for(inner) if w is not None]
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ["NO_SUCH_MEMBER", 3, None]
    if isinstance(annotation, type) and issubclass(annotation, Message):
        return [3, "text", None, [1]]
    wrong: dict[Any, list[Any]] = {
        int: ["1", 1.5, True, None, b"1"],
        float: ["1", True, None, b"1"],
        bool: [1, "true", None],
        str: [1, None, b"text"],
        bytes: [1, None, [1]],
        Samples: [
            3,
            None,
            {"dtype": "<f4", "shape": [2], "data": b"123"},
            {"dtype": "<f4", "shape": [2], "data": b"1234"},
            {"dtype": "object", "shape": [], "data": b""},
            {"dtype": "<f4", "shape": [-1], "data": b""},
            {"dtype": "<f4", "shape": [2**64 - 1, 0], "data": b""},
            {"dtype": "<f4", "shape": [2**32, 2**32], "data": b""},
            {"dtype": "<f4", "shape": [0] * 90, "data": b""},
            {"dtype": "<f4", "shape": []},
        ],
    }
    return wrong[annotation]


@EVERY_TYPE
@settings(max_examples=4)
@given(data=st.data())
def test_a_wrong_field_is_refused_with_its_path(cls: type[Message], data: st.DataObject) -> None:
    refused_with_path(data.draw(messages(cls)))


@given(messages(Everything))
def test_a_wrong_field_is_refused_with_its_path_for_every_kind_of_field(message: Everything) -> None:
    refused_with_path(message)


def refused_with_path(message: Message) -> None:
    coder = codec(type(message))
    value = msgpack.unpackb(coder.encode(message))
    for owner, key, annotation, path in list(paths(type(message), value)):
        right = owner[key]
        for wrong in wrong_for(annotation):
            owner[key] = wrong
            with pytest.raises(DecodeError) as caught:
                coder.decode(msgpack.packb(value))
            assert path in str(caught.value), wrong
            assert str(caught.value).startswith(f"not a {type(message).__name__}: ")
        owner[key] = right
    for field in fields(type(message)):
        if field.required:
            rest = {k: v for k, v in value.items() if k != field.name}
            with pytest.raises(DecodeError, match=f"missing required field `{field.name}`"):
                coder.decode(msgpack.packb(rest))


@EVERY_TYPE
@settings(max_examples=10)
@given(data=st.data())
def test_cut_changed_or_random_bytes_are_refused_or_are_a_message(cls: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(cls))
    payload = codec(cls).encode(message)
    for end in {0, len(payload) // 2, len(payload) - 1, data.draw(st.integers(0, len(payload) - 1))}:
        with pytest.raises(DecodeError):
            codec(cls).decode(payload[:end])
    with pytest.raises(DecodeError, match="trailing"):
        codec(cls).decode(payload + b"\0")
    changed = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    refused_or_message(cls, bytes(changed))
    refused_or_message(cls, data.draw(st.binary(max_size=64)))


def refused_or_message(cls: type[Message], payload: bytes, tail: memoryview | None = None) -> None:
    try:
        message = codec(cls).decode(payload, tail)
    except DecodeError as error:
        assert str(error).startswith(f"not a {cls.__name__}: ")
    else:
        assert isinstance(message, cls)
        codec(cls).encode(message)


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_random_frames_are_refused_or_are_a_message(payload: bytes, tail: bytes) -> None:
    for cls in (SignalBlock, Everything, Last, Cause):
        refused_or_message(cls, payload, memoryview(tail))


JUNK = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JUNK, st.sampled_from([SignalBlock, Everything, StopRequest, Signals]))
def test_well_formed_junk_is_refused(junk: Any, cls: type[Message]) -> None:
    refused_or_message(cls, msgpack.packb(junk))
    if isinstance(junk, dict):
        names = [f.name for f in fields(cls)]
        refused_or_message(cls, msgpack.packb(dict(zip(names, junk.values(), strict=False))))


@pytest.mark.parametrize(
    "payload",
    [
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xdd\xff\xff\xff\xff",
        b"\x81\xa1a\xc6\xff\xff\xff\xff",
        b"\x81\xa1a" + b"\x91" * 200_000 + b"\xc0",
        b"\x81\xa1a" + b"\x81\xa1a" * 200_000 + b"\xc0",
        b"\x81" + b"\x91" * 200_000,
        b"\xc1",
        b"\0" * 10_000_000,
    ],
    ids=["map32", "array32", "bin32", "deep arrays", "deep maps", "deep key", "never used", "10 MB"],
)
def test_bytes_made_to_hurt_are_refused(payload: bytes) -> None:
    for cls in (Cause, SignalBlock):
        with pytest.raises(DecodeError):
            codec(cls).decode(payload)


def test_text_that_is_not_utf8_is_refused_with_its_path() -> None:
    info = {"name": "x", "mtconnect_type": "", "unit": "", "source": "", "topic": ""}
    payload = msgpack.packb({"signals": [info, {**info, "unit": "QQ"}]}).replace(b"\xa2QQ", b"\xa2\xff\xfe")
    with pytest.raises(DecodeError, match=r"not a Signals: text that is not UTF-8 - at `\$.signals\[1\].unit`"):
        codec(Signals).decode(payload)


def test_a_message_of_a_newer_version_is_read_and_one_of_an_older_filled_in() -> None:
    newer = {"name": "a", "weight": 2.0, "colour": {"deep": [1, None]}}
    assert codec(Leaf).decode(msgpack.packb(newer)) == Leaf(name="a", weight=2.0)
    assert codec(Leaf).decode(msgpack.packb({"name": "a"})) == Leaf(name="a")


def test_an_integer_arrives_in_a_float_field_as_a_float() -> None:
    """Writers in other languages send 2 for 2.0."""
    weight = codec(Leaf).decode(msgpack.packb({"name": "a", "weight": 2})).weight
    assert (type(weight), weight) == (float, 2.0)


def test_a_numpy_float_travels_as_a_float() -> None:
    leaf = Leaf(name="a", weight=np.float64(0.5))
    assert msgpack.unpackb(codec(Leaf).encode(leaf)) == {"name": "a", "weight": 0.5}


def test_what_msgpack_cannot_write_is_an_encode_error() -> None:
    with pytest.raises(EncodeError, match="Cause"):
        codec(Cause).encode(Cause(publisher="a", topic="b", seq=2**64))
    with pytest.raises(EncodeError, match=r"Leaf.*surrogates"):
        codec(Leaf).encode(Leaf(name="\udcff"))


def block(count: int) -> SignalBlock:
    array = np.arange(count, dtype="<f4").reshape(-1, 1)
    return SignalBlock(stamp_ns=1, period_ns=2, source="drive", first_row=3, data=Samples(array))


@pytest.mark.parametrize("count", [SPLIT_BYTES // 4, SPLIT_BYTES // 4 + 1, 300_000])
def test_a_large_array_travels_in_a_second_frame_without_a_copy(count: int) -> None:
    message = block(count)
    head, tail = codec(SignalBlock).encode_frames(message)
    assert tail is not None
    assert np.shares_memory(np.frombuffer(tail, "<f4"), message.data.array)
    assert msgpack.unpackb(head + tail)["data"]["data"] == message.data.array.tobytes()
    assert codec(SignalBlock).decode(head + tail) == message
    back = codec(SignalBlock).decode(head, tail)
    assert back == message
    assert np.shares_memory(back.data.array, message.data.array)


def test_a_small_array_stays_in_one_frame() -> None:
    head, tail = codec(SignalBlock).encode_frames(block(SPLIT_BYTES // 4 - 1))
    assert tail is None
    assert codec(SignalBlock).decode(head) == block(SPLIT_BYTES // 4 - 1)


def test_a_second_frame_in_writable_memory_is_read_only_in_the_message() -> None:
    head, tail = codec(SignalBlock).encode_frames(block(20_000))
    assert tail is not None
    array = codec(SignalBlock).decode(head, memoryview(bytearray(tail))).data.array
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


class Older(Message):
    """SignalBlock before it had data."""

    stamp_ns: int


class OlderWithDefault(Message):
    """Knows an array of another name, and does without it."""

    stamp_ns: int
    other: Samples = Samples([0])


def test_a_second_frame_for_an_unknown_field_is_ignored() -> None:
    head, tail = codec(SignalBlock).encode_frames(block(20_000))
    assert codec(Older).decode(head, tail) == Older(stamp_ns=1)
    assert codec(OlderWithDefault).decode(head, tail) == OlderWithDefault(stamp_ns=1)


def test_a_second_frame_that_does_not_fit_is_refused() -> None:
    head, tail = codec(SignalBlock).encode_frames(block(20_000))
    assert tail is not None
    for wrong_head, wrong_tail, text in [
        (head, tail[:-1], "does not announce a second one of 79999 bytes"),
        (head[:-1], tail, "does not announce"),
        (b"", tail, "does not announce"),
        (codec(SignalBlock).encode(block(1)), tail, "does not announce"),
        (head.replace(b"<f4", b"<f8"), tail, r"needs 160000 bytes, data holds 80000 - at `\$.data`"),
        (head.replace(b"\xa4data\x83", b"\xa4dato\x83"), tail, "missing required field `data`"),
    ]:
        with pytest.raises(DecodeError, match=text):
            codec(SignalBlock).decode(wrong_head, wrong_tail)


def test_a_second_frame_beside_data_is_refused() -> None:
    value = msgpack.unpackb(codec(Last).encode(Last(name="a", data=Samples(np.zeros(2, "<f4")))))
    head = msgpack.packb({**value, "extra": b""})[:-2] + b"\xc6\0\0\0\x08"
    with pytest.raises(DecodeError, match=r"holds data already - at `\$.data`"):
        codec(Last).decode(head, memoryview(bytes(8)))


def test_a_decoded_message_is_as_frozen_as_a_made_one() -> None:
    request = StopRequest(reason="r", requested_by="me", stamp_ns=1, cause=Cause(publisher="p", topic="t", seq=1))
    back = codec(StopRequest).decode(codec(StopRequest).encode(request))
    assert back == request
    assert hash(back) == hash(request)
    with pytest.raises(ValueError, match="frozen"):
        back.reason = "other"
    assert back.model_dump_json() == request.model_dump_json()


def test_a_message_is_checked_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="part_count"):
        MachineState.model_validate({**MachineState.model_fields, "part_count": "3"})
    with pytest.raises(ValueError, match="unit"):
        SignalInfo(name="a", mtconnect_type="", unit=3, source="", topic="")  # type: ignore[arg-type] # the point of the test


def test_a_refusal_is_short_and_can_be_logged() -> None:
    """What a stranger sent stands in it: a text of megabytes, a key that is no UTF-8."""
    for payload in (
        b"\x81\xa9execution\xc6" + (10**7).to_bytes(4, "big") + b"x" * 10**7,
        msgpack.packb({"stamp_ns": 1, "execution": "x" * 10**6}),
        b"\x82\xa4\xed\xb2\xad\xff\xa1\xff\xa8stamp_ns\x01",
    ):
        with pytest.raises(DecodeError) as caught:
            codec(MachineState).decode(payload)
        assert len(str(caught.value)) < 1000
        str(caught.value).encode()


def test_the_search_for_broken_text_takes_no_memory_for_millions_of_numbers() -> None:
    many = 500_000
    payload = b"\x82\xa1x\xdd" + many.to_bytes(4, "big") + b"\x01" * many + b"\xa4name\xa1\xff"
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match=r"not UTF-8 - at `\$\.name`"):
            codec(SignalInfo).decode(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


class PreparedInner(Message):
    number: int


class Prepared(Message):
    one: PreparedInner
    many: tuple[PreparedInner, ...] = ()
    data: Samples


def test_what_is_prepared_is_compiled_with_all_it_holds_before_its_first_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: dict[type[Message], Any] = {}
    monkeypatch.setattr(codec_module, "_codecs", compiled)
    assert not Prepared.__pydantic_complete__
    prepare(Prepared)
    assert set(compiled) == {Prepared, PreparedInner}
    assert Prepared.__pydantic_complete__
    assert PreparedInner.__pydantic_complete__
