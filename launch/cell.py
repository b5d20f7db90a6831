"""The demo cell: two simulated mills cutting, each protected by its logic engine, all recorded; a table shows them."""

from __future__ import annotations

from collections.abc import Iterator

from bus.launch import Action, Process, include


def launch(compose: bool = True, limit_pct: float = 85.0, web: bool = True) -> Iterator[Action]:
    """The shop of site.toml, and a live table."""
    address = () if web else ("/web/address",)
    yield Process("nodes.console", terminal=True, ends_launch=True, outside=address)
    # 10 kHz too: what a node judges must be in the bag for its replay to be exact
    yield from include("shop.py", compose=compose, limit_pct=limit_pct, vibration=True, web=web)
