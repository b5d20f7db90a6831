"""Documents of an agent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.wire.mtconnect import AgentError, BadDocument, DataItem, Devices, Header, Parts, Streams, parse
from schemas.wire.shdr import Condition, TimeSeries, Value
from tests.nodes.sensory_cortex.agent import DEVICES
from tests.nodes.sensory_cortex.real_data import needs_real_data, real
from tests.soak.fuzz_machines import ERROR, HEADER, STREAMS

SECOND = 1_659_966_694_000_000_000


def test_a_stream_in_the_order_of_its_sequence() -> None:
    found = parse(STREAMS)
    assert isinstance(found, Streams)
    assert (found.header, found.misread) == (Header(1, 1, 4, "", "1.4"), 0)
    assert [t.sequence for t in found.told] == [1, 2, 3, 3]
    assert [t.observation for t in found.told] == [
        Value(SECOND + 716_714_600, "xp", "4656.0595"),
        TimeSeries(SECOND, "v", 100.0, (1.0, 2.0)),
        Condition(SECOND, "c", "FAULT", "7", "", "HIGH", "a & b"),
        Value(None, "d", "a=1"),
    ]


def test_a_device_model() -> None:
    found = parse(DEVICES.format(HEADER).encode())
    assert isinstance(found, Devices)
    (device,) = found.devices
    assert (device.name, device.uuid, device.model, len(device.items)) == ("mill", "mill.1", "Test M1", 8)
    assert device.items[1] == DataItem("xp", "Xtrue", "SAMPLE", "POSITION", "ACTUAL", "MILLIMETER", "Linear", "X")


def test_an_error_is_the_agents() -> None:
    with pytest.raises(AgentError, match="OUT_OF_RANGE: from") as caught:
        parse(ERROR)
    assert caught.value.code == "OUT_OF_RANGE"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"", "no XML"),
        (b"<a>", "no XML"),
        (b"<html/>", "expected MTConnectDevices or MTConnectStreams with a header, not 'html'"),
        (b"<MTConnectStreams><Header/></MTConnectStreams>", "Header instanceId is '', a number was expected"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        (b"<a>" * 70, "64 deep"),
        (b'<?xml version="1.0" encoding="nonsense"?><a/>', "no XML"),
        (b" " * (17 << 20), "a document of 17825792 bytes"),
    ],
)
def test_what_is_no_document_is_told(document: bytes, text: str) -> None:
    with pytest.raises(BadDocument, match=text):
        parse(document)


def test_an_observation_that_cannot_be_read_costs_only_itself() -> None:
    found = parse(
        STREAMS.replace(b"13:51:34.7167146Z", b"noon").replace(b"<Fault ", b"<Broken ").replace(b"</Fault", b"</Broken")
    )
    assert isinstance(found, Streams)
    assert (found.misread, len(found.told)) == (2, 2)


def part(document: bytes) -> bytes:
    return b"--b0\r\nContent-type: text/xml\r\nContent-length: %d\r\n\r\n%s\r\n" % (len(document), document)


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 60))
def test_parts_come_whole_however_they_are_cut(documents: list[bytes], piece: int) -> None:
    read = Parts('multipart/x-mixed-replace; boundary="b0"')
    stream = b"".join(map(part, documents))
    assert [d for n in range(0, len(stream), piece) for d in read.receive(stream[n : n + piece])] == documents


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"--b1\r\nContent-length: 1\r\n\r\n", "boundary"),
        (b"--b0\r\nContent-length: 99999999\r\n\r\n", "a length that is not read: '99999999'"),
        (b"--b0\r\n\r\n", "a length that is not read: ''"),
        (b"x" * 5000, "no head of a part in 5000 bytes"),
    ],
)
def test_what_is_no_part_is_told(stream: bytes, text: str) -> None:
    with pytest.raises(BadDocument, match=text):
        list(Parts("multipart/x-mixed-replace;boundary=b0").receive(stream))
    with pytest.raises(BadDocument, match="expected a multipart stream"):
        Parts("text/xml")


@needs_real_data
def test_a_real_agents_stream_is_complete() -> None:
    stream = real("mtconnect/stream_multipart.txt").read_bytes()
    read = Parts("multipart/x-mixed-replace;boundary=5295fd3b110bcc31b9ed58cedc5ea6a7")
    sequence = 0
    for n in range(0, len(stream), 5000):
        for document in read.receive(stream[n : n + 5000]):
            found = parse(document)
            assert isinstance(found, Streams)
            assert not found.misread
            for told in found.told:
                sequence += 1
                assert told.sequence == sequence
    assert sequence == 16_276
