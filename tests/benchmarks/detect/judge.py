"""The logic engine's own judging of one machine: its channels, gates, tasks and policy, without the bus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nodes.impact_cortex.channel import Channel, Hit
from nodes.impact_cortex.cuts import Cuts
from nodes.impact_cortex.policy import NOTHING, Event, Finding, Step, decide
from nodes.impact_cortex.tasks import Settings
from schemas.base import Samples
from schemas.impact import Mode, Reaction
from schemas.machine import MachineState, SignalBlock, SignalInfo
from tests.benchmarks.detect.presets import Preset

ACTING = (Reaction.FEED_HOLD, Reaction.STOP)


@dataclass
class Judge:
    """One machine with one preset. `told` are the columns of the blocks it is given."""

    preset: Preset
    cuts: Cuts
    told: tuple[SignalInfo, ...]
    channels: dict[str, Channel] = field(default_factory=dict)
    event: Event = NOTHING
    _columns: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tasks = self.preset.tasks
        for source in dict.fromkeys(s.source for s in self.preset.signals):
            signals = tuple(s for s in self.preset.signals if s.source == source)
            names = [s.name for s in self.told if s.source == source]
            self.channels[source] = Channel(source, signals, Settings(), tasks)
            self._columns[source] = [names.index(s.name) for s in signals]

    def state(self, state: MachineState) -> None:
        """What the machine does from now on; the gates follow as the node sets them."""
        now = self.cuts.doing(state, 0.0)
        for channel in self.channels.values():
            channel.set_gate(now)

    def hear(self, block: SignalBlock) -> list[Hit]:
        """The tasks that begin to fire in a block; one of a source that this preset has not is not heard."""
        channel = self.channels.get(block.source)
        if channel is None:
            return []
        columns = self._columns[block.source]
        data = block.data.array
        if len(columns) != data.shape[1]:
            block = signal_block(block.source, data[:, columns], block.first_row, block.period_ns, block.stamp_ns)
        return channel.feed(block)

    def react(self, hits: Iterable[Hit], now_ns: int) -> list[Step]:
        """What follows from the hits by the policy."""
        done: list[Step] = []
        for hit in hits:
            w = hit.watch
            finding = Finding(w.task.name, w.signal, w.unit, hit.value, hit.limit, w.reaction, w.task.text)
            self.event, steps = decide(self.event, Mode.STOP, finding, now_ns)
            done += steps
        return done

    def release(self) -> None:
        """The operator's reset: the event is over, everything settles and may fire anew."""
        self.event = NOTHING
        for channel in self.channels.values():
            channel.settle()
            for w in channel.watches:
                w.release()


def signal_block(source: str, data: NDArray[np.float32], first_row: int, period_ns: int, stamp_ns: int) -> SignalBlock:
    """A block of rows; `data` may be a view."""
    return SignalBlock(
        stamp_ns=stamp_ns,
        period_ns=period_ns,
        source=source,
        first_row=first_row,
        data=Samples.take(np.array(data, dtype=np.float32, order="C")),
    )
