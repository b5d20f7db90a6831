"""By which simulator, tasks and scenarios the reported figures were made: one hash, written down before they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.detect.presets import PRESETS

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FILE = HERE / "frozen.json"
SOURCES = (
    "nodes/impact_cortex/*.py",
    "nodes/sensory_cortex/drivers/simulator.py",
    *(
        f"nodes/sensory_cortex/{name}.py"
        for name in ("axes", "cutting", "drives", "faults", "mill", "program", "sensors", "spindle", "vibration")
    ),
    *(
        f"tests/benchmarks/detect/{name}.py"
        for name in ("closed", "crashes", "hours", "judge", "presets", "scenarios", "sensed", "simulate")
    ),
)
"""what the figures hang on"""
BESIDE = frozenset({"backtest.py", "episodes.py", "judging.py", "recorded.py"})
"""of the engine's files those of `rise backtest` alone, which nothing here runs"""


def sources(root: Path = ROOT) -> Iterator[Path]:
    for pattern in SOURCES:
        yield from sorted(path for path in root.glob(pattern) if path.name not in BESIDE)


def fingerprint(root: Path = ROOT) -> str:
    """SHA-256 over the sources and the parameters of every preset."""
    found = hashlib.sha256()
    for path in sources(root):
        found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    for name, preset in PRESETS.items():
        found.update(repr((name, preset.load_sensor, [s.name for s in preset.signals], preset.tasks)).encode())
    return found.hexdigest()


def frozen(file: Path = FILE) -> dict[str, Any] | None:
    """What was written down with the reported figures; None where nothing was."""
    try:
        read = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return read if isinstance(read, dict) and isinstance(read.get("hash"), str) else None


def compared(now: str, before: dict[str, Any] | None) -> str:
    """In words, whether figures made now are those of what was frozen."""
    if before is None:
        return f"nothing is frozen yet; this is {now[:12]}"
    if before["hash"] == now:
        return f"frozen {now[:12]}: simulator, tasks and scenarios are those of the reported figures"
    return (
        f"DIFFERS: this is {now[:12]}, the reported figures were made with {before['hash'][:12]}; "
        "freeze anew (--freeze) before reporting what this says"
    )
