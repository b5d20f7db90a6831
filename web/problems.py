"""What is wrong with a request, as RFC 9457 wants it: application/problem+json."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from schemas.sayable import sayable
from web.authority import Refused

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """Why a request was not done: what, and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class ProblemError(Exception):
    """Answer the request with this problem."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


def refused(why: Refused) -> ProblemError:
    """A refusal of the authority as the answer to a request."""
    return ProblemError(why.status, why.title, why.text)


def response(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    body = Problem(title=title, status=status, detail=sayable(detail)).model_dump()
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "why not, and what to do"},
    "5XX": {"model": Problem, "description": "why not, and what to do"},
}
"""for every route of the API"""


def install(app: FastAPI) -> None:
    """Every error of `app` is a problem."""

    @app.exception_handler(ProblemError)
    async def _problem(request: Request, error: ProblemError) -> JSONResponse:
        return response(error.status, error.title, error.detail)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        title = HTTPStatus(error.status_code).phrase
        detail = error.detail if error.detail != title else f"{request.method} {request.url.path}: {title.lower()}"
        return response(error.status_code, title, str(detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        return response(422, "the request does not fit", "; ".join(wrong))
