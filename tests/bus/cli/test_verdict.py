"""`rise verdict`: a word on an intervention reaches the engine that made it, and bags tell what was said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.bag import BagReader, BagWriter
from bus.host import Spec
from bus.node import Node, service
from bus.testing import Domain
from schemas import topics
from schemas.codec import codec
from schemas.impact import Intervention, Judgement, Verdict, VerdictReply, VerdictRequest
from tests.bus.bag.bags import Pen
from tests.bus.cli.shop import rise

CRASH = Path(__file__).parents[2] / "bags" / "vmc1_crash.mcap"
TAKEN: list[VerdictRequest] = []


class Brain(Node):
    """Takes verdicts, but on nothing beyond its first intervention."""

    @service(topics.JUDGE)
    def judge(self, request: VerdictRequest) -> VerdictReply:
        TAKEN.append(request)
        if not request.intervention_id.endswith("#1"):
            return VerdictReply(accepted=False, text="there was none")
        return VerdictReply(accepted=True, text=f"{request.intervention_id}: {request.judgement}")


@pytest.fixture
def cell() -> Iterator[Domain]:
    TAKEN.clear()
    with Domain() as domain, domain.running(Spec(Brain, namespace="vmc1"), Spec(Brain, namespace="vmc2")):
        yield domain


WHO = ("--by", "maria", "--reason", "probe in the way")


def test_a_word_reaches_the_engine_that_made_the_intervention(cell: Domain) -> None:
    engine = "vmc2/test_verdict"
    done = rise("verdict", "give", f"{engine}#1", "false_stop", *WHO, "--at", "12")
    assert (done.exit_code, done.stdout) == (0, f"{engine}#1: FALSE_STOP\n")
    assert [
        VerdictRequest(
            intervention_id=f"{engine}#1",
            judgement=Judgement.FALSE_STOP,
            judged_by="maria",
            reason="probe in the way",
            intervention_ns=12,
        )
    ] == TAKEN
    refused = rise("verdict", "give", f"{engine}#2", "justified", *WHO)
    assert (refused.exit_code, "there was none" in refused.output) == (1, True)
    nobody = rise("verdict", "give", "vmc3/test_verdict#1", "justified", *WHO)
    assert (nobody.exit_code, "vmc3/test_verdict" in nobody.output) == (1, True)


def test_bags_tell_what_was_said_the_last_word_of_each(tmp_path: Path) -> None:
    with BagReader(CRASH) as reader:
        said = [
            codec(Intervention).decode(m.payload)
            for m in reader.messages(topics=lambda topic: topic == "vmc1/impact/intervention")
        ]
    later = tmp_path / "later.mcap"
    with BagWriter(later) as writer:
        pen = Pen(writer, node="impact_cortex")
        for n, judgement in enumerate((Judgement.FALSE_STOP, Judgement.JUSTIFIED)):
            verdict = Verdict(
                stamp_ns=said[-1].stamp_ns + 10 + n,
                intervention_id=said[0].intervention_id,
                intervention_ns=said[0].stamp_ns,
                judgement=judgement,
                judged_by="maria",
                reason="seen",
            )
            pen.put(topics.VERDICT, verdict, verdict.stamp_ns)
    done = rise("verdict", "list", str(CRASH), str(later), "--json")
    rows = json.loads(done.stdout)
    assert [(row["intervention"], row["judgement"]) for row in rows] == [
        (said[0].intervention_id, "JUSTIFIED"),
        (said[1].intervention_id, ""),
    ]
    shown = rise("verdict", "list", str(CRASH), str(later)).stdout
    assert "JUSTIFIED, maria: seen" in shown
    assert f"not judged  --at {said[1].stamp_ns}" in shown


def test_a_bag_without_an_intervention_says_so(tmp_path: Path) -> None:
    path = tmp_path / "none.mcap"
    BagWriter(path).close()
    assert rise("verdict", "list", str(path)).stdout == "no intervention in it\n"
    assert rise("verdict", "list", str(tmp_path / "nowhere.mcap")).exit_code == 2
