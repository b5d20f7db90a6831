"""Signing on and off, the users, and the whole authority as the hub takes it (web/door.py)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from web import bodies
from web.asking import Did
from web.authority import Command, Refused, Role, Session, has_role
from web.commands import Commands, address
from web.desk import Desk
from web.gate import TICKET_COOKIE, Gate, SignedOn
from web.limits import WINDOW_NS
from web.origin import foreign
from web.private import NotPrivate
from web.problems import RESPONSES, response
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
    """/api/v1/session and /api/v1/users."""
    api = APIRouter(prefix="/api/v1", responses=RESPONSES)

    @api.get("/session")
    async def who(request: Request) -> Response:
        """Who is signed on here, and how one can sign on."""
        session = await asyncio.to_thread(gate.session, request.cookies)
        return JSONResponse(shown(session) | {"ticket": TICKET_COOKIE in request.cookies})

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
            by = await asyncio.to_thread(gate.sign_on_by_ticket, request.cookies[TICKET_COOKIE])
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

    @api.get("/users")
    async def users(request: Request) -> Response:
        """Everybody and their roles. Administrator."""
        session = await asyncio.to_thread(gate.session, request.cookies)
        if not isinstance(session, Session):
            return response(
                401, "sign on first", session.text if session else "only an administrator may see the users"
            )
        if not has_role(session.roles, Role.ADMINISTRATOR):
            return response(403, "role is missing", "only an administrator may see the users")
        try:
            found = await asyncio.to_thread(gate.users.read)
        except NotPrivate as error:
            return response(503, "users cannot be read", str(error))
        rows = [{"name": u.name, "roles": u.roles, "machines": u.machines} for u in found.values()]
        return JSONResponse({"users": rows})

    @api.put("/users/{name}")
    async def put_user(name: str, body: bodies.UserRow, request: Request) -> Response:
        """Add a user or change one, who must sign on again then. Administrator."""

        async def act(who: str) -> Did:
            row = (name, tuple(body.roles), body.password, tuple(body.machines))
            return _did(await asyncio.to_thread(gate.put_user, *row), f"{name} is {', '.join(body.roles)}")

        details = {"roles": body.roles, "machines": body.machines, "password": body.password is not None}
        return await commands.attempt(request, Command.USERS, name, act, details=details)

    @api.delete("/users/{name}")
    async def remove_user(name: str, request: Request) -> Response:
        """Forget a user. Administrator."""

        async def act(who: str) -> Did:
            return _did(await asyncio.to_thread(gate.remove_user, name), f"{name} is no user any more")

        return await commands.attempt(request, Command.USERS, name, act, details={"remove": True})

    return api


def _did(refused: Refused | None, text: str) -> Did:
    return Did(True, text) if refused is None else Did(False, refused.text, refused.status, refused.title)
