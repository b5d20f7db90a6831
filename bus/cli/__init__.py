"""The `rise` command: one file per noun, imported only when that noun is used."""

from __future__ import annotations

import importlib
import os
import sys

import click
from click.shell_completion import CompletionItem

NOUNS = {
    "launch": "bring up a launch file, or check it",
    "run": "run one node here",
    "new": "write a shop of one's own",
    "ps": "the processes of the launch",
    "logs": "what the nodes wrote",
    "restart": "restart a process of the launch",
    "stop": "stop a process of the launch",
    "node": "nodes that are alive: list, info",
    "topic": "topics: list, info, echo, hz, bw, delay, pub",
    "service": "services: list, call",
    "param": "parameters: list, get, set, describe, dump, load",
    "bag": "bags: record, play, usage, merge, info, check, cut, convert",
    "machine": "machines that are not on the bus yet: probe",
    "job": "jobs of a machine: start, end",
    "replay": "replay a bag through a node, in lock-step",
    "backtest": "what other settings would have decided on what was recorded",
    "verdict": "people's word on interventions: give, list",
    "interface": "message types: list, show",
    "doctor": "is this computer fit for it",
    "completion": "for bash, zsh and fish: prints the script",
}


class Nouns(click.Group):
    """Each noun is the `command` of the module of its name in this package; its help line stands above, unimported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NOUNS:
            return None
        command: click.Command = importlib.import_module(f"bus.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in NOUNS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from bus.site import did_you_mean

            ctx.fail(f"no command {args[0]!r}; {did_you_mean(args[0], NOUNS)}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(name, help=text) for name, text in NOUNS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]  # a Group's own would import every noun

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(NOUNS.items()))


@click.group(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fanuc-rise")
def cli() -> None:
    """Fanuc Rise: a machine shop's nervous system."""


def main() -> None:
    """The command line of this process; bus/rise.py is its door."""
    from bus.root import MixedRoots, found, one_root

    try:
        parents = found()
        # the doctor says which package is shadowed, and the rest too, as long as those that it stands on are ours
        if sys.argv[1:2] != ["doctor"] or parents["schemas"] != parents["bus"]:
            one_root(parents)
        result = cli.main(prog_name="rise", standalone_mode=False)
        sys.stdout.flush()
    except MixedRoots as error:
        sys.stderr.write(f"rise: {error}\n")
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # the reader of our output left (`rise topic echo ... | head`): no mistake of anybody
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except (OSError, TimeoutError) as error:  # the runtime directory, a file: the text says which
        sys.stderr.write(f"rise: {error}\n")
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)
