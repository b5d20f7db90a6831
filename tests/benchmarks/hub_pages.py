"""Pages for the benchmark of the hub, in a process of their own: `hub_pages URL N SECONDS`.

Every page checks every sequence number. Says `all are there`, then at the end what they saw, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

import msgpack
import numpy as np
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol


async def page(url: str, seconds: float, seen: Counter[str], late_ms: list[float], there: asyncio.Barrier) -> None:
    """One page, for a time from when all are there."""
    last = None
    async with connect(
        f"{url.replace('http', 'ws', 1)}ws", subprotocols=[Subprotocol("rise.1")], origin=Origin(url.rstrip("/")),
        compression=None, max_size=None,
    ) as ws:  # fmt: skip
        await ws.send(msgpack.packb({"op": "subscribe", "id": 1, "topics": ["*/machine/samples", "*/machine/state"]}))
        await there.wait()
        ends_s = time.monotonic() + seconds
        while time.monotonic() < ends_s:
            said = msgpack.unpackb(await asyncio.wait_for(ws.recv(), 10))
            if said["op"] == "dropped":
                seen["dropped"] += said["batches"]
            if said["op"] != "batch":
                continue
            seen["gaps"] += len(said["gaps"])
            for _, first, end, _, stamp_ns, period_ns, rows, _, _ in said["signals"]:
                if last is not None and first != last + 1:
                    seen["holes"] += 1
                last = end
                seen["rows"] += rows
                late_ms.append((time.time_ns() - stamp_ns - (rows - 1) * period_ns) / 1e6)


async def main(url: str, count: int, seconds: float) -> None:
    seen: Counter[str] = Counter({"holes": 0, "gaps": 0, "dropped": 0, "rows": 0})
    late_ms: list[float] = []
    there = asyncio.Barrier(count + 1)
    async with asyncio.TaskGroup() as pages:
        for _ in range(count):
            pages.create_task(page(url, seconds, seen, late_ms, there))
        await there.wait()
        sys.stdout.write("all are there\n")
        sys.stdout.flush()
    print(json.dumps({**seen, "late_p99_ms": float(np.percentile(late_ms, 99))}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
