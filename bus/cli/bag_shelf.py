"""`rise bag usage | merge`: many bags at once."""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bus.cli.bagfile import JSON, TOPICS, BadInput, progress, reads_bags, size
from bus.cli.number import Number

if TYPE_CHECKING:
    from bus.entry import Entry

MAX_NEXT = 5
"""bags that are listed as the next to go"""


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Without the topics: only the bags' summaries are read.")
@click.option("--quota-gb", type=Number(0, 1e9), metavar="GB", help="default: the running recorder's, else its.")
@click.option("--retention-days", type=Number(0, 100_000), metavar="D", help="default: likewise, 30 days.")
@click.option("--domain", metavar="D", help="of the recorder; default: RISE_DOMAIN, else default")
@JSON
@reads_bags
def usage(
    path: Path | None,
    quick: bool,
    quota_gb: float | None,
    retention_days: float | None,
    domain: str | None,
    as_json: bool,
) -> None:
    """What takes the room: of a folder by bag and by topic, with what the quota takes next; of one bag by topic.

    Without PATH the folder of the running recorder, else the one that a recorder would take.
    """
    recorder = _recorder(domain)
    if path is None:
        path = _folder(recorder)
    if not path.is_dir() or path.suffix == ".mcap":
        _of_one(path, as_json)
        return
    told = recorder.parameters if recorder and _folder(recorder).absolute() == path.absolute() else {}
    quota_gb = float(told.get("quota_gb", 0.0)) if quota_gb is None else quota_gb
    days = float(told.get("retention_days", 30.0)) if retention_days is None else retention_days
    plain = _of_folder(path, quick, quota_gb, days)
    plain["recorder"] = recorder.name if recorder and told else ""
    if as_json:
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    if not plain["bags"]:
        click.echo(f"no bag in {path}")
    for row in plain["bags"]:
        runs = f"  {' '.join(row['run_ids'])}" if row["run_ids"] else ""
        click.echo(f"{row['share_pct']:6.2f} %  {size(row['bytes']):>10}  {row['what']:<14}  {row['path']}{runs}")
    for row in plain.get("topics", ()):
        click.echo(f"{row['share_pct']:6.2f} %  {size(row['bytes']):>10}  {row['messages']:>9}  {row['topic']}")
    _tell_quota(plain, told=bool(told))


def _tell_quota(plain: dict[str, Any], told: bool) -> None:
    left = plain["quota_bytes"] - plain["used_bytes"]
    whose = f"of {plain['recorder']}" if told else "of a recorder that is told nothing else"
    room = f"{size(left)} are left" if left >= 0 else f"{size(-left)} too much"
    click.echo(f"{size(plain['used_bytes'])} of {size(plain['quota_bytes'])} (quota {whose}): {room}")
    coming = plain["next"]
    if not coming:
        click.echo(f"nothing may be removed: all is younger than {plain['retention_days']:g} days, or being written")
        return
    click.echo("next to go:" if left >= 0 else "to go as soon as a recorder tends the folder, and then:")
    for row in coming[:MAX_NEXT]:
        click.echo(f"  {'now ' if row['now'] else '    '}{size(row['bytes']):>10}  {row['path']}: {row['reason']}")
    if len(coming) > MAX_NEXT:
        click.echo(f"  and {len(coming) - MAX_NEXT} more")


def _recorder(domain: str | None) -> Entry | None:
    """The recorder that runs in the domain."""
    from bus.cli.graph import directory

    found = directory(domain).entries().values()
    return next((e for e in found if any(s.name == "bag/black_box" for s in e.serves)), None)


def _folder(recorder: Entry | None) -> Path:
    from bus.logs import bags_folder

    given = recorder.parameters.get("directory") if recorder else ""
    return Path(str(given)).expanduser() if given else bags_folder()


def _of_folder(folder: Path, quick: bool, quota_gb: float, days: float) -> dict[str, Any]:
    import shutil

    from bus.bag.quota import Shelf, in_order, limit_bytes, to_delete
    from bus.bag.recover import being_written

    now_ns = time.time_ns()
    paths = sorted(p for p in folder.glob("*.mcap") if p.is_file())
    written = [p for p in paths if being_written(p)]
    kept, _ = Shelf(folder).bags(written)
    rows: list[dict[str, Any]] = [
        {
            "path": str(k.path),
            "bytes": k.size_bytes,
            "what": "black box" if k.kind == "black_box" else "run" if k.cutting else "idle",
            "run_ids": list(k.run_ids),
            "end_ns": k.end_ns,
        }
        for k in kept
    ]
    rows += [{"path": str(p), "bytes": p.stat().st_size, "what": "being written", "run_ids": []} for p in written]
    known = {row["path"] for row in rows}
    rows += [
        {"path": str(p), "bytes": p.stat().st_size, "what": "no bag", "run_ids": []}
        for p in paths
        if str(p) not in known
    ]
    used = sum(row["bytes"] for row in rows)
    for row in rows:
        row["share_pct"] = round(100 * row["bytes"] / used, 2) if used else 0.0
    quota = limit_bytes(quota_gb, shutil.disk_usage(folder).total)
    beside = used - sum(k.size_bytes for k in kept)
    going = {d.bag.path for d in to_delete(kept, quota - beside, days, now_ns)[0]}
    plain: dict[str, Any] = {
        "folder": str(folder),
        "used_bytes": used,
        "quota_bytes": quota,
        "retention_days": days,
        "bags": sorted(rows, key=lambda row: -row["bytes"]),
        "next": [
            {"path": str(d.bag.path), "bytes": d.bag.size_bytes, "reason": d.reason, "now": d.bag.path in going}
            for d in in_order(kept, days, now_ns)
        ],
    }
    if not quick:
        plain["topics"] = _topics([k.path for k in kept] + written)
    return plain


