"""Documents of an MTConnect agent (ANSI/MTC1.4), as values: probe, current, sample, error. No socket, no clock.

What an agent tells is what an adapter told it, so observations are those of shdr.py: key is the data item's id. XML is
read by expat without document types, hence without entities, to a bounded size and depth; namespaces are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from schemas.wire.shdr import LEVELS, Condition, MessageText, Observation, TimeSeries, Value
from schemas.wire.shdr_text import parse_time, shown

DOCUMENT_MAX_BYTES = 16 << 20
DEPTH_MAX = 64
PART_HEAD_MAX_BYTES = 4096
ITEM_WORDS = ("id", "name", "category", "type", "subType", "units")


class BadDocument(ValueError):
    """No document of an agent; the text says what was found instead."""


class AgentError(BadDocument):
    """The agent refuses; `code` is MTConnect's, as OUT_OF_RANGE."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Header:
    """Who speaks, and what it holds."""

    instance_id: int
    """another one: the agent began anew, and so did its sequence"""
    first_sequence: int
    next_sequence: int
    sender: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class DataItem:
    """One row of the device's model."""

    item_id: str
    name: str
    category: str
    """SAMPLE, EVENT or CONDITION"""
    item_type: str
    sub_type: str
    units: str
    component: str
    """the kind of what it belongs to: Linear, Rotary, Path, Controller ..."""
    component_name: str


@dataclass(frozen=True, slots=True)
class Device:
    name: str
    uuid: str
    model: str
    items: tuple[DataItem, ...]


@dataclass(frozen=True, slots=True)
class Devices:
    """The answer to probe."""

    header: Header
    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """One observation and its place in the agent's sequence."""

    sequence: int
    observation: Observation


@dataclass(frozen=True, slots=True)
class Streams:
    """The answer to current and sample, in the order of the sequence."""

    header: Header
    told: tuple[Told, ...]
    misread: int = 0
    """observations that could not be read"""


def parse(document: bytes) -> Devices | Streams:
    """What an agent answered.

    Raises:
        AgentError: it answered with an error.
        BadDocument: it is no answer of an agent.
    """
    root = _tree(document)
    head = root.find("Header")
    if root.tag == "MTConnectError":
        error = root.find(".//Error")
        if error is None:
            raise AgentError("UNKNOWN", "")
        raise AgentError(error.get("errorCode", "UNKNOWN")[:60], (error.text or "").strip()[:300])
    if head is None or root.tag not in ("MTConnectDevices", "MTConnectStreams"):
        raise BadDocument(f"expected MTConnectDevices or MTConnectStreams with a header, not {shown(root.tag)}")
    header = Header(
        _number(head, "instanceId"),
        _number(head, "firstSequence") if root.tag == "MTConnectStreams" else 0,
        _number(head, "nextSequence") if root.tag == "MTConnectStreams" else 0,
        head.get("sender", ""),
        head.get("version", ""),
    )
    if root.tag == "MTConnectDevices":
        found = [d for d in root.iter() if d.tag in ("Device", "Agent") and d.get("uuid") is not None]
        return Devices(header, tuple(_device(d) for d in found if d.tag == "Device"))
    told: list[Told] = []
    misread = 0
    for component in root.iter("ComponentStream"):
        for group in component:
            for element in group:
                try:
                    told.append(_told(element, group.tag))
                except ValueError:
                    misread += 1
    told.sort(key=lambda t: t.sequence)
    return Streams(header, tuple(told), misread)


def _tree(document: bytes) -> Element:
    if len(document) > DOCUMENT_MAX_BYTES:
        raise BadDocument(f"a document of {len(document)} bytes; {DOCUMENT_MAX_BYTES} are read")
    builder = TreeBuilder()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH_MAX:
            raise BadDocument(f"elements more than {DEPTH_MAX} deep")
        builder.start(name.rpartition("}")[2], attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name.rpartition("}")[2])

    def doctype(*_: Any) -> None:
        raise BadDocument("a document with a document type is not read: no agent sends one")

    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise BadDocument(f"no XML: {error}") from None
    except (ValueError, LookupError) as error:  # an encoding that is none
        raise error if isinstance(error, BadDocument) else BadDocument(f"no XML: {error}") from None
    return builder.close()


def _number(element: Element, name: str) -> int:
    text = element.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise BadDocument(f"{element.tag} {name} is {shown(text)}, a number was expected")
    return int(text)


