"""`rise machine`: machines that are not on the bus yet."""

from __future__ import annotations

import importlib
import math
import re
import time
from typing import Any

import click

from bus.cli.graph import Verbs, json_option, print_json
from bus.cli.number import Number
from bus.cli.toml_text import key, value
from schemas.names import BadName, check_name
from schemas.wire.address import BadAddress

PROBE = "nodes.sensory_cortex.probe"
"""by its name: the bus knows no machine"""


@click.group(cls=Verbs)
def command() -> None:
    """Machines that are not on the bus yet: what answers at an address."""


@command.command()
@click.argument("address")
@click.option("--seconds", type=Number(0.2, 3600), default=3.0, show_default=True, help="how long to listen")
@click.option("--name", default="", help="of the machine in the site file; default: from its address")
@json_option
def probe(address: str, seconds: float, name: str, as_json: bool) -> None:
    """Listen to what is at ADDRESS and print the block for site.toml.

    ADDRESS is shdr://host:port of an MTConnect adapter, http://host:port/device of an agent, or linuxcnc:// for the
    LinuxCNC on this computer. Nothing is asked of the machine but to tell. Exit code 1 when nothing answers.

    \b
        rise machine probe shdr://10.0.0.17:7878
        rise machine probe http://10.0.0.17:5000/OKUMA --seconds 10
        rise machine probe linuxcnc://
    """
    name = name or _name(address)
    try:
        if "/" in check_name(name):
            raise BadName(f"bad name {name!r}: it is one segment")
        probing: Any = importlib.import_module(PROBE)
        found = probing.probe(address, seconds, time.time_ns)
    except (BadAddress, BadName) as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        print_json(_plain(found) | {"site": _site_block(found, name)})
    elif found.answered:
        click.echo("\n".join(_lines(found)))
        click.echo(f"\n# for site.toml\n{_site_block(found, name)}", nl=False)
    if not found.answered:
        why = [a.text for a in found.alarms.values() if a.text]
        raise click.ClickException(f"nothing tells at {address}: {why[-1] if why else 'it said nothing'}")


def _name(address: str) -> str:
    """`vmc1` of `http://host:port/VMC-1`, else of the host; `machine1` of an IP address."""
    host, _, device = address.partition("://")[2].partition("/")
    word = re.sub(r"[^a-z0-9]+", "_", (device or host.rpartition(":")[0] or host).lower()).strip("_")
    return word if re.fullmatch(r"[a-z][a-z0-9_]{0,40}", word) else "machine1"


def _lines(found: Any) -> list[str]:
    per_s = max(found.seconds, 1e-9)
    told = found.counts.get("observations", 0)
    out = [
        f"{found.address} answers: {found.model}",
        f"  {told} observations in {found.seconds:.1f} s ({told / per_s:.1f}/s)"
        + "".join(f"; {source}: {rows / per_s:.1f} rows/s" for source, rows in sorted(found.rows.items())),
    ]
    if not math.isnan(found.clock_offset_ms):
        word = "behind" if found.clock_offset_ms >= 0 else "before"
        out.append(f"  its clock is {abs(found.clock_offset_ms) / 1e3:.3f} s {word} ours")
    state = {k: v for k, v in found.state.__dict__.items() if k not in ("stamp_ns", "run_id")}
    out += ["state:", *(f"  {k:<28} {_shown(v)}" for k, v in state.items())]
    out += ["signals:"] if found.signals else ["signals: none of the usual keys was told"]
    for signal in found.signals:
        last = found.last.get(signal.name, math.nan)
        out.append(f"  {signal.name:<28} {_shown(last):>12} {signal.unit:<8} {signal.mtconnect_type}, {signal.topic}")
    if found.unknown:
        out.append(f"unknown keys ({len(found.unknown)}):")
        out += [f"  {k:<28} {v[:60]!r}" for k, v in sorted(found.unknown.items())]
    out += [f"{a.level.value}: {a.text}" for a in found.alarms.values() if a.level != "NORMAL" and a.text]
    return out


def _site_block(found: Any, name: str) -> str:
    """The lines of site.toml that make it a machine of the shop; unknown keys stand in a second list, to fill in."""
    source = ", ".join(f"{key(k)} = {value(v)}" for k, v in {"driver": found.driver, **found.options}.items())
    far = "OBSERVE, HOLD or STOP" if found.can_stop else "this machine only tells"
    lines = [
        f"[machines.{name}]",
        f'mode = "OBSERVE" # how far impact_cortex may go; {far}',
        f"sources = [{{ {source} }}]",
    ]
    if found.unknown:
        items = ", ".join(f'{key(k)} = ""' for k in sorted(found.unknown))
        lines += [
            '# or, with what its unknown keys mean: a signal, a field; "" is not wanted',
            f"# sources = [{{ {source}, items = {{ {items} }} }}]",
        ]
    return "\n".join(lines) + "\n"


def _shown(what: Any) -> str:
    if isinstance(what, float):
        return "UNAVAILABLE" if math.isnan(what) else f"{what:g}"
    return str(getattr(what, "value", what))


def _plain(found: Any) -> dict[str, Any]:
    return {
        "answered": found.answered,
        "driver": found.driver,
        "address": found.address,
        "model": found.model,
        "seconds": found.seconds,
        "clock_offset_ms": found.clock_offset_ms,
        "counts": found.counts,
        "rows": dict(found.rows),
        "state": {k: getattr(v, "value", v) for k, v in (found.state.__dict__ if found.state else {}).items()},
        "signals": [s.__dict__ | {"last": found.last.get(s.name, math.nan)} for s in found.signals],
        "unknown": found.unknown,
        "alarms": [a.__dict__ | {"level": a.level.value} for a in found.alarms.values()],
    }