def _topics(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """By topic what lies in the bags, before compression, largest first."""
    from bus.bag import BadBag, BagReader

    sizes: dict[str, list[int]] = {}
    whole = sum(path.stat().st_size for path in paths)
    done = 0
    with progress("reading") as told:
        for path in paths:
            try:
                with BagReader(path) as bag:
                    part = functools.partial(_told, told, done, bag.size_bytes, whole) if told else None
                    _add(bag, sizes, part)
                    done += bag.size_bytes
            except BadBag:
                continue  # being begun: its head is not on the disk yet
    return _rows(sizes)


def _told(told: Callable[[int, int], None], before: int, here: int, whole: int, share: float) -> None:
    told(before + int(share * here), whole)


def _add(bag: Any, sizes: dict[str, list[int]], told: Callable[[float], None] | None) -> None:
    total = max(bag.info.messages, 1)
    for n, message in enumerate(bag.messages(skip_damaged=True)):
        row = sizes.get(message.topic)
        if row is None:
            row = sizes[message.topic] = [0, 0]
        row[0] += 1
        row[1] += len(message.payload) + 31
        if told is not None and n % 10_000 == 0:
            told(n / total)


def _rows(sizes: dict[str, list[int]]) -> list[dict[str, Any]]:
    whole = sum(taken for _, taken in sizes.values())
    return [
        {"topic": topic, "messages": n, "bytes": taken, "share_pct": round(100 * taken / whole, 2)}
        for topic, (n, taken) in sorted(sizes.items(), key=lambda item: -item[1][1])
    ]


def _of_one(bag: Path, as_json: bool) -> None:
    from bus.bag import BagReader

    sizes: dict[str, list[int]] = {}
    with BagReader(bag) as opened, progress("reading") as told:
        _add(opened, sizes, functools.partial(_told, told, 0, opened.size_bytes, opened.size_bytes) if told else None)
        on_disk = opened.size_bytes
    found = _rows(sizes)
    whole = sum(row["bytes"] for row in found)
    if as_json:
        plain = {"path": str(bag), "size_bytes": on_disk, "content_bytes": whole, "topics": found}
        click.echo(json.dumps(plain, indent=2))
        return
    for row in found:
        click.echo(f"{row['share_pct']:6.2f} %  {size(row['bytes']):>10}  {row['messages']:>9}  {row['topic']}")
    click.echo(f"{size(whole)} in {size(on_disk)}")


@click.command()
@click.argument("bags", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The new bag.")
@TOPICS
@click.option("-f", "--force", is_flag=True, help="Replace an existing file.")
@JSON
@reads_bags
def merge(bags: tuple[Path, ...], output: Path, topics: re.Pattern[str] | None, force: bool, as_json: bool) -> None:
    """Bags of several recorders or hosts as one, by log time; what several hold is taken once.

    \b
        rise bag merge host_a/*.mcap host_b/*.mcap -o shop.mcap
    """
    from bus.bag.merge import BadMerge
    from bus.bag.merge import merge as merging

    if len({bag.resolve() for bag in bags}) < len(bags):
        raise BadInput("a bag is named twice")
    if output.exists() and output.resolve() in {bag.resolve() for bag in bags}:
        raise BadInput(f"{output} is one of the bags to merge: give the new one another name")
    if output.is_dir():
        raise BadInput(f"{output} is a folder: name the file that the new bag is to be")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with progress("merging") as told:
            made = merging(bags, output, topics=topics.search if topics else None, replace=force, progress=told)
    except BadMerge as error:
        raise BadInput(str(error)) from None
    if as_json:
        click.echo(json.dumps({k: getattr(made, k) for k in made.__slots__}, indent=2))
        return
    seconds = (made.end_ns - made.start_ns) / 1e9
    twice = f", {made.duplicates} were there twice" if made.duplicates else ""
    click.echo(f"{made.path}: {made.messages} messages, {seconds:.3f} s, {size(made.size_bytes)}{twice}")
    if made.lost:
        click.echo(f"{made.lost} messages are lost in it: a replay will refuse it as a reference", err=True)
