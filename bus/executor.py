"""One or several nodes on one thread of a process: they come up, publish, hear, and go down together."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from bus import frame
from bus.clock import Clock, SimClock, WallClock
from bus.diagnostics import diagnostics
from bus.discovery import Directory, Entry, Registration, ServiceEntry, TopicEntry
from bus.durable.keeping import Keeping
from bus.durable.logs import Logs
from bus.durable.readers import Readers
from bus.durable.syncer import Syncer
from bus.entry import EVERYTHING
from bus.host import Host, Spec
from bus.inbox import Feed, Item, TapInbox
from bus.intake import Intake
from bus.logs import state_root
from bus.loop import Loop
from bus.node import EVERY, Synced
from bus.outlet import Outlet
from bus.peers import Peers
from bus.services import Caller, Desk
from bus.target import target_of
from bus.timers import Follower, Timers
from bus.trace import TraceWriter
from bus.transport import Transport
from bus.upkeep import Upkeep
from schemas import topics
from schemas.base import Message, Service, Topic
from schemas.grammar import definition, type_hash
from schemas.machine import ConditionLevel
from schemas.system import LogLevel

READY_WITHIN_NS = 2_000_000_000
TRACE_EVERY_S = 0.1


class Failed(RuntimeError):
    """A node's callbacks kept failing, so its process ends; the supervisor decides what then."""


