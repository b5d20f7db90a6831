"""Messages from what a person typed: what is taken can be sent."""

from __future__ import annotations

import json

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.cli.known_types import message_from, message_types
from schemas.base import Message
from schemas.codec import codec
from schemas.machine import Cause

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(message_types().values(), key=lambda c: c.__name__)), st.data())
def test_a_message_or_a_mistake_in_usage(kind: type[Message], data: st.DataObject) -> None:
    given_ = {name: data.draw(JSON) for name in kind.model_fields}
    try:
        codec(kind).encode(message_from(kind, json.dumps(given_)))
    except click.UsageError as error:
        assert error.message


@pytest.mark.parametrize(
    "text", ['{"seq": 18446744073709551616}', '{"seq": ' + "[" * 900 + "]" * 900 + "}", '{"topic": "\\ud800"}']
)
def test_what_cannot_travel_is_told_before_it_is_sent(text: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        message_from(Cause, text, publisher="", topic="", seq=0)
    assert len(caught.value.message) < 2000
