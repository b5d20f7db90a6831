"""`rise launch FILE [name:=value ...]`: check, then bring up; or only check, print or draw."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from bus.cli import completion
from bus.cli.graph import domain_option
from bus.site import Mistake, Where
from schemas.names import BadName

if TYPE_CHECKING:
    from bus.plan import Plan


@click.command()
@click.argument("file", shell_complete=completion.launch_files)
@click.argument("arguments", nargs=-1, metavar="[name:=value]...", shell_complete=completion.launch_arguments)
@click.option("--site", type=click.Path(), help="site file; default: site.toml beside FILE, or one folder up")
@click.option("-p", "overrides", multiple=True, metavar="NODE.PARAMETER=VALUE", help="a parameter, above all files")
@click.option("--check", "only_check", is_flag=True, help="say all mistakes, start nothing")
@click.option("--print", "only_print", is_flag=True, help="the resolved plan")
@click.option("--graph", "only_graph", is_flag=True, help="nodes and topics in DOT")
@click.option("--json", "as_json", is_flag=True, help="mistakes or plan as JSON")
@click.option("--partial", is_flag=True, help="other launches feed the rest: what is unfed or unserved only warns")
@domain_option
def command(
    file: str,
    arguments: tuple[str, ...],
    site: str | None,
    overrides: tuple[str, ...],
    only_check: bool,
    only_print: bool,
    only_graph: bool,
    as_json: bool,
    partial: bool,
    domain: str | None,
) -> None:
    """Bring up the nodes of a launch FILE (a path, or the name of a shipped one: cell, shop, recording).

    Every mistake in the file, its arguments, the site file and the graph is told at once; with one error nothing is
    started and the exit code is 2.
    """
    from bus import show
    from bus.check import check, errors
    from bus.plan import load
    from bus.runtime import is_segment

    plan = load(file, arguments, site=site, overrides=overrides)
    mistakes = check(plan, partial=partial)
    domain = domain or os.environ.get("RISE_DOMAIN") or "default"
    if not is_segment(domain):
        text = f"bad name of a domain: {domain!r}; it is one segment, [a-z_][a-z0-9_]*"
        mistakes.append(Mistake("bad-name", Where("--domain"), text))
    wrong = errors(mistakes)
    if as_json and (only_check or wrong):
        click.echo(json.dumps([_plain(m) for m in mistakes], indent=2))
    else:
        for mistake in mistakes:
            click.echo(mistake, err=True)
    if wrong:
        if not as_json:
            click.echo(f"{_many(len(wrong), 'error')} in {plan.file}: nothing was started", err=True)
        raise SystemExit(2)
    if only_graph:
        click.echo(show.dot(plan))
    elif only_print:
        click.echo(json.dumps(show.plain(plan), indent=2) if as_json else "\n".join(show.text(plan)))
    elif only_check:
        if not as_json:
            click.echo(
                f"{plan.file}: {_many(len(list(plan.nodes())), 'node')} in "
                f"{_many(len(plan.processes), 'process', 'processes')}, no error"
            )
    else:
        raise SystemExit(_bring_up(plan, domain))


def _many(n: int, one: str, more: str = "") -> str:
    return f"{n} {one if n == 1 else more or one + 's'}"


def _bring_up(plan: Plan, domain: str) -> int:
    from bus.discovery import BadRuntimeDirectory, NameTaken
    from bus.launcher import bring_up
    from bus.register import who

    try:
        return bring_up(plan, domain)
    except NameTaken as error:
        text = f"domain {domain!r} is launched already by {who(error.holder)}"
        click.echo(f"{text}: `rise stop --all` ends it, --domain chooses another", err=True)
        return 3
    except (BadRuntimeDirectory, BadName) as error:
        click.echo(str(error), err=True)
        return 2


def _plain(mistake: Mistake) -> dict[str, object]:
    return {
        "id": mistake.id,
        "level": mistake.level,
        "file": mistake.where.file,
        "line": mistake.where.line,
        "text": mistake.text,
        "suggestion": mistake.suggestion,
    }