class Executor:
    """Runs nodes on a live domain.

    Args:
        specs: the nodes; more than one is a composition: messages and calls between them go by reference.
        domain: default `$RISE_DOMAIN`, else "default".
        clock: "wall", or "sim" to follow /clock.
        beat: called once a second from the loop, for whoever watches this process.
        durable: keep the logs of DURABLE topics, cursors in them, and the values of topics with `persist=True`; False
            for whoever only looks on, or plays back.

    Raises:
        NameTaken: a living node has one of the names.
        BadParameter: a parameter that the node does not have or that does not fit.
    """

    def __init__(
        self, specs: Sequence[Spec], *, domain: str | None = None, clock: str = "wall", tcp_host: str | None = None,
        directory: Directory | None = None, beat: Callable[[], None] | None = None, durable: bool = True,
    ) -> None:  # fmt: skip
        self.monotonic_ns = time.monotonic_ns
        self.thread = threading.get_ident()
        self.directory = directory or Directory(domain)
        self.anchor_ns = self.directory.anchor_ns()
        self.clock: Clock = WallClock(self.anchor_ns) if clock == "wall" else SimClock()
        pub_path, rpc_path, lane_path = (self.directory.socket_path() for _ in range(3))
        self.lanes = os.environ.get("RISE_LANES", "1") != "0"
        """whether this process offers and takes the short way between processes of one host"""
        self.socket_name = pub_path.rsplit("/", 1)[-1]
        self.worker_counts: dict[tuple[str, str], list[int]] = {}
        self.own_feeds: dict[tuple[int, str], Feed] = {}
        self.not_answered: list[str] = []
        """publishers and listeners that were there at the start and did not answer in time"""
        self.timers = Timers()
        self.after = self.timers.after
        self._follower: Follower | None = None
        self._failure: str | None = None
        self._started = False
        self._upkeep = Upkeep(self, beat)
        self._registrations: list[Registration] = []
        state = state_root() / self.directory.domain
        self.syncer = Syncer()
        self.logs = Logs(state, self.syncer) if durable else None
        self.keeping = Keeping(state, self.syncer) if durable else None
        self.readers = Readers(self, state if durable else None)
        self.hosts = [Host(self, spec, self.clock) for spec in specs]
        self.called = {name for h in self.hosts for _, name in h.calls()}
        self.published_names = {name for h in self.hosts for _, name in h.publishes()}
        self.transport = Transport(pub_path, rpc_path, lane_path=lane_path if self.lanes else None, tcp_host=tcp_host)
        self.loop = Loop(self.transport, self.timers, self.hosts)
        self.peers = Peers(self)
        self.intake = Intake(self)
        self.caller = Caller(self)
        self.desk = Desk(self)
        self.transport.hear(
            frames=self.intake.take, subscription=self.peers.on_subscription, request=self._on_control,
            reply=lambda data: self._on_control(None, data), bad=self.intake.bad,
        )  # fmt: skip
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    # --- coming up -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        for host in self.hosts:
            self.desk.add(host)
            for subscription in host.node.interface.subscriptions:
                inbox = self.readers.inbox(host, subscription)
                host.inboxes.append(inbox)
                self.peers.add_inbox(inbox, host.resolve(subscription.topic.name, subscription.namespace))
            for tap in host.node.interface.taps:
                tapped = TapInbox(host, tap)
                host.taps.append(tapped)
                self.peers.add_tap(tapped)
        rests_s = [min((t.tap.rest_s for t in h.taps), default=0.0) for h in self.hosts]
        self.loop.rest_ns = int(min(rests_s, default=0.0) * 1e9)
        again: list[tuple[Host, Topic[Any], str]] = []
        for host in self.hosts:
            for topic, name in host.publishes():
                if not name.startswith(f"{EVERY}/"):
                    self._open_outlet(host, topic, name)
                elif topic.persist and self.keeping is not None:
                    again += [(host, topic, full) for full in self.keeping.names(host, name[2:])]
        if isinstance(self.clock, SimClock):
            self._follower = Follower(self, self.clock)
            self.peers.add_inbox(self._follower, "clock")  # type: ignore[arg-type] # has what a route asks of an inbox
        self.directory.watch()
        for host in self.hosts:
            self._registrations.append(self.directory.register(self._entry(host)))
        for each in again:  # what an earlier life has said in namespaces that this one has not spoken in yet
            self._open_outlet(*each)
        self.transport.watch(self.directory.fileno(), self.peers.refresh)
        if self.directory.degraded:
            self.hosts[0].report("no_inotify", ConditionLevel.WARNING, self.directory.degraded)
        self.peers.start({h.publisher_id for h in self.hosts})

    def _entry(self, host: Host) -> Entry:
        definitions: dict[str, dict[str, Any]] = {}

        def hashed(kind: type[Message]) -> str:
            found = type_hash(kind)
            definitions.setdefault(found, definition(kind))
            return found

        def topic_entry(topic: Topic[Any], name: str) -> TopicEntry:
            return TopicEntry(name, topic.type.__name__, hashed(topic.type), topic.qos.name, topic.key)

        def service_entry(s: Service[Any, Any], name: str) -> ServiceEntry:
            return ServiceEntry(
                name, s.request.__name__, hashed(s.request), s.reply.__name__, hashed(s.reply), s.acts_on_machine,
                s.idempotent,
            )  # fmt: skip

        heard = [topic_entry(t, n) for t, n in host.subscribes()]
        if host.taps:
            heard.append(TopicEntry(EVERYTHING, "", "", ""))
        cls = type(host.node)
        return Entry(
            name=host.name, namespace=host.namespace, target=target_of(cls), pid=os.getpid(),
            host=socket.gethostname(), publisher_id=host.publisher_id, started_ns=self.now_ns(),
            clock="wall" if isinstance(self.clock, WallClock) else "sim", composed=tuple(h.name for h in self.hosts),
            pub=self.transport.pub_endpoints, rpc=self.transport.rpc_endpoints,
            publishes=tuple(topic_entry(t, n) for t, n in host.publishes()), subscribes=tuple(heard),
            serves=tuple(service_entry(s, n) for s, n in host.serves()),
            calls=tuple(service_entry(s, n) for s, n in host.calls()),
            parameters={n: host.node.__dict__[n] for n in host.node.interface.parameters},
            remappings=dict(host.spec.remappings), definitions=definitions,
        )  # fmt: skip

    def start(self) -> None:
        """Meet everybody who is there (at most 2 s), configure the nodes, say that they are ready."""
        if self._started:
            return
        self._started = True
        deadline_ns = self.monotonic_ns() + READY_WITHIN_NS
        loop, peers = self.loop, self.peers
        while self.monotonic_ns() < deadline_ns and not loop.stopping and (peers.unsynced() or peers.unheard()):
            loop.round(dispatch=False, until_ns=deadline_ns)
        self.not_answered = sorted({*self.peers.unsynced(), *self.peers.unheard()})
        self.start_traces()
        for feed in self.own_feeds.values():  # as by socket: whoever is there is silent from now on
            feed.heard_mono_ns = self.monotonic_ns()
            if feed.link is None:
                self.intake.tell(feed.topic, Synced(feed.source(1)))
        for host in self.hosts:
            host.configure()
        self.readers.start()
        if self._failure is None and any("callback_failed" in h.findings for h in self.hosts):
            self._failure = "on_configure failed"
            return
        for host in self.hosts:
            for timer in host.node.interface.timers:
                (self._follower or self.timers).add(host, timer)
            host.start_workers()
        for topic, deadline_s in self._judged().items():
            self.timers.every(deadline_s / 2, partial(self.intake.check_silence, topic, deadline_s))
        self.timers.every(1.0, self._upkeep.each_second)
        for i, registration in enumerate(self._registrations):
            registration.update(replace(registration.entry, ready=True))
            self.diagnose(self.hosts[i])

    def _judged(self) -> dict[str, float]:
        """The shortest deadline of every topic whose silence some node handles."""
        judged: dict[str, float] = {}
        for host in self.hosts:
            for s in host.node.interface.subscriptions:
                if s.topic.deadline_s is not None and host.node.interface.handles_silence(s.topic):
                    name = host.resolve(s.topic.name, s.namespace)
                    judged[name] = min(judged.get(name, s.topic.deadline_s), s.topic.deadline_s)
        return judged

    def start_traces(self) -> None:
        """Trace the nodes whose trace somebody records, from now on."""
        if not self._started:
            return
        for host in self.hosts:
            outlet = host.outlets[host.resolve(topics.NODE_TRACE.name)]
            if host.trace is None and (outlet.interest or (host.publisher_id, outlet.full_name) in self.own_feeds):
                host.trace = TraceWriter(host.parameters_json)
                self.timers.every(TRACE_EVERY_S, partial(self.flush_trace, host))

    def flush_trace(self, host: Host) -> None:
        block = host.trace.take() if host.trace is not None else None
        if block is not None:
            self.publish(host, topics.NODE_TRACE, host.resolve(topics.NODE_TRACE.name), block)

    # --- time ------------------------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        return self.monotonic_ns() + self.anchor_ns

    # --- publishing ------------------------------------------------------------------------------------------------

    def _open_outlet(self, host: Host, topic: Topic[Any], full_name: str) -> Outlet:
        log = self.logs.open(host, full_name) if topic.qos.logged and self.logs is not None else None
        outlet = host.outlets[full_name] = Outlet(topic, full_name, host.publisher_id, log)
        outlet.interest = self.peers.wanted_elsewhere(outlet.prefix)
        route = self.peers.wants(full_name, topic.type.__name__)
        if route is not None and (route.inboxes or route.taps):
            outlet.feed = self.own_feeds[host.publisher_id, full_name] = Feed(
                host.name, full_name, host.publisher_id, qos=topic.qos.name, type_name=topic.type.__name__,
                type_hash=type_hash(topic.type), route=route, link=None,
            )  # fmt: skip
            if log is not None and log.log_id:
                self.readers.own(outlet.feed, outlet)
        if full_name not in self.published_names:
            self.published_names.add(full_name)
            self._announce(host, topic, full_name)
        if topic.persist and self.keeping is not None:
            for item in self.keeping.open(host, outlet, self.monotonic_ns()):
                self.intake.put_own(item.feed, item)
        return outlet

    def _announce(self, host: Host, topic: Topic[Any], full_name: str) -> None:
        """A name computed at run time, within a declared pattern, becomes known to the others."""
        for registration in self._registrations:
            entry = registration.entry
            if entry.name == host.name:
                new = TopicEntry(full_name, topic.type.__name__, type_hash(topic.type), topic.qos.name, topic.key)
                registration.update(replace(entry, publishes=(*entry.publishes, new)))

    def publish(self, host: Host, topic: Topic[Any], full_name: str, message: Message) -> None:
        """Number a message, queue it for the nodes here, send it to those elsewhere."""
        outlet = host.outlets.get(full_name)
        if outlet is None:
            outlet = self._open_outlet(host, topic, full_name)
        mono_ns = self.monotonic_ns()
        wall_ns = self.clock.now_ns()
        frames = outlet.publish(message, mono_ns, wall_ns)
        feed = outlet.feed
        if feed is not None:
            if feed.link is None:
                feed.counts.received += 1
            feed.heard_mono_ns = mono_ns
            feed.stale = False
            item = Item(feed, outlet.seq, mono_ns, wall_ns, None, None, message)
            if topic.qos.repaired:
                self.intake.put_own(feed, item)
            else:
                feed.route.put(item, wall_ns)
        if frames is not None:
            self.transport.send(outlet.prefix, *frames)
            if topic.qos.repaired:
                self._upkeep.published(mono_ns)

    # --- the loop --------------------------------------------------------------------------------------------------

    def spin(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Run until a condition holds; False when it does not in time."""
        self.start()
        ends_ns = self.monotonic_ns() + int(timeout_s * 1e9)
        while not until():
            if self.loop.stopping or self.monotonic_ns() >= ends_ns:
                return until()
            self.loop.round(until_ns=ends_ns)
        return True

    def run(self) -> None:
        """Run until `stop`.

        Raises:
            Failed: callbacks kept failing, or on_configure did.
        """
        self.start()
        while not self.loop.stopping and self._failure is None:
            self.loop.round()
        if self._failure is not None:
            raise Failed(self._failure)

    def stop(self) -> None:
        """End `run` after the current callback; from any thread or a signal handler."""
        self.loop.stopping = self.timers.stopped = True
        self.transport.wake()

    def entries(self) -> dict[str, Entry]:
        """Every living node by full name, those of this process included."""
        return {**self.peers.entries, **{r.entry.name: r.entry for r in self._registrations}}

    def fail(self, text: str) -> None:
        """End `run` after the current callback, with an error."""
        self._failure = text
        self.loop.stopping = self.timers.stopped = True

    def _on_control(self, identity: bytes | None, data: bytes) -> None:
        try:
            message = frame.decode_control(data)
            match message:
                case frame.Request() if identity is not None:
                    self.desk.on_request(identity, message)
                case frame.Repair() if identity is not None:
                    self.intake.on_repair(identity, message)
                case frame.Reply():
                    self.caller.on_reply(message)
                case frame.Repaired():
                    self.intake.on_repaired(message)
        except frame.BadFrame as error:
            self.intake.bad(str(error))

    def diagnose(self, host: Host) -> None:
        """Publish what is known of a node's health."""
        if self._started and self._registrations:
            self.publish(host, topics.DIAGNOSTICS, "diagnostics", diagnostics(host))

    # --- going down ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Say goodbye: stop workers, tell the nodes, let the last messages leave, then remove the entries."""
        if self._started:
            for host in self.hosts:
                host.shutdown()
            for host in self.hosts:
                self.flush_trace(host)
            self._upkeep.send_beacons()
            # what others still ask of us, such as a repair, is answered in the last moment
            self.transport.look()
            self.caller.close()
        for host in self.hosts:
            host.close()
        self.transport.unwatch(self.directory.fileno())
        self.transport.close()
        if self.syncer.stop():
            self.readers.close()
            if self.logs is not None:
                self.logs.close()
        for registration in self._registrations:
            registration.close()
        self.directory.close()

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def log_line(level: LogLevel, text: str) -> None:
    """A line on standard error from outside any node."""
    sys.stderr.write(f"{level.value:<7} {text}\n")
    sys.stderr.flush()
