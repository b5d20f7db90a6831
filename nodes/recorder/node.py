"""Wires the recorder to the bus: hears everything undecoded, hands it to the disk thread, says what became of it."""

from __future__ import annotations

import gc
import os
import re
import socket
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from bus.logs import bags_folder
from bus.node import Node, Raw, parameter, publisher, service, tap, timer
from nodes.recorder.settings import Better, Closed, Identity, Settings, Trouble
from schemas import topics
from schemas.machine import ConditionLevel
from schemas.sayable import shown
from schemas.system import BagDeleted, BlackBoxRequest, Done, LostMessages, RecorderStatus

if TYPE_CHECKING:
    from nodes.recorder.disk import Disk

END_WITHIN_S = 20.0
"""below the `end_s` that the shipped launch files give a recorder"""
COLLECT_AFTER = 100_000
"""objects more than before"""


class _Entry(Protocol):
    publisher_id: int

    def to_json(self) -> str: ...


class Live(Protocol):
    """What only a live bus can tell a node; a recorder is never replayed."""

    domain: str

    def entries(self) -> Mapping[str, _Entry]: ...


class Recorder(Node):
    """Records every topic into bags, and the last seconds into a black box around every intervention and alarm.

    10 kHz vibration goes into the bag only when asked for, raw signals of a machine that has not been ACTIVE for 10 s
    are reduced to their range at 10 Hz; both only where no node takes them whose trace is recorded, because a replay
    needs every message. With `traces` false the bags are small and cannot be replayed in lock-step.
    """

    directory = parameter("", doc="where the bags go; default $XDG_STATE_HOME/fanuc-rise/bags")
    include = parameter("", doc="regular expression: only topics in which it is found are recorded")
    exclude = parameter("", doc="regular expression: topics in which it is found are not recorded")
    continuous = parameter(True, doc="false: only black boxes are written")
    traces = parameter(True, doc="record the nodes' traces, so that the bag can be replayed in lock-step")
    vibration = parameter(False, doc="keep 10 kHz vibration all the time, not only around interventions")
    reduce_idle = parameter(True, doc="keep only the range of raw signals while a machine does not cut")
    split_mb = parameter(1024.0, unit="MB", doc="a bag of this size is closed and another begun", ge=1, le=1e9)
    split_s = parameter(3600.0, unit="s", doc="a bag of this length is closed and another begun", ge=1, le=1e9)
    split_on_run = parameter(False, doc="a new bag with every run of a program")
    quota_gb = parameter(0.0, unit="GB", doc="for all bags; 0: the smaller of 5 GB and 10 % of the disk", ge=0, le=1e9)
    retention_days = parameter(
        30.0, unit="d", doc="bags of a run and black boxes stay at least so long", ge=0, le=100_000
    )
    keep_free_mb = parameter(
        200.0, unit="MB", doc="recording stops before less than this is free on the disk", ge=0, le=1e9
    )
    black_box_before_s = parameter(10.0, unit="s", doc="how far back a black box reaches", ge=0, le=600)
    black_box_after_s = parameter(5.0, unit="s", doc="how long a black box goes on", ge=0, le=600)
    black_box_mb = parameter(
        128.0, unit="MB", doc="memory for the black box, and twice as much for those that wait for room", ge=1
    )
    launch_file = parameter("", doc="kept in every bag; default $RISE_LAUNCH_FILE")

    status = publisher(topics.RECORDER)
    closed = publisher(topics.BAG_CLOSED)
    recovered = publisher(topics.BAG_RECOVERED)
    deleted = publisher(topics.BAG_DELETED)
    lost = publisher(topics.BAG_LOST)

    disk: Disk | None = None
    """None where nothing can be recorded"""

    def on_configure(self) -> None:
        if self.disk is not None:
            return  # the clock jumped back: the bag goes on
        # the bag format is imported here, so that a tool reads the interface without it
        from nodes.recorder.disk import Disk
        from nodes.recorder.recording import Recording

        self._tell_patterns()
        self.seen: dict[str, _Entry] = {}
        self.counted = 0
        self.refused = 0
        self.since_ns = self.now_ns()
        live = cast(Live, self.context)
        own = live.entries().get(self.name)
        who = Identity(self.name, own.publisher_id if own else 0, socket.gethostname(), live.domain, _version())
        settings = Settings(
            directory=Path(self.directory).expanduser().absolute() if self.directory else bags_folder(),
            split_bytes=int(self.split_mb * 1e6),
            split_s=self.split_s,
            split_on_run=self.split_on_run,
            quota_gb=self.quota_gb,
            retention_days=self.retention_days,
            keep_free_bytes=int(self.keep_free_mb * 1e6),
            black_box_before_s=self.black_box_before_s,
            black_box_after_s=self.black_box_after_s,
            black_box_bytes=int(self.black_box_mb * 1e6),
            vibration=self.vibration,
            reduce_idle=self.reduce_idle,
            continuous=self.continuous,
            launch_file=self.launch_file or os.environ.get("RISE_LAUNCH_FILE", ""),
        )
        try:
            settings.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            text = f"nothing is recorded: {settings.directory}: {error.strerror}. Give the parameter `directory`"
            self.report("no_directory", ConditionLevel.FAULT, text)
            self.log.error(text)
            return
        # no message is part of a cycle: a collector that looks at all that the black box holds is a tenth of the work
        gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
        self.disk = Disk(lambda emit: Recording(settings, who, emit))
        self.look()
        self.disk.start()

    def selects(self, topic: str, type_name: str) -> bool:
        """Whether a topic is recorded. Losses are written where they are seen, not where they are told."""
        if topic == "bag/lost":
            return False
        # nobody replays a recorder, nor a tool, whose names begin with _
        if type_name == "TraceBlock" and (not self.traces or topic == f"{self.name}/trace" or topic.startswith("_")):
            return False
        include, exclude = self._pattern("include"), self._pattern("exclude")
        return (include is None or include.search(topic) is not None) and not (exclude and exclude.search(topic))

    def _pattern(self, name: str) -> re.Pattern[str] | None:
        """A parameter as what it must be; one that is no regular expression is told, and leaves nothing out."""
        text = getattr(self, name)
        return compiled(text) if text and not bad_pattern(text) else None

    def on_parameter(self, name: str) -> None:
        self._tell_patterns()

    def _tell_patterns(self) -> None:
        for name in PATTERNS:
            if why := bad_pattern(getattr(self, name)):
                self.report(f"bad_{name}", ConditionLevel.FAULT, f"{name}: {why}; it is not heeded")
            else:
                self.clear(f"bad_{name}")

    @classmethod
    def mistakes(cls, parameters: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """What is no regular expression."""
        for name in PATTERNS:
            if why := bad_pattern(parameters[name]):
                yield "bad-pattern", f"{name}: {why}"

    @tap(select="selects", batch_s=0.02)
    def on_batch(self, batch: list[Raw]) -> None:
        self.look()  # first: what a node needs is kept from its first message on
        if self.disk is not None:
            self.disk.put(batch)

    @timer(0.5)
    def look(self) -> None:
        """Tell the disk thread who is there."""
        if self.disk is None:
            return
        found = cast(Live, self.context).entries()
        if found.keys() != self.seen.keys() or any(e is not self.seen[name] for name, e in found.items()):
            self.seen = dict(found)
            entries = {name: entry.to_json() for name, entry in found.items()}
            traced = {name for name in found if self.selects(f"{name}/trace", "TraceBlock")}
            self.disk.ask(lambda recording: recording.entries(entries, traced))

    @timer(0.1)
    def tell(self) -> None:
        """Publish what happened on the disk."""
        if self.disk is None:
            return
        for happened in self.disk.take():
            match happened:
                case Closed(split, recovered):
                    (self.recovered if recovered else self.closed).publish(split)
                case BagDeleted():
                    self.deleted.publish(happened)
                case LostMessages():
                    self.lost.publish(happened)
                case Trouble(code, level, text):
                    self.report(code, level, text)
                    self.log.warning(text)
                case Better(code, text):
                    self.clear(code)
                    if text:
                        self.log.info(text)
        if self.disk.failed:
            raise RuntimeError(f"the disk thread ended: {self.disk.failed}")
        if self.disk.refused > self.refused:
            self.refused = self.disk.refused
            text = f"{self.refused} messages came faster than the disk takes them; the bag says which"
            self.report("too_slow", ConditionLevel.FAULT, text)

    @timer(1.0)
    def say(self) -> None:
        if self.disk is None:
            return
        recording = self.disk.recording
        tape, now_ns = recording.tape, self.now_ns()
        rate_hz = (recording.messages - self.counted) * 1e9 / max(now_ns - self.since_ns, 1)
        self.counted, self.since_ns = recording.messages, now_ns
        self.status.publish(
            RecorderStatus(
                stamp_ns=now_ns,
                path=str(tape.path) if tape else "",
                size_bytes=tape.writer.size_bytes if tape else 0,
                messages=recording.messages,
                lost=recording.lost,
                rate_hz=rate_hz,
                duration_s=max(0.0, (now_ns - tape.start_ns) / 1e9) if tape and tape.start_ns else 0.0,
                used_bytes=recording.used_bytes,
                quota_bytes=recording.quota_bytes,
                paused=recording.paused,
            )
        )

    @service(topics.BLACK_BOX)
    def black_box(self, request: BlackBoxRequest) -> Done:
        """Write the black box; its path follows on bag/closed."""
        if self.disk is None:
            return Done(ok=False, text="nothing can be recorded: see /diagnostics")
        now_ns = self.now_ns()
        self.disk.ask(lambda recording: recording.trigger(request.reason or "asked for", now_ns))
        return Done(ok=True, text="being written; bag/closed says when and where")

    def on_shutdown(self) -> None:
        if self.disk is None:
            return
        if not self.disk.end(END_WITHIN_S):
            self.log.error(f"the disk did not take the rest within {END_WITHIN_S:g} s; the next start recovers the bag")
        self.tell()


PATTERNS = ("include", "exclude")
compiled = lru_cache(16)(re.compile)


@lru_cache(16)
def bad_pattern(text: str) -> str:
    """Why a text is no regular expression; empty when it is one."""
    try:
        compiled(text)
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        return f"{shown(text)} is no regular expression: {error}"
    return ""


def _version() -> str:
    try:
        return version("fanuc-rise")
    except PackageNotFoundError:
        return "unknown"
