"""`rise restart`: ask the launch to restart one of its processes."""

from __future__ import annotations

import click

from bus.cli.launched import ask, chosen
from schemas import topics


@click.command()
@click.argument("process")
@click.option("--domain", help="default: RISE_DOMAIN, else default")
def command(process: str, domain: str | None) -> None:
    """Restart a PROCESS of the launch (or the process a node is in); a FAILED one is tried again."""
    click.echo(ask(chosen(domain), topics.RESTART_PROCESS, process))
