"""Which faults explain the readings: sets of faults weighed against all that is seen and all that is not.

The model is the one of diagnosis by "noisy or" (J. Pearl, Probabilistic Reasoning in Intelligent Systems, 1988, 4.3):
each fault that is there makes a reading abnormal with a probability of its own, independent of the others, and a small
leak makes it so for no reason. A set of faults is worth prior times likelihood. The best sets are searched by a beam
from the empty one; a fault's probability is the share of all sets found that hold it. So one shared cause beats two
coincidences, and a fault whose readings another one explains better is explained away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodes.knowledge_graph.faults import ANY, FAULTS, LEAK, Fault, State
from nodes.knowledge_graph.reading import Reading

BEAM = 16
MOST_FAULTS = 4
"""at once"""
MOST_CANDIDATES = 48
TELLS = 0.1
"""a reading speaks for a fault that makes it at least this likely"""
DENIES = 0.3
"""a normal reading speaks against a fault that would have changed it at least this likely"""
MOST_SAID = 6
"""readings of a kind that a cause names"""

Upstream = Callable[[str], Collection[str]]
"""the components whose faults show at this one, itself included"""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One fault of one component."""

    component: str
    fault: Fault

    @property
    def said(self) -> str:
        return f"{self.component} {self.fault.name}"


@dataclass(frozen=True, slots=True)
class Cause:
    """A hypothesis with its probability, and the readings that bear on it."""

    hypothesis: Hypothesis
    probability: float
    speaks_for: tuple[Reading, ...]
    speaks_against: tuple[Reading, ...]
    explained_by: Hypothesis | None = None
    """a likelier one that explains the same readings"""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All causes, the likeliest first, and the abnormal readings that none of them explains."""

    causes: tuple[Cause, ...]
    unexplained: tuple[Reading, ...]


class Reasoner:
    """The table of faults over one graph."""

    def __init__(self, kinds: dict[str, str], upstream: Upstream, faults: Sequence[Fault] = FAULTS) -> None:
        self._kinds = kinds
        self._upstream = upstream
        self._by_kind: dict[str, list[Fault]] = {}
        for fault in faults:
            self._by_kind.setdefault(fault.kind, []).append(fault)

    def diagnose(
        self,
        readings: Sequence[Reading],
        *,
        suppose: Sequence[Reading] = (),
        about: Collection[Reading] | None = None,
        most: int = 5,
    ) -> Diagnosis:
        """What explains the readings.

        Args:
            suppose: as if these were so, to ask what could be behind them.
            about: only faults that explain one of these are wanted; all readings are weighed all the same.
            most: causes that are given.
        """
        supposed = {(r.quantity, r.at) for r in suppose}
        rest = [r for r in readings if (r.quantity, r.at) not in supposed]
        abnormal = [r for r in rest if r.abnormal] + list(suppose)
        found = self._candidates(abnormal)
        if not found:
            return Diagnosis((), tuple(abnormal))
        makes, misses = self._weigh(found, rest, abnormal)
        leak = np.array([LEAK[r.state] for r in abnormal])
        prior = np.log([h.fault.prior / (1.0 - h.fault.prior) for h in found])
        sets = search(makes, misses + prior, leak)
        share = np.zeros(len(found))
        best = max(sets, key=lambda s: sets[s])
        weights = {s: math.exp(worth - sets[best]) for s, worth in sets.items()}
        total = sum(weights.values())
        for members, weight in weights.items():
            share[list(members)] += weight / total
        # among equals, what explains most comes first
        order = sorted(range(len(found)), key=lambda i: (-round(float(share[i]), 9), -float(makes[i].sum())))
        if about is not None:
            asked = [j for j, r in enumerate(abnormal) if r in about or r in suppose]
            order = [i for i in order if any(makes[i, j] >= TELLS for j in asked)]
        causes = tuple(self._cause(i, order, found, share, makes, rest, abnormal) for i in order[:most])
        explained = 1.0 - np.prod(1.0 - makes[list(best)], axis=0) if best else np.zeros(len(abnormal))
        return Diagnosis(causes, tuple(r for r, e in zip(abnormal, explained, strict=True) if e < TELLS))

    def _candidates(self, abnormal: Sequence[Reading]) -> list[Hypothesis]:
        """Every fault that makes one of these readings abnormal."""
        found: dict[tuple[str, str], Hypothesis] = {}
        for r in abnormal:
            for component in (*self._upstream(r.at), *r.via):
                for fault in self._by_kind.get(self._kinds.get(component, ""), ()):
                    if chance(fault, component, r, r.state, self._upstream) > 0.0:
                        found.setdefault((component, fault.name), Hypothesis(component, fault))
        return list(found.values())

    def _weigh(
        self, found: Sequence[Hypothesis], rest: Sequence[Reading], abnormal: Sequence[Reading]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Per hypothesis: how likely it makes each abnormal reading, and the log chance that it left the others be."""
        makes = np.zeros((len(found), len(abnormal)))
        misses = np.zeros(len(found))
        # written out, and not by `chance`: of 500 components this is all there is to do
        by_quantity: dict[str, list[tuple[Reading, Collection[str]]]] = {}
        by_sensor: dict[str, list[Reading]] = {}
        for r in rest:
            by_quantity.setdefault(r.quantity, []).append((r, self._upstream(r.at)))
            for sensor in r.via:
                by_sensor.setdefault(sensor, []).append(r)
        asked = [(j, r, self._upstream(r.at)) for j, r in enumerate(abnormal)]
        for i, h in enumerate(found):
            component = h.component
            for (quantity, state), p in h.fault.effects.items():
                if quantity == ANY:
                    for r in by_sensor.get(component, ()):
                        if r.state is not state and r.state is not State.GONE:
                            misses[i] += math.log1p(-p / len(r.via))
                    for j, r, _ in asked:
                        if r.state is state and component in r.via:
                            makes[i, j] = max(makes[i, j], p / len(r.via))
                    continue
                miss = math.log1p(-p)
                for r, up in by_quantity.get(quantity, ()):
                    if r.state is not state and r.state is not State.GONE and component in up:
                        misses[i] += miss
                for j, r, up in asked:
                    if r.quantity == quantity and r.state is state and component in up:
                        makes[i, j] = p
        return makes, misses

    def _cause(
        self,
        i: int,
        order: Sequence[int],
        found: Sequence[Hypothesis],
        share: NDArray[np.float64],
        makes: NDArray[np.float64],
        rest: Sequence[Reading],
        abnormal: Sequence[Reading],
    ) -> Cause:
        h = found[i]
        mine = [j for j in range(len(abnormal)) if makes[i, j] >= TELLS]
        against = []
        quantities = {quantity for quantity, _ in h.fault.effects}
        for r in rest if ANY in quantities else [r for r in rest if r.quantity in quantities]:
            expected = sum(
                chance(h.fault, h.component, r, state, self._upstream)
                for state in (State.LOW, State.HIGH, State.GONE)
                if state is not r.state
            )
            if expected >= DENIES and not (
                r.abnormal and chance(h.fault, h.component, r, r.state, self._upstream) >= TELLS
            ):
                against.append(r)
        other = None
        if share[i] < 0.5:
            # one likelier cause that explains all that this one does
            likelier = (k for k in order if share[k] > 2.0 * share[i] and all(makes[k, j] >= TELLS for j in mine))
            other = next((found[k] for k in likelier if mine), None)
        return Cause(h, float(share[i]), tuple(abnormal[j] for j in mine), tuple(against), other)


