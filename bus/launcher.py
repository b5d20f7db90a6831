"""`rise launch` at work: a plan becomes processes under the supervisor, which is itself a node, `launch`, on the bus.

The supervisor's loop is this process's main thread. The node has a thread of its own and shares nothing with it but
`Supervisor.ask` in one direction and `submit` in the other, so trouble on the bus never stops the supervision.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from bus.child import Child, Event, Job
from bus.executor import Executor, Failed
from bus.guard import LogFile
from bus.host import Spec
from bus.logs import log_path
from bus.node import Node, Outcome, client, publisher, service, subscription, timer
from bus.plan import Plan, PlannedNode, PlannedProcess
from bus.runtime import runtime_root
from bus.site import did_you_mean
from bus.supervisor import Supervisor
from schemas import topics
from schemas.machine import ActionReply, ConditionLevel, FeedHoldRequest, StopRequest
from schemas.system import (
    BagSplit,
    Done,
    LogLevel,
    LogRecord,
    Processes,
    ProcessRequest,
    ProcessState,
    ProcessStatus,
    RecorderStatus,
)

NAME = "launch"
"""the full name of the launcher's node: one launch per domain"""
REACTION_TIMEOUT_S = 1.0
BAGS_TOLD = 20
TWICE_S = 0.5
"""a second signal so soon is the first one, heard twice"""


def jobs(plan: Plan, domain: str) -> Iterator[Job]:
    """The plan's processes as commands."""
    for process in plan.processes:
        yield Job(
            process.name,
            command(process, domain),
            process.settings,
            log_path(domain, process.name),
            process.namespace,
            tuple(n.name for n in process.nodes),
            process.needs,
            process.after,
        )


def command(process: PlannedProcess, domain: str) -> list[str]:
    """How to start a process of the plan: bus.run with its nodes."""
    words = [sys.executable, "-P", "-m", "bus.run", "--domain", domain]
    for number, node in enumerate(process.nodes):
        words += [*(["+"] if number else []), *node_words(node)]
    return words


def node_words(node: PlannedNode) -> list[str]:
    """One node as bus.run reads it."""
    words = [node.target, "--name", node.name.removeprefix(f"{node.namespace}/")]
    if node.namespace:
        words += ["--namespace", node.namespace]
    for name, given in node.parameters.items():
        words += ["-p", f"{name}={json.dumps(given.value)}"]
    for old, new in node.remappings.items():
        words += ["-r", f"{old}:={new}"]
    return words


