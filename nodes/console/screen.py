"""The board as lines that fit the terminal: colour only for what is not normal, shape and text beside every colour.

What a terminal is too small for goes in this order: sources of signals, the oldest steps of stories, what nodes
complain of, the bag, commands, details of machines. That no safety function is here, and what protects each machine,
stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.text import Text

from nodes.console.board import LIGHTS, STALE_NS, STYLES, Board, MachineBoard, Step, execution, mode
from nodes.console.paste import Shell
from schemas.impact import ProtectionState, StackLight
from schemas.machine import ConditionLevel, Execution

NO_SAFETY = "Software STOP is not a safety function. The machine's red button always wins."
INDENT = "  "
ALARM = "bold white on red"
Stories = Mapping[str, Sequence[Step]]
URGENT = (StackLight.RED, StackLight.YELLOW, StackLight.OFF, StackLight.GREEN)


def render(board: Board, now_ns: int, shell: Shell, terminal: Console) -> RenderableType:
    """The whole screen at this moment: never more lines than the terminal has."""
    width, height = terminal.size
    badge = "SIMULATED: all machines are simulated. " if board.all_simulated else ""
    where = "  The dashboard:" if board.dashboard else ""
    foot = list(Text(f"{badge}{NO_SAFETY}  Ctrl-C ends it.{where}", style="dim").wrap(terminal, width))
    if board.dashboard:  # on a line of its own: that is how it is pasted
        foot += _text(board.dashboard, "bold").wrap(terminal, width, overflow="fold")
    top = _machines(board, now_ns, terminal, height - len(foot))
    room = height - len(foot) - len(top)
    pasted: list[Text] = []
    stories = {name: board.machines[name].timeline() for name in sorted(board.machines)}
    for words in _commands(board, stories, shell):
        lines = shell.folded(words, width)
        title = [] if pasted else [Text("to paste into another terminal:", style="dim")]
        if len(title) + len(lines) > room:  # half a command would be a wrong one
            break
        pasted += [*title, *(Text(line) for line in lines)]
        room -= len(title) + len(lines)
    bag = _bag(board, shell)[: max(0, room)]
    room -= len(bag)
    troubles = [_text(f"{node}: {text}", "yellow") for node, text in sorted(board.troubles.items())][: max(0, room)]
    room -= len(troubles)
    steps = _stories(stories, room)
    sources = _sources(board)
    if len(sources) > room - len(steps):
        sources = []
    said = [*top, *sources, *steps, *troubles, *bag]
    for line in said:
        line.truncate(width, overflow="ellipsis")
    parts = [*said, *pasted, *foot]
    for line in parts:
        line.no_wrap, line.overflow = True, "ignore"
    return Group(*parts)


def _text(said: str, style: str = "") -> Text:
    """What others write, as one line: a newline would push lines off the screen, an escape would move its cursor."""
    return Text("".join(c if c.isprintable() else " " for c in said), style=style)


# --- machines ---------------------------------------------------------------------------------------------------------


def _machines(board: Board, now_ns: int, terminal: Console, room: int) -> list[Text]:
    """A line or more per machine: what counts, what is wrong, details."""
    if not board.machines:
        return [Text("no machine heard yet", style="dim")]
    machines = [board.machines[name] for name in sorted(board.machines)]
    mixed = not board.all_simulated
    counts = _aligned([_vital(m, now_ns, mixed=mixed) for m in machines])
    cells = [_details(m, now_ns) for m in machines]
    details = _aligned(cells)
    wide = counts[0].cell_len + 2 + details[0].cell_len <= terminal.width
    if len(INDENT) + details[0].cell_len > terminal.width:  # columns below each other cost what is at the end
        details = [Text("  ").join(cell for cell in row if cell) for row in cells]
    blocks: list[list[Text]] = []
    for m, vital, detail in zip(machines, counts, details, strict=True):
        if wide:
            blocks.append([Text("  ").join([vital, detail]), *_wrong(m, now_ns, terminal)])
        else:
            blocks.append([vital, *_wrong(m, now_ns, terminal), Text(INDENT).append_text(detail)])
    for most in (9, 3, 2, 1):
        if sum(min(most, len(block)) for block in blocks) <= room:
            return [line for block in blocks for line in block[:most]]
    ranked = sorted(range(len(machines)), key=lambda n: URGENT.index(_light(machines[n], now_ns)))
    shown = sorted(ranked[: max(0, room - 1)])
    left = Text(f"{len(machines) - len(shown)} more machines: this terminal is too low", style=ALARM)
    return [*(blocks[n][0] for n in shown), left]


def _aligned(rows: Sequence[Sequence[Text]]) -> list[Text]:
    """Rows of cells as lines whose columns stand below each other."""
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        line = Text()
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell).append(" " * (width - cell.cell_len + 2) if width else "")
        line.rstrip()
        line.pad_right(sum(w + 2 for w in widths if w) - 2 - line.cell_len)
        lines.append(line)
    return lines


def _stale(m: MachineBoard, now_ns: int) -> bool:
    return now_ns - m.heard_ns > STALE_NS


def _light(m: MachineBoard, now_ns: int) -> StackLight:
    return m.assessment.light if m.assessment is not None and not _stale(m, now_ns) else StackLight.OFF


def _vital(m: MachineBoard, now_ns: int, *, mixed: bool) -> list[Text]:
    """Name, light, protection, losses, execution."""
    light = _light(m, now_ns)
    state, _ = m.protection(now_ns)
    style = {ProtectionState.PROTECTED: "", ProtectionState.DEGRADED: "black on yellow"}.get(state, ALARM)
    name = _text(m.name, "bold")
    if mixed and m.info is not None and m.info.simulated:
        name.append(" SIMULATED", style="dim")
    old = "dim strike" if _stale(m, now_ns) else ""
    return [
        name,
        Text(LIGHTS[light], style=STYLES[light]),
        Text(state.value, style=style),
        Text(f"lost {m.lost}", style=old or (ALARM if m.lost else "")),
        Text(f"{execution(m)} ({mode(m)})", style=old),
    ]


def _details(m: MachineBoard, now_ns: int) -> list[Text]:
    """Program, the speed that is commanded, rate, latency."""
    s = m.state
    unknown = _stale(m, now_ns) or s is None or s.execution is Execution.UNAVAILABLE
    old, last = ("dim strike", "last ") if unknown else ("", "")
    silent = not m.rate_hz > 0
    latency = "no decision times"
    if not silent and not math.isnan(m.decision_p50_ms):
        latency = f"decision p50 {m.decision_p50_ms:.2f} p99 {m.decision_p99_ms:.2f} ms"
    return [
        _text("" if s is None else f"{s.program} N{s.block_number} T{s.tool_number}", old),
        # set, not measured: the state carries no other speed
        Text("" if s is None else f"{last}set {s.spindle_speed_commanded_rpm:.0f} rpm", style=old),
        Text("no samples" if silent else f"{m.rate_hz:.0f}/s", style=old or ("black on yellow" if silent else "")),
        Text(latency, style=old),
    ]


def _wrong(m: MachineBoard, now_ns: int, terminal: Console) -> list[Text]:
    """The alarm that is active, why the light is not green, why protection is not whole."""
    lines: list[Text] = []
    alarm = m.alarm
    if alarm is not None:
        more = f" (and {len(m.alarms) - 1} more)" if len(m.alarms) > 1 else ""
        style = "bold red" if alarm.level is ConditionLevel.FAULT else "yellow"
        lines.append(_text(f"{INDENT}{alarm.level.value} {alarm.native_code} {alarm.text}{more}", style))
    a, light = m.assessment, _light(m, now_ns)
    protects = a is not None and a.reason.startswith(tuple(ProtectionState))  # which is said below
    if a is not None and light in (StackLight.RED, StackLight.YELLOW) and not protects:
        lines.append(_text(INDENT + a.reason, "bold red" if light is StackLight.RED else "yellow"))
    state, why = m.protection(now_ns)
    if why:
        wrapped = list(_text(f"{state.value}: {why}").wrap(terminal, max(1, terminal.width - 2)))
        if len(wrapped) > 2:
            wrapped[1].append("…")
        lines += [Text(INDENT).append_text(line) for line in wrapped[:2]]
    return lines


def _sources(board: Board) -> list[Text]:
    """A line per machine: the sources of its signals, how fast each comes, and what is wrong with it."""
    lines: list[Text] = []
    for name, m in sorted(board.machines.items()):
        if m.info is None or not m.info.sources:
            continue
        line = _text(f"{name} sources: ", "dim")
        for n, s in enumerate(m.info.sources):
            said = f"{s.name} {s.rate_hz:.0f}/s" if s.available else f"{s.name} silent"
            said += f" lost {s.lost_rows}" if s.lost_rows else ""
            said += f" bad {s.bad_rows}" if s.bad_rows else ""
            said += f" jitter {s.jitter_p99_ms:.1f} ms" if s.jitter_p99_ms > 0 else ""
            said += f" ({s.trouble})" if s.trouble else ""
            wrong = not s.available or s.lost_rows or s.bad_rows or s.trouble
            line.append_text(_text("   " if n else "")).append_text(_text(said, "yellow" if wrong else "dim"))
        lines.append(line)
    return lines


# --- stories ----------------------------------------------------------------------------------------------------------


def _stories(stories: Stories, room: int) -> list[Text]:
    """Each machine's last event, step by step; where there is no room the newest steps."""
    lines: list[tuple[int, Text]] = []
    for name, steps in stories.items():
        wide = max((cell_len(step.what) for step in steps), default=0)
        for step in steps:
            after_ms = (step.stamp_ns - steps[0].stamp_ns) / 1e6
            line = _text(f"{INDENT}{name}  +{after_ms:8.1f} ms  ").append(step.what.ljust(wide), style="bold")
            lines.append((step.stamp_ns, line.append_text(_text(f"  {step.text}"))))
    if len(lines) <= room:
        return [line for _, line in lines]
    if room < 1:
        return []
    newest = sorted(range(len(lines)), key=lambda n: lines[n][0])[len(lines) - room + 1 :]
    left = Text(f"{INDENT}{len(lines) - len(newest)} earlier steps are not shown: no room", style="dim")
    return [left, *(lines[n][1] for n in sorted(newest))]


