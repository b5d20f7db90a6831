"""Workpiece materials: what a cut in them costs and how long an edge lives, each value with where it comes from.

Two editions of one maker's table disagree by 70 % for titanium: both stand here, because a value without its source is
worth nothing, and teach-in or a measured load has the last word in a shop.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Material:
    """What Kienzle and Taylor need to know of a workpiece material."""

    name: str
    kc11_n_mm2: float
    """specific cutting force at a chip 1 mm thick and 1 mm wide, N/mm²"""
    mc: float
    """how it falls with chip thickness: kc = kc1.1 · h^-mc"""
    source: str
    """of kc1.1 and mc, with the edition"""
    taylor_c_m_min: float = math.nan
    """cutting speed at which a carbide edge lives one minute, m/min; NaN where nobody published it"""
    taylor_n: float = math.nan
    """vc · T^n = C"""
    taylor_source: str = ""


_TABLE = "tool maker's table of kc1.1 and mc"
_GROOVER = "Groover, Fundamentals of Modern Manufacturing, 4th edition, table 23.2: cemented carbide"

MATERIALS: Mapping[str, Material] = MappingProxyType(
    {
        m.name: m
        for m in (
            Material(
                "aluminium_wrought",
                *(800.0, 0.25, f"{_TABLE}, group N, wrought aluminium (7075); edition not known"),
                *(900.0, 0.25, f"{_GROOVER}, non-steel cutting"),
            ),
            Material(
                "c45_annealed",
                *(1500.0, 0.22, f"{_TABLE}, group P, C45 annealed; edition not known"),
                *(500.0, 0.25, f"{_GROOVER}, steel cutting"),
            ),
            Material(
                "c45_tempered",
                *(1675.0, 0.24, f"{_TABLE}, group P, C45 quenched and tempered; edition not known"),
                *(500.0, 0.25, f"{_GROOVER}, steel cutting"),
            ),
            Material(
                "stainless_304",
                *(2150.0, 0.20, f"{_TABLE}, group M, AISI 304; edition not known"),
                *(500.0, 0.25, f"{_GROOVER}, steel cutting"),
            ),
            Material("ti6al4v_low", 1245.0, 0.24, f"{_TABLE}, group S, Ti-6Al-4V, one edition"),
            Material("ti6al4v_high", 2110.0, 0.22, f"{_TABLE}, group S, Ti-6Al-4V, another edition"),
        )
    }
)
