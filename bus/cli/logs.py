"""`rise logs`: what the processes of a launch wrote."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import click

from bus.cli import completion
from bus.cli.graph import domain_option, json_option, print_json_line
from bus.logs import Follower, last_lines, log_folder, log_path, logged
from bus.site import did_you_mean


@click.command()
@click.argument("names", nargs=-1, shell_complete=completion.logs)
@click.option("-n", "--lines", default=20, show_default=True, help="of each process")
@click.option("-f", "--follow", is_flag=True, help="and what comes, until Ctrl-C")
@json_option
@domain_option
def command(names: tuple[str, ...], lines: int, follow: bool, as_json: bool, domain: str | None) -> None:
    """What processes wrote, in the order of time: NAMES (vmc1/core, or vmc1 for all of that machine), else all."""
    where = domain or os.environ.get("RISE_DOMAIN") or "default"
    known = logged(where)
    if not known:
        raise click.ClickException(f"no logs in {log_folder(where)}")
    for name in names:
        if not _matching(name, known):
            raise click.ClickException(f"no log of {name!r}; {did_you_mean(name, known)}")
    chosen = [p for p in known if not names or any(p in _matching(n, known) for n in names)]
    followers = {name: Follower(log_path(where, name)) for name in chosen} if follow else {}
    rows = [(line, name) for name in chosen for line in last_lines(log_path(where, name), lines)]
    width = max(len(name) for name in chosen)

    def say(name: str, line: str) -> None:
        if as_json:
            print_json_line({"process": name, "line": line})
        else:
            click.echo(f"{name:{width}} | {line}")

    for line, name in sorted(rows, key=lambda row: row[0][:24]):  # each line begins with its time
        say(name, line)
    tick = threading.Event()
    while follow:
        for name, follower in followers.items():
            for line in follower.lines():
                say(name, line)
        tick.wait(0.2)


def _matching(name: str, known: list[str]) -> list[str]:
    return [p for p in known if p == name or Path(p).is_relative_to(name)]
