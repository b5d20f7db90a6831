"""Records what travels: bags, the black box, the quota."""

from nodes.recorder.node import Recorder

__all__ = ["Recorder"]
