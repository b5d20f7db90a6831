"""People's word on an intervention: taken when it can be told which one is meant, published, the last one counts."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.impact_cortex import verdicts
from schemas.impact import Intervention, Judgement, Verdict, VerdictReply, VerdictRequest
from tests.nodes.impact_cortex.rig import MS, T0, World, cutting


@pytest.fixture
def world() -> World:
    """A machine that was held once."""
    made = cutting()
    made.samples(120.0, 10)
    assert [task for task, _ in made.reactions] == ["load_limit"]
    return made


def judged(world: World, **changes: Any) -> VerdictReply:
    words: dict[str, Any] = {
        "intervention_id": "vmc1/impact_cortex#1",
        "judgement": Judgement.FALSE_STOP,
        "judged_by": "maria",
        "reason": "probe in the way",
    }
    return world.node.judge(VerdictRequest(**{**words, **changes}))


def test_a_verdict_is_published_with_the_stamp_of_what_it_means(world: World) -> None:
    (hold,) = world.said(Intervention)
    assert judged(world).accepted
    world.now += MS
    assert judged(world, judgement=Judgement.JUSTIFIED, intervention_ns=hold.stamp_ns).accepted
    first, last = world.said(Verdict)
    assert {(v.intervention_id, v.intervention_ns) for v in (first, last)} == {(hold.intervention_id, hold.stamp_ns)}
    assert (first.judgement, last.judgement) == (Judgement.FALSE_STOP, Judgement.JUSTIFIED)
    assert last.stamp_ns == first.stamp_ns + MS


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"judged_by": " "}, "say who"),
        ({"reason": ""}, "say who"),
        ({"reason": "x" * 2000}, "at most"),
        ({"intervention_id": "vmc2/impact_cortex#1"}, "no intervention of vmc1/impact_cortex"),
        ({"intervention_id": "1"}, "no intervention of"),
        ({"intervention_id": "vmc1/impact_cortex#x"}, "no intervention of"),
        ({"intervention_id": "vmc1/impact_cortex#2"}, "since the engine was started"),
        ({"intervention_ns": T0 + 10_000 * MS}, "was not at"),
        ({"intervention_id": "vmc1/impact_cortex#2", "intervention_ns": T0 + MS}, "was not at"),
    ],
)
def test_one_that_nobody_can_mean_is_refused(world: World, changes: dict[str, Any], text: str) -> None:
    reply = judged(world, **changes)
    assert not reply.accepted
    assert text in reply.text
    assert world.said(Verdict) == []


def test_of_before_the_start_the_stamp_says_which(world: World) -> None:
    assert judged(world, intervention_id="vmc1/impact_cortex#9", intervention_ns=T0 - 5).accepted
    assert world.said(Verdict)[0].intervention_ns == T0 - 5


def test_only_so_many_are_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "MOST_KEPT", 3)
    for n in range(10, 14):
        world.node._remember(f"vmc1/impact_cortex#{n}", T0 + n)
    assert not judged(world).accepted
    assert judged(world, intervention_id="vmc1/impact_cortex#11").accepted
