"""The processes of a soak, a benchmark or a browser test end with it, whatever ends it: a cell that nobody looks at any
more would run for ever."""

from __future__ import annotations

import signal

from bus.guard import PR_SET_PDEATHSIG, prctl


def ends_with_us() -> None:
    """For `preexec_fn`."""
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
