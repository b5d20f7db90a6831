"""A plan for people and programs: as text, as plain data, and as a DOT graph of nodes and topics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bus.check import Graph
from bus.launch import Settings
from bus.node import Node
from bus.plan import Plan, PlannedNode
from bus.target import BadTarget, node_class


def plain(plan: Plan) -> dict[str, Any]:
    """The plan as data fit for JSON."""
    return {
        "file": str(plan.file),
        "arguments": {
            name: value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
            for name, value in plan.arguments.items()
        },
        "site": str(plan.site.path) if plan.site.path else None,
        "processes": [
            {
                "name": p.name,
                "needs": list(p.needs),
                "after": list(p.after),
                "critical": p.settings.critical,
                "realtime": p.settings.realtime,
                "nice": p.settings.nice,
                "cpus": list(p.settings.cpus),
                **({"restart": "never"} if p.settings.restart is None else {}),
                **{k: v if isinstance(v, (int, float)) else str(v) for k, v in unusual(p.settings).items()},
                "where": str(p.settings.where),
                "nodes": [
                    {
                        "name": n.name,
                        "target": n.target,
                        "parameters": {k: g.value for k, g in n.parameters.items()},
                        "remappings": dict(n.remappings),
                        "where": str(n.where),
                    }
                    for n in p.nodes
                ],
            }
            for p in plan.processes
        ],
    }


def text(plan: Plan) -> Iterator[str]:
    """The plan line by line: processes, their nodes, each parameter with the place that gave it."""
    arguments = "  ".join(f"{name}:={value}" for name, value in plan.arguments.items())
    yield f"{plan.file}  {arguments}".rstrip()
    if plan.site.path:
        yield f"site {plan.site.path}: {len(plan.site.machines)} machines"
    for process in plan.processes:
        s = process.settings
        notes = [f"needs {', '.join(process.needs)}"] if process.needs else []
        notes += [f"after {', '.join(process.after)}"] if process.after else []
        notes += [f"critical for its {s.critical}"] if s.critical else []
        notes += [f"realtime {s.realtime}"] if s.realtime is not None else []
        notes += [f"nice {s.nice}"] if s.nice else []
        notes += [f"CPU {','.join(map(str, s.cpus))}"] if s.cpus else []
        notes += ["not restarted"] if s.restart is None else []
        notes += [f"{name} {value}" for name, value in unusual(s).items()]
        composed = [n.name for n in process.nodes] != [process.name]
        yield f"{process.name}{'  ' if notes else ''}{'; '.join(notes)}"
        for node in process.nodes:
            yield f"  {node.name + '  ' if composed else ''}{node.target}"
            for name, given in node.parameters.items():
                yield f"    {name} = {given.value!r}  ({given.where})"
            for old, new in node.remappings.items():
                yield f"    {old} := {new}"


def unusual(s: Settings) -> dict[str, object]:
    """How a process is run otherwise than most are, what `text` says in words of its own left out."""
    usual = Settings()
    given = {
        name: getattr(s, name) for name in ("ready_timeout_s", "hang_s", "end_s", "on_death", "outside", "restart")
    }
    told = {name: value for name, value in given.items() if value != getattr(usual, name) and value is not None}
    if s.terminal:
        told["terminal"] = "its own"
    if s.ends_launch:
        told["at its end"] = "the launch ends"
    if s.env:
        told["env"] = " ".join(f"{k}={v}" for k, v in s.env.items())
    return told


def dot(plan: Plan) -> str:
    """The graph in DOT, for `rise launch --graph | dot -Tsvg`: boxes are nodes, ellipses topics, dashes services."""
    known: list[tuple[PlannedNode, type[Node]]] = []
    for node in plan.nodes():
        try:
            known.append((node, node_class(node.target)))
        except BadTarget:
            continue  # --graph is drawn after --check has told it
    graph = Graph.of(known)
    lines = ["digraph launch {", "  rankdir=LR; node [fontname=sans, fontsize=11];"]
    for process in plan.processes:
        lines.append(f'  subgraph "cluster {process.name}" {{ label="{process.name}"; style=rounded;')
        lines += [f'    "{n.name}" [shape=box];' for n in process.nodes]
        lines.append("  }")
    edges = [f'  "{w.node.name}" -> "topic {w.name}";' for w in graph.writers]
    names = {w.name for w in graph.writers}
    for r in graph.readers:
        met = sorted({w.name for w in graph.writers if w.meets(r)}) or [r.name]
        edges += [f'  "topic {name}" -> "{r.node.name}";' for name in met]
        names.update(met)
    for c in graph.callers:
        edges += [
            f'  "{c.node.name}" -> "{s.node.name}" [style=dashed, label="{s.name}"];'
            for s in graph.servers
            if s.meets(c)
        ]
    lines += [f'  "topic {name}" [label="{name}", shape=ellipse];' for name in sorted(names)]
    return "\n".join([*lines, *dict.fromkeys(edges), "}"])
