"""`rise ps`: the processes of the launch."""

from __future__ import annotations

import json

import click

from bus.cli.launched import chosen, processes


@click.command()
@click.option("--json", "as_json", is_flag=True)
@click.option("--domain", help="default: RISE_DOMAIN, else default")
def command(as_json: bool, domain: str | None) -> None:
    """The processes of the launch: state, restarts, CPU in percent of a core, memory (PSS), scheduling."""
    found = processes(chosen(domain))
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2))
        return
    head = ("PROCESS", "STATE", "PID", "RESTARTS", "CPU %", "PSS MB", "SCHEDULING", "LAST EXIT")
    rows = [
        (
            p.name,
            p.state.value,
            str(p.pid or "-"),
            str(p.restarts),
            f"{p.cpu_pct:.1f}",
            f"{p.pss_bytes / 1e6:.0f}",
            p.scheduling or "normal",
            p.last_exit or "-",
        )
        for p in found.processes
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
