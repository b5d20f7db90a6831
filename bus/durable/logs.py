"""The logs of a process: opened with its DURABLE topics, looked after once a second, closed at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bus.durable.cursor import dotted
from bus.durable.log import Log
from schemas.machine import ConditionLevel
from schemas.system import LogLevel, LogStatus

if TYPE_CHECKING:
    from bus.durable.syncer import Syncer
    from bus.host import Host

REFUSED = "durable_log"
"""the finding while events are sent and not kept"""
DAMAGED = "durable_log_damaged"
UNREADABLE = "durable_log_unreadable"
"""the finding while consumers wait for events that the disk does not give"""


class Logs:
    """Everything this process writes."""

    def __init__(self, folder: Path, syncer: Syncer) -> None:
        self._folder = folder
        self._syncer = syncer
        self._logs: dict[Host, dict[str, Log]] = {}

    def open(self, host: Host, full_name: str) -> Log:
        """The log of a node's topic, as it was left."""
        log = Log(self._folder / "log" / dotted(host.name) / dotted(full_name), self._syncer)
        self._logs.setdefault(host, {})[full_name] = log
        return log

    def look(self) -> None:
        """Tell what became of them, delete what is too old."""
        for host, logs in self._logs.items():
            problems, unreadable = [], []
            for topic, log in logs.items():
                log.retain()
                for note in log.notes:
                    host.log(LogLevel.WARNING, note)
                    host.report(DAMAGED, ConditionLevel.WARNING, note)
                log.notes.clear()
                if log.news:
                    host.log(LogLevel.INFO, log.news)
                    log.news = ""
                if log.unreadable:
                    unreadable.append(f"consumers of {topic} wait for older events: {log.unreadable}")
                if log.problem:
                    problems.append(f"{topic} is sent and not kept, {log.refused} events so far: {log.problem}")
                elif log.sync_error:
                    problems.append(f"{topic} may not survive a power failure: {log.folder}: {log.sync_error}")
            if problems:
                host.report(REFUSED, ConditionLevel.FAULT, "; ".join(problems))
            elif REFUSED in host.findings:
                host.clear(REFUSED)
            if unreadable:
                host.report(UNREADABLE, ConditionLevel.FAULT, "; ".join(unreadable))
            elif UNREADABLE in host.findings:
                host.clear(UNREADABLE)

    def status(self, host: Host) -> tuple[LogStatus, ...]:
        """For /diagnostics."""
        return tuple(
            LogStatus(
                topic=topic, log_id=f"{log.log_id:016x}", first_seq=log.first_seq, last_seq=log.next_seq - 1,
                size_bytes=log.size_bytes, problem=log.problem,
            )
            for topic, log in self._logs.get(host, {}).items()
        )  # fmt: skip

    def close(self) -> None:
        """After `Syncer.stop`."""
        for logs in self._logs.values():
            for log in logs.values():
                log.close()
        self._logs.clear()
