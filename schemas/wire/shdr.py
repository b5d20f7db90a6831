"""SHDR, the MTConnect adapter protocol: lines of `timestamp|key|value|...`, as values and back. No socket, no clock.

An adapter (the machine's side) serves lines over TCP; whoever reads sends `* PING` and gets `* PONG <heartbeat in ms>`.

    2022-08-08T13:51:34.7167146Z|execution|ACTIVE|Srpm|8000          samples and events
    ...Z|system|FAULT|SV0436|1|HIGH|servo overload                   a condition
    ...Z|msg|CHG|change the insert                                   a message
    ...Z|vib|3|1000|0.1 0.2 0.3                                      a time series: count, rate in Hz, values
    ...Z|@ASSET@|T1|CuttingTool|--multiline--X                       an asset; its lines end with --multiline--X
    * PONG 10000                                                     a command

A line does not say of what kind a key is: an MTConnect agent knows that from its device model, a `Decoder` from
`kinds`. A key that is not listed is a condition where the rest of its line can be nothing else, otherwise a value.
After the protocol of version 2 of the C++ agent (github.com/mtconnect/cppagent, wiki "SHDR 2.0").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from schemas.wire.shdr_text import MULTILINE, field, fields, format_time, parse_duration, parse_time, shown

UNAVAILABLE = "UNAVAILABLE"
LINE_MAX_BYTES = 65_536
ASSET_MAX_BYTES = 1 << 20
KEYS_MAX = 1000
"""keys that a decoder remembers as conditions"""


class Kind(StrEnum):
    """What the fields after a key mean."""

    VALUE = "VALUE"
    CONDITION = "CONDITION"
    MESSAGE = "MESSAGE"
    TIME_SERIES = "TIME_SERIES"


@dataclass(frozen=True, slots=True)
class Value:
    """A sample, an event or a data set; an empty text is a value, too."""

    stamp_ns: int | None
    """the adapter's clock; None where it gave no time"""
    key: str
    text: str
    device: str = ""
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """NORMAL without a native code ends every condition of the key; with one, that of the code."""

    stamp_ns: int | None
    key: str
    level: str
    """NORMAL, WARNING, FAULT or UNAVAILABLE, in capitals"""
    native_code: str = ""
    native_severity: str = ""
    qualifier: str = ""
    text: str = ""
    device: str = ""
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class MessageText:
    """What the control shows the operator."""

    stamp_ns: int | None
    key: str
    native_code: str
    text: str
    device: str = ""
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """Evenly spaced values of one key."""

    stamp_ns: int | None
    key: str
    rate_hz: float
    values: tuple[float, ...]
    device: str = ""
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """A document about a thing, mostly a cutting tool; its text is XML, unread."""

    stamp_ns: int | None
    asset_id: str
    asset_type: str
    text: str


@dataclass(frozen=True, slots=True)
class AssetsRemoved:
    """One asset, or with an empty id all of a type (of every type, when that is empty too)."""

    stamp_ns: int | None
    asset_id: str = ""
    asset_type: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """`* PONG 10000`, `* device: mill`: name `PONG`, argument `10000`."""

    name: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Bad:
    """What could not be read; whatever else stood in the line is told beside it."""

    kind: str
    """time, fields, number, too-long, asset, cut, utf-8"""
    text: str


Observation = Value | Condition | MessageText | TimeSeries
Event = Observation | Asset | AssetsRemoved | Command | Bad

LEVELS = ("NORMAL", "WARNING", "FAULT", UNAVAILABLE)
_ASSETS = ("@ASSET@", "@REMOVE_ASSET@", "@REMOVE_ALL_ASSETS@")


