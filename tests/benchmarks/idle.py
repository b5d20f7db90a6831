"""A node with nothing to do."""

from __future__ import annotations

from bus.node import Node


class Idle(Node):
    """Waits."""
