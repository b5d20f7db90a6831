"""The users and their sessions below /api/v1/users: for administrators."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from web import bodies
from web.asking import Did
from web.authority import Command, Refused, authorize
from web.commands import Commands
from web.gate import Gate
from web.private import NotPrivate
from web.problems import RESPONSES, ProblemError, refused


def administering(gate: Gate, commands: Commands) -> APIRouter:
    """Everything below /api/v1/users; what changes something is audited."""
    api = APIRouter(prefix="/api/v1/users", responses=RESPONSES)

    async def may(request: Request) -> None:
        session = await asyncio.to_thread(gate.session, request.cookies)
        if (shut := authorize(session, Command.USERS, now_ns=gate.now_ns())) is not None:
            raise refused(shut)

    @api.get("")
    async def users(request: Request) -> Response:
        """Everybody with their roles, and how often they are signed on. Administrator."""
        await may(request)
        try:
            found = await asyncio.to_thread(gate.users.read)
        except NotPrivate as error:
            raise ProblemError(503, "users cannot be read", str(error)) from None
        now_ns = gate.now_ns()
        rows = [
            {
                "name": u.name, "roles": u.roles, "machines": u.machines, "disabled": u.disabled,
                "sessions": len(gate.sessions.of(u.name, now_ns)),
            }
            for u in found.values()
        ]  # fmt: skip
        return JSONResponse({"users": rows})

    @api.put("/{name}")
    async def put_user(name: str, body: bodies.UserRow, request: Request) -> Response:
        """Add a user or change one, who must sign on again then. Administrator."""

        async def act(who: str) -> Did:
            row = (name, tuple(body.roles), body.password, tuple(body.machines))
            done = await asyncio.to_thread(gate.put_user, *row, disabled=body.disabled)
            return _did(done, f"{name} is {', '.join(body.roles)}{' and disabled' if body.disabled else ''}")

        details = body.model_dump() | {"password": body.password is not None}
        return await commands.attempt(request, Command.USERS, name, act, details=details)

    @api.delete("/{name}")
    async def remove_user(name: str, request: Request) -> Response:
        """Forget a user. Administrator."""

        async def act(who: str) -> Did:
            return _did(await asyncio.to_thread(gate.remove_user, name), f"{name} is no user any more")

        return await commands.attempt(request, Command.USERS, name, act, details={"remove": True})

    @api.get("/{name}/sessions")
    async def sessions(name: str, request: Request) -> Response:
        """Where somebody is signed on, the newest first. Administrator."""
        await may(request)
        rows: list[dict[str, Any]] = [
            {
                "id": key, "terminal": known.terminal, "by": known.session.origin, "since_ns": known.vouched_ns,
                "until_ns": known.session.until_ns,
            }
            for key, known in gate.sessions.of(name, gate.now_ns()).items()
        ]  # fmt: skip
        return JSONResponse({"sessions": rows[::-1]})

    @api.delete("/{name}/sessions")
    async def end_sessions(name: str, request: Request) -> Response:
        """Sign somebody off everywhere. Administrator."""

        async def act(who: str) -> Did:
            await asyncio.to_thread(gate.sessions.end_all_of, name)
            return Did(True, f"{name} is signed off everywhere")

        return await commands.attempt(request, Command.USERS, name, act, details={"end": "every session"})

    @api.delete("/{name}/sessions/{session_id}")
    async def end_session(name: str, session_id: str, request: Request) -> Response:
        """End one session of somebody. Administrator."""

        async def act(who: str) -> Did:
            if await asyncio.to_thread(gate.sessions.end_one_of, name, session_id):
                return Did(True, f"this session of {name} is ended")
            return Did(False, f"{name} has no such session (any more)", 404, "no such session")

        return await commands.attempt(request, Command.USERS, name, act, details={"end": session_id})

    return api


def _did(why_not: Refused | None, text: str) -> Did:
    return Did(True, text) if why_not is None else Did(False, why_not.text, why_not.status, why_not.title)
