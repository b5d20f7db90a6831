"""`rise job start | end`: give a machine its job by hand, where no ERP does."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import click

from bus.cli.graph import Verbs, domain_option, living, meant
from schemas.shop import JobReply, JobSpec
from schemas.topics import JOB_START

MOST_BYTES = 1_000_000


@click.group(cls=Verbs)
def command() -> None:
    """Jobs: what a machine is to make, of what, by whom."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--machine", default="", help="namespace of the machine; may be left out where there is one")
@domain_option
def start(file: Path, machine: str, domain: str | None) -> None:
    """Give a machine the job of a TOML FILE; it takes effect at the next start of a program.

    Exit code 1 when the machine does not take it, 2 when the file is none.

    \b
        job_id = "502"
        program = "O1001 POCKET"
        material = "aluminium_wrought"
        operator_id = "maria"
        [[cuts]]
        tool = 1
        first_block = 50
        last_block = 130
        diameter_mm = 10.0
        teeth = 3
        depth_mm = 5.0
        width_mm = 5.0
        [[limits]]
        task = "load_limit"
        error = 80.0
    """
    from bus.cli.known_types import message_from

    try:
        data = file.read_bytes()
        if len(data) > MOST_BYTES:
            raise click.UsageError(f"{file}: {len(data)} bytes are no job")
        table = tomllib.loads(data.decode())
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{file}: not TOML: {error}") from None
    try:
        spec = message_from(JobSpec, json.dumps(table, default=str))
    except click.UsageError as error:
        raise click.UsageError(f"{file}: {error.message}") from None
    assert isinstance(spec, JobSpec)
    _ask(spec, machine, domain)


@command.command()
@click.option("--machine", default="", help="namespace of the machine; may be left out where there is one")
@domain_option
def end(machine: str, domain: str | None) -> None:
    """From the next start of a program on the machine has no job."""
    _ask(JobSpec(job_id="", program=""), machine, domain)


def _ask(spec: JobSpec, machine: str, domain: str | None) -> None:
    from bus.node import CallFailed
    from bus.session import Session

    served = sorted(
        s.name for entry in living(domain).values() for s in entry.serves if s.name.endswith(f"/{JOB_START.name}")
    )
    machines = [name.removesuffix(f"/{JOB_START.name}") for name in served]
    if not machine and len(machines) == 1:
        machine = machines[0]
    if not machine:
        raise click.UsageError(f"say which machine, by --machine: there is {', '.join(machines) or 'none'}")
    if machine not in machines:
        raise click.ClickException(f"no machine {machine!r} takes jobs; {meant(machine, machines)}")
    with Session(domain) as session:
        try:
            reply = session.call(f"{machine}/{JOB_START.name}", JOB_START, spec, timeout_s=2.0)
        except CallFailed as error:
            raise click.ClickException(f"{machine}: {error}") from None
    assert isinstance(reply, JobReply)
    if not reply.ok:
        raise click.ClickException(f"{machine}: " + reply.text.replace("; ", "\n  "))
    click.echo(f"{machine}: {reply.text}")