def child_environment(domain: str, launch_file: Path) -> dict[str, str]:
    """The environment of every process: ours without PYTHON variables, with the domain, unbuffered, with stacks on
    SIGABRT (that is how a hung process says where)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {
        **kept,
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "RISE_DOMAIN": domain,
        "RISE_RUNTIME_DIR": str(runtime_root()),
        "RISE_LAUNCH_FILE": str(launch_file.resolve()),
    }


class Launcher(Node):
    """The launch on the bus: says how its processes are, and takes requests to restart or stop one."""

    processes = publisher(topics.PROCESSES)
    feed_hold = client(topics.FEED_HOLD, namespace="*")
    stop = client(topics.STOP, namespace="*")

    supervisor: ClassVar[Supervisor]
    file: ClassVar[str]
    bags: ClassVar[list[str]]
    """a line for every bag that was closed: the last thing a user is told"""
    open_bags: Mapping[str, str]
    """by recorder, the bag it writes"""

    @subscription(topics.BAG_CLOSED, cursor=None)
    def on_bag(self, bag: BagSplit) -> None:
        self.open_bags = {who: path for who, path in self.open_bags.items() if path != bag.path}
        if len(self.bags) < BAGS_TOLD:
            self.bags.append(f"{bag.path} ({bag.size_bytes / 1e6:.1f} MB, {bag.messages} messages, {bag.lost} lost)")

    def all_bags(self) -> list[str]:
        """A line for each: those closed, and those that a recorder's death left open."""
        left = [path for path in self.open_bags.values() if os.path.exists(path)]
        return [*self.bags, *(f"{path} (not closed: `rise bag check --recover` closes it)" for path in left)]

    @subscription(topics.BAG_RECOVERED, cursor=None)
    def on_recovered(self, bag: BagSplit) -> None:
        self.on_bag(bag)

    @subscription(topics.RECORDER)
    def on_recorder(self, status: RecorderStatus) -> None:
        self.open_bags = {**self.open_bags, self.source.node: status.path}

    @timer(1.0)
    def say(self) -> None:
        """Publish how every process is."""
        status = tuple(status_of(child) for child in self.supervisor.children.values())
        self.processes.publish(Processes(stamp_ns=self.now_ns(), launch=self.file, processes=status))

    @service(topics.RESTART_PROCESS)
    def on_restart(self, request: ProcessRequest) -> Done:
        return self._ask("restart", request)

    @service(topics.STOP_PROCESS)
    def on_stop(self, request: ProcessRequest) -> Done:
        if not request.process:
            self.supervisor.ask("end", f"asked by {request.changed_by}")
            return Done(ok=True, text="the launch is ending")
        return self._ask("stop", request)

    def _ask(self, what: str, request: ProcessRequest) -> Done:
        child = self._find(request.process)
        if child is None:
            hint = did_you_mean(request.process, self.supervisor.children)
            return Done(ok=False, text=f"no process or node {request.process!r}; {hint}")
        self.supervisor.ask("restart" if what == "restart" else "stop", child.job.name)
        self._record(LogLevel.INFO, f"{what} of {child.job.name} asked by {request.changed_by}")
        return Done(ok=True, text=f"{what} of {child.job.name}")

    def _find(self, name: str) -> Child | None:
        """The process of this name, or the one that holds the node of this name."""
        children = self.supervisor.children
        return children.get(name) or next((c for c in children.values() if name in c.job.nodes), None)

    def on_event(self, event: Event) -> None:
        """What the supervisor told, on this node's thread: findings, the log, reactions to a death."""
        code = f"process {event.process}"
        if event.kind in ("died", "hung", "failed"):
            self.report(code, ConditionLevel.FAULT, f"{event.kind}: {event.text}")
            self._record(LogLevel.ERROR, f"{event.process} {event.kind}: {event.text}")
        else:
            self._record(LogLevel.INFO, f"{event.process} {event.kind} {event.text}".strip())
        if event.kind == "ready":
            self.clear(code)
        if event.kind == "died":
            self._react(self.supervisor.children[event.process], event.text)
        self.say()

    def _react(self, child: Child, why: str) -> None:
        """The `on_death` of a process: hold or stop its machine."""
        if not child.job.settings.on_death:
            return
        reason = f"{child.job.name} died: {why}"

        def answered(outcome: Outcome[ActionReply]) -> None:
            if outcome.reply is None or not outcome.reply.accepted:
                text = outcome.reply.text if outcome.reply else f"{outcome.error}: {outcome.text}"
                self.report(f"on_death {child.job.name}", ConditionLevel.FAULT, f"the machine did not take it: {text}")

        if child.job.settings.on_death == "stop":
            request = StopRequest(reason=reason, requested_by=self.name, stamp_ns=self.now_ns())
            self.stop.at(child.job.namespace).call(request, timeout_s=REACTION_TIMEOUT_S, then=answered)
        else:
            hold = FeedHoldRequest(reason=reason, requested_by=self.name, stamp_ns=self.now_ns())
            self.feed_hold.at(child.job.namespace).call(hold, timeout_s=REACTION_TIMEOUT_S, then=answered)

    def _record(self, level: LogLevel, text: str) -> None:
        # not self.log: standard error is the user's screen, where the launcher speaks already
        record = LogRecord(stamp_ns=self.now_ns(), level=level, node=self.name, text=text)
        self.context.publish(topics.LOG, "log", record)


def status_of(child: Child) -> ProcessStatus:
    return ProcessStatus(
        name=child.job.name,
        nodes=child.job.nodes,
        state=child.state,
        pid=child.pid if child.alive else 0,
        restarts=child.restarts,
        last_exit=child.last_exit,
        cpu_pct=child.usage.cpu_pct,
        pss_bytes=child.usage.pss_bytes,
        scheduling=child.scheduling,
    )


class BusThread:
    """The Launcher's executor in a thread of its own.

    Raises:
        NameTaken: the domain has a launch already.
    """

    def __init__(self, supervisor: Supervisor, file: str, domain: str) -> None:
        cls = type("Launcher", (Launcher,), {"supervisor": supervisor, "file": file, "bags": [], "open_bags": {}})
        self.failure: BaseException | None = None
        self.node: Launcher | None = None
        self.executor: Executor | None = None
        made = threading.Event()

        def run() -> None:
            try:
                with Executor([Spec(cls, NAME)], domain=domain) as executor:
                    executor.start()
                    self.executor = executor
                    node = executor.hosts[0].node
                    assert isinstance(node, Launcher)
                    self.node = node
                    made.set()
                    executor.run()
            except Failed as error:
                sys.stderr.write(f"the launch is off the bus: {error}\n")
            except BaseException as error:
                self.failure = error
            finally:
                made.set()

        self.thread = threading.Thread(target=run, name="bus", daemon=True)
        self.thread.start()
        made.wait()
        if self.failure is not None:
            raise self.failure

    def tell(self, event: Event) -> None:
        """Hand an event to the node; when it is stuck, the event is on the screen and in the log file all the same."""
        if self.node is not None and self.thread.is_alive():
            with contextlib.suppress(queue.Full):
                self.node.submit(self.node.on_event, event)

    def close(self) -> None:
        if self.executor is not None:
            self.executor.stop()
        self.thread.join(2.0)


