"""The site file: what one shop has that the next has not. Read by launch files through a parameter `site: Site`.

[machines.vmc1]
mode = "STOP"
sources = [{ driver = "simulator" }]

[machines.vmc1.impact_cortex]     # parameters of the node vmc1/impact_cortex
limit_pct = 90.0

[nodes.recorder]                  # parameters of the node recorder
quota_gb = 5.0
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from schemas.names import BadName, check_name
from schemas.sayable import shown


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A place in a file; line 0 stands for the file (or the command line) as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with a launch: a stable id, where, what, and what to do."""

    id: str
    where: Where
    text: str
    suggestion: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        hint = f"; {self.suggestion}" if self.suggestion else ""
        # one line each, as editors read them: a caret below the text is left out
        text = " ".join(line.strip() for line in self.text.split("\n") if line.strip(" ^"))
        return f"{self.where}: {self.level}: {text}{hint} [{self.id}]"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'limit_pct'?`, or what there is, or that there is nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "there are none"
    return f"there is {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter's value and where it was given."""

    value: Any
    where: Where
    items: tuple[Where, ...] = ()
    """of a list, where each of its items was written, when that is known"""

    def at(self, *path: str | int) -> Where:
        """The place of an item of the value, or of the value itself."""
        item = path[0] if path else None
        return self.items[item] if isinstance(item, int) and item < len(self.items) else self.where


class Placed(str):
    """A text that remembers where it was written, on its way through a launch file."""

    __slots__ = ("where",)
    where: Where

    def given(self) -> Given:
        return Given(str(self), self.where)


class PlacedList(tuple[Any, ...]):
    """A list that remembers where it and its items were written."""

    where: Where
    items: tuple[Where, ...]

    def given(self) -> Given:
        return Given(tuple(self), self.where, self.items)


@dataclass(frozen=True, slots=True)
class SiteMachine:
    """A machine of the shop: its namespace, how far its logic engine may go, and where its signals come from."""

    name: str
    mode: str = "OBSERVE"
    sources: tuple[Any, ...] = ()
    """one table each: `driver`, and that driver's options; what they may be sensory_cortex says"""


@dataclass(frozen=True, slots=True)
class Site:
    """What the site file says; empty when there is none."""

    path: Path | None = None
    machines: tuple[SiteMachine, ...] = ()
    parameters: Mapping[str, Mapping[str, Given]] = field(default_factory=dict)
    """by full name of the node, then by parameter"""


def read_site(path: Path) -> tuple[Site, list[Mistake]]:
    """The site file and everything wrong with it; what is right is kept, so that later checks can go on."""
    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except OSError as error:
        return Site(), [Mistake("site-file", Where(str(path)), f"cannot read the site file: {error.strerror}")]
    except UnicodeDecodeError as error:
        return Site(), [Mistake("site-file", Where(str(path)), f"the site file is not UTF-8 at byte {error.start}")]
    except (ValueError, RecursionError) as error:  # a number of 5000 digits is no TOMLDecodeError
        at = re.search(r"line (\d+)", str(error))
        line = int(at[1]) if at else len(text.splitlines())  # none: something is missing at the end
        return Site(), [Mistake("site-syntax", Where(str(path), line), f"not TOML: {error}")]
    reader = _Reader(path, text)
    site = reader.read(tables)
    return site, reader.mistakes


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text.splitlines()
        self.headers: dict[tuple[str, ...], list[int]] = {}
        """every line of a key: an array of tables has a header for each item"""
        for keys, line in key_lines(text):
            self.headers.setdefault(keys, []).append(line)
        self.lines = {keys: lines[-1] for keys, lines in self.headers.items()}
        self.mistakes: list[Mistake] = []
        self.parameters: dict[str, Mapping[str, Given]] = {}

    def where(self, *keys: str) -> Where:
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return Where(str(self.path), self.lines.get(keys, 0))

    def wrong(self, id_: str, keys: tuple[str, ...], text: str, suggestion: str = "") -> None:
        self.mistakes.append(Mistake(id_, self.where(*keys), text, suggestion))

    def read(self, tables: Mapping[str, Any]) -> Site:
        for key in tables:
            if key not in ("machines", "nodes"):
                self.wrong("site-key", (key,), f"unknown table {key!r}", did_you_mean(key, ("machines", "nodes")))
        machines = [m for name, v in self.table(tables, "machines").items() if (m := self.machine(name, v)) is not None]
        for name, values in self.table(tables, "nodes").items():
            self.node(name, values, ("nodes", name))
        return Site(self.path, tuple(machines), self.parameters)

    def table(self, tables: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        found = tables.get(key, {})
        if isinstance(found, Mapping):
            return found
        self.wrong("site-key", (key,), f"{key} must be a table, one [{key}.NAME] each, not {type(found).__name__}")
        return {}

    def machine(self, name: str, values: Any) -> SiteMachine | None:
        keys = ("machines", name)
        try:
            check_name(name)
        except BadName as error:
            self.wrong("bad-name", keys, str(error))
            return None
        if not isinstance(values, Mapping):
            self.wrong("site-key", keys, f"machine {name} must be a table, not {type(values).__name__}")
            return None
        mode: str = "OBSERVE"
        sources: tuple[Any, ...] = ()
        for key, value in values.items():
            if isinstance(value, Mapping) and key != "sources":
                self.node(f"{name}/{key}", value, (*keys, key))
            elif key == "mode":
                if isinstance(value, str):
                    mode = Placed(value)
                    mode.where = self.where(*keys, key)
                else:
                    self.wrong("site-value", (*keys, key), f"mode must be a string, not {shown(value)}")
            elif key == "sources":
                if isinstance(value, list):
                    sources = self.placed((*keys, key), value)
                else:
                    text = f"sources must be a list, one {{ driver = ... }} each, not {shown(value)}"
                    self.wrong("site-value", (*keys, key), text)
            else:
                self.wrong(
                    "site-key",
                    (*keys, key),
                    f"machine {name} has no key {key!r}",
                    f"{did_you_mean(key, ('mode', 'sources'))}. A node's parameters go below [machines.{name}.NODE]",
                )
        return SiteMachine(name, mode, sources)

    def placed(self, keys: tuple[str, ...], values: list[Any]) -> PlacedList:
        """The list with the line of each of its items: `[[keys]]` each, or within one `keys = [{...}, {...}]`."""
        made = PlacedList(values)
        made.where = self.where(*keys)
        lines = self.headers.get(keys, [])
        if lines and not self.text[lines[0] - 1].lstrip().startswith("[["):
            lines = list(_item_lines(self.text, lines[-1]))
        exact = len(lines) == len(values)
        made.items = tuple(Where(str(self.path), line) for line in lines) if exact else ()
        return made

    def node(self, full_name: str, values: Any, keys: tuple[str, ...]) -> None:
        if not isinstance(values, Mapping):
            self.wrong("site-key", keys, f"parameters of {full_name} must be a table, not {type(values).__name__}")
            return
        self.parameters[full_name] = {k: Given(v, self.where(*keys, k)) for k, v in values.items()}


# every alternative begins with another character, so that no line, however long, is gone through twice
_TABLE = re.compile(r"\[{1,2}((?:[^\[\]\"'#]|\"[^\"]*\"|'[^']*')+)\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"([A-Za-z0-9_\-.\"' ]+)=")
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_\-]+)")


def key_lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Where each key stands: tomllib tells values only. A key inside an inline table counts as its table's line."""

    def parts(dotted: str) -> tuple[str, ...]:
        return tuple(a or b or c for a, b, c in _PART.findall(dotted))

    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if header := _TABLE.match(line):
            table = parts(header[1])
            for n in range(1, len(table) + 1):
                yield table[:n], number
        elif key := _KEY.match(line):
            yield (*table, *parts(key[1])), number


_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[\[\]{}#]")


def _item_lines(lines: Sequence[str], first: int) -> Iterator[int]:
    """The lines on which the tables of the list that begins on line `first` stand."""
    depth = 0
    for number, line in enumerate(lines[first - 1 :], first):
        for token in _TOKEN.findall(line if number > first else line.partition("=")[2]):
            if token == "#":
                break
            if token == "{" and depth == 1:
                yield number
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
            if depth <= 0:
                return
