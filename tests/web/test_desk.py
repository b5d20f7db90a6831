"""Alarms as people see them and notices, in a living shop."""

from __future__ import annotations

import json
from typing import Any

import httpx

from bus.context import Lost, Source
from bus.host import Spec
from bus.testing import Domain
from nodes.impact_cortex.node import ImpactCortex
from nodes.sensory_cortex.node import SensoryCortex
from schemas import topics
from schemas.audit import AlarmState, StandingAlarm
from tests.web.crier import Crier
from tests.web.receivers import mail_server, webhook
from tests.web.rig import PASSWORD, WAIT_S, folder, hub, page, people, shop
from web.node import FanucApi
from web.private import write_private


def notify(domain: Domain, *lines: str) -> None:
    write_private(folder(domain) / "notify.toml", "\n".join(lines).encode())


def alarms(client: httpx.Client) -> dict[str, dict[str, Any]]:
    answer = client.get("/api/v1/alarms")
    assert answer.status_code == 200, answer.text
    return {a["alarm_id"]: a for a in answer.json()}


def test_an_intervention_goes_out_and_waits_for_somebody(domain: Domain) -> None:
    people(domain)
    with webhook() as received:
        notify(domain, "[webhook]", f'url = "http://127.0.0.1:{received.port}/"')
        with shop(domain, engine=True) as made:
            maria = made.signed_on("maria")
            cutting = made.node.hub
            assert cutting is not None
            assert maria.post("/api/v1/machines/vmc1/inject", json={"fault": "CRASH"}).status_code == 200
            said = made.wait(topics.INTERVENTION, "vmc1/impact/intervention", lambda i: not i.would_have)
            standing = made.wait(
                topics.STANDING_ALARM, "alarm/standing", lambda a: a.native_code.startswith("INTERVENTION_")
            )
            alarm_id = standing.model_dump()["alarm_id"]
            assert alarm_id.startswith(f"{said.model_dump()['intervention_id']}@")
            told: list[Any] = []
            while not any(code.startswith("INTERVENTION_") for code in told):
                told += [a["code"] for a in received.next()[1]["alarms"]]
            assert alarms(maria)[alarm_id]["state"] == "RETURNED"
            assert made.browser().post("/api/v1/alarms/ack", json={"alarm_id": alarm_id}).status_code == 401
            assert maria.post("/api/v1/alarms/ack", json={"alarm_id": alarm_id}).status_code == 200
            assert alarm_id not in alarms(maria)
            assert made.audit(command="ACKNOWLEDGE", target=alarm_id, user="maria").text == "maria has acknowledged it"


def test_a_machine_whose_node_dies_is_told_by_mail(domain: Domain) -> None:
    with mail_server() as received:
        notify(
            domain, "[smtp]", 'host = "127.0.0.1"', f"port = {received.port}", 'sender = "shop@example"',
            'to = ["maria@example"]',
        )  # fmt: skip
        with hub(domain) as node, domain.process("nodes.sensory_cortex", "--namespace", "vmc9") as cortex:
            with domain.session() as session:
                assert session.spin(lambda: "vmc9" in node.infos, WAIT_S)
            cortex.kill()
            text = ""
            while "MACHINE_SILENT" not in text:
                _, text = received.next()
            assert "vmc9" in text


def test_a_delivery_that_fails_is_an_alarm_that_the_other_channel_tells(domain: Domain) -> None:
    with webhook() as chat, mail_server() as mails:
        notify(
            domain, "[webhook]", f'url = "http://127.0.0.1:{chat.port}/"', "[smtp]", 'host = "127.0.0.1"',
            f"port = {mails.port}", 'sender = "shop@example"', 'to = ["maria@example"]',
        )  # fmt: skip
        for _ in range(50):
            chat.answers.put(500)
        # without an engine the machine is UNPROTECTED, which is told
        with shop(domain) as made:
            found = made.wait(topics.ALARM, "alarm", lambda a: a.native_code == "DELIVERY_FAILED")
            assert "answered 500" in found.model_dump()["text"]
            text = ""
            while "DELIVERY_FAILED" not in text:
                _, text = mails.next()


def test_settings_that_cannot_be_are_an_alarm(domain: Domain) -> None:
    notify(domain, "[webhook]", "url = 1")
    with shop(domain) as made:
        found = made.wait(topics.ALARM, "alarm", lambda a: a.native_code == "DELIVERY_FAILED")
        assert "[webhook] url: expected str" in found.model_dump()["text"]