class Screen:
    """What the user sees of a launch; a process that owns the terminal has it alone while it runs."""

    def __init__(self, domain: str) -> None:
        self.log = LogFile(str(log_path(domain, NAME)))
        self.colour = sys.stdout.isatty()

    def show(self, supervisor: Supervisor, event: Event) -> None:
        if event.kind == "line":
            name = f"\x1b[2m{event.process}\x1b[0m" if self.colour else event.process
            text = f"{name} | {event.text}"
        else:
            text = " ".join(w for w in (event.process, WORDS[event.kind], event.text) if w)
            self.log.write([text.encode()])
            if event.kind in QUIET:
                return
        if not any(c.job.settings.terminal and c.alive for c in supervisor.children.values()):
            self.say(text)

    def say(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()


WORDS: Mapping[str, str] = {
    "started": "starts",
    "ready": "is ready",
    "died": "died:",
    "hung": "hangs:",
    "failed": "FAILED:",
    "ended": "ended:",
    "all_ready": "",
}
QUIET = frozenset({"started", "ready", "ended"})
"""only in the log file and on the bus"""


def bring_up(plan: Plan, domain: str) -> int:
    """Run a plan until it has ended, or Ctrl-C; the exit code.

    Raises:
        NameTaken: the domain has a launch already.
    """
    screen = Screen(domain)
    bus: BusThread | None = None

    def told(event: Event) -> None:
        screen.show(supervisor, event)
        if event.kind != "line" and bus is not None:
            bus.tell(event)

    command = [sys.executable, "-P", "-m", "bus.janitor", str(runtime_root()), domain]
    # a process group of its own, so that Ctrl-C on the terminal does not reach it
    janitor = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0)
    assert janitor.stdin is not None
    environment, kept = child_environment(domain, plan.file), [janitor.stdin.fileno()]
    supervisor = Supervisor(jobs(plan, domain), environment=environment, on_event=told, kept=kept)

    def on_signal(number: int, frame: object) -> None:
        # the same wish twice within moments (`timeout` asks the child and its group) is not impatience
        again = supervisor.ending and time.monotonic() - supervisor.ending_s > TWICE_S
        supervisor.ask("kill" if again else "end", signal.Signals(number).name)

    before = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    began_s = time.monotonic()
    try:
        bus = BusThread(supervisor, str(plan.file), domain)
        measured_s = 0.0
        while supervisor.step(0.5):
            if time.monotonic() - measured_s >= 1.0:
                measured_s = time.monotonic()
                supervisor.measure()
        since_s = supervisor.ending_s or time.monotonic()
    finally:
        supervisor.close()
        if bus is not None:
            bus.close()
        janitor.kill()  # whoever leaves last in good order has removed the folder
        janitor.communicate()
        for number, handler in before.items():
            signal.signal(number, handler)
    bags = bus.node.all_bags() if bus.node is not None else []
    return _epilogue(screen, supervisor, domain, bags, time.monotonic() - since_s, time.monotonic() - began_s)


def _epilogue(screen: Screen, supervisor: Supervisor, domain: str, bags: list[str], took_s: float, ran_s: float) -> int:
    """What happened, in a line or a few."""
    children = supervisor.children.values()
    why = "" if not supervisor.ending else f" ({supervisor.ending})"
    screen.say(f"ended{why}: {len(children)} processes gone in {took_s:.1f} s after {ran_s:.0f} s")
    failed = [c for c in children if c.state is ProcessState.FAILED]
    elsewhere = "" if domain == "default" else f" --domain {domain}"  # what is pasted must reach this cell
    for child in children:
        # SIGTERM: asked to end before it was ready
        if child.restarts or child in failed or (child.last_exit.startswith("SIG") and child.last_exit != "SIGTERM"):
            times = f"restarted {child.restarts} times, " if child.restarts else ""
            screen.say(f"  {child.job.name}: {times}last {child.last_exit}; see rise logs {child.job.name}{elsewhere}")
    for bag in bags:
        screen.say(f"bag: {bag}")
    screen.say(f"logs: {log_path(domain, NAME).parent}")
    return 1 if failed else 0
