"""The board as a rich table: grey when normal, colour only for what is not; shape and text beside every colour."""

from __future__ import annotations

import math
import shlex

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nodes.console.board import LIGHTS, STALE_NS, STYLES, Board, MachineBoard, execution, mode
from schemas.impact import ProtectionState, StackLight

NO_SAFETY = "Software STOP is not a safety function. The machine's red button always wins."


def render(board: Board, now_ns: int, rise: str) -> RenderableType:
    """The whole screen at this moment."""
    table = Table(expand=True, pad_edge=False, header_style="dim", border_style="dim")
    for heading in ("machine", "light", "protection", "execution", "program", "spindle", "samples", "lost"):
        table.add_column(heading, no_wrap=heading != "protection")
    table.add_column("sample → decision", justify="right", no_wrap=True)
    for name in sorted(board.machines):
        table.add_row(*_row(board.machines[name], now_ns))
    parts: list[RenderableType] = [table]
    for name in sorted(board.machines):
        parts += _story(board.machines[name])
    parts += [Text(f"{node}: {text}", style="yellow") for node, text in sorted(board.troubles.items())]
    parts.append(_bag(board))
    parts += _commands(board, rise)
    badge = "SIMULATED: all machines are simulated. " if board.all_simulated else ""
    parts.append(Text(f"{badge}{NO_SAFETY}  Ctrl-C ends it.", style="dim"))
    return Group(*parts)


def _row(m: MachineBoard, now_ns: int) -> list[RenderableType]:
    stale = now_ns - m.heard_ns > STALE_NS
    light = m.assessment.light if m.assessment is not None and not stale else StackLight.OFF
    state, why = m.protection(now_ns)
    style = {ProtectionState.PROTECTED: "", ProtectionState.DEGRADED: "black on yellow"}.get(state, "bold white on red")
    protection = Text(state.value, style=style)
    if why:
        protection.append(f" {why}", style="dim")
    s = m.state
    name = Text(m.name, style="bold")
    if m.info is not None and m.info.simulated:
        name.append(" SIMULATED", style="dim")
    latency = "no reading"
    if not math.isnan(m.decision_p50_ms):
        latency = f"p50 {m.decision_p50_ms:.2f}  p99 {m.decision_p99_ms:.2f} ms"
    row: list[RenderableType] = [
        name,
        Text(LIGHTS[light], style=STYLES[light]),
        protection,
        Text(f"{execution(m)} ({mode(m)})"),
        Text("" if s is None else f"{s.program} N{s.block_number} T{s.tool_number}"),
        Text("" if s is None else f"{s.spindle_speed_commanded_rpm:.0f} rpm"),
        Text("no reading" if math.isnan(m.rate_hz) else f"{m.rate_hz:.0f}/s"),
        Text(str(m.lost), style="bold white on red" if m.lost else ""),
        Text(latency),
    ]
    if stale:
        for cell in row:
            if isinstance(cell, Text) and cell is not protection:
                cell.stylize("dim strike")
    return row


def _story(m: MachineBoard) -> list[RenderableType]:
    a = m.assessment
    lines: list[RenderableType] = []
    if a is not None and a.light in (StackLight.RED, StackLight.YELLOW):
        lines.append(Text(f"{m.name}: {a.reason}", style="bold red" if a.light is StackLight.RED else "yellow"))
    steps = m.timeline()
    if not steps:
        return lines
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2))
    for step in steps:
        after_ms = (step.stamp_ns - steps[0].stamp_ns) / 1e6
        # Text, not str: what others write, a path in brackets say, is no markup of ours
        table.add_row(f"  {m.name}", f"+{after_ms:8.1f} ms", Text(step.what, style="bold"), Text(step.text))
    return [*lines, table]


def _bag(board: Board) -> Text:
    r = board.recorder
    if r is None:
        return Text("recorder: not heard", style="black on yellow")
    text = Text(f"recording {r.path}  {r.size_bytes / 1e6:.1f} MB  {r.messages} messages  ", style="dim")
    text.append(f"lost: {r.lost}", style="bold white on red" if r.lost else "dim")
    return text


def _commands(board: Board, rise: str) -> list[RenderableType]:
    """Lines to paste into another terminal as they stand."""
    if not board.machines:
        return []
    # where something happened last, else the first
    machines = [board.machines[n] for n in sorted(board.machines)]
    machine = max(machines, key=lambda m: m.interventions[-1].stamp_ns if m.interventions else 0)
    name = machine.name
    lines = [f'{rise} service call {name}/machine/inject \'{{"fault": "CRASH"}}\'']
    event = machine.event()
    bags, part = board.to_replay(event[0].stamp_ns if event else None)
    if bags:
        lines.append(f"{rise} replay {name}/impact_cortex {shlex.join([*bags, *part])} -p limit_pct=155")
    if any(m.interventions for m in board.machines.values()):
        lines.append(f'{rise} service call {name}/machine/reset \'{{"operator": "me", "reason": "checked the tool"}}\'')
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1))
    for line in lines:
        table.add_row(Text("$", style="dim"), Text(line, no_wrap=True, overflow="ignore"))
    return [table]
