"""An MTConnect agent as a source: probe, current, then the sample stream by HTTP. It tells; it cannot be asked to act.

The worker reads the agent's documents and hands them over as the lines that an adapter would have sent, so that all
that is behind is the same as for shdr. The agent is asked for a sign of life four times a second: its silence is told
within one. What the agent's buffer no longer held when it was asked for is counted as lost; an agent that began anew
(another instanceId) is probed anew.
"""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.drivers import Setting
from nodes.sensory_cortex.items import PORTS, Items
from nodes.sensory_cortex.options import option
from nodes.sensory_cortex.orders import Do
from nodes.sensory_cortex.telling import Telling, TellingOptions
from schemas.system import LogLevel
from schemas.wire.mtconnect import (
    DOCUMENT_MAX_BYTES,
    AgentError,
    BadDocument,
    DataItem,
    Devices,
    Parts,
    Streams,
    parse,
)
from schemas.wire.shdr import Command, Kind, MessageText, Observation, TimeSeries, Value, encode

TIMEOUT_S = 2.0
"""of any wait for the agent; that it is silent is told sooner, by the node"""
INTERVAL_MS, HEARTBEAT_MS, COUNT = 50, 250, 1000
POLL_S = 0.25
"""for an agent that does not stream"""

CONVERT: Mapping[tuple[str, str], float] = {
    ("MILLIMETER/SECOND", "mm/min"): 60.0,
    ("REVOLUTION/SECOND", "rpm"): 60.0,
    ("WATT", "kW"): 0.001,
    ("MILLIMETER/SECOND^2", "m/s²"): 0.001,
    ("LITER/SECOND", "l/min"): 60.0,
    ("PASCAL", "bar"): 1e-5,
}
"""from an agent's units (MTConnect part 2) to those of the table"""

