"""`rise verdict give | list`: people's word on interventions, for backtests to count by."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bus.cli.bagfile import JSON, BadInput, reads_bags
from bus.cli.graph import Verbs, domain_option, living, meant, print_json
from schemas.impact import Intervention, Judgement, Verdict, VerdictReply, VerdictRequest
from schemas.topics import INTERVENTION, JUDGE, VERDICT

WORDS = {"justified": Judgement.JUSTIFIED, "false_stop": Judgement.FALSE_STOP}


@click.group(cls=Verbs)
def command() -> None:
    """Interventions: was it right to intervene."""


@command.command()
@click.argument("intervention")
@click.argument("word", type=click.Choice(list(WORDS)), metavar="justified|false_stop")
@click.option("--by", "judged_by", required=True, metavar="NAME", help="who says so")
@click.option("--reason", required=True, metavar="TEXT", help="why")
@click.option("--at", "at_ns", type=int, default=0, metavar="NS", help="its stamp, for one before the engine's start")
@domain_option
def give(intervention: str, word: str, judged_by: str, reason: str, at_ns: int, domain: str | None) -> None:
    """Judge an INTERVENTION by its id, as `rise topic echo` and `rise verdict list` show it.

    The last word on one counts. Exit code 1 when the engine does not take it.

    \b
        rise verdict give vmc1/impact_cortex#3 false_stop --by maria --reason "chip in the way of the probe"
    """
    from bus.node import CallFailed
    from bus.session import Session

    engine = intervention.rpartition("#")[0]
    served = sorted(
        (entry.name, s.name)
        for entry in living(domain).values()
        for s in entry.serves
        if s.name.endswith(f"/{JUDGE.name}")
    )
    service = next((name for node, name in served if node == engine), "")
    if not service:
        raise click.ClickException(
            f"no engine {engine!r} takes verdicts; {meant(engine, [node for node, _ in served])}"
        )
    request = VerdictRequest(
        intervention_id=intervention,
        judgement=WORDS[word],
        judged_by=judged_by,
        reason=reason,
        intervention_ns=at_ns,
    )
    with Session(domain) as session:
        try:
            reply = session.call(service, JUDGE, request, timeout_s=2.0)
        except CallFailed as error:
            raise click.ClickException(f"{engine}: {error}") from None
    assert isinstance(reply, VerdictReply)
    if not reply.accepted:
        raise click.ClickException(reply.text)
    click.echo(reply.text)


@command.command(name="list")
@click.argument("bags", metavar="BAG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@JSON
@reads_bags
def list_(bags: tuple[Path, ...], as_json: bool) -> None:
    """The interventions of bags, and what was said of them in any of these."""
    from bus.bag import BagReader
    from schemas.codec import DecodeError, codec

    mine = re.compile(rf"/({INTERVENTION.name}|{VERDICT.name})$")
    said: dict[tuple[str, int], Intervention] = {}
    verdicts: list[Verdict] = []
    for bag in bags:
        with BagReader(bag) as reader:
            for message in reader.messages(topics=mine):
                try:
                    if message.topic.endswith(VERDICT.name):
                        verdicts.append(codec(Verdict).decode(message.payload))
                    else:
                        found = codec(Intervention).decode(message.payload)
                        said[found.intervention_id, found.stamp_ns] = found
                except DecodeError as error:
                    raise BadInput(f"{bag}: {message.topic} number {message.seq}: {error}") from None
    last = {(v.intervention_id, v.intervention_ns): v for v in sorted(verdicts, key=lambda v: v.stamp_ns)}
    rows = [_row(i, last.get(key)) for key, i in sorted(said.items(), key=lambda item: item[0][1])]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        did = f"({row['reaction']})" if row["would_have"] else row["reaction"]
        word = f"{row['judgement']}, {row['judged_by']}: {row['why']}" if row["judgement"] else "not judged"
        click.echo(f"{row['time']}  {row['intervention']}  {did}  {row['reason']}\n    {word}  --at {row['stamp_ns']}")
    if not rows:
        click.echo("no intervention in it" if len(bags) == 1 else "no intervention in them")


def _row(said: Intervention, verdict: Verdict | None) -> dict[str, Any]:
    return {
        "time": datetime.fromtimestamp(said.stamp_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        "stamp_ns": said.stamp_ns,
        "intervention": said.intervention_id,
        "reaction": said.reaction.value,
        "would_have": said.would_have,
        "reason": said.reason,
        "judgement": "" if verdict is None else verdict.judgement.value,
        "judged_by": "" if verdict is None else verdict.judged_by,
        "why": "" if verdict is None else verdict.reason,
    }
