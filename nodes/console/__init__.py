"""The operators' table in a terminal."""

from nodes.console.node import Console

__all__ = ["Console"]
