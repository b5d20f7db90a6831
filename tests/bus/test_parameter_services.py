"""Every node describes its parameters, and lets them be set when the value fits."""

from __future__ import annotations

from bus.host import Spec
from bus.testing import Domain
from schemas import topics
from schemas.codec import codec
from schemas.system import Done, ParameterEvent, ParametersRequest, SetParameterRequest
from tests.bus.live import node, until
from tests.bus.toys.talk import Failing, Tapper


def test_parameters_are_described_set_checked_and_told(domain: Domain) -> None:
    with (
        domain.running(Spec(Tapper, name="tapper")) as tapper,
        domain.running(Spec(Failing)) as failing,
        domain.session() as session,
    ):
        described = session.call(
            "failing/describe_parameters", topics.NODE_DESCRIBE_PARAMETERS, ParametersRequest(), timeout_s=10
        )
        found = {p.name: (p.json_value, p.type) for p in described.parameters}
        assert found == {"at_start": ("false", "bool"), "slow_ms": ("0", "int"), "ratio": ("0.5", "number")}

        def put(name: str, value: str) -> Done:
            request = SetParameterRequest(name=name, json_value=value, changed_by="test")
            return session.call("failing/set_parameter", topics.NODE_SET_PARAMETER, request, timeout_s=10)

        assert put("slow_ms", "7") == Done(ok=True, text="slow_ms = 7")
        assert node(failing).slow_ms == 7
        assert put("slow_ms", '"x"') == Done(ok=False, text="slow_ms: expected int, got str 'x'")
        assert not put("slow_ms", "[" * 100_000).ok
        for _ in range(12):  # a callback that fails so often would end the process
            assert not put("ratio", "1" + "0" * 400).ok
        assert put("speed", "1") == Done(ok=False, text="failing has no parameter 'speed'")
        until(lambda: any(r.topic == "failing/parameters" for r in node(tapper).raws))
        told = [codec(ParameterEvent).decode(r.payload) for r in node(tapper).raws if r.topic == "failing/parameters"]
        assert [(e.name, e.json_old, e.json_new, e.changed_by) for e in told] == [("slow_ms", "0", "7", "test")]
