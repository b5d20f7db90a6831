import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.sensory_cortex import vibration
from nodes.sensory_cortex.vibration import CHATTER_HZ, Excitation, Vibration

RPM = 9600.0  # 160 turns a second; three teeth: 480 Hz


def record(blocks: int, force_n: float = 226.0, chatter: float = 0.0, blow: float = 0.0) -> NDArray[np.float64]:
    made = Vibration()
    angle = 0.0
    out = []
    for i in range(blocks):
        turned = RPM / 60.0 * 2 * np.pi * 0.01
        e = Excitation(angle, angle + turned, 3, force_n, RPM, chatter=chatter)
        if blow and i == 2:
            e.blow, e.blow_at = blow, 30
        out.append(made.block(e))
        angle += turned
    return np.concatenate(out)


def amplitude(wave: NDArray[np.float64], hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(wave[:, 0] * np.hanning(len(wave)))) / len(wave) * 4
    at = round(hz * len(wave) / 10_000)
    return float(spectrum[at - 2 : at + 3].max())


def test_tooth_passing_and_its_harmonics_are_lines() -> None:
    wave = record(100)
    assert amplitude(wave, 480.0) > 3.0
    assert amplitude(wave, 480.0) > amplitude(wave, 960.0) > amplitude(wave, 1440.0) > 0.5
    assert amplitude(wave, 700.0) < 0.1


def test_run_out_turns_with_the_spindle_and_air_has_no_teeth() -> None:
    wave = record(100, force_n=0.0)
    assert amplitude(wave, 160.0) > 0.5
    assert amplitude(wave, 480.0) < 0.05


def test_chatter_is_a_line_of_its_own_beside_the_teeth() -> None:
    assert amplitude(record(100), CHATTER_HZ) < 0.2
    assert amplitude(record(100, chatter=1.0), CHATTER_HZ) > 30.0


def test_a_blow_rings_from_its_sample_on_and_dies_out_across_blocks() -> None:
    quiet, struck = record(10, force_n=0.0), record(10, force_n=0.0, blow=150.0)
    difference = np.abs(struck - quiet)[:, 0]
    assert difference[:230].max() == 0.0
    assert difference[230:260].max() == pytest.approx(150.0, rel=0.2)
    assert difference[300:330].max() > 20.0
    assert difference[800:].max() < 0.5


def test_turning_stays_below_what_is_said_to_be_the_most() -> None:
    turned = np.linspace(0.0, 40.0 * vibration.POINTS, 200_000)
    for speed, force, teeth in ((0.0, 900.0, 3), (12_000.0, 0.0, 2), (9549.0, 1500.0, 4)):
        wave = vibration.turning(turned.copy(), speed, teeth, force)
        assert 0.75 * vibration.most(speed, force) < np.abs(wave).max() <= vibration.most(speed, force)
