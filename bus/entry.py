"""What a node says about itself in the runtime directory: where it listens, what it publishes, serves and takes.

Plain JSON, so that a tool needs neither pydantic nor numpy to list a graph. Entries also travel in bags.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from schemas.definition import BadDefinition, check_definition
from schemas.names import BadName, check_name
from schemas.sayable import sayable, shown

VERSION = 1
"""raised when an older reader would misread an entry; new fields alone do not raise it"""


def pid_namespace() -> int:
    """Of this process; 0 where /proc does not say."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


class BadEntry(ValueError):
    """A text is no entry of a node, or one of a newer version; says where and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(sayable(reason))


@dataclass(frozen=True, slots=True)
class TopicEntry:
    """A topic a node publishes or subscribes to; a subscription to every namespace has `*` as its first level."""

    name: str
    """full name"""
    type_name: str
    type_hash: str
    qos: str
    """SENSOR, LATCHED, EVENT or DURABLE"""
    key: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service a node serves or calls."""

    name: str
    """full name"""
    request_type: str
    request_hash: str
    reply_type: str
    reply_hash: str
    acts_on_machine: bool = False
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One running node."""

    name: str
    """full name: `vmc1/impact_cortex`"""
    namespace: str = ""
    target: str = ""
    """module and class it was started from: `nodes.impact_cortex:ImpactCortex`"""
    pid: int = 0
    """for people; whether the node lives is asked of its lock"""
    pid_namespace: int = 0
    """where `pid` counts: in another container it is another process, or none; 0 where it is not said"""
    host: str = ""
    publisher_id: int = 0
    """random per process start: another one under the same name is another node"""
    started_ns: int = 0
    """wall time"""
    ready: bool = False
    clock: Literal["wall", "sim"] = "wall"
    real: bool = False
    """it drives hardware, not a simulation: a bag is never played into its domain"""
    composed: tuple[str, ...] = ()
    """full names of the nodes that share its process and its sockets, itself included"""
    pub: tuple[str, ...] = ()
    """endpoints of its publisher socket, and of its lane (`unix://`)"""
    rpc: tuple[str, ...] = ()
    """endpoints of its service socket"""
    publishes: tuple[TopicEntry, ...] = ()
    subscribes: tuple[TopicEntry, ...] = ()
    serves: tuple[ServiceEntry, ...] = ()
    calls: tuple[ServiceEntry, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)
    definitions: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """type definition (schemas.grammar) by type hash, of every type named above"""

    @property
    def is_here(self) -> bool:
        """Whether `pid` means something in this process."""
        return self.host == os.uname().nodename and self.pid_namespace in (0, pid_namespace())

    def to_json(self) -> str:
        """One line; `from_json` gives back an equal entry.

        Raises:
            TypeError: a parameter holds what JSON has no word for.
        """
        plain: dict[str, Any] = {"version": VERSION}
        for name in _FIELDS:
            plain[name] = getattr(self, name)
        for name, kind in _ROWS.items():
            plain[name] = [{column: getattr(row, column) for column in _COLUMNS[kind]} for row in plain[name]]
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The entry in `text`; fields it does not know are ignored.

        Raises:
            BadEntry: no JSON, a field of another type, or a newer version.
        """
        try:
            return cls._read(text)
        except RecursionError:
            raise BadEntry("not JSON: nested too deeply") from None

    @classmethod
    def _read(cls, text: str | bytes) -> Self:
        try:
            plain = json.loads(text)
            if b"\\ud" in (text if isinstance(text, bytes) else text.encode()).lower():
                json.dumps(plain, ensure_ascii=False).encode()  # half a surrogate pair is no text, though it is JSON
        except ValueError as error:
            raise BadEntry(f"not JSON: {error}") from None
        if not isinstance(plain, dict):
            raise BadEntry(f"expected an object, got {type(plain).__name__}")
        version = plain.get("version")
        if type(version) is not int:
            raise BadEntry(f"version: expected an integer, got {shown(version)}")
        if version > VERSION:
            raise BadEntry(
                f"written by a newer version ({shown(version)}, this one reads {VERSION}): update this program"
            )
        read: dict[str, Any] = {}
        for name, value in plain.items():
            if name in _ROWS:
                read[name] = _rows(_ROWS[name], name, value)
            elif name in _KINDS:
                read[name] = _checked(name, value, _KINDS[name])
        if "name" not in read:
            raise BadEntry("name: missing")
        if read.get("clock", "wall") not in ("wall", "sim"):
            raise BadEntry(f"clock: expected 'wall' or 'sim', got {shown(read['clock'])}")
        made = cls(**read)
        made._check()
        return made

    def _check(self) -> None:
        """What others take for granted when they read an entry: names are names, numbers fit the wire, text is text."""
        names = [("name", self.name), *(("namespace", n) for n in (self.namespace,) if n)]
        names += [("composed", n) for n in self.composed]
        names += [(rows, r.name) for rows in _ROWS for r in getattr(self, rows) if r.name != EVERYTHING]
        for what, name in names:
            try:
                _check_full_name(name)
            except BadName as error:
                raise BadEntry(f"{what}: {error}") from None
        bounds = {"pid": 2**31, "pid_namespace": 2**63, "publisher_id": 2**64, "started_ns": 2**63}
        for what, most in bounds.items():
            number = getattr(self, what)
            if not 0 <= number < most:
                raise BadEntry(f"{what}: {shown(number)} is not in 0..{most - 1}")
        for hash_, defined in self.definitions.items():
            try:
                check_definition(defined)
            except BadDefinition as error:
                raise BadEntry(f"definitions.{hash_}: {error}") from None


