"""Parameters of running nodes as a TOML file, in the form of a site file's tables of nodes, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus.cli.toml_text import NoToml, key, value
from bus.site import Mistake, Where, did_you_mean, read_site

if TYPE_CHECKING:
    from bus.discovery import Entry
    from schemas.system import ParameterDescription


def text(parameters: Mapping[str, list[ParameterDescription]]) -> str:
    """The file; what a value means stands behind it."""
    return "\n".join("".join(f"{line}\n" for line in _table(node, each)) for node, each in parameters.items())


def _table(node: str, parameters: list[ParameterDescription]) -> Iterator[str]:
    yield f"[nodes.{key(node)}]"
    for p in parameters:
        meaning = " ".join(w for w in (p.unit, " ".join(p.doc.split())) if w)
        try:
            line = f"{key(p.name)} = {value(json.loads(p.json_value))}"
        except NoToml as error:
            line = f"# {p.name}: {error}"
        yield f"{line}  # {meaning}" if meaning else line


@dataclass(frozen=True, slots=True)
class Difference:
    """A parameter that is not what the file says."""

    node: str
    before: ParameterDescription
    value: Any
    where: Where


def differences(
    file: Path, nodes: Mapping[str, Entry], parameters: Callable[[str], Mapping[str, ParameterDescription]]
) -> tuple[list[Difference], list[Mistake]]:
    """Where the file differs from the living nodes, and what in it is about nobody."""
    site, mistakes = read_site(file)
    found = []
    for node, given in site.parameters.items():
        if not given:
            continue
        where = min(g.where for g in given.values())
        if node not in nodes:
            mistakes.append(Mistake("unknown-node", where, f"no node {node!r} is running", did_you_mean(node, nodes)))
            continue
        known = parameters(node)
        for name, g in given.items():
            if name not in known:
                suggestion = did_you_mean(name, known)
                mistakes.append(Mistake("unknown-parameter", g.where, f"{node} has no parameter {name!r}", suggestion))
            elif why := _not_plain(g.value):
                mistakes.append(Mistake("bad-parameter", g.where, f"{node}: {name} is no plain data: {why}"))
            elif not _same(json.loads(known[name].json_value), g.value):
                found.append(Difference(node, known[name], g.value, g.where))
    return found, mistakes


def _not_plain(value: Any) -> str:
    """Why it cannot be sent to a node: TOML has times and dates, JSON has none."""
    try:
        json.dumps(value)
    except TypeError as error:
        return str(error)
    return ""


def _same(one: Any, other: Any) -> bool:
    """By what they say: NaN is NaN, and 5 is 5.0 but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other or (one != one and other != other))
