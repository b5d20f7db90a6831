"""The table of fuzz targets: everything that takes bytes or text from outside, and the file that says how it is driven.

A target is a function of its name in tests/soak/fuzz_<file>.py, imported only when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from tests.soak.fuzz_seeds import SEEDS
from tests.soak.fuzz_target import Target

FILES: Mapping[str, tuple[str, ...]] = {
    "wire": ("codec", "frame", "control", "sync", "beacon", "stream", "lane"),
    "bus": ("core", "trace_block", "trace_payload"),
    "bags": (
        "bag_read",
        "bag_check",
        "bag_recover",
        "bag_others",
        "bag_content",
        "definitions",
        "defined_type",
        "replayed",
        "expected",
    ),
    "logs": ("log", "cursor", "kept"),
    "machines": ("shdr", "observed", "mtconnect", "parts", "address", "adapter"),
    "nodes": ("impact", "sensory", "console", "recorder"),
    "streams": ("daq_frames", "daq_lines", "linuxcnc", "sources"),
    "graph": ("knowledge_graph", "topology"),
    "people": ("ticket", "headers", "user_file", "session_file", "notify_file"),
    "backtest": ("backtested", "labelled", "laid_out"),
    "web": ("ws_request", "play_request", "ws_batch"),
    "text": (
        "entry",
        "anchor",
        "register",
        "site",
        "argument",
        "launch",
        "node_command",
        "name",
        "parameter",
        "columns",
        "columns_toml",
        "table",
        "show",
        "message_json",
    ),
}
TARGETS: Mapping[str, str] = {name: file for file, names in FILES.items() for name in names}


def find(name: str) -> Target:
    """A target, with the findings of earlier runs."""
    made = getattr(importlib.import_module(f"tests.soak.fuzz_{TARGETS[name]}"), name)()
    target = cast(Target, made)
    return replace(target, known=SEEDS.get(name, ()))
