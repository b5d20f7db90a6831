"""The part of impact_cortex that is taught: takes a lesson, tells what came of it, and hears what was taught before.

What is taught is published on `impact/tunnel`, which is kept on disk, and used when it is heard there: so the next life
of this node has it, and a replay, in which it is a recorded input, judges by the very same bands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bus.node import Node, publisher, service, subscription
from nodes.impact_cortex.channel import Channel
from nodes.impact_cortex.place import Follower
from nodes.impact_cortex.tasks import Task
from nodes.impact_cortex.taught import MOST_RUNS, BadTunnel, Lesson, Pool, Taught, tunnel_id
from nodes.impact_cortex.tunnels import Tunnels
from schemas import topics
from schemas.base import Samples
from schemas.impact import TeachAction, TeachRequest, Tunnel
from schemas.machine import ConditionLevel, MachineState
from schemas.shop import JobEvent, JobEventKind
from schemas.system import Done

PROCEDURE = "tunnel"
MOST_SIGNALS = 8
"""taught at once: so many that the end of a run stays within 0.3 ms"""
BAD = "BAD_TUNNEL"
"""the finding when what was taught cannot be used"""


class Teaching(Node):
    """Mixed into the node, which sets these."""

    tunnels = publisher(topics.TUNNEL)

    _tasks: tuple[Task, ...]
    _state: MachineState | None
    _tunnels: Tunnels
    _follower: Follower
    _untold: deque[tuple[Lesson, str, str, Pool, Samples | None]]

    if TYPE_CHECKING:

        def _all_channels(self) -> Iterable[Channel]: ...
        def _set_gates(self) -> None: ...

    def _begin_teaching(self) -> None:
        self._tunnels = Tunnels()
        self._follower = Follower()
        self._untold = deque()

    @subscription(topics.TUNNEL)
    def on_tunnel(self, message: Tunnel) -> None:
        """What was taught, by this life of the node or an earlier one."""
        try:
            taught = Taught.read(message)
        except BadTunnel as error:
            text = f"{message.tunnel_id} from {self.source.node} is not used: {error}"
            self.log.warning(text)
            self.report(BAD, ConditionLevel.WARNING, text)
            return
        if self._tunnels.take(message.tunnel_id, taught):
            self._set_gates()

    @service(topics.TEACH)
    def teach(self, request: TeachRequest) -> Done:
        """Learn from the next runs of a program, learn no further, or forget what was learned."""
        if not request.changed_by.strip() or not request.reason.strip():
            return Done(ok=False, text="say who teaches (changed_by) and why (reason)")
        named = [t.name for t in self._tasks if t.procedure == PROCEDURE and request.task in ("", t.name)]
        if not named:
            task = f"no task {request.task!r}" if request.task else "no task"
            return Done(ok=False, text=f"{task} judges by a tunnel: a row of `tasks` makes one, procedure = 'tunnel'")
        shown = "" if self._state is None else self._state.program
        program = request.program or shown
        if not program:
            return Done(ok=False, text="say which program: the control shows none")
        match request.action:
            case TeachAction.LEARN:
                return self._learn(request, program, frozenset(named))
            case TeachAction.CANCEL:
                lesson, self._tunnels.lesson = self._tunnels.lesson, None
                self._set_gates()
                return Done(ok=lesson is not None, text=f"no lesson is on{'' if lesson is None else ' any more'}")
            case TeachAction.FORGET:
                return self._forget(request, program, named)

    def _learn(self, request: TeachRequest, program: str, tasks: frozenset[str]) -> Done:
        if not 1 <= request.runs <= MOST_RUNS:
            return Done(ok=False, text=f"runs: expected 1 to {MOST_RUNS}, got {request.runs}")
        names = [name for c in self._all_channels() for name in c.names]
        signals = [n for t in self._tasks for n in names if t.name in tasks and t.watches(n)]
        if not 1 <= len(signals) <= MOST_SIGNALS:
            text = f"{', '.join(sorted(tasks))} judge {len(signals)} signals: 1 to {MOST_SIGNALS} are taught at once"
            return Done(ok=False, text=text)
        self._tunnels.lesson = Lesson(program, tasks, request.runs, request.changed_by, request.reason)
        self._set_gates()
        text = f"{', '.join(sorted(tasks))} learn from the next {request.runs} whole runs of {program}"
        self.log.info(f"{text}, by {request.changed_by}: {request.reason}")
        return Done(ok=True, text=text)

    def _forget(self, request: TeachRequest, program: str, tasks: Iterable[str]) -> Done:
        known = [
            (task, signal)
            for task in tasks
            for signal in dict.fromkeys(name for c in self._all_channels() for name in c.names)
            if (t := self._tunnels.taught.get(tunnel_id(task, signal, program))) is not None and t.runs
        ]
        lesson = Lesson(program, frozenset(tasks), 0, request.changed_by, request.reason)
        self._untold.extend((lesson, task, signal, Pool(), None) for task, signal in known)
        text = f"{', '.join(f'{task} of {signal}' for task, signal in known) or 'nothing'} of {program} is forgotten"
        self.log.info(f"{text}, by {request.changed_by}: {request.reason}")
        return Done(ok=bool(known), text=text)

    def _lesson_step(self, event: JobEvent) -> None:
        """A run began, came to an end, or was disturbed."""
        lesson = self._tunnels.lesson
        if lesson is None:
            return
        match event.kind:
            case JobEventKind.RUN_STARTED:
                lesson.begin(event.program)
            case JobEventKind.RUN_PAUSED:
                lesson.spoil(f"it was held: {event.text}")
            case JobEventKind.CYCLE_COMPLETED:
                if wrong := lesson.end():
                    self.log.warning(f"this run of {event.program} is no reference: {wrong}")
                if lesson.learned:
                    if not any(True for _ in lesson.pools()):
                        self.log.warning(f"{event.program}: no reading came while it cut: nothing was learned")
                    self._untold.extend((lesson, *gathered, None) for gathered in lesson.pools())
                    self._tunnels.lesson = None
                else:
                    lesson.begin(event.program)  # unless this was the end of the run: then nothing more comes of it
            case JobEventKind.RUN_COMPLETED | JobEventKind.ABORTED:
                lesson.begin("")

    def _tell_one(self) -> None:
        """Publish what a lesson brought, one by one. An array is made, then sent: not both within 0.3 ms."""
        if not self._untold:
            return
        lesson, task, signal, pool, band = self._untold.popleft()
        if band is None:
            self._untold.appendleft((lesson, task, signal, pool, pool.band()))
        else:
            self._tell(lesson, task, signal, pool, band)

    def _tell(self, lesson: Lesson, task: str, signal: str, pool: Pool, band: Samples) -> None:
        key = tunnel_id(task, signal, lesson.program)
        units = [s.unit for c in self._all_channels() for s in c.signals if s.name == signal]
        said = Tunnel(
            tunnel_id=key,
            stamp_ns=self.now_ns(),
            task=task,
            signal=signal,
            unit=units[0] if units else "",
            program=lesson.program,
            version=self._tunnels.version(key) + 1,
            runs=lesson.done,
            override_pct=lesson.override_pct,
            step_s=pool.step_s,
            taught_by=lesson.taught_by,
            reason=lesson.reason,
            stretches=pool.stretches(),
            band=band,
        )
        self.tunnels.publish(said)
        text = f"{key}: version {said.version}, from {said.runs} runs"
        if pool.full:
            self.log.warning(f"{text}; the program is too long, and what did not fit is not judged")
        else:
            self.log.info(text)
