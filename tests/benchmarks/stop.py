"""The stop path, sample -> decision -> STOP accepted, by how its processes are scheduled: alone, and among others."""

from __future__ import annotations

import contextlib
import json
import math

from bus.testing import Domain
from tests.benchmarks.measure import Row, interval, percentile, pooled
from tests.benchmarks.process import Role, rest, wake

FORMS = {"composed": ("stop_composed",), "2 processes": ("steady_actor", "decide")}
WANTED = ("", "realtime", "slice")
"""`realtime` is SCHED_FIFO or, where that is not allowed, a slice of 0.1 ms: then `slice` would be the same again"""

Delays = list[list[float]]
"""us, burst by burst"""


def measure(count: int) -> dict[tuple[str, str], Delays]:
    """Delays by form and by the scheduling that its processes got; the sides take turns, and stand still meanwhile."""
    with contextlib.ExitStack() as stack:
        sides: dict[tuple[str, str], list[Role]] = {}
        for form, names in FORMS.items():
            for wanted in WANTED:
                parameters = json.dumps({"namespace": f"s{len(sides)}", "schedule": wanted})
                roles = [stack.enter_context(Role(name, parameters)) for name in names]
                got = " and ".join(dict.fromkeys(role.ready["scheduling"] for role in roles))
                if (form, got) in sides:
                    for role in roles:
                        role.close()
                    continue
                sides[form, got] = roles
                roles[0].go()  # everybody has met, caches are warm
                rest(roles)
        delays: dict[tuple[str, str], Delays] = {key: [] for key in sides}
        for _ in range(count):
            for key, roles in sides.items():
                wake(roles)
                delays[key].append(roles[0].go()["delays_us"])
                rest(roles)
        return delays


def stop_path(domain: Domain, count: int) -> list[Row]:
    """Alone on the computer."""
    bars = {"composed": {99.0: 500.0}, "2 processes": {50.0: 400.0, 99.0: 2000.0}}
    return [
        Row(f"stop, {form}", f"p{p:g}, {got}", interval([percentile(d, p) for d in delays]), bar, unit="us")
        for (form, got), delays in measure(count).items()
        for p, bar in bars[form].items()
    ]


def stop_path_loaded(domain: Domain, count: int) -> list[Row]:
    """Beside eight busy nodes: four that send at 1 kHz, four that listen. The bar asks for real-time scheduling."""
    with contextlib.ExitStack() as stack:
        for i in range(4):
            elsewhere = json.dumps({"namespace": f"busy{i}", "burst": 10_000_000})
            busy = stack.enter_context(Role("steady", elsewhere))
            stack.enter_context(Role("listen", elsewhere))
            busy.start()
        measured = measure(count)
    rows = []
    for (form, got), delays in measured.items():
        held = form == "2 processes" and got == _realtime(measured)
        p99 = interval([percentile(d, 99) for d in delays])
        for p, value, bar in ((99, p99, 1000.0), (99.9, pooled(delays, 99.9), 5000.0)):
            rows.append(Row(f"stop, {form}, 8 busy", f"p{p:g}, {got}", value, bar if held else math.nan, unit="us"))
    return rows


def _realtime(measured: dict[tuple[str, str], Delays]) -> str:
    """What `realtime` got here: it comes right after what everybody has."""
    return list(dict.fromkeys(got for _, got in measured))[1]
