"""Samples own their memory, are read-only down to the last base, and compare by bytes."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.base import DTYPES, Message, Samples
from schemas.codec import codec
from tests.schemas.strategies import samples


class Holder(Message):
    """Carries an array."""

    data: Samples


def test_samples_copy_what_they_are_given() -> None:
    source = np.zeros(3)
    held = Samples(source)
    source[0] = 1
    assert held == Samples([0.0, 0.0, 0.0])
    assert source.flags.writeable


def test_take_takes_the_memory_over_and_seals_every_base() -> None:
    base = np.arange(12, dtype="<f4")
    view = base.reshape(3, 4)[1:]
    held = Samples.take(view)
    assert np.shares_memory(held.array, base)
    for array in (held.array, view, base):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize(
    ("array", "error", "text"),
    [
        (np.zeros((4, 4))[:, 1], ValueError, "C-contiguous"),
        (np.frombuffer(bytearray(8), "<f4"), ValueError, "memory that numpy owns"),
        (np.zeros(2, bool), TypeError, r"dtype \|b1 cannot travel"),
        (np.zeros(2, ">f4"), TypeError, "dtype >f4 cannot travel"),
        (np.zeros(2, object), TypeError, "cannot travel"),
    ],
    ids=["strided", "foreign", "bool", "big-endian", "object"],
)
def test_take_refuses_and_leaves_the_array_as_it_was(array: NDArray[Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Samples.take(array)
    assert array.flags.writeable


@pytest.mark.parametrize("dtype", ["bool", "float16", "complex64", "U3", "object", "datetime64[s]"])
def test_a_dtype_that_cannot_travel_is_refused(dtype: str) -> None:
    with pytest.raises(TypeError, match="cannot travel; use one of"):
        Samples(np.zeros(2, dtype))


def test_big_endian_input_becomes_little_endian() -> None:
    held = Samples(np.array([1, 2], ">i4"))
    assert held.dtype == "<i4"
    assert held.array.tolist() == [1, 2]


def test_a_strided_array_is_copied_into_rows() -> None:
    held = Samples(np.arange(6).reshape(2, 3).T)
    assert held.array.flags.c_contiguous
    assert held.array.tolist() == [[0, 3], [1, 4], [2, 5]]


@given(samples())
def test_a_decoded_array_owns_its_memory_and_is_read_only(held: Samples) -> None:
    payload = codec(Holder).encode(Holder(data=held))
    back = codec(Holder).decode(payload).data
    assert back == held
    assert not np.shares_memory(back.array, np.frombuffer(payload, "u1"))
    array: object = back.array
    while isinstance(array, np.ndarray):
        assert not array.flags.writeable
        array = array.base


@given(samples())
def test_the_wire_form(held: Samples) -> None:
    wire = msgpack.unpackb(codec(Holder).encode(Holder(data=held)))["data"]
    assert wire == {"dtype": held.array.dtype.str, "shape": list(held.array.shape), "data": held.array.tobytes()}
    assert wire["dtype"] in DTYPES


@given(samples(), samples())
def test_equality_is_dtype_shape_and_bytes(a: Samples, b: Samples) -> None:
    assert a == Samples(a.array)
    same = a.dtype == b.dtype and a.array.shape == b.array.shape and a.array.tobytes() == b.array.tobytes()
    assert (a == b) is same
    assert a != a.array.tolist()


def test_nan_equals_itself_and_minus_zero_is_another_value() -> None:
    assert Samples([math.nan]) == Samples([math.nan])
    assert Samples([0.0]) != Samples([-0.0])


def test_there_is_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Samples([1]))


@given(samples())
def test_copies_and_pickles_are_equal_and_sealed(held: Samples) -> None:
    for other in (copy.copy(held), copy.deepcopy(held), pickle.loads(pickle.dumps(held))):
        assert other == held
        assert not other.array.flags.writeable


@given(samples())
def test_json_and_back(held: Samples) -> None:
    text = Holder(data=held).model_dump_json()
    assert Holder.model_validate_json(text).data == held


@pytest.mark.parametrize(
    "data",
    [
        "3",
        "{}",
        '{"dtype": "<f4", "shape": [1], "data": "!!!!"}',
        '{"dtype": "<f4", "shape": [1], "data": "AAAA"}',
        '{"dtype": "O", "shape": [], "data": ""}',
        '{"dtype": "<f4", "shape": ["x"], "data": ""}',
        '{"dtype": ["<f4"], "shape": [0], "data": ""}',
        '{"dtype": "<f4", "shape": [1e400], "data": ""}',
        '{"dtype": "<f4", "shape": 3, "data": ""}',
        '{"dtype": "<f4", "shape": [0], "data": 7}',
    ],
)
def test_json_that_is_no_array_is_a_validation_error(data: str) -> None:
    with pytest.raises(ValueError, match="data"):
        Holder.model_validate_json(f'{{"data": {data}}}')


@given(st.text(max_size=5), st.lists(st.integers(), max_size=4), st.binary(max_size=16))
def test_from_wire_refuses_by_value_error_only(dtype: str, shape: list[int], data: bytes) -> None:
    for name in (dtype, "<f4"):
        try:
            held = Samples.from_wire(name, tuple(shape), data)
        except ValueError:
            continue
        assert held.array.tobytes() == data


def test_repr_says_dtype_and_shape_not_the_values() -> None:
    assert repr(Samples(np.zeros((3, 2), "<f4"))) == "Samples(<f4[3, 2])"
