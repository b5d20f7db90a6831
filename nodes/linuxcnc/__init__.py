"""LinuxCNC as a process of the graph: see node.py; sensory_cortex's driver `linuxcnc` reads what runs here."""

from nodes.linuxcnc.node import LinuxCnc

__all__ = ["LinuxCnc"]
