"""The launch of a domain, for the commands that look at it or ask it for something."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import click

from bus.cli.graph import directory, user
from bus.discovery import domains

if TYPE_CHECKING:
    from bus.node import Raw
    from schemas.system import Processes

WITHIN_S = 3.0
NAME = "launch"


def chosen(domain: str | None) -> str:
    return domain or os.environ.get("RISE_DOMAIN") or "default"


def require(domain: str) -> None:
    """Refuse when nothing is launched there, naming where something is."""
    if NAME not in directory(domain).entries():
        others = ", ".join(f"{name} ({count} nodes)" for name, count in domains().items() if count and name != domain)
        hint = f"; alive are {others}: choose with --domain" if others else ""
        raise click.ClickException(f"nothing is launched in domain {domain!r}{hint}")


def processes(domain: str) -> Processes:
    """How the processes of the launch are, as it said last."""
    from bus.session import Session
    from schemas import topics
    from schemas.codec import codec
    from schemas.system import Processes

    require(domain)
    found: list[Processes] = []

    def heard(batch: list[Raw]) -> None:
        found.extend(codec(Processes).decode(raw.payload) for raw in batch if not raw.lost_first)

    name = topics.PROCESSES.name.removeprefix("/")
    with Session(domain, select=lambda topic, _: topic == name, heard=heard) as session:
        if not session.spin(lambda: bool(found), WITHIN_S):
            raise click.ClickException(f"the launch in domain {domain!r} does not answer within {WITHIN_S:g} s")
    return found[-1]


def ask(domain: str, what: Literal["restart", "stop"], process: str) -> str:
    """Ask the launch for something; what it answers."""
    from bus.node import CallFailed
    from bus.session import Session
    from schemas import topics
    from schemas.system import ProcessRequest

    require(domain)
    service = topics.RESTART_PROCESS if what == "restart" else topics.STOP_PROCESS
    request = ProcessRequest(process=process, changed_by=user())
    with Session(domain) as session:
        try:
            done = session.call(service.name.removeprefix("/"), service, request, timeout_s=WITHIN_S)
        except CallFailed as error:
            raise click.ClickException(f"the launch in domain {domain!r} did not take it: {error}") from None
    if not done.ok:
        raise click.ClickException(done.text)
    return done.text
