"""Your shop: which nodes run. `rise launch launch/shop.py --check` finds every mistake before anything starts."""

from collections.abc import Iterator

from bus.launch import Action, Compose, Process, Restart, Site


def launch(site: Site, record: bool = True) -> Iterator[Action]:
    """Every machine of site.toml with its cortices and your own node, and a recorder.

    Arguments are given as `rise launch launch/shop.py record:=false`.
    """
    if record:
        yield Process("nodes.recorder", end_s=30)  # it finishes its bag
    for machine in site.machines:
        core = [
            Process("nodes.sensory_cortex", parameters={"sources": machine.sources}),
            Process("nodes.impact_cortex", parameters={"mode": machine.mode}),
        ]
        yield Compose(
            "core",
            core,
            namespace=machine.name,
            after=("/recorder",) if record else (),
            critical="namespace",
            realtime=10,
            restart=Restart(longest_s=1.0, most=60),
        )
        yield Process("../nodes/spindle_watch.py", namespace=machine.name)
