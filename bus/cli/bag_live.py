"""`rise bag record | play`: bags and a running bus."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bus.cli.bagfile import BAG, JSON, TOPICS, BadInput, pattern, progress, reads_bags
from bus.cli.number import SECONDS, Number

if TYPE_CHECKING:
    from bus.play import Player


@click.command()
@click.option("-o", "--directory", type=click.Path(path_type=Path), help="Where the bags go.")
@click.option("--include", callback=pattern, metavar="REGEX", help="Only topics in which it is found.")
@click.option("--exclude", callback=pattern, metavar="REGEX", help="Not topics in which it is found.")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Another parameter of the recorder.")
@click.option("--name", default="recorder", show_default=True, help="The recorder's name on the bus.")
@click.option("--domain", help="default: RISE_DOMAIN, else default")
def record(
    directory: Path | None,
    include: re.Pattern[str] | None,
    exclude: re.Pattern[str] | None,
    parameters: tuple[str, ...],
    name: str,
    domain: str | None,
) -> None:
    """Record until Ctrl-C."""
    from bus import run

    arguments = [*(("--domain", domain) if domain else ()), "nodes.recorder", "--name", name]
    given = {"directory": str(directory.absolute()) if directory else None}
    given |= {"include": include.pattern if include else None, "exclude": exclude.pattern if exclude else None}
    for key, value in given.items():
        if value is not None:
            arguments += ["-p", f"{key}={json.dumps(value)}"]
    for parameter in parameters:
        arguments += ["-p", parameter]
    sys.exit(run.main(arguments))


@click.command()
@BAG
@click.option("--rate", type=Number(0.001, 1000), default=1.0, show_default=True, help="2: twice as fast.")
@click.option("--loop", is_flag=True, help="From the start again at the end.")
@click.option("--start", type=SECONDS, default=0.0, metavar="S", help="Seconds from the bag's start.")
@click.option("--duration", type=SECONDS, metavar="S", help="Seconds of the bag.")
@click.option("--remap", "remaps", multiple=True, metavar="FROM:=TO", help="Publish a topic under another name.")
@TOPICS
@click.option("--domain", default="play", show_default=True, help="A domain without machines.")
@JSON
@reads_bags
def play(
    bag: Path,
    rate: float,
    loop: bool,
    start: float,
    duration: float | None,
    remaps: tuple[str, ...],
    topics: re.Pattern[str] | None,
    domain: str,
    as_json: bool,
) -> None:
    """Publish a recording again, at its pace, with its time on /clock. On a terminal: space pauses, s steps, q ends.

    Only into a domain in which nothing acts on a machine.
    """
    import signal

    from bus.discovery import NameTaken
    from bus.play import MachinesHere, Player
    from schemas.names import BadName, check_name

    remap = {}
    for text in remaps:
        before, sign, after = text.partition(":=")
        if not sign or not before or not after:
            raise click.BadParameter(f"{text!r}: expected FROM:=TO", param_hint="--remap")
        try:
            check_name(after.strip("/"))
        except BadName as error:
            raise click.BadParameter(str(error), param_hint="--remap") from None
        remap[before.strip("/")] = after.strip("/")
    try:
        with Player(
            bag,
            domain,
            rate=rate,
            loop=loop,
            start_s=start,
            duration_s=duration,
            remap=remap,
            select=topics.search if topics else None,
        ) as player:
            if unknown := sorted(set(remap) - {c.topic for c in player.bag.channels.values()}):
                raise BadInput(f"--remap: the bag holds no topic {', '.join(unknown)}")
            whole_s = (player.bag.end_ns - player.bag.start_ns) / 1e9
            if start > whole_s:
                raise BadInput(f"--start {start:g}: the bag is {whole_s:.3f} s long")
            if topics is not None and not any(topics.search(c.topic) for c in player.bag.channels.values()):
                raise BadInput(f"--topics: the bag holds no topic that fits {topics.pattern}")
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: player.stop())
            with _keys(player), _position(player) as told:
                played = player.run(told)
    except (MachinesHere, NameTaken, ValueError) as error:
        raise BadInput(str(error)) from None
    if as_json:
        click.echo(json.dumps({k: getattr(played, k) for k in played.__slots__}, indent=2))
        return
    for topic, why in played.skipped.items():
        click.echo(f"not played: {topic}: {why}", err=True)
    click.echo(
        f"{played.messages} messages, late by {played.late_p50_ms:.2f} ms p50, {played.late_p99_ms:.2f} p99, "
        f"{played.late_max_ms:.1f} at worst" + (f"; {played.undecodable} undecodable" if played.undecodable else "")
    )


@contextlib.contextmanager
def _keys(player: Player) -> Iterator[None]:
    """Space, s and q from the terminal, without waiting for them."""
    if not sys.stdin.isatty():
        yield
        return
    import os
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def pressed() -> None:
        for key in os.read(fd, 64).decode(errors="replace"):
            match key:
                case " ":
                    player.toggle()
                case "s":
                    player.step()
                case "q":
                    player.stop()

    tty.setcbreak(fd)
    player.executor.transport.watch(fd, pressed)
    try:
        yield
    finally:
        player.executor.transport.unwatch(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _position(player: Player) -> Iterator[Callable[[Player], None] | None]:
    """Where in the bag it is, on a terminal."""
    with progress("playing") as told:
        if told is None:
            yield None
            return
        whole = (player.bag.end_ns - player.bag.start_ns) / 1e9
        yield lambda p: told(int(p.position_s * 1000), int(whole * 1000))
