"""`rise doctor`: is this computer fit for it, and is what runs here well."""

from __future__ import annotations

import click

from bus.cli.doctor_computer import Check, checks, read
from bus.cli.doctor_graph import bag_disks, health, types_that_differ
from bus.cli.graph import directory, domain_option, json_option, print_json
from schemas.names import is_tool


@click.command()
@json_option
@domain_option
def command(as_json: bool, domain: str | None) -> None:
    """Python, packages, runtime directory, disk, clock, limits of the kernel, and the health of what runs.

    Exit code 1 when something is wrong (an error), 0 with warnings.
    """
    where = directory(domain)
    entries = {name: e for name, e in sorted(where.entries().items()) if not is_tool(e.name)}
    readings = read(where.path / "anchor.json")
    found = list(checks(readings))
    if not entries:
        found.append(Check("nodes", "note", where.nobody()))
    elif not readings.mixed_roots:  # else what would listen may be another program's
        from bus.cli import listening

        found += bag_disks(entries)
        found += types_that_differ(entries)
        found += health(entries, listening.health(domain, list(entries)))
    if as_json:
        print_json([{"id": c.id, "level": c.level, "text": c.text, "advice": c.advice} for c in found])
    else:
        for c in found:
            click.echo(f"{c.level:<7}  {c.id:<10}  {c.text}{f': {c.advice}' if c.advice else ''}")
    raise SystemExit(1 if any(c.level == "error" for c in found) else 0)
