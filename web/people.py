"""Signing on and off, and the whole authority as the hub takes it (web/door.py)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from web import bodies
from web.administering import administering
from web.asking import Did
from web.authority import Command, Refused, Session
from web.commands import Commands, address
from web.desk import Desk
from web.gate import TICKET_COOKIE, Gate, SignedOn
from web.limits import WINDOW_NS
from web.origin import foreign
from web.problems import RESPONSES
from web.sessions import COOKIE, SESSION_NS

if TYPE_CHECKING:
    from web.hub import Hub


class People(Gate):
    """Who may look and command, and the routes for it. `desk` is set once there is a node."""

    desk: Desk | None = None

    def take(self, desk: Desk) -> None:
        """The node through which is commanded, and that knows whether the ERP is there."""
        self.desk = desk
        self.erp_away = lambda: desk.erp_away

    def install(self, app: FastAPI, hub: Hub) -> None:
        """Add the routes that command and sign on, below /api/v1."""
        commands = Commands(self, lambda: self.desk)
        app.include_router(signing(self, commands))
        app.include_router(administering(self, commands))
        app.include_router(commands.router())


def shown(session: Session | Refused | None) -> dict[str, Any]:
    """A session as a page needs it; `why` where there was one and is none any more."""
    if isinstance(session, Session):
        return {
            "user": {"name": session.user, "roles": list(session.roles), "machines": list(session.machines)},
            "until_ns": session.until_ns,
            "why": "",
        }
    return {"user": None, "until_ns": 0, "why": session.text if session is not None else ""}


def signing(gate: Gate, commands: Commands) -> APIRouter:
    """/api/v1/session."""
    api = APIRouter(prefix="/api/v1", responses=RESPONSES)

    @api.get("/session")
    async def who(request: Request) -> Response:
        """Who is signed on here, how one can sign on, whether one must to see anything, and what has a STOP."""
        session = await asyncio.to_thread(gate.session, request.cookies)
        ways = {"ticket": TICKET_COOKIE in request.cookies, "may_look": gate.may_look(session) is None}
        return JSONResponse(shown(session) | ways | {"stops": await commands.stops()})

    @api.post("/session")
    async def sign_on(body: bodies.Login, request: Request) -> Response:
        """Sign on: with user and password, with the one-time key, or with the ERP's ticket."""
        strange = foreign(request.headers.get("origin"), request.headers.get("host"), gate.names)
        here = address(request)
        if strange:
            by: SignedOn | Refused = Refused(403, "not a page of ours", strange)
        elif body.key:
            by = await asyncio.to_thread(gate.sign_on_by_key, body.key, here)
        elif body.user:
            by = await asyncio.to_thread(gate.sign_on, body.user, body.password, here)
        elif TICKET_COOKIE in request.cookies:
            by = await asyncio.to_thread(gate.sign_on_by_ticket, request.cookies[TICKET_COOKIE], here)
        else:
            by = Refused(422, "nobody is named", "send user and password, or the one-time key, or the ERP's ticket")
        target = body.user or ("the one-time key" if body.key else "the ERP's ticket")
        if isinstance(by, Refused):
            done = Did(False, by.text, by.status, by.title)
            answer = await commands.answer(request, Command.LOGIN, target, done, None, refused=True)
            if by.status == 429:
                answer.headers["Retry-After"] = str(WINDOW_NS // 1_000_000_000)
            return answer
        done = Did(True, f"{by.session.user} is signed on", body=shown(by.session))
        answer = await commands.answer(request, Command.LOGIN, target, done, by.session)
        answer.set_cookie(
            COOKIE, by.token, max_age=SESSION_NS // 1_000_000_000, path="/", httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    @api.delete("/session")
    async def sign_off(request: Request) -> Response:
        """Sign off."""

        async def act(who: str) -> Did:
            await asyncio.to_thread(gate.sign_off, request.cookies.get(COOKIE, ""))
            return Did(True, f"{who} is signed off")

        answer = await commands.attempt(request, Command.LOGOUT, "", act)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    return api