def _device(element: Element) -> Device:
    items: list[DataItem] = []

    def walk(at: Element, component: str, name: str) -> None:
        for child in at:
            if child.tag == "DataItem":
                at_id, label, category, kind, sub, units = (child.get(word, "") for word in ITEM_WORDS)
                items.append(DataItem(at_id, label, category, kind, sub, units, component, name))
            elif child.get("id") is not None and child.tag not in ("Composition", "Reference"):
                walk(child, child.tag, child.get("name", ""))
            else:
                walk(child, component, name)

    walk(element, "Device", element.get("name", ""))
    description = element.find("Description")
    words = (description.get("manufacturer", ""), description.get("model", "")) if description is not None else ()
    return Device(element.get("name", ""), element.get("uuid", ""), " ".join(filter(None, words)), tuple(items))


def _told(element: Element, group: str) -> Told:
    """Raises ValueError."""
    key = element.get("dataItemId", "")
    if not key:
        raise ValueError("no data item")
    sequence = _number(element, "sequence")
    stamp_ns = parse_time(element.get("timestamp", ""))
    duration = element.get("duration")
    duration_s = float(duration) if duration else None
    text = (element.text or "").strip()
    if group == "Condition":
        level = element.tag.upper()
        if level not in LEVELS:
            raise ValueError("no level")
        code, severity, qualifier = (element.get(name, "") for name in ("nativeCode", "nativeSeverity", "qualifier"))
        return Told(sequence, Condition(stamp_ns, key, level, code, severity, qualifier, text))
    if element.get("sampleCount") is not None and text.upper() != "UNAVAILABLE":
        values = tuple(map(float, text.split()))
        rate_hz = float(element.get("sampleRate", "0"))
        return Told(sequence, TimeSeries(stamp_ns, key, rate_hz, values, "", duration_s))
    if element.tag == "Message":
        return Told(sequence, MessageText(stamp_ns, key, element.get("nativeCode", ""), text, "", duration_s))
    if len(element):
        text = " ".join(f"{entry.get('key', '')}={(entry.text or '').strip()}" for entry in element.iter("Entry"))
    return Told(sequence, Value(stamp_ns, key, text, "", duration_s))


# --- a stream of documents --------------------------------------------------------------------------------------------


class Parts:
    """Documents out of a multipart stream (RFC 2046) that comes in pieces; agents give each part's length.

    Args:
        content_type: of the answer, `multipart/x-mixed-replace;boundary=...`.

    Raises:
        BadDocument: it is no multipart stream.
    """

    def __init__(self, content_type: str) -> None:
        kind, _, rest = content_type.partition(";")
        boundary = next((p.partition("=")[2] for p in rest.split(";") if p.strip().lower().startswith("boundary=")), "")
        if not kind.strip().lower().startswith("multipart/") or not boundary.strip(' "'):
            raise BadDocument(f"expected a multipart stream, not {shown(content_type)}")
        self._boundary = b"--" + boundary.strip(' "').encode()
        self._rest = bytearray()
        self._length: int | None = None
        """of the document that comes next; None before its head was read"""

    def receive(self, data: bytes) -> Iterator[bytes]:
        """The documents that the bytes complete.

        Raises:
            BadDocument: what comes is no part, or is too long. The stream cannot be read further.
        """
        self._rest += data
        while True:
            if self._length is None and not self._head():
                return
            if self._length is None or len(self._rest) < self._length:
                return
            document = bytes(self._rest[: self._length])
            del self._rest[: self._length]
            self._length = None
            yield document

    def _head(self) -> bool:
        """Read up to the next document; False when there is not enough."""
        at = self._rest.find(b"\r\n\r\n")
        if at < 0:
            if len(self._rest) > PART_HEAD_MAX_BYTES:
                raise BadDocument(f"no head of a part in {len(self._rest)} bytes")
            return False
        boundary, *lines = bytes(self._rest[:at]).strip().split(b"\r\n")
        if boundary != self._boundary:
            raise BadDocument(f"expected the boundary of a part, not {shown(boundary)}")
        heads = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        length = heads.get(b"content-length", b"")
        if not length.isdigit() or len(length) > 9 or int(length) > DOCUMENT_MAX_BYTES:
            raise BadDocument(f"a part of a length that is not read: {shown(length)}")
        del self._rest[: at + 4]
        self._length = int(length)
        return True
