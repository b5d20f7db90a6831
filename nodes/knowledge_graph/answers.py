"""Questions about the shop and their answers in words: readings and graph in, replies out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bus.site import did_you_mean
from nodes.knowledge_graph.causes import Cause, Diagnosis, Reasoner
from nodes.knowledge_graph.faults import ANY, Fault, State
from nodes.knowledge_graph.influences import PARAMETERS, influences
from nodes.knowledge_graph.reach import Reach
from nodes.knowledge_graph.reading import WORDS, Reading
from schemas.graph import (
    CausesReply,
    CausesRequest,
    ImpactReply,
    ImpactRequest,
    Influence,
    InfluenceReply,
    InfluenceRequest,
    RankedCause,
)
from schemas.machine import ConditionLevel, MachineState

MOST_CAUSES = 50
MOST_SAID = 6
"""readings of a kind that one cause names"""
MOST_WAYS = 60
LIKELY = 0.5
"""a component whose fault is at least so likely is shown as abnormal"""


@dataclass(frozen=True, slots=True)
class World:
    """All that is known at one moment."""

    reach: Reach
    faults: tuple[Fault, ...]
    readings: Sequence[Reading]

    @property
    def reasoner(self) -> Reasoner:
        return Reasoner(self.reach.shape.components, self.reach.upstream, self.faults)


# --- causes ---------------------------------------------------------------------------------------------------------


def causes(world: World, request: CausesRequest) -> CausesReply:
    """The likeliest causes of a condition, each with what speaks for it and against it."""
    most = min(max(request.most, 1), MOST_CAUSES)
    condition = request.condition.strip()
    abnormal = [r for r in world.readings if r.abnormal]
    if not condition:
        if not abnormal:
            text = f"no evidence: of {len(world.readings)} live readings none is abnormal"
            return CausesReply(ok=True, text=text, causes=())
        return _reply(world, world.reasoner.diagnose(world.readings, most=most), abnormal)
    meant = matching(world, condition)
    if meant is None:
        hint = did_you_mean(condition, names(world))
        return CausesReply(ok=False, text=f"no machine, component, reading or alarm {condition!r}; {hint}", causes=())
    wrong = [r for r in meant if r.abnormal]
    if wrong:
        return _reply(world, world.reasoner.diagnose(world.readings, about=wrong, most=most), wrong)
    if not meant:
        return CausesReply(ok=True, text=f"no evidence: nothing live is known of {condition}", causes=())
    return _supposed(world, condition, meant, most)


def _supposed(world: World, condition: str, meant: Sequence[Reading], most: int) -> CausesReply:
    """Nothing is wrong there: says so, and what could be behind it if it were."""
    told = "; ".join(r.said() for r in meant[:MOST_SAID])
    text = f"no evidence: {condition} shows nothing abnormal ({told})"
    if len({r.quantity for r in meant}) > 1:
        return CausesReply(ok=True, text=text, causes=())
    found: dict[str, tuple[float, RankedCause]] = {}
    for state in (State.LOW, State.HIGH, State.GONE):
        suppose = [replace(meant[0], state=state, text="supposed, not seen")]
        for cause in world.reasoner.diagnose(world.readings, suppose=suppose, about=suppose, most=most).causes:
            fault = cause.hypothesis.fault
            # by how often it comes: of three readings that are only supposed, none is likelier than the others
            often = fault.prior * fault.effects.get((meant[0].quantity, state), fault.effects.get((ANY, state), 0.0))
            if often > found.get(cause.hypothesis.said, (0.0,))[0]:
                found[cause.hypothesis.said] = (often, _ranked(world, cause))
    ranked = [cause for _, cause in sorted(found.values(), key=lambda item: -item[0])]
    more = "; if it were abnormal, these could be behind it" if ranked else ""
    return CausesReply(ok=True, text=text + more, causes=tuple(ranked[:most]))


def _reply(world: World, diagnosis: Diagnosis, about: Sequence[Reading]) -> CausesReply:
    found = tuple(_ranked(world, c) for c in diagnosis.causes)
    seen = f"{len(about)} abnormal: {'; '.join(r.said() for r in about[:MOST_SAID])}{_more(about)}"
    likeliest = (
        f". Likeliest: {found[0].text} ({found[0].probability_pct:.0f} %)" if found else ". No known fault explains it"
    )
    rest = [r for r in diagnosis.unexplained if r in about]
    left = f". Not explained: {'; '.join(r.said() for r in rest[:MOST_SAID])}" if rest and found else ""
    return CausesReply(ok=True, text=seen + likeliest + left, causes=found)


def _ranked(world: World, cause: Cause) -> RankedCause:
    h = cause.hypothesis
    against = [r.said() for r in cause.speaks_against[:MOST_SAID]]
    if cause.explained_by is not None:
        against.append(f"{cause.explained_by.said}: likelier, and explains the same")
    speaks_for = [r.said() for r in cause.speaks_for[:MOST_SAID]]
    return RankedCause(
        text=h.said,
        component=h.component,
        kind=h.fault.kind,
        fault=h.fault.name,
        probability_pct=round(100.0 * cause.probability, 1),
        speaks_for=tuple(speaks_for),
        speaks_against=tuple(against),
        not_known=tuple(_not_known(world, cause)),
    )


def _not_known(world: World, cause: Cause) -> Iterable[str]:
    """What would show the fault, and is not read anywhere that it reaches."""
    h = cause.hypothesis
    quantities = dict.fromkeys(q for (q, _), p in h.fault.effects.items() if p >= LIKELY and q != ANY)
    for quantity in quantities:
        if not any(r.quantity == quantity and h.component in world.reach.upstream(r.at) for r in world.readings):
            yield f"{WORDS.get(quantity, quantity)}: no reading"


def _more(readings: Sequence[Reading]) -> str:
    return f"; and {len(readings) - MOST_SAID} more" if len(readings) > MOST_SAID else ""


def matching(world: World, condition: str) -> list[Reading] | None:
    """The readings that a condition means; None when nobody knows the word."""
    word = condition.removeprefix("/")
    coded = [r for r in world.readings if any(word == c or c.endswith(f"/{word}") for c in r.codes)]
    if coded:
        return coded
    components = world.reach.shape.components
    if word in components:
        if components[word] == "cell":
            return list(world.readings)
        if components[word] == "machine":
            return [r for r in world.readings if r.machine == word]
        return [r for r in world.readings if r.at == word or r.at.startswith(f"{word}/") or word in r.via]
    machine, _, last = word.rpartition("/")
    quantity = last.replace(" ", "_")
    if quantity in WORDS and (not machine or machine in components):
        return [r for r in world.readings if r.quantity == quantity and machine in ("", r.machine, r.at)]
    sensors = {c for c, kind in components.items() if kind == "sensor" and c.endswith(f"/sensor/{last}")}
    sensors = {c for c in sensors if not machine or c.startswith(f"{machine}/")}
    if sensors:
        return [r for r in world.readings if r.at in sensors or sensors.intersection(r.via)]
    return None


def names(world: World) -> list[str]:
    """What a condition may be."""
    codes = {c for r in world.readings for c in r.codes}
    return [*world.reach.shape.components, *WORDS, *codes]


# --- impact ---------------------------------------------------------------------------------------------------------


def impact(world: World, request: ImpactRequest, states: Mapping[str, MachineState]) -> ImpactReply:
    """The machines, jobs and orders that hang on a component."""
    name = request.component.strip().removeprefix("/")
    shape = world.reach.shape
    if name not in shape.components:
        return ImpactReply(ok=False, text=f"no component {name!r}; {did_you_mean(name, shape.components)}")
    ways = {target: way for target, way in world.reach.ways(name).items() if target != name}
    touched = {m for c in (name, *ways) if (m := shape.machine_of(c))}
    machines = tuple(sorted(touched))
    tool = name.rpartition("/tool_")[2] if shape.components[name] == "tool" else ""
    jobs = []
    for machine in machines:
        state = states.get(machine)
        if state is not None and state.run_id and (not tool or str(state.tool_number) == tool):
            with_tool = f", tool {state.tool_serial}" if state.tool_serial else ""
            jobs.append(f"{machine}: {state.program}, run {state.run_id}{with_tool}, part {state.part_count + 1}")
    notes = []
    if machines and not jobs:
        notes.append("the tool is not in the spindle now" if tool else "no program runs there now")
    if machines:
        notes.append("orders are not known: nobody publishes which order a run belongs to")
    far = len(ways)
    text = f"a fault of {name} ({shape.components[name]}) reaches {far} component{'s' if far != 1 else ''}"
    text += f" of {', '.join(machines)}" if machines else ", no machine among them"
    return ImpactReply(
        ok=True,
        text="; ".join([text, *notes]),
        machines=machines,
        jobs=tuple(jobs),
        components=tuple(world.reach.said(way) for way in sorted(ways.values(), key=len)[:MOST_WAYS]),
    )


# --- influence ------------------------------------------------------------------------------------------------------


def influence(request: InfluenceRequest, signals: Mapping[str, Iterable[str]]) -> InfluenceReply:
    """Which parameter moves which signal of which machine."""
    parameter, signal, machine = request.parameter.strip(), request.signal.strip(), request.machine.strip()
    owner, _, last = signal.rpartition("/")
    machine, signal = machine or owner.partition("/")[0], last
    if parameter and parameter not in PARAMETERS:
        return InfluenceReply(ok=False, text=f"no parameter {parameter!r}; {did_you_mean(parameter, PARAMETERS)}")
    if machine and machine not in signals:
        return InfluenceReply(ok=False, text=f"no machine {machine!r}; {did_you_mean(machine, signals)}")
    known = {m: sorted(s) for m, s in signals.items() if not machine or m == machine}
    every = sorted({s for names in known.values() for s in names})
    if signal and signal not in every:
        return InfluenceReply(ok=False, text=f"no signal {signal!r}; {did_you_mean(signal, every)}")
    found = [
        Influence(parameter=p, signal=f"{m}/{s}", text=text)
        for m, names in known.items()
        for p, s, text in influences(names, parameter, signal)
    ]
    what = " and ".join(w for w in (parameter, signal) if w) or "all parameters"
    text = f"{len(found)} known influences of {what}" if found else f"no known influence of {what} on these signals"
    return InfluenceReply(ok=True, text=text, influences=tuple(found))


# --- the graph with its live state ----------------------------------------------------------------------------------

_FAULT = frozenset({"servo_alarm", "emergency_stop"})


def overlay(world: World) -> dict[str, tuple[ConditionLevel, str]]:
    """Level and text of every component of which anything is known."""
    found: dict[str, tuple[ConditionLevel, str]] = {}
    for r in world.readings:
        level = ConditionLevel.NORMAL
        if r.abnormal:
            bad = r.state is State.GONE or r.quantity in _FAULT
            level = ConditionLevel.FAULT if bad else ConditionLevel.WARNING
        _worse(found, r.at, level, r.said() if r.abnormal else "")
    for cause in world.reasoner.diagnose(world.readings, most=MOST_CAUSES).causes:
        if cause.probability >= LIKELY:
            text = f"{cause.hypothesis.fault.name} ({100.0 * cause.probability:.0f} %)"
            _worse(found, cause.hypothesis.component, ConditionLevel.WARNING, text)
    return found


_ORDER = (ConditionLevel.NORMAL, ConditionLevel.WARNING, ConditionLevel.FAULT)


def _worse(found: dict[str, tuple[ConditionLevel, str]], name: str, level: ConditionLevel, text: str) -> None:
    old = found.get(name)
    if old is None:
        found[name] = (level, text)
    else:
        found[name] = (max(old[0], level, key=_ORDER.index), "; ".join(t for t in (old[1], text) if t))
