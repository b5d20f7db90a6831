from __future__ import annotations

import random

from bus.child import pause_s
from bus.launch import Restart


def test_the_pause_grows_with_jitter() -> None:
    policy = Restart(first_s=0.2, longest_s=10.0)
    pauses = [pause_s(policy, n, random.Random(n)) for n in range(12)]
    assert all(0.5 * min(0.2 * 2**n, 10) <= p <= min(0.2 * 2**n, 10) for n, p in enumerate(pauses))
    assert len({pause_s(policy, 3, random.Random(n)) for n in range(10)}) == 10
