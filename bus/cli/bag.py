"""`rise bag info | check | cut | convert`; the other verbs are in bag_live.py and bag_shelf.py."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bus.cli.bag_live import play, record
from bus.cli.bag_shelf import merge, usage
from bus.cli.bagfile import BAG, JSON, TOPICS, BadInput, progress, reads_bags, size
from bus.cli.number import SECONDS
from schemas.names import is_tool

if TYPE_CHECKING:
    from bus.bag import BagReader


CONVERSIONS = {
    "json": ("bus.bag.convert", "to_json"),
    "csv": ("bus.bag.convert", "to_csv"),
    "parquet": ("bus.bag.parquet", "to_parquet"),
}


@click.group()
def command() -> None:
    """Bags: what travelled, on disk."""


command.add_command(record)
command.add_command(play)
command.add_command(usage)
command.add_command(merge)


# --- looking ----------------------------------------------------------------------------------------------------


@command.command()
@BAG
@JSON
@reads_bags
def info(bag: Path, as_json: bool) -> None:
    """What a bag holds: time, topics, nodes, losses, attachments."""
    from bus.bag import BagReader

    with BagReader(bag) as opened:
        plain = _info(opened)
    if as_json:
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    click.echo(f"{plain['path']}  {size(plain['size_bytes'])}  {plain['duration_s']:.3f} s  from {plain['start']}")
    if not plain["finished"]:
        click.echo(f"not finished: {plain['note']}; `rise bag check --recover` closes it")
    for place in plain["damaged"]:
        click.echo(f"damaged: {place}")
    tools = [row for row in plain["topics"] if is_tool(row["publisher"])]
    for row in plain["topics"]:
        if is_tool(row["publisher"]):
            continue
        rate = f"{row['rate_hz']:10.1f} Hz" if row["rate_hz"] else " " * 13
        click.echo(f"  {row['messages']:>9} {rate}  {row['qos']:<8} {row['topic']}  {row['type']}  {row['publisher']}")
    if tools:
        click.echo(f"  {sum(row['messages'] for row in tools):>9} messages of {len(tools)} tools, such as `rise` calls")
    click.echo(f"nodes: {', '.join(n for n in plain['nodes'] if not is_tool(n)) or 'none'}")
    if plain["attachments"]:
        click.echo(f"attachments: {', '.join(plain['attachments'])}")
    lost = "not counted, the bag is damaged" if plain["lost"] is None else f"{plain['lost']} said by the recorder"
    head = f"; at its head {plain['repeated']} repeated" if plain["repeated"] else ""
    click.echo(f"lost: {lost} (`rise bag check` reads every message and counts what is missing){head}")


def _info(bag: BagReader) -> dict[str, Any]:
    """What is known without reading the messages; `lost` is what the recorder said, None where that is not known."""
    i = bag.info
    seconds = (i.end_ns - i.start_ns) / 1e9
    rows = [
        {
            "topic": c.topic,
            "publisher": c.publisher,
            "type": c.type_name,
            "type_hash": c.type_hash,
            "qos": c.qos,
            "messages": i.counts.get(c.id, 0),
            "rate_hz": round(i.counts.get(c.id, 0) / seconds, 3) if seconds > 0 and c.qos == "SENSOR" else 0.0,
        }
        for c in sorted(i.channels.values(), key=lambda c: (c.topic, c.id))
    ]
    return {
        "path": i.path,
        "size_bytes": i.size_bytes,
        "finished": i.finished,
        "note": i.note,
        "start_ns": i.start_ns,
        "end_ns": i.end_ns,
        "start": _utc(i.start_ns),
        "duration_s": seconds,
        "messages": i.messages,
        "lost": None if i.damaged else bag.lost(),
        "repeated": bag.repeated,
        "damaged": i.damaged,
        "topics": rows,
        "nodes": sorted(bag.nodes()),
        "attachments": [a.name for a in bag.attachments()],
        "metadata": {k: v for k, v in bag.metadata().items() if not k.startswith("node:")},
    }


@command.command()
@BAG
@click.option("--recover", is_flag=True, help="Close a bag that its recorder left open.")
@JSON
@reads_bags
def check(bag: Path, recover: bool, as_json: bool) -> None:
    """Is the file sound, is anything missing, do today's types read it. Exit code 1 when not."""
    from bus.bag import recover as recovering
    from bus.bag.check import check as checked

    if recover:
        try:
            closed = recovering.recover(bag)
        except recovering.BagInUse as error:
            raise BadInput(str(error)) from None
        if not as_json:
            click.echo(f"{bag}: {'closed' if closed else 'was closed already'}")
    with progress("checking") as told:
        report = checked(bag, told)
    if as_json:
        problems = [{"id": p.id, "level": p.level, "text": p.text} for p in report.problems]
        plain = {
            "path": report.path,
            "ok": report.ok,
            "messages": report.messages,
            "lost": report.lost,
            "lost_recorded": report.lost_recorded,
            "types": report.types,
            "counts": report.counts,
            "problems": problems,
        }
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
    else:
        for problem in report.problems:
            click.echo(f"{problem.level}: {problem.id}: {problem.text}")
        for id, count in report.counts.items():
            listed = sum(p.id == id for p in report.problems)
            if count > listed:
                click.echo(f"{id}: {count - listed} more")
        changed = {name: outcome for name, outcome in report.types.items() if outcome != "equal"}
        click.echo(
            f"{bag}: {'sound' if report.ok else 'NOT SOUND'}, {report.messages} messages, {report.lost} lost "
            f"({report.lost_recorded} said by the recorder), {len(report.types) - len(changed)} types equal"
            + "".join(f", {name} {outcome}" for name, outcome in changed.items())
        )
    if not report.ok:
        sys.exit(1)


