"""A node process whose system clock is set while it runs: `-m tests.bus.toys.stepping`, as `-m bus.run`.

The offset in seconds stands in the file that STEPPING_OFFSET names; CLOCK_MONOTONIC is left alone, as the kernel does.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

OFFSET = Path(os.environ["STEPPING_OFFSET"])
_time_ns = time.time_ns


def time_ns() -> int:
    return _time_ns() + int(OFFSET.read_text()) * 1_000_000_000


if __name__ == "__main__":
    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    from bus.run import main

    sys.exit(main())
