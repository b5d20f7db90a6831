"""`rise run`: one node in this terminal, in place of this process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bus.cli.graph import domain_option
from schemas.names import BadName, check_name

if TYPE_CHECKING:
    from bus.node import Parameter


@click.command()
@click.argument("target")
@click.option("--name", default="", help="default: the last segment of the module")
@click.option("--namespace", default="", help="the machine it belongs to")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE")
@click.option("-r", "remappings", multiple=True, metavar="FROM:=TO")
@domain_option
@click.option("--clock", type=click.Choice(["wall", "sim"]), default="wall", help="sim follows /clock")
def command(
    target: str,
    name: str,
    namespace: str,
    parameters: tuple[str, ...],
    remappings: tuple[str, ...],
    domain: str | None,
    clock: str,
) -> None:
    """Run one node here: TARGET is a module (nodes.recorder), a module and class, or a file. Ctrl-C ends it."""
    from bus.target import BadTarget, is_path, node_class, split

    module, cls_name = split(target)
    if is_path(module):
        target = os.path.abspath(module) + (f":{cls_name}" if cls_name else "")
    try:
        cls = node_class(target)
        for one in filter(None, (name, namespace)):
            check_name(one)
    except (BadTarget, BadName) as error:
        raise click.UsageError(str(error)) from None
    words = ["--domain", domain] if domain else []
    words += ["--clock", clock, target]
    for option, value in (("--name", name), ("--namespace", namespace)):
        words += [option, value] if value else []
    for given in parameters:
        words += ["-p", _parameter(cls.__name__, cls.interface.parameters, given)]
    for given in remappings:
        if ":=" not in given:
            raise click.UsageError(f"-r {given}: write FROM:=TO")
        words += ["-r", given]
    sys.stdout.flush()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"PYTHONSAFEPATH": "1"}
    os.execve(sys.executable, [sys.executable, "-P", "-m", "bus.run", *words], environment)


def _parameter(owner: str, declared: Mapping[str, Parameter[Any]], given: str) -> str:
    from bus.arguments import value_of
    from bus.node import BadParameter
    from bus.site import did_you_mean

    name, sign, text = given.partition("=")
    if not sign:
        raise click.UsageError(f"-p {given}: write NAME=VALUE")
    found = declared.get(name)
    if found is None:
        raise click.UsageError(f"{owner} has no parameter {name!r}; {did_you_mean(name, declared)}")
    value = value_of(text)
    try:
        found.check(value)
    except BadParameter as error:
        raise click.UsageError(str(error)) from None
    return f"{name}={json.dumps(value)}"
