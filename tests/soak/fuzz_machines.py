"""What a machine's adapter or agent says: lines, documents, streams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.shdr_adapter import ShdrAdapter
from nodes.shdr_adapter.clients import Client, PeerEvent, heard
from schemas.base import Message
from schemas.codec import codec
from schemas.machine import Alarm, Cause, CoolantState, MachineInfo, MachineState, SignalBlock, Signals
from schemas.wire import address as addresses
from schemas.wire.mtconnect import BadDocument, Parts, Streams, parse
from schemas.wire.shdr import Asset, Bad, Command, Condition, Decoder, Event, Kind, TimeSeries, Value, encode
from tests.nodes.sensory_cortex.agent import DEVICES
from tests.nodes.sensory_cortex.stage import Stage
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_nodes import Alive, plain
from tests.soak.fuzz_target import LONGEST_TEXT, Target
from tests.soak.fuzz_wire import example

KINDS = {"cond": Kind.CONDITION, "msg": Kind.MESSAGE, "vib": Kind.TIME_SERIES}
STAMP_NS = 1_659_966_694_716_714_600
LOG = Path(__file__).parents[1] / "nodes" / "sensory_cortex" / "adapter.shdr"
SHDR_WORDS = (b"|", b"||||", b'"', b"\\|", b"\n", b"* PING", b"--multiline--", b"@ASSET@", b"NORMAL", b"\xef\xbb\xbf")


def shdr() -> Target:
    """Lines of an adapter in pieces as long as the first byte says; what is written of them is read the same again."""

    def run(data: bytes) -> None:
        piece, stream = (data[0] or 1, data[1:]) if data else (1, b"")
        decoder = Decoder(KINDS, line_max=500, asset_max=1000)
        found: list[Event] = []
        for n in range(0, len(stream), piece):
            found += decoder.receive(stream[n : n + piece])
        for event in found + decoder.close():
            if isinstance(event, Bad):
                assert 0 < len(event.text) < LONGEST_TEXT
                continue
            try:
                line = encode(event)
            except ValueError:  # a time that no calendar has
                continue
            text = event.text if isinstance(event, Value) else ""
            if isinstance(event, Value | TimeSeries) and "\n" not in text and not event.key.startswith("@"):
                (again,) = Decoder(KINDS).receive(line)
                assert repr(again) == repr(event) or event.key in KINDS, f"{again} for {event}"

    said = (
        Condition(STAMP_NS, "cond", "FAULT", "1", "2", "HIGH", "text"),
        Command("PONG", "10000"),
        TimeSeries(STAMP_NS, "vib", 1000.0, (1.0, 2.0)),
        Asset(STAMP_NS, "T1", "CuttingTool", "<a>\n</a>"),
    )
    lines = [
        b"\xef\xbb\xbf2022-08-08T13:51:34.7167146Z|avail|AVAILABLE|block||Srpm|8000\r\n",
        b'|block|"a\\|b"|line|7\n2022-08-08T13:51:34@0.5|mill:avg|3\n',
        b"".join([encode(event) for event in said]),
    ]
    return Target("shdr", run, (), [bytes((40,)) + line for line in lines], Grammar("bytes", head=1, words=SHDR_WORDS))


class _Observed:
    """A sensory cortex behind an adapter, for a batch of lines; each message that comes of them can be sent."""

    items: Mapping[str, Any] = {"vib": {"signal": "x_accel", "series": True}}

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.stage = Stage.of_source(driver="shdr", address="localhost", items=dict(self.items))
        self.stage.node.on_chunk(Chunk(kind=ChunkKind.LINK))

    def run(self, data: bytes) -> None:
        self.stage.node.on_chunk(Chunk(kind=ChunkKind.BYTES, payload=data))
        self.stage.run(0.002)

    def settle(self) -> None:
        try:
            self.stage.node.on_chunk(Chunk(kind=ChunkKind.LINK, text="over"))
            self.stage.run(1.5)
            for _, topic, message in self.stage.sent:
                codec(topic.type).encode(message)
            assert all(len(text) < LONGEST_TEXT for _, text in self.stage.logged)
        finally:
            self.begin()


def observed() -> Target:
    """What a sensory cortex makes of an adapter's lines."""
    target = _Observed()
    lines = LOG.read_bytes().splitlines(keepends=True)
    seeds = [b"".join(lines), *lines, b"|vib|3|1000|1 2 3\n", b"|path_pos|1 2 3|Sload|UNAVAILABLE\n"]
    return Target("observed", target.run, (), seeds, Grammar("bytes", words=SHDR_WORDS), settle=target.settle)


