"""A recording as a machine: a table of rows or a bag is played, judged by the logic engine, and recorded again.

rise launch recording file:=experiment_01.csv columns:=smart_michigan
rise launch recording file:=accel_T2503.txt columns:=lmas_vibration speed:=0
rise launch recording file:=run.mcap machine:=vmc1
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from bus.launch import Action, Compose, Process
from bus.site import did_you_mean

HERE = Path(__file__).parent


def launch(
    file: str,
    columns: str = "",
    machine: str = "",
    speed: float = 1.0,
    name: str = "rec",
    loop: bool = False,
    on_bad_row: str = "stop",
    mode: str = "OBSERVE",
    limit_pct: float = 85.0,
    compose: bool = True,
    record: bool = True,
) -> Iterator[Action]:
    """One recorded machine with its logic engine; speed 0 is as fast as possible.

    `columns` is the path of a column map, or the name of one that lies beside this file;
    `machine` says whose topics of a bag to play, where it holds several machines.
    """
    source: dict[str, object] = {
        "driver": "recording",
        "path": str(Path(file).resolve()),
        "bag_namespace": machine,
        "speed": speed,
        "loop": loop,
        "on_bad_row": on_bad_row,
    }
    if columns:
        # the map itself, not its path, so that a bag of this run says how its table was read
        source["column_map"] = _map(columns)
    if record:
        # every row is kept: raw where nothing is cut, and vibration all the time
        yield Process("nodes.recorder", parameters={"vibration": True, "reduce_idle": False}, end_s=30)
    core = [
        Process("nodes.sensory_cortex", namespace=name, parameters={"sources": (source,)}),
        Process("nodes.impact_cortex", namespace=name, parameters={"mode": mode, "limit_pct": limit_pct}),
    ]
    needs = ("/recorder",) if record else ()
    if compose:
        yield Compose("core", core, needs=needs)
    else:
        yield from core


def _map(columns: str) -> dict[str, object]:
    shipped = {p.stem: p for p in HERE.glob("*.toml") if p.stem != "site"}
    file = shipped.get(columns, Path(columns))
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        hint = did_you_mean(columns, shipped)
        raise ValueError(f"columns: cannot read {columns}: {error.strerror}; of the shipped maps {hint}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"columns: {file} is not TOML: {error}") from None
