import math

import pytest

from nodes.sensory_cortex.cutting import ALUMINIUM_7075, C45, Cut, Cutter, chip_ratio, speed_rpm


def test_the_physics_vector() -> None:
    # D 10 mm, z 3, vc 300 m/min, fz 0.05 mm, ap 5 mm, ae 5 mm in 7075
    n = speed_rpm(300.0, 10.0)
    vf = 0.05 * 3 * n
    cut = Cut.of(ALUMINIUM_7075, Cutter(10.0, 3), ae_mm=5.0, ap_mm=5.0)
    assert n == pytest.approx(9549, abs=1)
    assert vf == pytest.approx(1432, abs=1)
    assert cut.removal_cm3_min(vf) == pytest.approx(35.8, abs=0.05)
    assert cut.chip_mm(vf, n) == pytest.approx(0.0318, abs=0.0001)
    assert cut.specific_force_n_mm2(vf, n) == pytest.approx(1894, abs=1)
    assert cut.power_kw(vf, n) == pytest.approx(1.130, abs=0.001)
    assert cut.torque_nm(vf, n) == pytest.approx(1.130, abs=0.001)
    assert cut.tangential_force_n(1.130) == pytest.approx(226.0)


def test_nothing_engaged_and_nothing_moving_cost_nothing() -> None:
    cutter = Cutter(10.0, 3)
    assert Cut.of(C45, cutter, 5.0, 0.0).torque_nm(1000.0, 5000.0) == 0.0
    assert Cut.of(C45, cutter, 5.0, 5.0).torque_nm(0.0, 5000.0) == 0.0
    assert Cut.of(C45, cutter, 5.0, 5.0).torque_nm(1000.0, 0.0) == 0.0


def test_engagement_never_exceeds_the_diameter() -> None:
    assert chip_ratio(10.0, 10.0) == pytest.approx(2.0 / math.pi)
    assert Cut.of(C45, Cutter(10.0, 3), ae_mm=25.0, ap_mm=1.0).ae_mm == 10.0


def test_thinner_chips_cost_more_per_area() -> None:
    cut = Cut.of(C45, Cutter(10.0, 3), 5.0, 1.0)
    assert cut.specific_force_n_mm2(300.0, 6000.0) > cut.specific_force_n_mm2(1500.0, 6000.0)
