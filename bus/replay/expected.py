"""The decisions a bag is expected to bring, as a text file beside it that people read in review.

tests/bags/vmc1_crash.mcap
tests/bags/vmc1_crash.vmc1.impact_cortex.expected.txt
"""

from __future__ import annotations

import os
from difflib import SequenceMatcher
from pathlib import Path

from bus.replay.decisions import Decisions, lines
from bus.replay.differences import NOTHING, SHOWN_PER_TOPIC

SUFFIX = ".expected.txt"


def beside(bag: Path, node: str) -> Path:
    """Where the expected decisions of a node stand."""
    return bag.with_name(f"{bag.stem}.{node.replace('/', '.')}{SUFFIX}")


def write(path: Path, bag: Path, decisions: Decisions) -> int:
    """Make these decisions the expected ones; returns how many lines they are."""
    told = lines(decisions)
    head = (
        f"# what {decisions.node} decides in {bag.name}; written by `rise replay {decisions.node} {bag.name} --update`"
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text("\n".join([head, *told]) + "\n", encoding="utf-8")
    temporary.replace(path)
    return len(told)


def changes(path: Path, decisions: Decisions) -> list[str]:
    """Every difference between the expected file and these decisions, as `differences` writes them.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is no text.
    """
    text = path.read_text(encoding="utf-8").splitlines()
    expected = [line for line in text if line and not line.startswith("#")]
    now = lines(decisions)
    told: list[str] = []
    for what, i, j, k, m in SequenceMatcher(None, expected, now, autojunk=False).get_opcodes():
        if what != "equal":
            told += _told(expected[i:j], now[k:m])
    if len(told) > SHOWN_PER_TOPIC:
        told = [*told[:SHOWN_PER_TOPIC], f"... and {len(told) - SHOWN_PER_TOPIC} more differences"]
    return told


def _told(before: list[str], after: list[str]) -> list[str]:
    """One line per place in time: what stood there, what stands there now."""
    was, now = _by_place(before), _by_place(after)
    told = []
    for key in {**was, **now}:
        old, new = was.get(key), now.get(key)
        where = (old or new or ("", "", "", ""))[1:3]
        if old is None or new is None:
            texts = (old[3] if old else NOTHING, new[3] if new else NOTHING)
        else:
            parts = (old[3].split(", "), new[3].split(", "))
            apart = [(a, b) for a, b in zip(*parts, strict=False) if a != b] if len(parts[0]) == len(parts[1]) else []
            texts = (", ".join(a for a, _ in apart), ", ".join(b for _, b in apart)) if apart else (old[3], new[3])
        told.append(f"{'  '.join(p for p in where if p)}  {texts[0]} -> {texts[1]}")
    return told


def _by_place(side: list[str]) -> dict[tuple[str, int], tuple[str, str, str, str]]:
    """The lines by what they are about, and the how-manieth they are of that."""
    found: dict[tuple[str, int], tuple[str, str, str, str]] = {}
    for line in side:
        parts = _split(line)
        nth = sum(about == parts[0] for about, _ in found)
        found[parts[0], nth] = parts
    return found


def _split(line: str) -> tuple[str, str, str, str]:
    """(what it is about, where, when, what) of a line."""
    parts = line.strip().split("  ", 2)
    if len(parts) < 3:  # `600 messages  vmc1 impact/assessment`
        return parts[-1], parts[-1], "", parts[0]
    return f"{parts[0]}  {parts[1]}", parts[1], parts[0], parts[2]
