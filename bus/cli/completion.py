"""`rise completion`: what a shell offers behind `rise`, and the names that are offered.

Names of nodes, topics, services and parameters come from the runtime directory alone, so a press of the key takes as
long as `rise topic list`: this knows neither sockets nor pydantic.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from bus.discovery import Directory, Entry
from bus.discovery import domains as all_domains
from schemas.names import BadName

if TYPE_CHECKING:
    from click import Context, Parameter

SHIPPED = Path(__file__).resolve().parents[2] / "launch"
PLUMBING = ("/trace", "/parameters", "/_event", "/describe_parameters", "/set_parameter")
"""ends of names that every node has, for other commands than a person's"""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes the tabulator key complete `rise`, with the names of what runs.

    \b
        eval "$(rise completion bash)"      # in ~/.bashrc; zsh likewise, in ~/.zshrc
        rise completion fish > ~/.config/fish/completions/rise.fish
    """
    from bus.cli import cli

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, "rise", "_RISE_COMPLETE").source())


# --- names ------------------------------------------------------------------------------------------------------------


def _entries(context: Context) -> Mapping[str, Entry]:
    try:
        found = Directory(context.params.get("domain")).entries()
    except (OSError, BadName):
        return {}
    return {name: e for name, e in sorted(found.items()) if not name.rpartition("/")[2].startswith("_")}


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    slash = "/" if incomplete.startswith("/") else ""
    return [slash + name for name in dict.fromkeys(names) if name.startswith(incomplete.removeprefix("/"))]


def nodes(context: Context, parameter: Parameter, incomplete: str) -> list[str]:
    return _beginning(_entries(context), incomplete)


def topics(context: Context, parameter: Parameter, incomplete: str) -> list[str]:
    rows = (t.name for e in _entries(context).values() for t in (*e.publishes, *e.subscribes))
    return _beginning(sorted(n for n in rows if not n.startswith("*") and not n.endswith(PLUMBING)), incomplete)


def services(context: Context, parameter: Parameter, incomplete: str) -> list[str]:
    rows = (s.name for e in _entries(context).values() for s in e.serves)
    return _beginning(sorted(n for n in rows if not n.endswith(PLUMBING)), incomplete)


def parameters(context: Context, parameter: Parameter, incomplete: str) -> list[str]:
    """Of the node that was named before."""
    node = (context.params.get("node") or "").removeprefix("/")
    of = [e for name, e in _entries(context).items() if name == node or name.endswith(f"/{node}")]
    return _beginning((name for e in of for name in e.parameters), incomplete)


def logs(context: Context, parameter: Parameter, incomplete: str) -> list[str]:
    """Processes that have written something, and their machines."""
    from bus.logs import logged

    found = logged(context.params.get("domain") or os.environ.get("RISE_DOMAIN") or "default")
    return _beginning(sorted({n for name in found for n in (name, name.partition("/")[0])}), incomplete)


def domains(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        found = all_domains()
    except OSError:
        return []
    return [CompletionItem(n, help=f"{count} nodes") for n, count in found.items() if n.startswith(incomplete)]


def launch_files(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    shipped = sorted(path.stem for path in SHIPPED.glob("*.py"))
    names = [CompletionItem(name, help="shipped") for name in shipped if name.startswith(incomplete)]
    return [CompletionItem(incomplete, type="file"), *names]


def launch_arguments(context: Context, parameter: Parameter, incomplete: str) -> list[str]:
    """What launch() in the file takes, read without running it."""
    file = Path(context.params.get("file") or "")
    shipped = SHIPPED / (file.name if file.suffix else f"{file.name}.py")
    try:
        tree = ast.parse((file if file.is_file() else shipped).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return []
    for part in tree.body:
        if isinstance(part, ast.FunctionDef) and part.name == "launch":
            taken = (*part.args.args, *part.args.kwonlyargs)
            names = (a.arg for a in taken if not (isinstance(a.annotation, ast.Name) and a.annotation.id == "Site"))
            return [f"{name}:=" for name in names if name.startswith(incomplete)]
    return []
