"""From a request to the bus and back: bounded, with a deadline, and never in the way of a stop."""

from __future__ import annotations

import asyncio
import queue
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from bus.context import CallError, Outcome
from schemas.base import Message, Service
from web.desk import Desk

SUBMIT_S = 1.0
"""how long the node may take to come to it"""
STATUS = {
    CallError.NOT_AVAILABLE: (503, "nobody is there"),
    CallError.DEADLINE: (504, "no answer in time"),
    CallError.OUTCOME_UNKNOWN: (504, "outcome unknown"),
    CallError.FAILED: (502, "it failed there"),
    CallError.REFUSED: (502, "it was not understood there"),
}


@dataclass(frozen=True, slots=True)
class Did:
    """What came of a command."""

    ok: bool
    text: str
    status: int = 200
    title: str = ""
    body: dict[str, Any] = field(default_factory=dict)


def failed(outcome: Outcome[Any]) -> Did:
    """The answer where a call brought no reply."""
    status, title = STATUS[outcome.error or CallError.FAILED]
    return Did(False, outcome.text or title, status, title)


async def on_node(desk: Desk | None, method: str, *args: Any, cancel: bool = True) -> Any:
    """Run a method of the desk on its thread.

    Args:
        cancel: what the node does not come to in time is not done later either.

    Raises:
        NotThere: there is no node, it has no room, or no time.
    """
    if desk is None:
        raise NotThere("the hub is not on the bus")
    try:
        submitted = desk.submit(getattr(desk, method), *args)
    except queue.Full as full:
        raise NotThere(str(full)) from None
    return await _result(submitted, SUBMIT_S, cancel=cancel)


async def call(
    desk: Desk | None, service: Service[Any, Any], full_name: str, request: Message, timeout_s: float,
    *, cancel: bool = True,
) -> Outcome[Any]:  # fmt: skip
    """Call a service of the bus; always an outcome, at the latest a second after the deadline."""
    try:
        future = await on_node(desk, "start_call", service, full_name, request, timeout_s, cancel=cancel)
        outcome: Outcome[Any] = await _result(future, timeout_s + SUBMIT_S, cancel=cancel)
        return outcome
    except NotThere as error:
        return Outcome(None, CallError.NOT_AVAILABLE, str(error))


class NotThere(RuntimeError):
    """The node cannot be asked: it is not there, ends, or has no time."""


async def _result(future: Future[Any], timeout_s: float, *, cancel: bool) -> Any:
    # not wait_for: that would cancel a stop which the node is about to send
    waiting = asyncio.wrap_future(future)
    done, _ = await asyncio.wait({waiting}, timeout=timeout_s)
    if not done:
        if cancel:
            future.cancel()
        waiting.add_done_callback(_look)
        raise NotThere(f"the hub's node did not come to it within {timeout_s:g} s")
    if waiting.cancelled():
        raise NotThere("the hub's node is ending")
    return waiting.result()


def _look(future: asyncio.Future[Any]) -> None:
    """Nobody waits any more; an exception that nobody looks at would be logged as lost."""
    if not future.cancelled():
        future.exception()