HEADER = '<Header instanceId="1" firstSequence="1" nextSequence="4" version="1.4"/>'
AT = "2022-08-08T13:51:34"
STREAMS = f"""<?xml version="1.0" encoding="UTF-8"?>
<MTConnectStreams xmlns="urn:mtconnect.org:MTConnectStreams:1.4">{HEADER}<Streams><DeviceStream name="m" uuid="u">
<ComponentStream component="Linear" name="X"><Samples>
<Position dataItemId="xp" timestamp="{AT}.7167146Z" sequence="1" subType="ACTUAL">4656.0595</Position>
<AccelerationTimeSeries dataItemId="v" timestamp="{AT}Z" sequence="2" sampleCount="2" sampleRate="100">1 2
</AccelerationTimeSeries></Samples><Condition>
<Fault dataItemId="c" timestamp="{AT}Z" sequence="3" type="SYSTEM" nativeCode="7" qualifier="HIGH">a &amp; b</Fault>
</Condition><Events><VariableDataSet dataItemId="d" sequence="3"><Entry key="a">1</Entry></VariableDataSet></Events>
</ComponentStream></DeviceStream></Streams></MTConnectStreams>""".encode()
ERROR = (
    f'<MTConnectError>{HEADER}<Errors><Error errorCode="OUT_OF_RANGE">from</Error></Errors></MTConnectError>'.encode()
)


def mtconnect() -> Target:
    """A document of an agent; what it tells can be told as an adapter would."""

    def run(data: bytes) -> None:
        found = parse(data)
        for told in found.told if isinstance(found, Streams) else ():
            try:
                Decoder().receive(encode(told.observation))
            except ValueError:  # a time that no calendar has
                continue

    words = (
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"&b;",
        b"<a>",
        b"</a>",
        b'sequence="-1"',
        b"<![CDATA[",
        b'encoding="x"',
    )
    seeds = [STREAMS, ERROR, DEVICES.format(HEADER).encode()]
    return Target("mtconnect", run, (BadDocument,), seeds, Grammar("bytes", words=words))


def parts() -> Target:
    """A multipart stream in pieces as long as the first byte says."""

    def run(data: bytes) -> None:
        piece, stream = (data[0] or 1, data[1:]) if data else (1, b"")
        read = Parts("multipart/x-mixed-replace;boundary=b0")
        for n in range(0, len(stream), piece):
            for document in read.receive(stream[n : n + piece]):
                assert len(document) < 10**9

    one = b"--b0\r\nContent-type: text/xml\r\nContent-length: 3\r\n\r\n<a>\r\n"
    return Target("parts", run, (BadDocument,), [b"\x20" + one, b"\x05" + one * 3], Grammar("bytes", head=1))


def address() -> Target:
    """Where a machine is said to answer."""

    def run(data: bytes) -> None:
        found = addresses.address(data.decode("utf-8", "replace"), {"shdr": 7878, "http": 5000})
        assert 0 < found.port < 65536
        assert found.host

    seeds = [b"shdr://mill:7878", b"http://[::1]:5000/OKUMA", b"mill", b"http://a@b:0/?x#y"]
    return Target("address", run, (addresses.BadAddress,), seeds, Grammar("text"))


class _Adapter(Alive):
    """The adapter of a machine that says anything, and a client that does."""

    def begin(self) -> None:
        self.stage = stage = Stage()
        self.node = node = ShdrAdapter(stage, {})
        node.on_configure()
        self.client = Client(1, "client", 0)
        self.doors = [
            (MachineState, node.on_state), (Signals, node.on_signals), (Alarm, node.on_alarm),
            (MachineInfo, node.on_info), (CoolantState, node.on_coolant), (PeerEvent, node.on_peer),
            (SignalBlock, lambda block: node.on_samples([block])), (Cause, self.say),
        ]  # fmt: skip

    def say(self, cause: Cause) -> None:
        heard(self.client, cause.topic.encode("utf-8", "surrogatepass"), b"* PONG 1\n")

    def after(self) -> None:
        self.stage.time_ns += 10**8
        self.node.tell_rows()

    def look(self) -> None:
        dump = self.node.lines.dump()
        found = Decoder().receive(dump)
        assert not [e for e in found if isinstance(e, Bad)], found
        assert len(self.client.line) <= 2048


def adapter() -> Target:
    """The way out to MTConnect: whatever is heard of a machine, each line of it can be read."""
    kinds: tuple[type[Message], ...] = (MachineState, Signals, Alarm, MachineInfo, CoolantState, PeerEvent, SignalBlock)
    one = [[n, plain(example(kind))] for n, kind in enumerate(kinds)]
    ping = [7, plain(Cause(publisher="", topic="* PING\n", seq=1))]
    return _Adapter().target("adapter", [one, [one[1], one[6], one[6]], [ping, ping]])