def _bag(board: Board, shell: Shell) -> list[Text]:
    r = board.recorder
    if r is None:
        return [Text("recorder: not heard", style="black on yellow")]
    said = Text(f"recorder lost {r.lost}", style=ALARM if r.lost else "dim")
    said.append_text(_text(f"  {r.size_bytes / 1e6:.1f} MB  {r.messages} messages  ", "not bold dim"))
    said.append_text(_text(shell.quoted(shell.short(r.path)) if r.path else "no bag", "dim"))
    return [said]


def _commands(board: Board, stories: Stories, shell: Shell) -> Iterable[list[str]]:
    """What may be pasted into another terminal, what is needed most first."""
    if not board.machines:
        return
    # where something happened last, else the first
    name, steps = max(stories.items(), key=lambda story: story[1][-1].stamp_ns if story[1] else 0)
    crash = shell.asks("service", "call", f"{name}/machine/inject", '{"fault": "CRASH"}')
    if not steps:
        yield crash
    bags, part = board.to_replay(steps[0].stamp_ns if steps else None)
    if bags:
        paths, asks = [shell.short(bag) for bag in bags], board.machines[name].what_if
        yield [shell.rise, "replay", f"{name}/impact_cortex", *paths, *part, *(["-p", asks] if asks else [])]
    if steps:
        reset = '{"operator": "me", "reason": "checked the tool"}'
        yield shell.asks("service", "call", f"{name}/machine/reset", reset)
        yield crash
