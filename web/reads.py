"""What may be read below `/api/v1`: machines, topics, nodes, the graph, interventions, bags, the topology."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request

from bus.context import CallError, Outcome
from schemas import topics
from schemas.base import Message, Service
from schemas.graph import (
    CausesReply,
    CausesRequest,
    ExportReply,
    ExportRequest,
    GraphFormat,
    ImpactReply,
    ImpactRequest,
    InfluenceReply,
    InfluenceRequest,
)
from schemas.names import BadName, check_name
from schemas.system import ParametersRequest
from web import bags, known, problems
from web.door import Authority
from web.hub import Hub
from web.problems import ProblemError
from web.shelf import Shelf

R = TypeVar("R", bound=Message)

PREFIX = "/api/v1"
ASK_WITHIN_S = 3.0
STATUS = {
    CallError.NOT_AVAILABLE: 503,
    CallError.DEADLINE: 504,
    CallError.OUTCOME_UNKNOWN: 504,
    CallError.FAILED: 502,
    CallError.REFUSED: 502,
}
"""what HTTP says of a call that brought no reply"""
Row = dict[str, Any]
Name = Annotated[str, Query(max_length=200)]


def reply_of(outcome: Outcome[R]) -> R:
    """The reply of a node.

    Raises:
        ProblemError: there is none.
    """
    if outcome.reply is None:
        error = outcome.error or CallError.FAILED
        raise ProblemError(STATUS[error], error.value.lower().replace("_", " "), outcome.text or "no answer")
    return outcome.reply


def router(hub: Hub, authority: Authority, shelf: Shelf) -> APIRouter:
    """All reading routes; whoever may not look gets none of them."""

    async def may_look(request: Request) -> None:
        shut = authority.may_look(authority.session(request.cookies))
        if shut is not None:
            raise problems.refused(shut)

    api = APIRouter(prefix=PREFIX, dependencies=[Depends(may_look)], responses=problems.RESPONSES)

    async def ask(service: Service[Any, R], request: Message) -> R:
        return reply_of(await hub.ask(service, service.name.removeprefix("/"), request, ASK_WITHIN_S))

    @api.get("/machines", tags=["machines"], summary="Every machine, also one that is silent")
    async def machines() -> list[Row]:
        return known.machines(hub)

    @api.get("/machines/{machine}", tags=["machines"], summary="One machine")
    async def machine(machine: str) -> Row:
        if all(m["name"] != machine for m in known.machines(hub)):
            raise ProblemError(404, "no such machine", f"no machine {machine!r} was heard")
        return known.machine(hub, machine)

    @api.get("/topics", tags=["bus"], summary="Every topic with its publishers, subscribers and units")
    async def topics_() -> list[Row]:
        return known.topics(hub)

    @api.get("/nodes", tags=["bus"], summary="Every node with its health and process")
    async def nodes() -> list[Row]:
        return [known.plain_mapping(row) for row in known.nodes(hub)]

    @api.get("/graph", tags=["bus"], summary="Nodes, and topics as edges with counts, delays and losses")
    async def graph() -> dict[str, list[Row]]:
        return known.graph(hub)

    @api.get("/nodes/{node:path}/parameters", tags=["bus"], summary="The parameters of a node as they are now")
    async def parameters(node: str) -> list[Row]:
        service = topics.NODE_DESCRIBE_PARAMETERS
        name = f"{_checked(node)}/{service.name.removeprefix('node/')}"
        said = reply_of(await hub.ask(service, name, ParametersRequest(), ASK_WITHIN_S))
        return [known.plain_mapping(p.model_dump()) for p in said.parameters]

    @api.get("/interventions", tags=["machines"], summary="Decisions, the newest first, with verdict and timeline")
    async def interventions(
        machine: Annotated[str | None, Query(max_length=200)] = None,
        most: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[Row]:
        return known.interventions(hub, machine, most)

    @api.get("/bags", tags=["bags"], summary="What was recorded and what lies in it, the newest first")
    async def bags_() -> list[Row]:
        """`about` says when and how long, which machines and jobs, and every intervention; it is null where there was
        no time to read yet (ask again), and says `trouble` where the bag is damaged."""
        return await shelf.listed(bags.folder(hub.entries))

    @api.get("/bags/{name}/replay", tags=["bags"], summary="What a node would have decided with another parameter")
    async def replay(
        name: str,
        node: Name,
        param: Annotated[str, Query(max_length=100, pattern=r"^[a-z][a-z0-9_]*$")],
        value: Annotated[str, Query(max_length=1000)],
        around: Annotated[float | None, Query(ge=0, le=1e6, allow_inf_nan=False)] = None,
    ) -> Row:
        """The lines say what is decided differently: `vmc1 impact/intervention  12.402 s  FEED_HOLD -> (nothing)`.

        `around` takes a moment only, in seconds from the beginning of the bag: a long bag is answered in two seconds.
        """
        try:
            bag = bags.find(bags.folder(hub.entries), name)
            report = await shelf.replayed(bag, _checked(node), {param: value}, around)
        except bags.NoReplay as error:
            raise ProblemError(error.status, "not replayed", str(error)) from None
        return known.plain_mapping(report)

    @api.get("/topology", tags=["topology"], summary="What hangs on what, with its live state")
    async def topology() -> Row:
        said = known.newest(hub, topics.TOPOLOGY.name.removeprefix("/"))
        if said is None:
            raise ProblemError(503, "no topology", "no knowledge_graph has said anything yet")
        return said

    @api.get("/topology/causes", tags=["topology"], summary="Why is it so?")
    async def causes(condition: Name = "", most: Annotated[int, Query(ge=1, le=100)] = 5) -> CausesReply:
        return await ask(topics.CAUSES, CausesRequest(condition=condition, most=most))

    @api.get("/topology/impact", tags=["topology"], summary="What hangs on a component?")
    async def impact(component: Name) -> ImpactReply:
        return await ask(topics.IMPACT, ImpactRequest(component=component))

    @api.get("/topology/influence", tags=["topology"], summary="Which parameter moves which signal?")
    async def influence(parameter: Name = "", signal: Name = "", machine: Name = "") -> InfluenceReply:
        return await ask(topics.INFLUENCE, InfluenceRequest(parameter=parameter, signal=signal, machine=machine))

    @api.get("/topology/export", tags=["topology"], summary="The graph for a drawing program")
    async def export(format: GraphFormat = GraphFormat.DOT) -> ExportReply:
        return await ask(topics.EXPORT, ExportRequest(format=format))

    @api.get("/health", tags=["health"], summary="The hub itself: who is connected, what was lost")
    async def health() -> Row:
        return {
            "domain": hub.domain, "now_ns": hub.now_ns(), "clients": len(hub.clients), "feeds": len(hub.feeds),
            "history_bytes": hub.history.nbytes, "busy": hub.crossing.busy, "counts": dict(hub.counts),
            "unreadable": list(hub.unreadable),
            "slow_clients": [
                {"queued": c.queued, "dropped": c.dropped, "sent_bytes": c.sent_bytes}
                for c in hub.clients
                if c.dropped
            ],
        }  # fmt: skip

    return api


def _checked(node: str) -> str:
    try:
        return check_name(node)
    except BadName as error:
        raise ProblemError(422, "no name of a node", str(error)) from None