def chance(fault: Fault, component: str, reading: Reading, state: State, upstream: Upstream) -> float:
    """How likely the fault alone makes the reading be in this state."""
    p = fault.effects.get((reading.quantity, state), 0.0)
    if p and component in upstream(reading.at):
        return p
    through = fault.effects.get((ANY, state), 0.0)
    return through / len(reading.via) if through and component in reading.via else 0.0


def search(
    makes: NDArray[np.float64], single: NDArray[np.float64], leak: NDArray[np.float64]
) -> dict[tuple[int, ...], float]:
    """Sets of faults and the log of what each is worth, the best ones of every size up to MOST_FAULTS.

    makes: [faults, abnormal readings], how likely each fault makes each reading.
    single: log of each fault's prior odds, and of how likely it left alone what is normal.
    leak: how likely each abnormal reading is without any fault.
    """
    none = np.log1p(-np.minimum(makes, 1.0 - 1e-9))
    quiet = np.log1p(-leak)

    def worth(not_made: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log likelihood of the abnormal readings, given the log chance that nothing makes them."""
        return np.asarray(np.log(-np.expm1(not_made)).sum(axis=-1))

    # the empty set, then each alone; only the best are tried together
    sets: dict[tuple[int, ...], float] = {(): float(worth(quiet))}
    alone = worth(quiet + none) + single
    tried = np.argsort(-alone)[:MOST_CANDIDATES]
    sets.update({(int(i),): float(alone[i]) for i in range(len(single))})
    # what explains best one reading may be far down the list of those that explain most
    keep = {int(i) for i in tried} | {int(none[:, j].argmin()) for j in range(none.shape[1])}
    pool = np.array(sorted(keep))
    beam: list[tuple[tuple[int, ...], NDArray[np.float64], float]]
    beam = [((int(i),), quiet + none[i], float(single[i])) for i in np.argsort(-alone)[:BEAM]]
    for _ in range(1, MOST_FAULTS):
        grown: dict[tuple[int, ...], tuple[float, NDArray[np.float64], float]] = {}
        for members, not_made, base in beam:
            together = not_made + none[pool]
            worths = worth(together) + base + single[pool]
            for k in np.argsort(-worths)[:BEAM]:
                new = int(pool[k])
                if new in members:
                    continue
                key = tuple(sorted((*members, new)))
                grown[key] = (float(worths[k]), together[k], base + float(single[new]))
        ranked = sorted(grown.items(), key=lambda item: -item[1][0])[:BEAM]
        sets.update({key: value[0] for key, value in grown.items()})
        beam = [(key, value[1], value[2]) for key, value in ranked]
    return sets