# What a field's JSON must be: a Python type, a tuple of strings, or an object whose values are of a type.
_KINDS: dict[str, str] = {
    **dict.fromkeys(("name", "namespace", "target", "host", "clock"), "str"),
    **dict.fromkeys(("pid", "pid_namespace", "publisher_id", "started_ns"), "int"),
    **dict.fromkeys(("ready", "real"), "bool"),
    **dict.fromkeys(("composed", "pub", "rpc"), "strings"),
    "parameters": "object",
    "remappings": "object of str",
    "definitions": "object of object",
}
_ROWS: dict[str, type[TopicEntry] | type[ServiceEntry]] = {
    "publishes": TopicEntry,
    "subscribes": TopicEntry,
    "serves": ServiceEntry,
    "calls": ServiceEntry,
}
_FIELDS = tuple(f.name for f in fields(Entry))
_COLUMNS: dict[type, dict[str, str]] = {
    kind: {f.name: str(f.type) for f in fields(kind)} for kind in (TopicEntry, ServiceEntry)
}
_PLAIN: dict[str, type] = {"str": str, "int": int, "bool": bool, "object": dict}
EVERYTHING = "**"
"""among subscriptions: a tap, which may take any topic"""


def _check_full_name(name: str) -> None:
    if name.startswith("/"):
        raise BadName(f"a full name has no '/' in front: {sayable(name)}")
    check_name(name.removeprefix("*/"))


def socket_file(endpoint: str) -> str | None:
    """The file of an endpoint that has one."""
    scheme, _, path = endpoint.partition("://")
    return path if scheme in ("ipc", "unix") else None


def _checked(at: str, value: Any, kind: str) -> Any:
    if kind == "str | None":
        return None if value is None else _checked(at, value, "str")
    if kind == "strings":
        if not isinstance(value, list) or not all(type(v) is str for v in value):
            raise BadEntry(f"{at}: expected a list of strings, got {shown(value)}")
        return tuple(value)
    outer, _, inner = kind.partition(" of ")
    if type(value) is not _PLAIN[outer]:
        raise BadEntry(f"{at}: expected {outer}, got {shown(value)}")
    if inner and isinstance(value, dict):
        for key, item in value.items():
            _checked(f"{at}.{key}", item, inner)
    return value


def _rows(kind: type[TopicEntry] | type[ServiceEntry], at: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise BadEntry(f"{at}: expected a list, got {shown(value)}")
    made = []
    for n, row in enumerate(value):
        if type(row) is not dict:
            raise BadEntry(f"{at}[{n}]: expected an object, got {shown(row)}")
        read = {c: _checked(f"{at}[{n}].{c}", row[c], k) for c, k in _COLUMNS[kind].items() if c in row}
        try:
            made.append(kind(**read))
        except TypeError:
            missing = [f.name for f in fields(kind) if f.name not in read]
            raise BadEntry(f"{at}[{n}]: missing {', '.join(missing)}") from None
    return tuple(made)
