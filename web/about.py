"""What lies in a bag, in few words: when and how long, which machines, which jobs, every intervention."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bus.bag import BadBag, BagMessage, BagReader
from bus.bag.plain import BadPayload, unpack
from schemas import topics

MOMENTS_MAX = 200
"""interventions that are told one by one; the count is of all"""
RUNS_MAX = 100
_OF_A_MACHINE = re.compile(r"([^/]+)/machine/(info|state|signals|samples)")
_ALARMS = ("Alarm", "StandingAlarm")
_TOLD = {t.name for t in (topics.INTERVENTION, topics.JOB_EVENT, topics.JOB_RUN)}


def about(path: Path) -> dict[str, Any]:
    """What a bag holds. What is damaged in it is said under `trouble`, and what can be read stands beside.

    Raises:
        BadBag: it is none.
    """
    with BagReader(path) as bag:
        told = _Told(bag)
        trouble = "; ".join(bag.damaged)
        try:
            for message in bag.messages(topics=_is_told, skip_damaged=True):
                told.take(message)
            lost = bag.lost()
        except BadBag as error:
            trouble, lost = error.reason, 0
        machines = {m[1] for c in bag.channels.values() if (m := _OF_A_MACHINE.fullmatch(c.topic))}
        return {
            "start_ns": bag.start_ns, "end_ns": bag.end_ns, "duration_s": (bag.end_ns - bag.start_ns) / 1e9,
            "finished": bag.info.finished, "machines": sorted(machines),
            "runs": list(told.runs.values())[:RUNS_MAX], "interventions": told.interventions,
            "alarms": any(c.type_name in _ALARMS for c in bag.channels.values()),
            "moments": told.moments, "unreadable": told.unreadable, "lost": lost,
            "trouble": trouble or "; ".join(bag.damaged),
        }  # fmt: skip


def _is_told(topic: str) -> bool:
    return topic.partition("/")[2] in _TOLD


class _Told:
    def __init__(self, bag: BagReader) -> None:
        self.start_ns = bag.start_ns
        self.runs: dict[tuple[str, str], dict[str, Any]] = {}
        """by machine and run"""
        self.moments: list[dict[str, Any]] = []
        self.interventions = 0
        self.unreadable = 0

    def take(self, message: BagMessage) -> None:
        machine, _, topic = message.topic.partition("/")
        try:
            said = unpack(message.channel.definition, message.payload)
            if topic == topics.INTERVENTION.name:
                self._intervention(machine, said)
            elif said.get("run_id"):
                self._run(machine, said)
        except (BadPayload, KeyError, TypeError):
            self.unreadable += 1

    def _intervention(self, machine: str, said: dict[str, Any]) -> None:
        moment = {name: said[name] for name in ("stamp_ns", "reaction", "task", "would_have", "reason")}
        self.interventions += 1
        if len(self.moments) < MOMENTS_MAX:
            at_s = max(0.0, (said["stamp_ns"] - self.start_ns) / 1e9)
            self.moments.append({"machine": machine, "at_s": at_s, **moment})

    def _run(self, machine: str, said: dict[str, Any]) -> None:
        job_id = said["job_id"] if "job_id" in said else said["spec"]["job_id"]
        key = (machine, said["run_id"])
        run = self.runs.setdefault(key, {"machine": machine, "run_id": said["run_id"], "job_id": "", "program": ""})
        run["job_id"] = job_id or run["job_id"]
        run["program"] = said["program"] or run["program"]
