from __future__ import annotations

from fnmatch import fnmatchcase

from nodes.knowledge_graph import answers
from nodes.knowledge_graph.influences import PARAMETERS, ROWS
from nodes.sensory_cortex.coolant import SIGNALS
from nodes.sensory_cortex.drivers.simulator import Simulator
from schemas.graph import InfluenceRequest


def test_every_pattern_means_a_signal_that_the_simulated_mill_has_or_could_have() -> None:
    """A pattern that fits nothing is a typing mistake; power and current are signals of recorded machines."""
    known = {*SIGNALS, *(s.name for s in Simulator.signals), "spindle_power_kw", "spindle_current_a"}
    known |= {f"x_{what}" for what in ("current_a", "power_kw")}
    for row in ROWS:
        assert row.parameter in PARAMETERS
        assert all(any(fnmatchcase(name, pattern) for name in known) for pattern in row.signals), row


def test_which_parameter_moves_which_signal() -> None:
    signals = {"vmc1": ["spindle_load_pct", "x_mm", "coolant_flow_l_min"], "vmc2": ["spindle_load_pct"]}
    reply = answers.influence(InfluenceRequest(parameter="feed_mm_min"), signals)
    assert {i.signal for i in reply.influences} == {"vmc1/spindle_load_pct", "vmc2/spindle_load_pct"}
    assert "Kienzle" in reply.influences[0].text
    of_signal = answers.influence(InfluenceRequest(signal="vmc1/coolant_flow_l_min"), signals)
    assert {i.parameter for i in of_signal.influences} == {"pump_speed", "filter_clogging", "coolant_level"}
    assert "no known influence" in answers.influence(InfluenceRequest(signal="x_mm"), signals).text
    for request, hint in (
        (InfluenceRequest(parameter="fed_mm_min"), "did you mean 'feed_mm_min'?"),
        (InfluenceRequest(signal="spindle_lod_pct"), "did you mean 'spindle_load_pct'?"),
        (InfluenceRequest(machine="vmc3"), "did you mean 'vmc"),
    ):
        reply = answers.influence(request, signals)
        assert (reply.ok, hint in reply.text) == (False, True)
