"""What the recorder is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.machine import ConditionLevel
from schemas.system import BagDeleted, BagSplit, LostMessages


@dataclass(frozen=True, slots=True)
class Identity:
    """Who records: its own losses and ranges stand in the bag under its name."""

    name: str
    publisher_id: int
    host: str
    domain: str
    version: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The recorder's parameters."""

    directory: Path
    split_bytes: int = 1 << 30
    split_s: float = 3600.0
    split_on_run: bool = False
    quota_gb: float = 0.0
    retention_days: float = 30.0
    keep_free_bytes: int = 200_000_000
    black_box_before_s: float = 10.0
    black_box_after_s: float = 5.0
    black_box_bytes: int = 128_000_000
    vibration: bool = False
    reduce_idle: bool = True
    continuous: bool = True
    """False: only black boxes"""
    launch_file: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """A bag is complete; `recovered` when a dead recorder had left it open."""

    split: BagSplit
    recovered: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something is wrong, until `Better` of the same code."""

    code: str
    level: ConditionLevel
    text: str


@dataclass(frozen=True, slots=True)
class Better:
    """The trouble of this code is over; `text` says what the log is to hold of it."""

    code: str
    text: str = ""


Happened = Closed | Trouble | Better | BagDeleted | LostMessages
