"""What people may do: each route asks web/authority.py first, then the bus, and tells the audit in every case."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from schemas import topics
from schemas.audit import AuditOutcome, StandingAlarm
from schemas.base import BadName, Message, Service, check_name
from schemas.impact import BypassRequest, ModeReply, ModeRequest, VerdictReply, VerdictRequest
from schemas.machine import (
    ActionReply,
    FeedHoldRequest,
    InjectReply,
    InjectRequest,
    MachineInfo,
    ResetRequest,
    StopRequest,
)
from schemas.sayable import sayable
from schemas.system import BlackBoxRequest, Done, ProcessRequest, SetParameterRequest
from web import asking, bodies
from web.asking import Did, NotThere
from web.authority import FREE, Command, Refused, Session, authorize
from web.desk import Desk
from web.gate import Gate
from web.limits import AuditLimits
from web.origin import foreign
from web.problems import RESPONSES, ProblemError, response
from web.problems import refused as refused_as

STOP_S = 2.0
ASK_S = 3.0
RED_BUTTON = "use the red button"
Act = Callable[[str], Awaitable[Did]]
"""what is done when it is allowed; takes the name of who asks"""


class Commands:
    """The routes below /api/v1 that change something on the bus.

    Args:
        desk: the node, once there is one.
    """

    def __init__(self, gate: Gate, desk: Callable[[], Desk | None]) -> None:
        self._gate = gate
        self._desk = desk
        self._limits = AuditLimits(time.monotonic_ns())

    # --- one attempt -------------------------------------------------------------------------------------------------

    async def attempt(
        self, request: Request, command: Command, target: str, act: Act, *, machine: str = "", reason: str = "",
        details: dict[str, Any] | None = None, of_ns: int = 0,
    ) -> Response:  # fmt: skip
        """Decide, do, tell the audit, answer."""
        strange = foreign(request.headers.get("origin"), request.headers.get("host"), self._gate.names)
        if strange:
            session: Session | Refused | None = None
            refused: Refused | None = Refused(403, "not a page of ours", strange)
        elif command in FREE:
            # asked before anybody looks who is signed on: no file stands between a person and STOP
            done = await act("a paired terminal")
            return await self.answer(request, command, target, done, self._gate.session(request.cookies), reason)
        else:
            session = self._gate.session(request.cookies)
            refused = self._not_who_the_page_shows(request, session) or authorize(
                session, command, now_ns=self._gate.now_ns(), machine=machine, reason=reason
            )
        if refused is not None:
            done = Did(False, refused.text, refused.status, refused.title)
            return await self.answer(request, command, target, done, session, reason, details, of_ns, refused=True)
        assert isinstance(session, Session)
        try:
            done = await act(session.user)
        except NotThere as error:
            done = Did(False, str(error), 503, "nobody is there")
        return await self.answer(request, command, target, done, session, reason, details, of_ns)

    async def answer(
        self, request: Request, command: Command, target: str, done: Did, session: Session | Refused | None,
        reason: str = "", details: dict[str, Any] | None = None, of_ns: int = 0, *, refused: bool = False,
    ) -> Response:  # fmt: skip
        """Tell the audit, then the page. What was done was done before: no limit of the audit stands in its way."""
        outcome = AuditOutcome.REFUSED if refused else AuditOutcome.DONE if done.ok else AuditOutcome.FAILED
        said = {
            "user": session.user if isinstance(session, Session) else "",
            "roles": session.roles if isinstance(session, Session) else (),
            "terminal": address(request),
            "command": command.value,
            "target": sayable(target),
            "details": sayable(json.dumps(details)) if details else "",
            "reason": sayable(reason),
            "of_ns": of_ns,
        }
        audited = isinstance(session, Session) or self._limits.tells(
            address(request), time.monotonic_ns(), stops=command in FREE and not refused
        )
        if audited:
            tell = (outcome, sayable(done.text), said, self._limits.take_left_out)
            try:
                await asking.on_node(self._desk(), "tell_audit", *tell, cancel=False)
            except NotThere:
                audited = False
        if done.ok:
            return JSONResponse({"text": done.text, **done.body, "audited": audited})
        return response(done.status, done.title, done.text)

    def _not_who_the_page_shows(self, request: Request, session: Session | Refused | None) -> Refused | None:
        """A page that was loaded by one and is used under another's cookie acts for neither."""
        shown = request.headers.get("x-rise-user", "")
        if shown and isinstance(session, Session) and shown != session.user:
            text = f"this page shows {sayable(shown, 40)}, and {session.user} is signed on: load it again"
            return Refused(409, "another user's session", text)
        return None

    # --- calls -------------------------------------------------------------------------------------------------------

    async def ask(
        self, service: Service[Any, Any], full_name: str, message: Message, timeout_s: float = ASK_S
    ) -> Did:  # fmt: skip
        """Call a service and read its answer, whatever it calls its yes."""
        keep = service.acts_on_machine and service.late == "execute"
        outcome = await asking.call(self._desk(), service, full_name, message, timeout_s, cancel=not keep)
        if outcome.reply is None:
            return asking.failed(outcome)
        reply = outcome.reply
        ok = reply.ok if isinstance(reply, Done) else reply.accepted
        body = reply.model_dump(mode="json", exclude={"ok"})
        return Did(ok, reply.text, 200 if ok else 409, "" if ok else "not taken", body)

    async def stops(self) -> list[str]:
        """The machines whose STOP a page shows, also to who may see nothing else."""
        try:
            found: list[str] = await asking.on_node(self._desk(), "machines")
        except NotThere:
            return []
        return found

    async def _info(self, machine: str) -> MachineInfo | None:
        info: MachineInfo | None = await asking.on_node(self._desk(), "machine", machine)
        return info

    async def _hold(self, machine: str, message: FeedHoldRequest | StopRequest) -> Did:
        stop = isinstance(message, StopRequest)
        if not is_machine(machine):
            return Did(False, f"there is no machine {sayable(machine, 80)!r}: {RED_BUTTON}", 404, RED_BUTTON)
        try:
            info = await self._info(machine)
        except NotThere:
            info = None  # then whoever is asked knows best
        if info is not None and not (info.can_stop if stop else info.can_feed_hold):
            what = "stopped" if stop else "held"
            text = f"{machine} cannot be {what} from here ({info.stop_path or 'it only tells'}): {RED_BUTTON}"
            return Did(False, text, 409, RED_BUTTON)
        service = topics.STOP if stop else topics.FEED_HOLD
        done = await self.ask(service, f"{machine}/{service.name}", message, STOP_S)
        if done.ok:
            return done
        return Did(False, f"{done.text}: {RED_BUTTON}", done.status, RED_BUTTON)

    def router(self) -> APIRouter:
        """Everything below /api/v1 that commands."""
        api = APIRouter(prefix="/api/v1", responses=RESPONSES)

        # STOP and feed hold take whatever comes with them: no form to be filled in stands before them
        @api.post("/machines/{machine}/stop", response_model=ActionReply)
        async def stop(machine: str, request: Request) -> Response:
            """Stop the feed, then the spindle. Needs nobody signed on. It is no safety function."""
            reason = await reason_in(request)

            async def act(who: str) -> Did:
                message = StopRequest(
                    reason=reason or "STOP was pressed", requested_by=f"{who} at {address(request)}",
                    stamp_ns=self._gate.now_ns(),
                )  # fmt: skip
                return await self._hold(machine, message)

            return await self.attempt(request, Command.STOP, machine, act, machine=machine, reason=reason)

        @api.post("/machines/{machine}/feed_hold", response_model=ActionReply)
        async def feed_hold(machine: str, request: Request) -> Response:
            """Stop the feed, keep the spindle turning. Needs nobody signed on. It is no safety function."""
            reason = await reason_in(request)

            async def act(who: str) -> Did:
                message = FeedHoldRequest(
                    reason=reason or "feed hold was pressed", requested_by=f"{who} at {address(request)}",
                    stamp_ns=self._gate.now_ns(),
                )  # fmt: skip
                return await self._hold(machine, message)

            return await self.attempt(request, Command.FEED_HOLD, machine, act, machine=machine, reason=reason)

        @api.post("/machines/{machine}/reset", response_model=ActionReply)
        async def reset(machine: str, body: bodies.Reset, request: Request) -> Response:
            """Release a hold or a stop. Operator, with a reason."""

            async def act(who: str) -> Did:
                return await self.at(machine, topics.RESET, ResetRequest(operator=who, reason=body.reason))

            return await self.attempt(
                request, Command.RESET, machine, act, machine=machine, reason=body.reason
            )  # fmt: skip

        @api.post("/machines/{machine}/mode", response_model=ModeReply)
        async def mode(machine: str, body: bodies.ModeChange, request: Request) -> Response:
            """How far the logic engine may go. Engineer, with a reason."""

            async def act(who: str) -> Did:
                message = ModeRequest(mode=body.mode, changed_by=who, reason=body.reason)
                return await self.at(machine, topics.SET_MODE, message)

            return await self.attempt(
                request, Command.MODE, machine, act, machine=machine, reason=body.reason, details={"mode": body.mode}
            )

        @api.post("/machines/{machine}/bypass", response_model=ModeReply)
        async def bypass(machine: str, body: bodies.BypassFor, request: Request) -> Response:
            """Let the logic engine only observe for a time. Engineer, with a reason."""

            async def act(who: str) -> Did:
                message = BypassRequest(minutes=float(body.minutes), changed_by=who, reason=body.reason)
                return await self.at(machine, topics.BYPASS, message)

            return await self.attempt(
                request, Command.BYPASS, machine, act, machine=machine, reason=body.reason,
                details={"minutes": body.minutes},
            )  # fmt: skip

        @api.post("/machines/{machine}/inject", response_model=InjectReply)
        async def inject(machine: str, body: bodies.Injection, request: Request) -> Response:
            """Make a simulated machine fail. Operator."""

            async def act(who: str) -> Did:
                info = await self._info(machine)
                if info is None:
                    return Did(False, f"nothing is known of a machine {sayable(machine, 80)!r}", 404, "no such machine")
                if not info.simulated:
                    return Did(False, f"{machine} is a real machine: nothing is injected", 409, "not simulated")
                message = InjectRequest(
                    fault=body.fault, magnitude=float(body.magnitude), signal=body.signal,
                    duration_s=float(body.duration_s),
                )  # fmt: skip
                return await self.at(machine, topics.INJECT, message)

            return await self.attempt(
                request, Command.INJECT, machine, act, machine=machine, details=body.model_dump(mode="json")
            )

        @api.post("/interventions/verdict", response_model=VerdictReply)
        async def verdict(body: bodies.VerdictOn, request: Request) -> Response:
            """Say whether an intervention was right. Operator, with a reason."""
            machine = body.intervention_id.split("/", 1)[0]

            async def act(who: str) -> Did:
                message = VerdictRequest(
                    intervention_id=body.intervention_id, judgement=body.judgement, judged_by=who, reason=body.reason,
                    intervention_ns=body.intervention_ns,
                )  # fmt: skip
                return await self.at(machine, topics.JUDGE, message)

            return await self.attempt(
                request, Command.VERDICT, body.intervention_id, act, machine=machine, reason=body.reason,
                details={"judgement": body.judgement}, of_ns=body.intervention_ns,
            )  # fmt: skip

        @api.get("/alarms")
        async def alarms(request: Request) -> list[StandingAlarm]:
            """Every alarm that is so or that nobody has looked at, the newest first."""
            shut = self._gate.may_look(self._gate.session(request.cookies))
            if shut is not None:
                raise refused_as(shut)
            try:
                found: list[StandingAlarm] = await asking.on_node(self._desk(), "all_alarms")
            except NotThere as error:
                raise ProblemError(503, "nobody is there", str(error)) from None
            return sorted(found, key=lambda a: a.raised_ns, reverse=True)

        @api.post("/alarms/ack", response_model=Done)
        async def acknowledge(body: bodies.Acknowledgement, request: Request) -> Response:
            """Say that an alarm was looked at; it stays while it is so. Operator."""
            machine = body.alarm_id.split("/", 1)[0] if "/" in body.alarm_id else ""

            async def act(who: str) -> Did:
                why = await asking.on_node(self._desk(), "acknowledge", body.alarm_id, who, body.stamp_ns)
                return Did(not why, why or f"{who} has acknowledged it", 409 if why else 200, "not acknowledged")

            return await self.attempt(
                request, Command.ACKNOWLEDGE, body.alarm_id, act, machine=machine, of_ns=body.stamp_ns
            )

        @api.post("/nodes/{name:path}/restart", response_model=Done)
        async def restart(name: str, body: bodies.Restart, request: Request) -> Response:
            """Start the process of a node again. Engineer, with a reason."""

            async def act(who: str) -> Did:
                service, message = topics.RESTART_PROCESS, ProcessRequest(process=name, changed_by=who)
                desk = self._desk()
                own = desk is not None and name == desk.name
                if own and await asking.on_node(desk, "is_served", "launch/restart"):
                    # who is ended does not hear the answer
                    await asking.on_node(desk, "start_call", service, "launch/restart", message, ASK_S)
                    return Did(True, f"restart of {name}, this hub, is asked for")
                return await self.ask(service, "launch/restart", message)

            return await self.attempt(request, Command.RESTART, name, act, machine=of_node(name), reason=body.reason)

        @api.post("/nodes/{name:path}/parameters", response_model=Done)
        async def parameter(name: str, body: bodies.ParameterChange, request: Request) -> Response:
            """Set a parameter of a running node. Engineer, with a reason."""

            async def act(who: str) -> Did:
                service = topics.NODE_SET_PARAMETER
                if not is_name(name):
                    return Did(False, f"there is no node {sayable(name, 80)!r}", 404, "no such node")
                message = SetParameterRequest(name=body.name, json_value=json.dumps(body.value), changed_by=who)
                return await self.ask(service, f"{name}/set_parameter", message)

            return await self.attempt(
                request, Command.PARAMETER, name, act, machine=of_node(name), reason=body.reason,
                details={"name": body.name, "value": body.value},
            )  # fmt: skip

        @api.post("/bags/black_box", response_model=Done)
        async def black_box(body: bodies.BlackBox, request: Request) -> Response:
            """Write the last seconds of everything to a bag. Operator."""

            async def act(who: str) -> Did:
                message = BlackBoxRequest(reason=f"{body.reason or 'asked for'}, by {who}")
                return await self.ask(topics.BLACK_BOX, "bag/black_box", message)

            return await self.attempt(request, Command.BLACK_BOX, "recorder", act, reason=body.reason)

        return api

    async def at(self, machine: str, service: Service[Any, Any], message: Message) -> Did:
        """Ask a service of a machine."""
        if not is_machine(machine):
            return Did(False, f"there is no machine {sayable(machine, 80)!r}", 404, "no such machine")
        return await self.ask(service, f"{machine}/{service.name}", message)


def is_name(name: str) -> bool:
    """Whether it is the name of something on the bus."""
    try:
        check_name(name)
    except BadName:
        return False
    return not name.startswith("/")


def is_machine(name: str) -> bool:
    return is_name(name) and "/" not in name


def of_node(name: str) -> str:
    """The machine that a node belongs to; empty for the shop's."""
    return name.split("/", 1)[0] if "/" in name else ""


def address(request: Request) -> str:
    """Where a request came from."""
    return request.client.host if request.client else ""


async def reason_in(request: Request) -> str:
    """What stands as the reason in a body that may be anything, or break off: a stop is asked for by then."""
    try:
        body = json.loads(await request.body())
        reason = body.get("reason", "")
        return sayable(reason, bodies.TEXT_MAX) if isinstance(reason, str) else ""
    except (ValueError, AttributeError, RecursionError, ClientDisconnect):
        return ""
