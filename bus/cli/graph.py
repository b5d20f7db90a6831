"""What the commands share that look at a running graph: options, living nodes, names, tables, JSON.

Stands on bus.discovery alone: `rise topic list` neither knows pydantic nor numpy nor a socket.
"""

from __future__ import annotations

import getpass
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import click

from bus.cli import completion
from bus.discovery import Directory, Entry
from schemas.names import BadName, is_tool

F = TypeVar("F", bound=Callable[..., Any])

domain_option = click.option(
    "--domain", metavar="D", help="default: RISE_DOMAIN, else default", shell_complete=completion.domains
)
json_option = click.option("--json", "as_json", is_flag=True, help="for programs: one JSON document, a stream as lines")


class Verbs(click.Group):
    """The verbs of a noun; a misspelled one is answered with the one that was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no command {args[0]!r}; {meant(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def meant(word: str, known: Iterable[str]) -> str:
    """`did you mean 'vmc1/machine/state'?`, or what there is."""
    from bus.site import did_you_mean

    return did_you_mean(word, known)


def user() -> str:
    """Who asks, for the record; a container may run under a number that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def directory(domain: str | None) -> Directory:
    """The domain to look at; a name that is none is a mistake in usage."""
    try:
        return Directory(domain)
    except BadName as error:
        raise click.UsageError(str(error)) from None


def living(domain: str | None) -> dict[str, Entry]:
    """The living nodes by full name, without tools like this one.

    Raises:
        ClickException: there is none; says in which domains there are some.
    """
    where = directory(domain)
    found = {name: entry for name, entry in sorted(where.entries().items()) if not is_tool(entry.name)}
    for problem in where.problems:
        click.echo(problem, err=True)
    if not found:
        raise click.ClickException(where.nobody())
    return found


def one_node(name: str, nodes: Mapping[str, Entry]) -> Entry:
    """The node of a name; its end is enough where that is not ambiguous (`impact_cortex` for `vmc1/impact_cortex`)."""
    wanted = name.removeprefix("/")
    if wanted in nodes:
        return nodes[wanted]
    ending = [n for n in nodes if n.endswith(f"/{wanted}")]
    if len(ending) == 1:
        return nodes[ending[0]]
    if not ending:
        nobody_of("node", name, nodes)
    raise click.ClickException(f"several nodes end in {name!r}: {', '.join(ending)}; say which")


def nobody_of(kind: str, name: str, known: Iterable[str]) -> NoReturn:
    """There is none of that name: say what was probably meant."""
    raise click.ClickException(f"no {kind} {name!r}; {meant(name, known)}")


def meets(pattern: str, name: str) -> bool:
    """Whether a subscription (or a publisher) of that name is about this topic; `*/x` is x in any one namespace."""
    return pattern == name or (pattern.startswith("*/") and name.partition("/")[2] == pattern[2:])


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as what stands in them."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def without_nan(value: Any) -> Any:
    """`value` with null for every number that is none: JSON has no word for NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return value


def print_json(value: Any) -> None:
    """One document."""
    click.echo(json.dumps(without_nan(value), indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """One line of a stream."""
    click.echo(json.dumps(without_nan(value), separators=(",", ":"), ensure_ascii=False))


def ms(value: float) -> str:
    """Milliseconds for a table."""
    return "-" if math.isnan(value) else f"{value:.2f}"
