"""What REST says of a living shop: one mill with its engine, the graph, a folder of bags."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bus.host import Spec
from bus.testing import Domain
from tests.bus.live import until
from tests.web.browser import url_of
from web.health import text_of
from web.node import FanucApi

CORE = ("nodes.sensory_cortex", "--namespace", "vmc1", "+", "nodes.impact_cortex", "--namespace", "vmc1")
CRASH = Path(__file__).parents[1] / "bags" / "vmc1_crash.mcap"


class Api:
    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=40)

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        answer = self.answer(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def answer(self, path: str, **query: Any) -> httpx.Response:
        return self._client.get(f"api/v1/{path}", params=query)

    def root(self, path: str) -> httpx.Response:
        return self._client.get(path)

    def refused(self, path: str, status: int, said: str, **query: Any) -> None:
        """It is answered with a problem of RFC 9457."""
        answer = self.answer(path, **query)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        problem = answer.json()
        assert problem["status"] == status
        assert problem["title"]
        assert said in problem["detail"]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with (
        Domain("reads") as domain,
        domain.process(*CORE),
        domain.process("nodes.knowledge_graph", "-p", 'machines={"vmc1": {}}'),
        domain.running(Spec(FanucApi, parameters={"port": 0})) as executor,
    ):
        folder = domain.root / "state" / "bags"
        folder.mkdir(parents=True)
        shutil.copy(CRASH, folder / "vmc1_crash.mcap")
        (folder / "no_bag.mcap").write_bytes(b"nothing")
        made = Api(url_of(executor))
        until(lambda: [m for m in made.get("machines") if m["assessment"] and m["protection"] and m["state"]], 30)
        yield made
        made.close()


def test_machines(api: Api) -> None:
    (mill,) = api.get("machines")
    assert (mill["name"], mill["simulated"], mill["silent"]) == ("vmc1", True, False)
    assert mill["info"]["message"]["can_stop"] is True
    assert mill["protection"]["message"]["state"] in ("PROTECTED", "DEGRADED", "UNPROTECTED")
    assert mill["state"]["age_s"] < 60
    assert api.get("machines/vmc1")["name"] == "vmc1"
    api.refused("machines/vmc9", 404, "no machine 'vmc9' was heard")


def test_topics_say_who_publishes_and_hears_and_in_which_units(api: Api) -> None:
    topics = {t["name"]: t for t in api.get("topics")}
    samples = topics["vmc1/machine/samples"]
    assert (samples["type"], samples["qos"], samples["publishers"]) == (
        "SignalBlock", "SENSOR", ["vmc1/sensory_cortex"],
    )  # fmt: skip
    assert "vmc1/impact_cortex" in samples["subscribers"]
    assert topics["vmc1/machine/state"]["units"]["feed_commanded_mm_min"] == "mm/min"


def test_nodes_have_health_and_parameters(api: Api) -> None:
    until(lambda: all(n["health"] for n in api.get("nodes")))
    nodes = {n["name"]: n for n in api.get("nodes")}
    assert set(nodes) == {"fanuc_api", "knowledge_graph", "vmc1/impact_cortex", "vmc1/sensory_cortex"}
    assert all(n["alive"] and n["ready"] for n in nodes.values())
    said = {p["name"]: p for p in api.get("nodes/vmc1/impact_cortex/parameters")}
    assert (said["limit_pct"]["json_value"], said["limit_pct"]["unit"]) == ("85.0", "%")
    api.refused("nodes/vmc1/nobody/parameters", 503, "nobody serves vmc1/nobody/describe_parameters")
    api.refused("nodes/VMC1/parameters", 422, "segments are")


def test_the_graph_counts_on_its_edges(api: Api) -> None:
    def edge() -> Any:
        return next(
            e
            for e in api.get("graph")["edges"]
            if (e["topic"], e["subscriber"]) == ("vmc1/machine/samples", "vmc1/impact_cortex")
        )

    until(lambda: (edge()["received"] or 0) > 1000 and edge()["delay_p50_ms"])
    assert edge()["lost"] == 0
    assert any(c["service"] == "vmc1/machine/stop" for c in api.get("graph")["calls"])


def test_the_topology_answers(api: Api) -> None:
    until(lambda: api.answer("topology").status_code == 200)
    assert any(c["name"] == "vmc1/spindle" for c in api.get("topology")["message"]["components"])
    assert api.get("topology/causes", condition="vmc1")["ok"] is True
    assert api.get("topology/impact", component="vmc1/spindle")["machines"] == ["vmc1"]
    assert api.get("topology/influence", signal="spindle_load_pct")["influences"]
    assert api.get("topology/export")["text"].startswith("digraph")
    api.refused("topology/causes", 422, "most", most=0)


def test_bags_and_what_another_limit_would_have_done(api: Api) -> None:
    until(lambda: all(b["about"] for b in api.get("bags")))
    bags = {b["name"]: b["about"] for b in api.get("bags")}
    assert set(bags) == {"vmc1_crash.mcap", "no_bag.mcap"}
    assert (bags["vmc1_crash.mcap"]["machines"], bags["vmc1_crash.mcap"]["interventions"]) == (["vmc1"], 2)
    assert bags["no_bag.mcap"]["trouble"]
    wanted = {"node": "vmc1/impact_cortex", "param": "limit_pct", "value": "190"}
    report = api.get("bags/vmc1_crash.mcap/replay", **wanted)
    assert report["problems"] == []
    assert any("impact/intervention" in line and "->" in line for line in report["differences"])
    as_recorded = api.get("bags/vmc1_crash.mcap/replay", **{**wanted, "value": "85"})
    assert not any("impact/intervention" in line for line in as_recorded["differences"])


@pytest.mark.parametrize(
    ("bag", "query", "status", "said"),
    [
        ("none.mcap", {}, 404, "there is no bag 'none.mcap'"),
        ("..%2F..%2Fetc%2Fpasswd", {}, 404, ""),
        ("no_bag.mcap", {}, 422, "no_bag.mcap"),
        ("vmc1_crash.mcap", {"node": "vmc9/impact_cortex"}, 422, "no node vmc9/impact_cortex in it"),
        ("vmc1_crash.mcap", {"param": "limt_pct"}, 422, "did you mean 'limit_pct'"),
        ("vmc1_crash.mcap", {"value": "many"}, 422, "limit_pct"),
        ("vmc1_crash.mcap", {"node": "--help"}, 422, "segments are"),
        ("vmc1_crash.mcap", {"param": "--update"}, 422, "param"),
        ("vmc1_crash.mcap", {"around": "nan"}, 422, "around"),
    ],
)
def test_a_replay_that_cannot_be_is_answered_with_the_reason(
    api: Api, bag: str, query: dict[str, str], status: int, said: str
) -> None:
    wanted = {"node": "vmc1/impact_cortex", "param": "limit_pct", "value": "190", **query}
    api.refused(f"bags/{bag}/replay", status, said, **wanted)


def test_errors_are_problems_and_pages_say_what_is_missing(api: Api) -> None:
    api.refused("nothing", 404, "")
    api.refused("interventions", 422, "most", most=10_000)
    assert api.get("interventions") == []
    page = api.root("")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert api.root("../pyproject.toml").status_code == 404
    for none in ("%2e%2e/%2e%2e/pyproject.toml", "%00", "x" * 300, "assets/%ff%00"):
        assert api.root(none).status_code == 404


def test_the_api_describes_itself(api: Api) -> None:
    described = api.root("api/v1/openapi.json").json()
    assert described["openapi"].startswith("3.")
    for path in ("machines", "topics", "nodes", "graph", "interventions", "bags", "topology/causes", "health"):
        assert f"/api/v1/{path}" in described["paths"]
    for page in ("docs", "redoc"):  # they would load scripts from the internet
        assert api.root(page).status_code == 404


def test_health(api: Api) -> None:
    assert api.root("healthz").json() == {"status": "ok"}
    assert api.root("readyz").json() == {"status": "ok", "why": ""}
    health = api.get("health")
    assert (health["domain"], health["busy"]) == ("reads", 0)


def test_prometheus_reads_the_metrics(api: Api) -> None:
    values = {}
    for line in api.root("metrics").text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    assert values["rise_hub_clients"] == 0
    assert values['rise_node_level{node="vmc1/impact_cortex"}'] >= 0
    assert values['rise_protection{machine="vmc1",by="engine"}'] in (0, 1, 2)
    lost = [v for n, v in values.items() if n.startswith("rise_topic_lost_total")]
    assert lost
    assert not any(math.isnan(v) for v in lost)


def test_labels_are_escaped() -> None:
    text = text_of([("a", "gauge", "says a", [({"b": 'c"\\\n'}, 2**60), ({}, 1)])])
    assert text == f'# HELP a says a\n# TYPE a gauge\na{{b="c\\"\\\\\\n"}} {2**60}\na 1\n'


def test_somebody_elses_name_for_this_computer_reads_nothing(api: Api) -> None:
    answer = httpx.get(f"{api.url}api/v1/machines", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["title"]) == (403, "not a name of ours")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"{api.url}healthz", headers={"Host": "localhost"}).status_code == 200
