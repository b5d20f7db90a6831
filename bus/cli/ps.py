"""`rise ps`: the processes of the launch."""

from __future__ import annotations

import click

from bus.cli.graph import domain_option, json_option, print_json, print_table
from bus.cli.launched import chosen, processes


@click.command()
@json_option
@domain_option
def command(as_json: bool, domain: str | None) -> None:
    """The processes of the launch: state, restarts, CPU in percent of a core, memory (PSS), scheduling; what fails."""
    from bus.cli.listening import health
    from schemas.machine import ConditionLevel
    from schemas.system import ProcessState

    found = processes(chosen(domain))
    nodes = [node for p in found.processes if p.state is ProcessState.READY for node in p.nodes]
    said = health(domain, nodes)
    faults = [(n, f) for n in nodes if n in said for f in said[n].findings if f.level is ConditionLevel.FAULT]
    if as_json:
        plain = [{"node": node, "code": f.code, "text": f.text} for node, f in faults]
        print_json({**found.model_dump(mode="json"), "faults": plain})
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
    for node, f in faults:
        click.echo(f"FAULT {node}: {f.code}: {f.text}")