BY_TYPE: Mapping[tuple[str, str], str] = {
    ("AVAILABILITY", ""): "availability",
    ("EXECUTION", ""): "execution",
    ("CONTROLLER_MODE", ""): "controller_mode",
    ("EMERGENCY_STOP", ""): "emergency_stop",
    ("PROGRAM", ""): "program",
    ("BLOCK", ""): "block",
    ("LINE", ""): "block_number",
    ("LINE_NUMBER", "ABSOLUTE"): "block_number",
    ("TOOL_NUMBER", ""): "tool_number",
    ("TOOL_ASSET_ID", ""): "tool_serial",
    ("PART_COUNT", ""): "part_count",
    ("PART_COUNT", "ALL"): "part_count",
    ("PATH_FEEDRATE", "ACTUAL"): "feed_mm_min",
    ("PATH_FEEDRATE", "COMMANDED"): "feed_commanded_mm_min",
    ("PATH_FEEDRATE", "OVERRIDE"): "feed_override_pct",
    ("PATH_FEEDRATE_OVERRIDE", "PROGRAMMED"): "feed_override_pct",
    ("ROTARY_VELOCITY", "ACTUAL"): "spindle_speed_rpm",
    ("SPINDLE_SPEED", "ACTUAL"): "spindle_speed_rpm",
    ("ROTARY_VELOCITY", "COMMANDED"): "spindle_speed_commanded_rpm",
    ("MESSAGE", ""): "message",
}
"""what an item is by its type and subtype, where its name says nothing and only one of the device is that"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MTConnectOptions(TellingOptions):
    """What the reading of an agent may be told."""

    ports: ClassVar[Mapping[str, int]] = PORTS["mtconnect"]

    address: str = option("", doc="http://HOST:PORT/DEVICE of the agent")


class MTConnect(Telling):
    """Reads one device of one agent."""

    Options = MTConnectOptions

    def __init__(self, setting: Setting) -> None:
        """Raises ValueError: the options do not fit."""
        super().__init__(setting, "MTConnect agent")

    def command(self, command: Command, now_ns: int) -> None:
        if command.name == "lost":
            self.lost += int(command.argument)
        elif command.name == "misread":
            self._observed.counts["bad document"] += int(command.argument)
        elif command.name == "restarted":
            self._setting.log(LogLevel.WARNING, f"{self._name}: the agent began anew, as instance {command.argument}")

    # --- the worker ---------------------------------------------------------------------------------------------------

    def read(self, end: threading.Event) -> Iterator[Chunk]:
        yield from self.paced(self._read(end), end)

    def _read(self, end: threading.Event) -> Iterator[Chunk]:
        with self.orders:
            while not end.is_set():
                order = self.orders.wait(0.2)
                if order is None or order.do is not Do.CONNECT:
                    continue
                try:
                    yield from self._follow(end)
                except (OSError, http.client.HTTPException, BadDocument) as error:
                    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
                    yield Chunk(kind=ChunkKind.LINK, text=text)

    def _follow(self, end: threading.Event) -> Iterator[Chunk]:
        """The agent until it fails: all that is known, then what is new. One that began anew is probed anew."""
        instance = -1
        while not end.is_set():
            agent = Agent(self._at.host, self._at.port, self._at.path)
            keys = keys_of(agent.probe(), self._table)
            streams = agent.current()
            yield Chunk(kind=ChunkKind.LINK) if instance < 0 else self._note("restarted", streams.header.instance_id)
            instance, following = streams.header.instance_id, streams.header.next_sequence
            yield from self._lines(streams, keys)
            while not end.is_set():
                try:
                    for streams in agent.sample(following, end):
                        head = streams.header
                        if head.instance_id != instance:
                            break
                        if head.first_sequence > following:
                            yield self._note("lost", head.first_sequence - following)
                        following = max(following, head.next_sequence)
                        yield from self._lines(streams, keys)
                except AgentError as error:
                    if error.code != "OUT_OF_RANGE":
                        raise
                    streams = agent.current()
                    if streams.header.instance_id == instance and streams.header.first_sequence > following:
                        yield self._note("lost", streams.header.first_sequence - following)
                    following = streams.header.next_sequence
                    yield from self._lines(streams, keys)
                if streams.header.instance_id != instance:
                    break

    @staticmethod
    def _note(name: str, number: int) -> Chunk:
        return Chunk(kind=ChunkKind.BYTES, payload=encode(Command(name, str(number))))

    def _lines(self, streams: Streams, keys: Mapping[str, tuple[str, float]]) -> Iterator[Chunk]:
        """As an adapter would tell it; an empty document is a sign of life."""
        lines = [encode(self._as(told.observation, keys)) for told in streams.told]
        if streams.misread:
            lines.append(encode(Command("misread", str(streams.misread))))
        yield from self.pieces(b"".join(lines) or encode(Command("heartbeat")))

    def _as(self, said: Observation, keys: Mapping[str, tuple[str, float]]) -> Observation:
        key, factor = keys.get(said.key, (said.key, 1.0))
        kind = self._table.kinds.get(key)
        if isinstance(said, TimeSeries):
            if kind is not Kind.TIME_SERIES:
                return Value(said.stamp_ns, key, f"{len(said.values)} values at {said.rate_hz:g} Hz")
            return replace(said, key=key, values=tuple(v * factor for v in said.values))
        if isinstance(said, MessageText):
            return replace(said, key=key) if kind is Kind.MESSAGE else Value(said.stamp_ns, key, said.text)
        if isinstance(said, Value) and factor != 1.0:
            try:
                return replace(said, key=key, text=repr(float(said.text) * factor))
            except ValueError:  # UNAVAILABLE, or what is counted where it is read
                pass
        return replace(said, key=key)


def keys_of(devices: Devices, table: Items) -> dict[str, tuple[str, float]]:
    """By data item: its key in the table and what its values are multiplied by.

    Raises:
        BadDocument: the agent has no device, or several, and the address says none.
    """
    if len(devices.devices) != 1:
        names = ", ".join(d.name for d in devices.devices[:20])
        raise BadDocument(f"the address must end in one of the agent's devices: {names or 'it has none'}")
    items = devices.devices[0].items
    typed = {i.item_id: key for i in items if (key := _typed(i))}
    often = Counter(typed.values())
    found: dict[str, tuple[str, float]] = {}
    named = {word for i in items for word in (i.name, i.item_id) if word in table.rows}
    taken = {row.name for word in named for row in table.rows[word]}
    for item in items:
        key = item.name if item.name in table.rows else item.item_id if item.item_id in table.rows else ""
        if not key:
            by_type = typed.get(item.item_id, "")
            key = by_type if often[by_type] == 1 and by_type not in taken else item.name or item.item_id
        units = [row.unit for row in table.rows.get(key, ())]
        found[item.item_id] = key, CONVERT.get((item.units, units[0]), 1.0) if units else 1.0
    return found


def _typed(item: DataItem) -> str:
    """What an item is by its type; empty when that does not say it."""
    axis = item.component_name.lower()
    if item.component == "Linear" and axis in ("x", "y", "z"):
        if item.item_type == "LOAD":
            return f"{axis}_load_pct"
        if (item.item_type, item.sub_type) == ("POSITION", "ACTUAL"):
            return f"{axis}_mm"
    if item.component == "Rotary" and item.item_type == "LOAD":
        return "spindle_load_pct"
    return BY_TYPE.get((item.item_type, item.sub_type), "")


class Agent:
    """Asks an agent; every answer is bounded and every wait, too."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._host, self._port = host, port
        self._path = f"/{path}" if path else ""

    def probe(self) -> Devices:
        found = self._one("/probe")
        if not isinstance(found, Devices):
            raise BadDocument("probe was answered with streams")
        return found

    def current(self) -> Streams:
        found = self._one("/current")
        if not isinstance(found, Streams):
            raise BadDocument("current was answered with devices")
        return found

    def sample(self, following: int, end: threading.Event) -> Iterator[Streams]:
        """What is new, until the agent ends its answer.

        Raises:
            AgentError, BadDocument, OSError, HTTPException
        """
        wanted = f"/sample?from={following}&count={COUNT}&interval={INTERVAL_MS}&heartbeat={HEARTBEAT_MS}"
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", self._path + wanted, headers={"Accept": "text/xml"})
            answer = connection.getresponse()
            kind = answer.getheader("Content-Type", "")
            if not kind.lower().startswith("multipart/"):
                found = _document(answer)
                if not isinstance(found, Streams):
                    raise BadDocument("sample was answered with devices")
                yield found
                end.wait(POLL_S)
                return
            parts = Parts(kind)
            while not end.is_set() and (data := answer.read1(65_536)):
                for document in parts.receive(data):
                    found = parse(document)
                    if isinstance(found, Streams):
                        yield found
            end.wait(POLL_S)  # whoever ends an answer at once is not asked without pause
        finally:
            connection.close()

    def _one(self, what: str) -> Devices | Streams:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", self._path + what, headers={"Accept": "text/xml"})
            return _document(connection.getresponse())
        finally:
            connection.close()


def _document(answer: http.client.HTTPResponse) -> Devices | Streams:
    """Raises BadDocument, AgentError: an agent's refusal is a document, too."""
    body = answer.read(DOCUMENT_MAX_BYTES + 1)
    try:
        return parse(body)
    except AgentError:
        raise
    except BadDocument as error:
        raise BadDocument(f"HTTP status {answer.status}, {error}") from None
