"""Offers a machine of the bus to any MTConnect agent, as an SHDR adapter."""

from nodes.shdr_adapter.node import ShdrAdapter

__all__ = ["ShdrAdapter"]