def test_what_was_acknowledged_is_so_in_the_next_life_of_the_hub(domain: Domain) -> None:
    people(domain)
    login = {"user": "maria", "password": PASSWORD}
    machine = Spec(SensoryCortex, namespace="vmc1")
    lost = {"fault": "SENSOR_LOST", "signal": "x_accel"}
    alarm_id = "vmc1/sensory_cortex/signal/x_accel"
    with domain.running(machine), domain.session() as session:
        with hub(domain) as node, page(node) as client:
            assert session.spin(lambda: "vmc1" in node.infos, WAIT_S)
            assert client.post("/api/v1/session", json=login).status_code == 200
            assert client.post("/api/v1/machines/vmc1/inject", json=lost).status_code == 200
            assert session.spin(lambda: node.states.get(alarm_id) is not None, WAIT_S)
            assert alarms(client)[alarm_id]["state"] == "UNACKNOWLEDGED"
            assert client.post("/api/v1/alarms/ack", json={"alarm_id": alarm_id}).status_code == 200
            cookie = client.cookies["rise_session"]
        with hub(domain) as node, page(node) as client:
            client.cookies.set("rise_session", cookie)
            assert client.get("/api/v1/session").json()["user"]["name"] == "maria", "and so is who was signed on"
            assert session.spin(lambda: node.states.get(alarm_id) is not None, WAIT_S)
            alarm = alarms(client)[alarm_id]
            assert (alarm["state"], alarm["acknowledged_by"]) == ("ACKNOWLEDGED", "maria")
            reset = {"reason": "sensor changed"}
            assert client.post("/api/v1/machines/vmc1/reset", json=reset).status_code == 200
            assert session.spin(lambda: node.states.get(alarm_id) is None, WAIT_S), "over and acknowledged: gone"


def test_an_intervention_that_somebody_has_looked_at_does_not_come_back_with_the_next_life(domain: Domain) -> None:
    people(domain)
    cell = [Spec(SensoryCortex, namespace="vmc1"), Spec(ImpactCortex, namespace="vmc1", parameters={"mode": "STOP"})]

    def interventions(node: FanucApi) -> list[str]:
        return [a.alarm_id for a in node.states if a.native_code.startswith("INTERVENTION_")]

    with domain.running(*cell), domain.session() as session:
        with hub(domain) as node, page(node) as client:
            assert session.spin(lambda: "vmc1" in node.infos, WAIT_S)
            login = {"user": "maria", "password": PASSWORD}
            assert client.post("/api/v1/session", json=login).status_code == 200
            assert client.post("/api/v1/machines/vmc1/inject", json={"fault": "CRASH"}).status_code == 200
            assert session.spin(lambda: bool(interventions(node)), WAIT_S)
            said = interventions(node)
            for alarm_id in said:
                assert client.post("/api/v1/alarms/ack", json={"alarm_id": alarm_id}).status_code == 200
        with hub(domain) as node:
            assert node.hub is not None
            known = node.hub.interventions
            assert session.spin(lambda: len(known) >= len(said) and "vmc1" in node.infos, WAIT_S), "they are read anew"
            assert not set(interventions(node)) & set(said)


def test_a_flood_of_alarms_is_told_whole(domain: Domain) -> None:
    flood = Spec(Crier, namespace="vmc1", parameters={"count": 2000, "at_once": 2000})
    ids = {f"vmc1/crier/{n}" for n in range(2000)}
    with shop(domain) as made, domain.running(flood):
        states = made.node.states

        def all_told() -> bool:
            told = len(states) >= len(ids) and not states.changed
            return told and ids <= {a.alarm_id for a in made.said(topics.STANDING_ALARM, "alarm/standing")}

        assert made.session.spin(all_told, 50.0), (len(states), len(states.changed), made.node.lost_alarms)
        assert not made.node.lost_alarms


def test_alarms_that_are_lost_on_the_way_are_an_alarm(domain: Domain) -> None:
    with shop(domain) as made:
        source = Source("vmc1/crier", "vmc1/alarm", 42, made.node.now_ns())
        for first, last in ((3, 40), (50, 51)):
            made.node.submit(made.node.on_alarm_link, Lost(source._replace(seq=last), first, last))

        def wanted(alarm: StandingAlarm) -> bool:
            return alarm.native_code == "ALARMS_LOST" and alarm.text.startswith("40 alarms of vmc1/crier")

        found = made.wait(topics.STANDING_ALARM, "alarm/standing", wanted)
        assert found.model_dump()["state"] == AlarmState.RETURNED, "it stays until somebody has looked"


def test_first_out_travels(domain: Domain) -> None:
    with shop(domain) as made:
        first = made.wait(topics.STANDING_ALARM, "alarm/standing", lambda a: a.machine == "vmc1")
        assert first.model_dump()["first_out"] is True
        assert AlarmState(first.model_dump()["state"]) is AlarmState.UNACKNOWLEDGED
        assert json.loads(made.browser().get("/api/v1/alarms").text)
