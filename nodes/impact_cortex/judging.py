"""What the decisions of a setting are worth: counted against labels and verdicts, as far as it can be known.

A recorded intervention that was asked of the machine changed what came after it: from there to the end of its cycle
nobody knows what another setting would have met. What is there is not counted but as "cannot be known"; and so is what
went wrong in an episode in which a setting had decided before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bus.labels import Wrong
from nodes.impact_cortex.episodes import Decided
from nodes.impact_cortex.policy import RANK
from schemas.impact import Intervention, Judgement, Reaction, Verdict

ABOUT_NS = 1_000_000_000
"""a decision so close to one that was judged is about the same"""


@dataclass(slots=True)
class Count:
    """One setting's decisions on some recordings, one for each episode."""

    interventions: int = 0
    """that it would have made, where that can be known"""
    justified: int = 0
    false_stops: int = 0
    not_judged: int = 0
    """neither label nor verdict speaks of them"""
    misses: int = 0
    """what was wrong, and led to no decision"""
    unknown: int = 0
    """decisions, and things that were wrong, behind a recorded intervention; or the latter behind an own decision"""
    delays_ms: list[float] = field(default_factory=list)
    """from a label's start to the decision"""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a recording."""

    wrong: Sequence[Wrong]
    """labels, and interventions judged as justified"""
    fine: Sequence[tuple[int, int]]
    """from when to when nothing was wrong; beyond labels and verdicts nothing is known"""
    censored: Sequence[tuple[int, int]]
    """behind which moment, and up to which, nothing can be known"""
    labelled: frozenset[int] = frozenset()
    """which of `wrong` have a start of their own, so that delays can be told"""


def known(
    labels: Sequence[Wrong] | None,
    interventions: Sequence[Intervention],
    verdicts: Iterable[Verdict],
    cycles_ns: Sequence[int],
    end_ns: int,
) -> Known:
    """From what was recorded and labelled. `labels`: None where no file speaks of the machine."""
    by_stamp = sorted(verdicts, key=lambda v: v.stamp_ns)
    last = {(v.intervention_id, v.intervention_ns): v.judgement for v in by_stamp}
    wrong = list(labels or ())
    labelled = frozenset(range(len(wrong)))
    fine = [] if labels is None else [(0, 1 << 63)]
    for said in interventions:
        judgement = last.get((said.intervention_id, said.stamp_ns))
        about = (said.stamp_ns - ABOUT_NS, said.stamp_ns + ABOUT_NS)
        if judgement is Judgement.FALSE_STOP:
            fine.append(about)
        elif judgement is Judgement.JUSTIFIED and not any(w.start_ns <= said.stamp_ns <= w.end_ns for w in wrong):
            wrong.append(Wrong(*about, "judged as justified"))
    censored: list[tuple[int, int]] = []
    for said in interventions:
        if said.would_have or RANK[said.reaction] < RANK[Reaction.FEED_HOLD]:
            continue
        if censored and said.stamp_ns < censored[-1][1]:
            continue
        until_ns = next((ns for ns in sorted(cycles_ns) if ns > said.stamp_ns), end_ns + 1)
        censored.append((said.stamp_ns, until_ns))
    return Known(wrong, fine, censored, labelled)


def count(
    decided: Iterable[Decided], until_ns: Mapping[int, int], known: Known, least: Reaction = Reaction.FEED_HOLD
) -> Count:
    """What the decisions of one setting are worth; of each episode the first of at least this reaction.

    Args:
        until_ns: when episodes were over.
    """
    made = Count()
    first: dict[int, int] = {}
    for d in decided:
        if RANK[d.reaction] >= RANK[least]:
            first.setdefault(d.episode, d.heard_ns)
    behind = {e for e, ns in first.items() if any(a < ns < b for a, b in known.censored)}
    """episodes of which nothing can be known"""
    seen = {e: ns for e, ns in first.items() if e not in behind}
    met: set[int] = set()
    for n, wrong in enumerate(known.wrong):
        within = {e: ns for e, ns in seen.items() if wrong.start_ns <= ns <= wrong.end_ns}
        if within:
            met |= within.keys()
            if n in known.labelled:
                made.delays_ms.append((min(within.values()) - wrong.start_ns) / 1e6)
        elif any(a < wrong.end_ns and wrong.start_ns < b for a, b in known.censored) or any(
            ns < wrong.start_ns <= until_ns.get(e, 0)
            for e, ns in seen.items()  # by then it would have stood
        ):
            made.unknown += 1
            behind -= {e for e in behind if wrong.start_ns <= first[e] <= wrong.end_ns}
        else:
            made.misses += 1
    false = [e for e, ns in seen.items() if e not in met and any(a <= ns <= b for a, b in known.fine)]
    made.unknown += len(behind)
    made.interventions, made.justified, made.false_stops = len(seen), len(met), len(false)
    made.not_judged = len(seen) - len(met) - len(false)
    return made
