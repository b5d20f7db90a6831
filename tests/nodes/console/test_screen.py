"""The table shows whatever is said: a text is a text, however it is bracketed."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console as Terminal

from nodes.console.board import Board
from nodes.console.screen import render
from schemas.impact import Reaction, ReactionResult
from tests.bus.bag.bags import START_NS
from tests.bus.bag.test_convert import intervention


def shown(board: Board) -> str:
    text = io.StringIO()
    Terminal(file=text, width=200).print(render(board, START_NS, "rise"))
    return text.getvalue()


@pytest.mark.parametrize("text", ["[/] is what was opened", "[/bold]", "see [vmc1]", "[red", "\\[x]"])
def test_what_others_write_is_no_markup(text: str) -> None:
    board = Board()
    machine = board.machine("vmc1")
    decided = intervention()
    machine.interventions.append(decided)
    machine.results.append(
        ReactionResult(
            stamp_ns=START_NS, intervention_id=decided.intervention_id, reaction=Reaction.STOP, accepted=False,
            action_id="", text=text, decision_to_accepted_ms=math.nan,
        )
    )  # fmt: skip
    assert f"STOP {text}" in shown(board)
