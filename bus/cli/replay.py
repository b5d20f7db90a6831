"""rise replay: run a recorded node again, with the code and parameters of now, and see what it decides differently."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bus.cli.number import SECONDS
from schemas.names import is_tool

if TYPE_CHECKING:
    from bus.bag import AnyBag
    from bus.node import Node
    from bus.replay import Decisions, Result, Wanted, Window
    from bus.trace import Record


class BadInput(click.ClickException):
    """The bag, the node or a parameter is wrong; nothing was replayed."""

    exit_code = 2


_WARM_UP = "Seconds replayed before such a part and not compared; when not given, what brings the node into step."


@click.command()
@click.argument("node")
@click.argument("bags", metavar="BAG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-p", "parameters", metavar="NAME=VALUE", multiple=True, help="A parameter other than recorded.")
@click.option("--around", type=SECONDS, metavar="S", help="Only about this moment; seconds from the bag's start.")
@click.option("--before", type=SECONDS, metavar="S", help="Seconds before --around; 2 when not given.")
@click.option("--after", type=SECONDS, metavar="S", help="Seconds after --around; 3 when not given.")
@click.option("--start", type=SECONDS, metavar="S", help="Only from here; seconds from the bag's start.")
@click.option("--end", type=SECONDS, metavar="S", help="Only up to here.")
@click.option("--warm-up", type=SECONDS, metavar="S", help=_WARM_UP)
@click.option("--against", type=click.Path(path_type=Path), help="Compare with another bag, or an .expected.txt file.")
@click.option("--update", is_flag=True, help="Make these decisions the expected ones of the test this bag is.")
@click.option("--step", is_flag=True, help="Stop in a debugger before each callback.")
@click.option("--at", "at_s", type=SECONDS, default=0.0, metavar="SECONDS", help="With --step: from this time on.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
def command(
    node: str,
    bags: tuple[Path, ...],
    parameters: tuple[str, ...],
    around: float | None,
    before: float | None,
    after: float | None,
    start: float | None,
    end: float | None,
    warm_up: float | None,
    against: Path | None,
    update: bool,
    step: bool,
    at_s: float,
    as_json: bool,
) -> None:
    """Replay NODE (its full name in the bag, or its module) from BAG in lock-step.

    Prints every decision that differs from the recorded one. Exit code 0: none; 1: some; 2: the bag cannot be replayed.
    The bags into which one recording was split, given together, are one. Where the node ran before the bag or the part
    begins, its state is not known there; what cannot be compared for that is said.

    \b
        rise replay vmc1/impact_cortex crash.mcap -p limit_pct=120
        rise replay vmc1/impact_cortex run.mcap run_2.mcap --around 612.4 -p limit_pct=120
        rise replay nodes.impact_cortex crash.mcap --step --at 12.4
    """
    window = window_of(around, before, after, start, end, warm_up)
    if (window is not None or len(bags) > 1) and (update or against is not None):
        raise click.UsageError("--update and --against take one bag, and the whole of it")
    asked = ask(node, bags, parameters, window, against=against, step_from_s=at_s if step else None, quiet=as_json)
    if asked is None:
        return
    result, told = asked
    if as_json:
        click.echo(json.dumps(report(result, told), ensure_ascii=False, indent=1))
    else:
        _print(result, told)
    if result.problems:
        sys.exit(2)
    if update:
        _update(result, bags[0])
        return
    sys.exit(1 if told or result.errors else 0)


def ask(
    node: str,
    bags: tuple[Path, ...],
    parameters: Sequence[str],
    window: Window | None,
    *,
    against: Path | None = None,
    step_from_s: float | None = None,
    quiet: bool = True,
    reader: AnyBag | None = None,
) -> tuple[Result, list[str]] | None:
    """What the node decides now, and the lines that say what of it differs; None when the debugger was quit.

    Args:
        node: its full name in the bags, or its module.
        parameters: `NAME=VALUE`, other than recorded.
        against: another bag or an .expected.txt file; None: what was recorded.
        step_from_s: a debugger before each callback from this moment on, in seconds from the bag's start.
        quiet: no progress bar.
        reader: the bags, where they are open already.

    Raises:
        BadInput: the bag, the node or a parameter is wrong.
    """
    # imported here: `rise --help` need not read bags
    from bus.bag import BadBag, opened
    from bus.node import BadParameter
    from bus.replay import NotReplayable, Wanted
    from bus.target import BadTarget
    from bus.trace import BadTrace

    try:
        with opened(reader or bags) as held:
            cls, name = _find(node, held, bags[0])
            values = _values(cls, parameters)
            invoke = None if step_from_s is None else _stepper(held.start_ns, step_from_s)
            result = _replayed(Wanted(cls, name, values), held, window, invoke, quiet=quiet)
        return None if result is None else (result, _differences(cls, result, against))
    except (BadBag, NotReplayable, BadParameter, BadTarget, BadTrace, OSError, UnicodeDecodeError) as error:
        raise BadInput(str(error)) from None


def window_of(
    around: float | None,
    before: float | None = None,
    after: float | None = None,
    start: float | None = None,
    end: float | None = None,
    warm_up: float | None = None,
) -> Window | None:
    """The part of the bag that is meant; None: the whole. All in seconds.

    Raises:
        click.UsageError, BadInput: they do not go together.
    """
    if around is None and (before is not None or after is not None):
        raise click.UsageError("--before and --after go with --around")
    if around is None and start is None and end is None:
        if warm_up is not None:
            raise click.UsageError("--warm-up goes with --around, or --start and --end")
        return None
    if around is not None and (start is not None or end is not None):
        raise click.UsageError("--around, or --start and --end, not both")
    from bus.replay.window import AFTER_S, BEFORE_S, Window

    if around is not None:
        start = around - (BEFORE_S if before is None else before)
        end = around + (AFTER_S if after is None else after)
    try:
        return Window(start or 0.0, math.inf if end is None else end, warm_up)
    except ValueError as error:
        raise BadInput(str(error)) from None


def _find(node: str, reader: AnyBag, bag: Path) -> tuple[type[Node], str]:
    """The class to run, and the full name of the recorded node; the name is empty where the class says enough."""
    from bus.replay import NotReplayable
    from bus.replay.inputs import recorded_nodes
    from bus.site import did_you_mean
    from bus.target import node_class, recorded_class

    known = {n.name: n for n in recorded_nodes(reader)}
    if node in known:
        return recorded_class(known[node].target, bag), node
    if "/" in node and not node.endswith(".py"):
        real = [name for name in known if not is_tool(name)]
        raise NotReplayable(f"{bag}: no node {node} in it; {did_you_mean(node, real)}")
    return node_class(node), ""


def _values(cls: type[Node], parameters: Sequence[str]) -> dict[str, Any]:
    from bus.arguments import value_of
    from bus.node import BadParameter
    from bus.site import did_you_mean

    values: dict[str, Any] = {}
    for text in parameters:
        name, sign, value = text.partition("=")
        declared = cls.interface.parameters.get(name)
        if not sign:
            raise BadParameter(f"-p {text}: expected NAME=VALUE")
        if declared is None:
            hint = did_you_mean(name, cls.interface.parameters)
            raise BadParameter(f"-p {text}: {cls.__name__} has no parameter {name!r}; {hint}")
        values[name] = declared.check(value_of(value))
    return values


def _replayed(
    wanted: Wanted,
    reader: AnyBag,
    window: Window | None,
    invoke: Callable[[Record, Callable[..., Any], tuple[Any, ...]], Any] | None,
    *,
    quiet: bool,
) -> Result | None:
    """The result; None when the person at the debugger quit."""
    from bdb import BdbQuit

    from bus.replay import replay_many

    if invoke is not None:
        try:
            return replay_many([wanted], reader, window=window, invoke=invoke)[0]
        except BdbQuit:
            return None
    hidden = quiet or not sys.stderr.isatty()
    with click.progressbar(length=1000, label="replay", file=sys.stderr, hidden=hidden) as bar:

        def progress(done: float) -> None:
            bar.update(int(done * 1000) - bar.pos)

        return replay_many([wanted], reader, window=window, progress=progress)[0]


def _stepper(start_ns: int, at_s: float) -> Callable[[Record, Callable[..., Any], tuple[Any, ...]], Any]:
    """Runs callbacks in pdb from a moment on; `self` and the message are in scope."""
    from bdb import BdbQuit
    from pdb import Pdb

    from bus.trace import Kind

    class Debugger(Pdb):
        """Pdb that remembers that it was told to quit: runcall keeps that to itself."""

        left = False

        def set_quit(self) -> None:
            super().set_quit()
            self.left = True

    def invoke(record: Record, method: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        seconds = (record.now_ns - start_ns) / 1e9
        if seconds < at_s:
            return method(*args)
        click.echo(f"{seconds:.3f} s  {Kind(record.kind).name} {record.name}  (c: next callback, s n p: look, q: quit)")
        debugger = Debugger(nosigint=True)
        result = debugger.runcall(method, *args)
        if debugger.left:
            raise BdbQuit
        return result

    return invoke


def _differences(cls: type[Node], result: Result, against: Path | None) -> list[str]:
    from bus.replay import differences, reference
    from bus.replay.expected import SUFFIX, changes

    if against is None:
        return differences(result.recorded, result)
    if against.name.endswith(SUFFIX):
        return changes(against, result)
    other: Decisions = reference(against, cls, result.node)
    return differences(other, result)


def _print(result: Result, told: list[str]) -> None:
    for line in told:
        click.echo(line)
    for line in result.errors:
        click.echo(f"error: {line}")
    for line in result.notes:
        click.echo(f"note: {line}")
    if result.problems:
        click.echo("this bag is no reference:", err=True)
        for line in result.problems:
            click.echo(f"  {line}", err=True)
    many = f"{len(told)} differences" if len(told) != 1 else "1 difference"
    click.echo(
        f"{many if told else 'no differences'}: {result.node}, {len(result.made)} messages from {result.callbacks} "
        f"callbacks, {result.span_ns / 1e9:.1f} s replayed in {result.wall_s:.2f} s ({result.speed:.0f}x)"
    )


def report(result: Result, told: Sequence[str]) -> dict[str, Any]:
    """An answer as JSON."""
    from bus.replay import identical

    return {
        "node": result.node,
        "order": result.order,
        "differences": list(told),
        "identical": identical(result.recorded, result),
        "messages": len(result.made),
        "callbacks": result.callbacks,
        "compared_from_s": (result.known.from_ns - result.start_ns) / 1e9 if result.known else 0.0,
        "span_s": result.span_ns / 1e9,
        "wall_s": round(result.wall_s, 3),
        "speed": round(result.speed, 1),
        "parameters": result.parameters,
        "problems": result.problems,
        "errors": result.errors,
        "notes": result.notes,
    }


def _update(result: Result, bag: Path) -> None:
    from bus.replay.expected import beside, write

    path = beside(bag, result.node)
    click.echo(f"{path}: {write(path, bag, result)} lines; commit it beside the bag")
