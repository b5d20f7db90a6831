"""`rise ps`: the processes of the launch."""

from __future__ import annotations

import click

from bus.cli.graph import domain_option, json_option, print_json, print_table
from bus.cli.launched import chosen, processes


@click.command()
@json_option
@domain_option
def command(as_json: bool, domain: str | None) -> None:
    """The processes of the launch: state, restarts, CPU in percent of a core, memory (PSS), scheduling."""
    found = processes(chosen(domain))
    if as_json:
        print_json(found.model_dump(mode="json"))
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
    print_table(head, rows)
