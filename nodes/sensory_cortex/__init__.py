"""One machine on the bus: see node.py; kinds of source are in drivers/."""

from nodes.sensory_cortex.node import SensoryCortex

__all__ = ["SensoryCortex"]