# --- making others of it ----------------------------------------------------------------------------------------


@command.command()
@BAG
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The new bag.")
@click.option("--around", type=SECONDS, metavar="S", help="Seconds from the bag's start.")
@click.option("--before", type=SECONDS, default=5.0, show_default=True, help="Seconds before --around.")
@click.option("--after", type=SECONDS, default=5.0, show_default=True, help="Seconds after --around.")
@click.option("--start", type=SECONDS, metavar="S", help="Seconds from the bag's start.")
@click.option("--end", type=SECONDS, metavar="S", help="Seconds from the bag's start.")
@click.option(
    "--node",
    default="",
    help="Everything this node heard and said, from the bag's beginning to the window's end: it replays exactly.",
)
@TOPICS
@click.option("--skip-damaged", is_flag=True, help="Leave out what cannot be read.")
@click.option("-f", "--force", is_flag=True, help="Replace an existing file.")
@JSON
@reads_bags
def cut(
    bag: Path,
    output: Path,
    around: float | None,
    before: float,
    after: float,
    start: float | None,
    end: float | None,
    node: str,
    topics: re.Pattern[str] | None,
    skip_damaged: bool,
    force: bool,
    as_json: bool,
) -> None:
    """A window of a bag as a bag of its own; with --node, all that node's input, so that it can be replayed.

    \b
        rise bag cut run.mcap --around 12.4 --node vmc1/impact_cortex -o tests/bags/vmc1_crash.mcap
    """
    from bus.bag import BagReader
    from bus.bag.cut import cut as cutting

    if around is not None and (start is not None or end is not None):
        raise click.UsageError("--around, or --start and --end, not both")
    if node and topics is not None:
        raise click.UsageError("--node says itself which topics; --topics does not go with it")
    with BagReader(bag) as opened:
        zero = opened.start_ns
    if around is not None:
        start, end = around - before, around + after
    if end is not None and end < (start or 0.0):
        raise click.UsageError(f"a window from {start or 0.0:g} s to {end:g} s is none")
    start_ns = zero + int((start or 0.0) * 1e9)
    end_ns = zero + int(end * 1e9) + 1 if end is not None else 1 << 62
    output.parent.mkdir(parents=True, exist_ok=True)
    if force and output.exists() and output.resolve() != bag.resolve():
        output.unlink()
    with progress("cutting") as told:
        result = cutting(
            bag,
            output,
            start_ns=max(0, start_ns),
            end_ns=end_ns,
            node=node,
            topics=topics.search if topics else None,
            skip_damaged=skip_damaged,
            progress=told,
        )
    if as_json:
        click.echo(json.dumps({k: getattr(result, k) for k in result.__slots__}, indent=2))
        return
    seconds = (result.end_ns - result.start_ns) / 1e9
    click.echo(f"{result.path}: {result.messages} messages, {seconds:.3f} s, {size(result.size_bytes)}")
    for place in result.damaged:
        click.echo(f"left out: {place}", err=True)
    if result.lost:
        click.echo(f"{result.lost} messages are lost in it: a replay will refuse it as a reference", err=True)


@command.command()
@BAG
@click.option(
    "--to", "kind", type=click.Choice(list(CONVERSIONS)), required=True, help="json: for Foxglove, Lichtblick."
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="A file for json, a folder for the others."
)
@TOPICS
@click.option("-f", "--force", is_flag=True, help="Replace existing files.")
@JSON
@reads_bags
def convert(bag: Path, kind: str, output: Path, topics: re.Pattern[str] | None, force: bool, as_json: bool) -> None:
    """The recording for other programs: an MCAP file with JSON messages, or one CSV or Parquet file per topic."""
    module, name = CONVERSIONS[kind]
    try:
        act = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        line = f"{sys.executable} -m pip install 'fanuc-rise[parquet]'"
        raise BadInput(f"--to parquet needs pyarrow, which is not installed. Install it by:\n  {line}") from None
    if topics is not None:
        from bus.bag import BagReader

        with BagReader(bag) as opened:
            if not any(topics.search(channel.topic) for channel in opened.channels.values()):
                raise BadInput(f"{bag}: no topic matches {topics.pattern}; `rise bag info` lists them")
    output.parent.mkdir(parents=True, exist_ok=True)
    with progress("converting") as told:
        result = act(bag, output, topics=topics.search if topics else None, progress=told, replace=force)
    if as_json:
        click.echo(json.dumps({k: getattr(result, k) for k in result.__slots__}, indent=2))
        return
    for path in result.paths:
        click.echo(path)
    click.echo(f"{result.messages} messages" + (f", {result.undecodable} undecodable" if result.undecodable else ""))


def _utc(stamp_ns: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(stamp_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