class Decoder:
    """Lines out of a stream of bytes that TCP cuts anywhere.

    Args:
        kinds: of the keys that are more than values.
        line_max: bytes of a line; a longer one is left out and told.
        asset_max: bytes of a text over several lines.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind] | None = None,
        *,
        line_max: int = LINE_MAX_BYTES,
        asset_max: int = ASSET_MAX_BYTES,
    ) -> None:
        self._kinds = kinds if kinds is not None else {}
        self._line_max, self._asset_max = line_max, asset_max
        self._rest = bytearray()
        self._skipping = False
        self._head: list[str] | None = None
        """the fields before a text over several lines; None outside of one"""
        self._end = ""
        self._body: list[str] = []
        self._body_size = 0
        self._conditions: set[str] = set()

    def receive(self, data: bytes) -> list[Event]:
        """What the bytes complete. Bad input is told among the events; nothing is raised."""
        out: list[Event] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False
                continue
            if self._rest:
                line = bytes(self._rest) + line
                self._rest.clear()
            if len(line) > self._line_max:
                out.append(self._too_long(line))
            else:
                self._line(line, out)
        if not self._skipping:
            self._rest += rest
            if len(self._rest) > self._line_max:
                out.append(self._too_long(self._rest))
                self._rest.clear()
                self._skipping = True
        return out

    def close(self) -> list[Event]:
        """The connection ended: what was begun and will not come. A line that only lacks its end may be cut, too."""
        out: list[Event] = []
        if self._rest:
            out.append(Bad("cut", f"the connection ended in a line: {shown(bytes(self._rest))}"))
        if self._head is not None:
            out.append(Bad("cut", f"the connection ended in a text over several lines: {shown('|'.join(self._head))}"))
        self._rest.clear()
        self._skipping = False
        self._head = None
        return out

    def _too_long(self, line: bytes | bytearray) -> Bad:
        return Bad("too-long", f"a line of more than {self._line_max} bytes: {shown(bytes(line[:80]))}")

    def _line(self, raw: bytes, out: list[Event]) -> None:
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            out.append(Bad("utf-8", f"not UTF-8: {shown(raw)}"))
            line = raw.decode("utf-8", "replace")
        line = line.removesuffix("\r").replace("\r", " ").lstrip("\ufeff")
        if self._head is not None:
            self._multiline(line, out)
        elif line.startswith("*"):
            name, _, argument = line[1:].strip().partition(" ")
            out.append(Command(name.rstrip(":"), argument.strip()))
        elif MULTILINE in line:
            before, _, tag = line.partition(MULTILINE)
            *head, first = fields(before)
            self._head, self._end = head, MULTILINE + tag.strip()
            self._body, self._body_size = [first] if first else [], len(first)
        elif line.strip():
            self._fields(fields(line), out)

    def _multiline(self, line: str, out: list[Event]) -> None:
        head = self._head
        assert head is not None
        if line.strip() == self._end:
            self._head = None
            self._fields([*head, "\n".join(self._body)], out)
            return
        self._body.append(line)
        self._body_size += len(line) + 1
        if self._body_size > self._asset_max:
            self._head, self._body = None, []
            out.append(
                Bad("too-long", f"no {self._end} within {self._asset_max} characters of {shown('|'.join(head))}")
            )

    def _fields(self, found: list[str], out: list[Event]) -> None:
        time, *rest = found
        when, at, duration = time.partition("@")
        stamp_ns = duration_s = None
        try:
            stamp_ns = parse_time(when)
            duration_s = parse_duration(duration) if at else None
        except ValueError as error:
            out.append(Bad("time", str(error)))
        if not rest:
            out.append(Bad("fields", f"a time and nothing else: {shown(time)}"))
            return
        if rest[0] in _ASSETS:
            out.append(_asset(stamp_ns, rest))
            return
        n = 0
        while n < len(rest):
            n += self._observation(stamp_ns, duration_s, rest, n, out)

    def _observation(
        self, stamp_ns: int | None, duration_s: float | None, rest: list[str], n: int, out: list[Event]
    ) -> int:
        """One observation from `rest[n]` on; returns how many fields it took."""
        device, colon, key = rest[n].partition(":")
        if not colon:
            device, key = "", rest[n]
        left = rest[n + 1 :]
        if not left:
            if key:  # a `|` at the end of a line is no key
                out.append(Bad("fields", f"key {shown(key)} without a value"))
            return 1
        kind = self._kinds.get(rest[n]) or self._kinds.get(key) or self._guess(rest[n], left)
        match kind:
            case Kind.CONDITION:
                if len(self._conditions) < KEYS_MAX:
                    self._conditions.add(rest[n])
                level, code, severity, qualifier, *text = [*left[:5], *[""] * 5][:5]
                level = level.upper()
                if level not in LEVELS:
                    out.append(Bad("fields", f"condition {shown(key)} has no level {shown(level)}"))
                else:
                    out.append(Condition(stamp_ns, key, level, code, severity, qualifier, text[0], device, duration_s))
                return 6
            case Kind.MESSAGE:
                code, *words = left[:2]
                if words:
                    out.append(MessageText(stamp_ns, key, code, words[0], device, duration_s))
                else:
                    out.append(MessageText(stamp_ns, key, "", code, device, duration_s))
                return 3
            case Kind.TIME_SERIES:
                out.append(_series(stamp_ns, key, left, device, duration_s))
                return 4 if left[0].upper() != UNAVAILABLE else 2
        if not key:
            out.append(Bad("fields", f"a value without a key: {shown(left[0])}"))
        else:
            out.append(Value(stamp_ns, key, left[0], device, duration_s))
        return 2

    def _guess(self, key: str, left: list[str]) -> Kind:
        """A condition ends its line with level, code, severity, qualifier (empty, LOW or HIGH) and text."""
        if len(left) == 5 and left[3].upper() in ("", "LOW", "HIGH") and left[0].upper() in LEVELS:
            # an event may be UNAVAILABLE beside two more keys
            if left[0].upper() != UNAVAILABLE or not any(left[1:4]) or key in self._conditions:
                return Kind.CONDITION
        elif key in self._conditions and len(left) == 1:
            return Kind.CONDITION
        return Kind.VALUE


def _series(stamp_ns: int | None, key: str, left: list[str], device: str, duration_s: float | None) -> Event:
    if left[0].upper() == UNAVAILABLE:
        return Value(stamp_ns, key, UNAVAILABLE, device, duration_s)
    try:
        count, rate, text = left[:3]
        values = tuple(map(float, text.split()))
        rate_hz = float(rate) if rate else 0.0
        if int(count) == len(values):
            return TimeSeries(stamp_ns, key, rate_hz, values, device, duration_s)
    except (ValueError, OverflowError):
        return Bad("number", f"time series {shown(key)} is not count, rate and numbers: {shown('|'.join(left[:3]))}")
    return Bad("number", f"time series {shown(key)} says {shown(count)} values and has {len(values)}")


def _asset(stamp_ns: int | None, rest: list[str]) -> Event:
    name, first, second, *text = [*rest[:4], *[""] * 3][:4]
    if name == "@REMOVE_ALL_ASSETS@":
        return AssetsRemoved(stamp_ns, "", first)
    if not first:
        return Bad("asset", f"{name} without an id")
    if name == "@REMOVE_ASSET@":
        return AssetsRemoved(stamp_ns, first)
    return Asset(stamp_ns, first, second, text[0])


# --- back -------------------------------------------------------------------------------------------------------------


def encode(event: Event) -> bytes:
    """The line, or lines, of an event, with the end of line. Text is kept but for ends of line in it.

    Raises:
        ValueError: a `Bad` is no line.
    """
    match event:
        case Command(name, argument):
            return f"* {name} {argument}".strip().encode() + b"\n"
        case Bad():
            raise ValueError(f"no line: {event.text}")
        case Asset(stamp_ns, asset_id, asset_type, text):
            head = f"{format_time(stamp_ns)}|@ASSET@|{field(asset_id)}|{field(asset_type)}|"
            if "\n" not in text and "\r" not in text:
                return f"{head}{field(text)}\n".encode()
            tag = MULTILINE + "END"
            while tag in text:
                tag += "_"
            return f"{head}{tag}\n{text}\n{tag}\n".encode()
        case AssetsRemoved(stamp_ns, asset_id, asset_type):
            what = f"@REMOVE_ASSET@|{field(asset_id)}" if asset_id else f"@REMOVE_ALL_ASSETS@|{field(asset_type)}"
            return f"{format_time(stamp_ns)}|{what}\n".encode()
        case Value(text=text):
            words = [text]
        case Condition():
            words = [event.level, event.native_code, event.native_severity, event.qualifier, event.text]
        case MessageText(native_code=code, text=text):
            words = [code, text]
        case TimeSeries(rate_hz=rate_hz, values=values):
            words = [str(len(values)), repr(rate_hz), " ".join(map(repr, values))]
    time = format_time(event.stamp_ns) + ("" if event.duration_s is None else f"@{event.duration_s!r}")
    key = f"{event.device}:{event.key}" if event.device or ":" in event.key else event.key
    return "|".join([time, field(key), *map(field, words)]).encode() + b"\n"
