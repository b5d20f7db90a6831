"""`rise restart`: ask the launch to restart one of its processes."""

from __future__ import annotations

import click

from bus.cli import completion
from bus.cli.graph import domain_option
from bus.cli.launched import ask, chosen


@click.command()
@click.argument("process", shell_complete=completion.nodes)
@domain_option
def command(process: str, domain: str | None) -> None:
    """Restart a PROCESS of the launch (or the process a node is in); a FAILED one is tried again."""
    click.echo(ask(chosen(domain), "restart", process))
