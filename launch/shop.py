"""The machines of a shop, each with its two cortices, a recorder, the graph of what hangs on what, and the web."""

from __future__ import annotations

from collections.abc import Iterator

from bus.launch import Action, Compose, Group, Process, Restart, Site

PATIENT = Restart(longest_s=1.0, most=60)
"""for what protects a machine: it comes back soon, and often"""


def launch(
    site: Site,
    compose: bool = True,
    limit_pct: float = 85.0,
    record: bool = True,
    vibration: bool = False,
    web: bool = True,
) -> Iterator[Action]:
    """Every machine of the site file.

    compose: both cortices of a machine on one thread of one process, the shortest way from a sample to a stop; false
        gives each a process of its own.
    limit_pct: spindle load that calls for a feed hold; the site file may say another for a machine.
    record: keep bags, of everything from the first message on.
    vibration: with the 10 kHz signals at all times, not only around interventions.
    web: serve the dashboard and the API on this computer, port 8000 or the next free one.
    """
    recorder = ("/recorder",) if record else ()
    if record:
        yield Process("nodes.recorder", parameters={"vibration": vibration}, end_s=30)
    yield Process(
        "nodes.knowledge_graph", parameters={"machines": {m.name: _known(site, m.name) for m in site.machines}}
    )
    if web:
        # without a recorder the button for a black box is answered with why nothing is written
        yield Process("web.node", name="fanuc_api", outside=() if record else ("/bag/black_box",))
    for machine in site.machines:
        sources = {"sources": machine.sources}
        parameters = {"limit_pct": limit_pct, "mode": machine.mode}
        if compose:
            yield Compose(
                "core",
                [
                    Process("nodes.sensory_cortex", parameters=sources),
                    Process("nodes.impact_cortex", parameters=parameters),
                ],
                namespace=machine.name,
                after=recorder,
                critical="namespace",
                realtime=10,
                restart=PATIENT,
            )
        else:
            cortices = [
                Process("nodes.sensory_cortex", parameters=sources, after=recorder, realtime=10, restart=PATIENT),
                Process(
                    "nodes.impact_cortex",
                    parameters=parameters,
                    after=recorder,
                    critical="namespace",
                    on_death="feed_hold",
                    realtime=10,
                    restart=PATIENT,
                ),
            ]
            yield Group(cortices, namespace=machine.name)


def _known(site: Site, machine: str) -> dict[str, object]:
    """What the site file says of a machine that belongs into the graph: its tools, by the cuts that are described."""
    cuts = site.parameters.get(f"{machine}/impact_cortex", {}).get("cuts")
    rows = cuts.value if cuts is not None and isinstance(cuts.value, list) else []
    tools = {row.get("tool") for row in rows if isinstance(row, dict)}
    return {"tools": sorted(t for t in tools if isinstance(t, int) and t > 0)}
