"""What the axis drives of the simulated mill show: inertia, friction, the cut and what stands in the way.

Values in, values out; numbers, or numpy arrays of them, one for each moment.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

V = TypeVar("V", float, NDArray[np.float64])
"""a number, or an array of them"""

AXIS_MASS_KG = 300.0
AXIS_RATED_N = 5000.0
AXIS_FRICTION_N = 350.0
VISCOUS_N_S_MM = 0.8
ALONG, ACROSS = 0.4, 0.6
"""how much of the tangential force at the edge pushes along the feed, and across it"""
UPRIGHT_PCT = 12.0
"""the vertical axis holds its weight"""


def friction_n(speed_mm_s: V) -> V:
    """What moving at this path speed takes, N; only of axes that move."""
    return AXIS_FRICTION_N + VISCOUS_N_S_MM * speed_mm_s


def pushed_n(acceleration_mm_s2: V, contact_n: V | float, tangential_n: V | float, friction_n: V | float) -> V:
    """What the drives push with along the path, N."""
    return abs(acceleration_mm_s2 * (AXIS_MASS_KG / 1000.0) + contact_n + ALONG * tangential_n + friction_n)


def shown_pct(along_n: V, tangential_n: V, direction: tuple[V, V, V]) -> tuple[V, V, V]:
    """Load of x, y and z in percent of rated, for a path of this direction (unit vector)."""
    ux, uy, uz = direction
    across = ACROSS * tangential_n
    percent = 100.0 / AXIS_RATED_N
    return (
        (abs(ux) * along_n + abs(uy) * across) * percent,
        (abs(uy) * along_n + abs(ux) * across) * percent,
        abs(uz) * along_n * percent + UPRIGHT_PCT,
    )
