"""rise backtest: what other settings would have decided on what was recorded, and what that would have been worth."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bus.cli.bagfile import BadInput
from bus.cli.graph import print_json

if TYPE_CHECKING:
    from bus.backtest import Job, Part, Tally

HEADS = {
    "interventions": "interventions",
    "justified": "justified",
    "false_stops": "false stops",
    "not_judged": "not judged",
    "misses": "misses",
    "cannot_be_known": "cannot be known",
}
TWICE = "other bags hold the same time; what only this one holds is judged when it is given alone"
DECISIONS = "decisions, not motions: one for each episode; what the machine would have done is in no recording"


@click.command()
@click.argument("node")
@click.argument("bags", metavar="BAG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--vary", "vary", metavar="NAME=FROM:TO:STEP", multiple=True, help="Or NAME=A,B,C; every one with every.")
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE", help="CSV: machine,start,end,kind[,bag].")
@click.option("--reaction", default="", metavar="R", help="The weakest that counts: WARN, FEED_HOLD (default), STOP.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), metavar="FILE", help="The table, to a file.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.svg", help="The table, drawn.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Bags read at once; default: as many as there are cores.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(
    node: str,
    bags: tuple[Path, ...],
    vary: tuple[str, ...],
    labels: Path | None,
    reaction: str,
    csv_file: Path | None,
    plot: Path | None,
    jobs: int | None,
    as_json: bool,
) -> None:
    """What NODE (its full name in the bags, or its module) would have decided on BAG..., by every setting.

    A decision counts as justified or false by the labels and by people's verdicts (`rise verdict`). Behind a recorded
    intervention the rest of its cycle cannot be known. Exit code 0; 1: a bag was left out; 2: nothing could be done.

    Labels say what was wrong, and `fine` that nothing was; of a machine they name they say all. Seconds are from the
    bag's start, delays from a label's start.

    \b
        machine,start,end,kind,bag
        vmc1,612.4,613,crash,run_502.mcap
        vmc1,2026-11-25T12:21:06.5Z,2026-11-25T12:21:07Z,breakage,
        vmc2,0,3600,fine,run_502.mcap

    \b
        rise backtest vmc1/impact_cortex *.mcap --vary limit_pct=70:120:5
        rise backtest nodes.impact_cortex *.mcap --vary limit_pct=80,90 --vary limit_k=1:5:1 --labels known.csv
    """
    # imported here: `rise --help` need not read bags
    from bus import backtest

    for path in filter(None, (csv_file, plot)):
        if not path.parent.is_dir():  # said before an hour of work
            raise BadInput(f"{path}: there is no folder {path.parent}")
    made, settings, twice = _jobs(node, bags, vary, labels, reaction)
    totals = [backtest.Tally() for _ in settings]
    parts: list[Part] = []
    left_out: list[str] = []
    processes = jobs or backtest.cores()
    with click.progressbar(length=1000, label="backtest", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def progress(done: float) -> None:
            bar.update(int(done * 1000) - bar.pos)

        for _, part in backtest.run(made, processes, progress):
            if isinstance(part, str):
                left_out.append(part)
                continue
            parts.append(part)
            for total, tally in zip(totals, part.tallies, strict=True):
                total.add(tally)

    if not parts:
        raise BadInput("\n".join(left_out))
    names = [backtest.text_of(s) for s in settings]
    if csv_file is not None:
        _write(csv_file, _csv(settings, totals))
    if plot is not None:
        from bus.cli.backtest_plot import svg

        _write(plot, svg(_axis(settings), names, totals))
    if as_json:
        print_json(_report(settings, totals, parts, left_out, twice))
    else:
        _print(names, totals, parts, left_out, twice)
    sys.exit(1 if left_out else 0)


def _jobs(
    node: str, bags: Sequence[Path], vary: Sequence[str], labels: Path | None, reaction: str
) -> tuple[list[Job], list[dict[str, Any]], list[str]]:
    """What is to be done; the settings, the first of them as recorded; what is not done lest it count twice."""
    from bus import backtest
    from bus import labels as label_files
    from bus.bag import BadBag
    from bus.replay import NotReplayable
    from bus.target import BadTarget, target_of

    wrong: list[str] = []
    meant = []
    for bag in dict.fromkeys(bags):
        try:
            meant += [(bag, recorded, cls) for recorded, cls in backtest.nodes_of(node, bag)]
        except (backtest.NoBacktest, BadBag, BadTarget, NotReplayable) as error:
            wrong.append(str(error))
    settings: list[dict[str, Any]] = [{}]
    known: list[label_files.Label] = []
    try:
        if meant:
            settings = backtest.varied(vary, meant[0][2])
        if labels is not None:
            known = label_files.read(labels)
            wrong += [f"{labels} {text}" for text in label_files.mistakes(known, bags)]
    except (backtest.NoBacktest, label_files.BadLabels) as error:
        wrong.append(str(error))
    except OSError as error:
        wrong.append(f"{labels}: {error.strerror}")
    if wrong:
        raise BadInput("\n".join(wrong))
    said = []
    try:
        for bag, recorded, cls in meant:
            said += backtest.gathered(recorded, cls, bag)
        twice = backtest.twice([backtest.Held.of(bag, recorded) for bag, recorded, _ in meant])
    except BadBag as error:
        raise BadInput(str(error)) from None
    question = backtest.Question(tuple(known), tuple(said), reaction)
    made = [
        backtest.Job(bag, recorded, target_of(cls), tuple(settings), question)
        for n, (bag, recorded, cls) in enumerate(meant)
        if n not in twice
    ]
    notes = [f"{meant[n][0]}: not counted for {meant[n][1].name}: {TWICE}" for n in sorted(twice)]
    return made, settings, notes


# --- what came of it --------------------------------------------------------------------------------------------------


def _print(
    names: Sequence[str], totals: Sequence[Tally], parts: Sequence[Part], left_out: Sequence[str], twice: Sequence[str]
) -> None:
    heads = ["setting", *HEADS.values(), "delay p50", "p95"]
    rows = [
        [name, *(str(tally.counts[key]) for key in HEADS), _ms(tally.delay_ms(50)), _ms(tally.delay_ms(95))]
        for name, tally in zip(names, totals, strict=True)
    ]
    widths = [max(len(row[n]) for row in (heads, *rows)) for n in range(len(heads))]
    for row in (heads, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        click.echo("  ".join(cells).rstrip())
    click.echo(DECISIONS)
    for part in parts:
        for note in part.notes:
            click.echo(f"note: {part.bag}: {note}")
    for text in twice:
        click.echo(f"note: {text}")
    for text in left_out:
        click.echo(f"left out: {text}", err=True)
    span_s, cpu_s = sum(p.span_s for p in parts), sum(p.cpu_s for p in parts)
    click.echo(
        f"{len(parts)} recordings of {span_s:.0f} s, {len(names)} settings, {cpu_s:.2f} s of computing "
        f"({span_s / max(cpu_s, 1e-9):.0f}x for all settings at once)"
    )


def _ms(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f} ms"


def _axis(settings: Sequence[dict[str, Any]]) -> list[float] | None:
    """The values of the one number that is varied; None where it is not one."""
    names = {name for s in settings for name in s}
    values = [s[name] for s in settings[1:] for name in names if name in s]
    if len(names) != 1 or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return None
    return [float(v) for v in values]


def _columns(settings: Sequence[dict[str, Any]], totals: Sequence[Tally]) -> Iterator[dict[str, Any]]:
    for setting, tally in zip(settings, totals, strict=True):
        plain = {name: getattr(value, "value", value) for name, value in setting.items()}
        yield {
            "setting": plain,
            **{name: tally.counts[name] for name in HEADS},
            "delay_p50_ms": tally.delay_ms(50),
            "delay_p95_ms": tally.delay_ms(95),
        }


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, newline="")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


def _csv(settings: Sequence[dict[str, Any]], totals: Sequence[Tally]) -> str:
    names = list(dict.fromkeys(name for s in settings for name in s))
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow([*names, *HEADS, "delay_p50_ms", "delay_p95_ms"])
    for row in _columns(settings, totals):
        setting = row.pop("setting")
        cells = ["" if isinstance(v, float) and math.isnan(v) else v for v in row.values()]
        writer.writerow([*(setting.get(name, "recorded") for name in names), *cells])
    return text.getvalue()


def _report(
    settings: Sequence[dict[str, Any]],
    totals: Sequence[Tally],
    parts: Sequence[Part],
    left_out: Sequence[str],
    twice: Sequence[str],
) -> dict[str, Any]:
    return {
        "what": DECISIONS,
        "settings": list(_columns(settings, totals)),
        "recordings": [
            {"bag": p.bag, "node": p.node, "span_s": p.span_s, "cpu_s": round(p.cpu_s, 3), "notes": p.notes}
            for p in parts
        ],
        "left_out": list(left_out),
        "twice": list(twice),
    }
