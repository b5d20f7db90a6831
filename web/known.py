"""What the hub knows, put together for REST: plain values out of the newest messages and of who is alive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from bus.cli.graph import meets, without_nan
from bus.cli.show_values import Unreadable, plain_message, units, unpack
from bus.entry import EVERYTHING, Entry
from schemas.base import Message
from schemas.codec import DecodeError, codec
from schemas.machine import Alarm, ConditionLevel
from schemas.names import is_tool
from schemas.system import Diagnostics, Processes, ProcessStatus
from web.feeds import Feed
from web.hub import Hub

M = TypeVar("M", bound=Message)

OF_A_MACHINE = {
    "info": "machine/info",
    "state": "machine/state",
    "protection": "impact/protection",
    "hal_protection": "machine/protection",
    "assessment": "impact/assessment",
    "coolant": "coolant/state",
    "job": "job/spec",
}
"""what is told of a machine, and the topic it comes from"""


def latched(hub: Hub, kind: type[M]) -> Iterable[tuple[Feed, M]]:
    """Every latched value of a type whose publisher lives; what cannot be read is left out, and counted elsewhere."""
    for feed in hub.feeds:
        if feed.type_name == kind.__name__ and not feed.gone_ns:
            for message in hub.latched.get(feed.n, {}).values():
                try:
                    yield feed, codec(kind).decode(bytes(message[3]))
                except DecodeError:
                    continue


def newest(hub: Hub, topic: str) -> dict[str, Any] | None:
    """The last message of a topic with where it came from; None: nothing came yet."""
    found = [(hub.newest[feed.n], feed) for feed in hub.feeds if feed.topic == topic and feed.n in hub.newest]
    if not found:
        return None
    message, feed = max(found, key=lambda f: (not f[1].gone_ns, f[0][2]))
    entry = hub.entries.get(feed.publisher)
    defined = None
    if entry is not None:
        described = next((t for t in entry.publishes if t.name == topic), None)
        defined = entry.definitions.get(described.type_hash) if described is not None else None
    try:
        said = plain_message(unpack(bytes(message[3])), defined)
    except Unreadable:
        return None
    return {
        "publisher": feed.publisher, "seq": message[1], "published_ns": message[2],
        "age_s": round((hub.now_ns() - message[2]) / 1e9, 3), "gone": bool(feed.gone_ns), "message": without_nan(said),
    }  # fmt: skip


def machines(hub: Hub) -> list[dict[str, Any]]:
    """Every machine that was heard, also one that is silent now."""
    names = {f.topic.partition("/")[0] for f in hub.feeds if f.topic.endswith(("/machine/info", "/machine/state"))}
    return [machine(hub, name) for name in sorted(names)]


def machine(hub: Hub, name: str) -> dict[str, Any]:
    """What is known of a machine; null for what nobody has said."""
    parts = {key: newest(hub, f"{name}/{topic}") for key, topic in OF_A_MACHINE.items()}
    state = parts["state"]
    return {
        "name": name,
        "simulated": hub.simulated.get(name),
        "silent": state is None or state["gone"],
        **parts,
        "alarms": [a for a in alarms(hub) if a["machine"] == name],
    }


def alarms(hub: Hub) -> list[dict[str, Any]]:
    """Every condition that is not normal, the newest first."""
    found = [
        {"machine": feed.topic.rpartition("/")[0], "publisher": feed.publisher, **alarm.model_dump(mode="json")}
        for feed, alarm in latched(hub, Alarm)
        if alarm.level is not ConditionLevel.NORMAL
    ]
    return sorted(found, key=lambda a: -int(a["stamp_ns"]))


def real(hub: Hub) -> dict[str, Entry]:
    """The nodes that are no tools."""
    return {name: entry for name, entry in sorted(hub.entries.items()) if not is_tool(name)}


def topics(hub: Hub) -> list[dict[str, Any]]:
    """Every topic that somebody publishes."""
    entries = real(hub)
    rows: dict[str, dict[str, Any]] = {}
    for entry in entries.values():
        for topic in entry.publishes:
            if topic.name.startswith("*/") or topic.name.endswith("/_event"):
                continue
            row = rows.setdefault(
                topic.name,
                {
                    "name": topic.name, "type": topic.type_name, "qos": topic.qos, "key": topic.key,
                    "units": units(entry.definitions.get(topic.type_hash)), "publishers": [], "subscribers": [],
                },
            )  # fmt: skip
            row["publishers"].append(entry.name)
    for name, row in rows.items():
        row["subscribers"] = sorted(n for n, e in entries.items() if any(meets(s.name, name) for s in e.subscribes))
    return [rows[name] for name in sorted(rows)]


def nodes(hub: Hub) -> list[dict[str, Any]]:
    """Every node that lives, with its health and its process; and processes whose nodes do not live."""
    health = {said.node: said for _, said in latched(hub, Diagnostics)}
    processes = {node: p for _, said in latched(hub, Processes) for p in said.processes for node in p.nodes}
    rows = [
        {
            "name": e.name, "alive": True, "ready": e.ready, "target": e.target, "pid": e.pid, "host": e.host,
            "started_ns": e.started_ns, "real": e.real, "clock": e.clock,
            "publishes": [t.name for t in e.publishes], "subscribes": [t.name for t in e.subscribes],
            "serves": [s.name for s in e.serves], "parameters": dict(e.parameters),
            "health": _health(health.get(e.name)), "process": _process(processes.get(e.name)),
        }
        for e in real(hub).values()
    ]  # fmt: skip
    living = {row["name"] for row in rows}
    rows += [
        {"name": name, "alive": False, "ready": False, "process": _process(process)}
        for name, process in sorted(processes.items())
        if name not in living
    ]
    return rows


def _health(said: Diagnostics | None) -> dict[str, Any] | None:
    return None if said is None else said.model_dump(mode="json")


def _process(said: ProcessStatus | None) -> dict[str, Any] | None:
    return None if said is None else said.model_dump(mode="json")


def graph(hub: Hub) -> dict[str, list[dict[str, Any]]]:
    """Nodes, and an edge for each topic from a publisher to who hears it, with what the latter counted."""
    entries = real(hub)
    counted = {
        (said.node, row.topic, row.publisher): row
        for _, said in latched(hub, Diagnostics)
        for row in said.topics
        if row.publisher != said.node
    }
    edges: list[dict[str, Any]] = []
    for entry in entries.values():
        for topic in entry.publishes:
            for other in entries.values():
                row = counted.get((other.name, topic.name, entry.name))
                hears = any(s.name != EVERYTHING and meets(s.name, topic.name) for s in other.subscribes)
                if not hears and row is None:
                    continue
                edges.append(
                    {
                        "topic": topic.name, "type": topic.type_name, "qos": topic.qos, "publisher": entry.name,
                        "subscriber": other.name,
                        "received": row.received if row else None,
                        "lost": row.lost + row.dropped + row.expired if row else None,
                        "delay_p50_ms": row.delay_p50_ms if row else None,
                        "delay_p99_ms": row.delay_p99_ms if row else None,
                    }
                )  # fmt: skip
    calls = [
        {"service": c.name, "client": e.name, "acts_on_machine": c.acts_on_machine}
        for e in entries.values()
        for c in e.calls
    ]
    rows = [{"name": e.name, "namespace": e.namespace, "ready": e.ready} for e in entries.values()]
    return {"nodes": rows, "edges": without_nan(edges), "calls": calls}


def interventions(hub: Hub, machine: str | None, most: int) -> list[dict[str, Any]]:
    """The newest first, each with its verdict, what the HAL answered, and how the machine moved."""
    out: list[dict[str, Any]] = []
    for name, said in reversed(hub.interventions):
        if machine is not None and name != machine:
            continue
        if len(out) >= most:
            break
        verdict = hub.verdicts.get((name, said.intervention_id, said.stamp_ns))
        results = [
            r
            for of, r in hub.reactions
            if of == name and r.intervention_id == said.intervention_id and abs(r.stamp_ns - said.stamp_ns) < STORY_NS
        ]
        motion = [m for of, m in hub.motion if of == name and abs(m.stamp_ns - said.stamp_ns) < STORY_NS]
        out.append(
            {
                "machine": name,
                **said.model_dump(mode="json"),
                "verdict": None if verdict is None else verdict.model_dump(mode="json"),
                "results": [r.model_dump(mode="json") for r in results],
                "motion": [m.model_dump(mode="json") for m in sorted(motion, key=lambda m: m.stamp_ns)],
            }
        )
    return out


STORY_NS = 20_000_000_000
"""events this close to an intervention belong to its story"""


def plain_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON without NaN."""
    return {key: without_nan(value) for key, value in values.items()}
