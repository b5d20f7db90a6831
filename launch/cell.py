"""The demo cell: two simulated mills cutting, each with its logic engine, everything recorded, a table in the terminal."""

from collections.abc import Iterator

from bus.launch import Action, Compose, Group, Process


def launch(compose: bool = True, limit_pct: float = 85.0) -> Iterator[Action]:
    """Two mills."""
    yield Process("nodes.console", terminal=True)
    # 10 kHz too: what a node judges must be in the bag for its replay to be exact
    yield Process("nodes.recorder", parameters={"vibration": True})
    for machine in ("vmc1", "vmc2"):
        core = [
            Process("nodes.sensory_cortex", parameters={"driver": "simulator"}),
            Process("nodes.impact_cortex", parameters={"limit_pct": limit_pct, "mode": "STOP"}),
        ]
        yield Group(
            [Compose("core", core, critical="namespace", realtime=10, needs=("/recorder",))] if compose else core,
            namespace=machine,
        )
