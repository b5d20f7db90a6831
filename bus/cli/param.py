"""`rise param list | get | set | describe | dump | load`: the parameters of running nodes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bus.cli import completion
from bus.cli.graph import (
    Verbs,
    domain_option,
    json_option,
    living,
    nobody_of,
    one_node,
    print_json,
    print_json_line,
    print_table,
    user,
)

if TYPE_CHECKING:
    from bus.discovery import Entry
    from bus.session import Session
    from schemas.system import ParameterDescription

TIMEOUT_S = 2.0


@click.group(cls=Verbs)
def command() -> None:
    """Parameters of running nodes."""


def _parameters(session: Session, node: str) -> dict[str, ParameterDescription]:
    """What a node says its parameters are, now."""
    from bus.node import CallFailed
    from schemas import topics
    from schemas.system import ParametersRequest

    name = f"{node}/{topics.NODE_DESCRIBE_PARAMETERS.name.removeprefix('node/')}"
    try:
        reply = session.call(name, topics.NODE_DESCRIBE_PARAMETERS, ParametersRequest(), timeout_s=TIMEOUT_S)
    except CallFailed as error:
        raise click.ClickException(f"{node} does not say its parameters: {error}") from None
    return {p.name: p for p in reply.parameters}


def _of(entry: Entry, name: str, session: Session) -> ParameterDescription:
    known = _parameters(session, entry.name)
    return known[name] if name in known else nobody_of(f"parameter of {entry.name}", name, known)


def _with_unit(json_value: str, unit: str) -> str:
    return f"{json_value} {unit}".rstrip()


def _plain(node: str, p: ParameterDescription) -> dict[str, Any]:
    return {
        "node": node, "name": p.name, "value": json.loads(p.json_value), "default": json.loads(p.json_default),
        "type": p.type, "unit": p.unit, "doc": p.doc, "ge": p.ge, "le": p.le,
    }  # fmt: skip


@command.command("list")
@click.argument("node", required=False, shell_complete=completion.nodes)
@json_option
@domain_option
def list_(node: str | None, as_json: bool, domain: str | None) -> None:
    """The parameters of a NODE, or of all."""
    from bus.session import Session

    nodes = living(domain)
    chosen = [one_node(node, nodes)] if node else list(nodes.values())
    with Session(domain) as session:
        found = [(e.name, p) for e in chosen if e.parameters for p in _parameters(session, e.name).values()]
    if as_json:
        print_json([_plain(name, p) for name, p in found])
    elif not found:
        click.echo("no parameters")
    else:
        print_table(
            ("NODE", "PARAMETER", "VALUE"), [(name, p.name, _with_unit(p.json_value, p.unit)) for name, p in found]
        )


@command.command()
@click.argument("node", shell_complete=completion.nodes)
@click.argument("name", shell_complete=completion.parameters)
@json_option
@domain_option
def get(node: str, name: str, as_json: bool, domain: str | None) -> None:
    """The value of a parameter, now."""
    from bus.session import Session

    entry = one_node(node, living(domain))
    with Session(domain) as session:
        found = _of(entry, name, session)
    if as_json:
        print_json(_plain(entry.name, found))
    else:
        click.echo(_with_unit(found.json_value, found.unit))


@command.command("set")
@click.argument("node", shell_complete=completion.nodes)
@click.argument("name", shell_complete=completion.parameters)
@click.argument("value")
@json_option
@domain_option
def set_(node: str, name: str, value: str, as_json: bool, domain: str | None) -> None:
    """Change a parameter of a running node until it ends: VALUE is JSON, or a text. The node itself checks it."""
    from bus.arguments import value_of
    from bus.session import Session

    entry = one_node(node, living(domain))
    with Session(domain) as session:
        before = _of(entry, name, session)
        _set(session, entry.name, name, json.dumps(value_of(value)))
        after = _of(entry, name, session)
    if as_json:
        print_json({**_plain(entry.name, after), "old": json.loads(before.json_value)})
    else:
        click.echo(f"{entry.name} {name}: {before.json_value} -> {_with_unit(after.json_value, after.unit)}")


def _set(session: Session, node: str, name: str, json_value: str) -> None:
    """Have a node change a parameter; what it refuses is a ClickException with its own words."""
    from bus.node import CallFailed
    from schemas import topics
    from schemas.system import SetParameterRequest

    request = SetParameterRequest(name=name, json_value=json_value, changed_by=user())
    service = f"{node}/{topics.NODE_SET_PARAMETER.name.removeprefix('node/')}"
    try:
        done = session.call(service, topics.NODE_SET_PARAMETER, request, timeout_s=TIMEOUT_S)
    except CallFailed as error:
        raise click.ClickException(f"{node} {name}: {error}") from None
    if not done.ok:
        raise click.ClickException(f"{node}: {done.text}")


@command.command()
@click.argument("node", required=False, shell_complete=completion.nodes)
@json_option
@domain_option
def dump(node: str | None, as_json: bool, domain: str | None) -> None:
    """The parameters of a NODE, or of all, now, as TOML: for `rise param load`, or to paste into a site file."""
    from bus.cli.param_files import text
    from bus.session import Session

    nodes = living(domain)
    chosen = [one_node(node, nodes)] if node else list(nodes.values())
    with Session(domain) as session:
        found = {e.name: list(_parameters(session, e.name).values()) for e in chosen if e.parameters}
    if as_json:
        print_json({name: {p.name: json.loads(p.json_value) for p in each} for name, each in found.items()})
    else:
        click.echo(text(found), nl=False)


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="say what would change, change nothing")
@json_option
@domain_option
def load(file: Path, only_check: bool, as_json: bool, domain: str | None) -> None:
    """Set what a TOML FILE of `rise param dump`, or a site file, says, where it differs from what is.

    Nothing is set when a node or a parameter of the file is not there; that, and what a node refuses, is exit code 1.
    """
    from bus.cli.param_files import differences
    from bus.session import Session

    nodes = living(domain)
    with Session(domain) as session:
        found, mistakes = differences(file, nodes, lambda node: _parameters(session, node))
        for mistake in mistakes:
            click.echo(mistake, err=True)
        if mistakes:
            raise SystemExit(1)
        refused = 0
        for d in found:
            try:
                if not only_check:
                    _set(session, d.node, d.before.name, json.dumps(d.value))
            except click.ClickException as error:
                refused += 1
                click.echo(f"{d.where}: {error.message}", err=True)
                continue
            if as_json:
                print_json_line({**_plain(d.node, d.before), "old": json.loads(d.before.json_value), "value": d.value})
            else:
                new = _with_unit(json.dumps(d.value), d.before.unit)
                click.echo(f"{d.node} {d.before.name}: {d.before.json_value} -> {new}")
    if not found and not as_json:
        click.echo(f"nothing differs from {file}")
    if refused:
        raise SystemExit(1)


@command.command()
@click.argument("node", shell_complete=completion.nodes)
@click.argument("name", required=False, shell_complete=completion.parameters)
@json_option
@domain_option
def describe(node: str, name: str | None, as_json: bool, domain: str | None) -> None:
    """What a parameter means: unit, bounds, default; all of the NODE's without a NAME."""
    from bus.session import Session

    entry = one_node(node, living(domain))
    with Session(domain) as session:
        found = [_of(entry, name, session)] if name else list(_parameters(session, entry.name).values())
    if as_json:
        print_json([_plain(entry.name, p) for p in found])
        return
    for p in found:
        bounds = [
            f"{word} {bound:g}" for word, bound in (("at least", p.ge), ("at most", p.le)) if not math.isnan(bound)
        ]
        click.echo(f"{p.name} = {_with_unit(p.json_value, p.unit)}")
        click.echo(f"  {p.type}{', ' + ' and '.join(bounds) if bounds else ''}, default {p.json_default}")
        if p.doc:
            click.echo(f"  {p.doc}")
