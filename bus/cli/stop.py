"""`rise stop`: ask the launch to end one of its processes, or itself."""

from __future__ import annotations

import click

from bus.cli import completion
from bus.cli.graph import domain_option
from bus.cli.launched import ask, chosen


@click.command()
@click.argument("process", required=False, default="", shell_complete=completion.nodes)
@click.option("--all", "everything", is_flag=True, help="the whole launch")
@domain_option
def command(process: str, everything: bool, domain: str | None) -> None:
    """End a PROCESS of the launch (or the process a node is in) until `rise restart`; with --all the launch itself.

    This ends programs. It is not the STOP of a machine: that is `rise service call MACHINE/machine/stop`.
    """
    if bool(process) == everything:
        raise click.UsageError("name a process, or say --all")
    click.echo(ask(chosen(domain), "stop", process))
