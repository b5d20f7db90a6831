"""Whether the hub lives and is of use, and what Prometheus asks of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from schemas.impact import Protection, ProtectionState
from schemas.machine import ConditionLevel
from schemas.system import Diagnostics, Processes
from web import problems
from web.door import Authority
from web.hub import Hub
from web.known import latched

SILENT_NS = 3_000_000_000
"""a node that says nothing for so long is not ready"""
PROTECTION = {ProtectionState.UNPROTECTED: 0, ProtectionState.DEGRADED: 1, ProtectionState.PROTECTED: 2}
LEVELS = {
    ConditionLevel.NORMAL: 0,
    ConditionLevel.UNAVAILABLE: 1,
    ConditionLevel.WARNING: 2,
    ConditionLevel.FAULT: 3,
}

Sample = tuple[Mapping[str, str], float]
Metric = tuple[str, str, str, list[Sample]]
"""name, kind, what it says, values by labels"""


def install(app: FastAPI, hub: Hub, authority: Authority) -> None:
    @app.get("/healthz", tags=["health"], summary="The web server answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="The hub hears the bus", response_model=None)
    async def readyz() -> Response:
        why = not_ready(hub)
        return JSONResponse({"status": "not ready" if why else "ok", "why": why}, 503 if why else 200)

    @app.get("/metrics", tags=["health"], summary="For Prometheus", response_class=PlainTextResponse)
    async def metrics(request: Request) -> PlainTextResponse:
        shut = authority.may_look(authority.session(request.cookies))
        if shut is not None:  # it names machines and nodes
            raise problems.refused(shut)
        return PlainTextResponse(text_of(measured(hub)), media_type="text/plain; version=0.0.4; charset=utf-8")


def not_ready(hub: Hub) -> str:
    """Why the hub is of no use now; empty when it is."""
    silent_ns = hub.now_ns() - hub.node_seen_ns
    if not hub.node_seen_ns:
        return "the hub's node has not come up"
    if silent_ns > SILENT_NS:
        return f"the hub's node has said nothing for {silent_ns / 1e9:.0f} s"
    return ""


def measured(hub: Hub) -> list[Metric]:
    """Everything that is counted."""
    counts = hub.counts
    out: list[Metric] = [
        ("rise_hub_clients", "gauge", "WebSocket clients", [({}, len(hub.clients))]),
        ("rise_hub_feeds", "gauge", "topics of publishers heard", [({}, len(hub.feeds))]),
        ("rise_hub_history_bytes", "gauge", "kept for clients that come back", [({}, hub.history.nbytes)]),
        ("rise_hub_busy_total", "counter", "messages left out: no time", [({}, hub.crossing.busy)]),
    ]
    for name, text in COUNTED.items():
        out.append((f"rise_hub_{name}_total", "counter", text, [({}, counts[name])]))
    levels: list[Sample] = []
    lost: list[Sample] = []
    received: list[Sample] = []
    for _, said in latched(hub, Diagnostics):
        levels.append(({"node": said.node}, LEVELS[said.level]))
        for row in said.topics:
            if row.publisher != said.node:
                labels = {"node": said.node, "topic": row.topic, "publisher": row.publisher}
                received.append((labels, row.received))
                lost.append((labels, row.lost + row.dropped + row.expired))
    protection: list[Sample] = []
    for feed, told in latched(hub, Protection):
        by = "engine" if feed.topic.endswith("impact/protection") else "machine"
        protection.append(({"machine": feed.topic.partition("/")[0], "by": by}, PROTECTION[told.state]))
    processes = [p for _, listed in latched(hub, Processes) for p in listed.processes]
    cpu: list[Sample] = [({"process": p.name}, p.cpu_pct / 100) for p in processes]
    memory: list[Sample] = [({"process": p.name}, p.pss_bytes) for p in processes]
    restarts: list[Sample] = [({"process": p.name}, p.restarts) for p in processes]
    out += [
        ("rise_node_level", "gauge", "health: 0 normal, 1 unknown, 2 warning, 3 fault", levels),
        ("rise_topic_received_total", "counter", "messages a node received", received),
        ("rise_topic_lost_total", "counter", "messages lost, dropped or expired on the way to a node", lost),
        ("rise_protection", "gauge", "0 unprotected, 1 degraded, 2 protected", protection),
        ("rise_process_cores", "gauge", "CPU in use", cpu),
        ("rise_process_pss_bytes", "gauge", "memory in use", memory),
        ("rise_process_restarts_total", "counter", "restarts of a process", restarts),
    ]
    return out


COUNTED = {
    "messages": "messages taken from the bus",
    "signals": "blocks of signals taken from the bus",
    "unreadable": "messages that could not be read",
    "encoded": "batches encoded",
    "sent": "WebSocket messages sent",
    "sent_bytes": "bytes of WebSocket messages sent",
    "dropped": "batches dropped for clients that are too slow",
    "refused": "WebSocket handshakes refused",
    "stuck": "clients let go that read no more",
    "bad_requests": "WebSocket requests refused",
    "bad_frames": "WebSocket connections ended for frames that are wrong, too long or too many",
}


def text_of(metrics: Iterable[Metric]) -> str:
    """The exposition format of Prometheus, version 0.0.4."""
    lines: list[str] = []
    for name, kind, text, samples in metrics:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        for labels, value in samples:
            said = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
            lines.append(f"{name}{{{said}}} {value!r}" if said else f"{name} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
