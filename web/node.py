"""Puts the hub on the bus: hears everything, hands it to the web server in the thread beside, calls services for it.

The web server's thread reaches this node by `submit` alone.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from bus.node import EVERY, Outcome, Raw, parameter, publisher, subscription, tap, timer
from schemas import topics
from schemas.base import Message, Service
from schemas.impact import Intervention, ReactionResult, Verdict
from schemas.machine import ConditionLevel, MotionEvent
from schemas.system import WebAddress
from web.desk import Desk, web_folder

if TYPE_CHECKING:
    from bus.entry import Entry
    from web.hub import Hub
    from web.people import People
    from web.serving import Serving

WHILE_SOMEBODY_LOOKS = frozenset({"SignalBlock", "SignalLevels", "Beat"})


class Live(Protocol):
    """What only a live bus can tell a node; a hub is never replayed."""

    domain: str

    def entries(self) -> Mapping[str, Entry]: ...
    def choose_again(self) -> None: ...


class FanucApi(Desk):
    """The web: live data by WebSocket, the API, the dashboard. On loopback unless told otherwise."""

    listen = parameter("127.0.0.1", doc="the address of this computer to listen on")
    port = parameter(8000, ge=0, le=65535, doc="a port that is taken is replaced by the next free one; 0: any")
    names = parameter((), doc="host names and addresses that people type, where `listen` is open to the network")
    certificate = parameter("", doc="the site's own TLS certificate, a PEM file; empty: one is made")
    certificate_key = parameter("", doc="its key, a PEM file that only this user may read")

    address = publisher(topics.WEB_ADDRESS)

    hub: Hub | None = None
    hears_signals = False
    serves: ClassVar[bool] = True
    """False where a web server of somebody else's serves the hub (web/alone.py)"""
    serving: Serving | None = None
    authority: People | None = None

    def on_configure(self) -> None:
        super().on_configure()
        if self.serving is not None:
            return  # the clock jumped back: clients stay
        # the web framework is imported here, so that a tool reads the interface without it
        from web.hub import Hub

        live = cast(Live, self.context)
        if self.hub is None:
            self.hub = Hub()
        self.hub.domain = live.domain
        self.hub.now_ns = self.now_ns
        self.hub.asks = self.ask
        self.hub.somebody_looks = self.look_now
        self.hub.node_seen_ns = self.now_ns()
        self.seen: Mapping[str, Entry] = {}
        self.look()
        if self.authority is not None:
            self.authority.take(self)
        if self.serves:
            self._serve(self.hub)

    def _serve(self, hub: Hub) -> None:
        from web.app import create_app
        from web.opening import opened
        from web.serving import Serving

        folder = web_folder(hub.domain)
        authority, certificate, typed = opened(
            folder, self.listen, tuple(self.names), self.certificate, self.certificate_key
        )
        authority.take(self)
        self.authority = authority
        tls = (certificate.path, certificate.key_path) if certificate is not None else None
        self.serving = Serving(create_app(hub, authority), self.listen, self.port, tls, typed)
        if certificate is not None:
            self.log.info(f"fingerprint of the certificate (SHA-256): {certificate.fingerprint}")
        url = self.serving.url + authority.url_key()
        if self.port and self.serving.port != self.port:
            self.log.warning(f"port {self.port} is taken: the dashboard is on port {self.serving.port}")
        self.log.info(f"the dashboard is at {self.serving.url}")
        self.address.publish(WebAddress(stamp_ns=self.now_ns(), url=self.serving.url, file=write_address(hub, url)))

    # --- what the web asks --------------------------------------------------------------------------------------------

    def ask(
        self, service: Service[Any, Any], full_name: str, request: Message, timeout_s: float
    ) -> Future[Outcome[Any]]:
        """Call a service, from the web's thread. Raises queue.Full when too much waits."""
        answer: Future[Outcome[Any]] = Future()

        def call() -> None:
            self.context.call(service, full_name, request, timeout_s, answer.set_result)

        self.submit(call)
        return answer

    def look_now(self) -> None:
        """Somebody looks, after nobody did; from the web's thread."""
        with contextlib.suppress(queue.Full):  # then within a second, by `check`
            self.submit(self.choose)

    # --- what is heard ------------------------------------------------------------------------------------------------

    def selects(self, topic: str, type_name: str) -> bool:
        """Everything but traces, and what tools of a moment say; signals while somebody looks."""
        if type_name in WHILE_SOMEBODY_LOOKS:
            return self.hears_signals
        return type_name != "TraceBlock" and not topic.startswith("_")

    def choose(self) -> None:
        """Hear signals from now on, or no more: a thousand blocks a second cost their machine, too."""
        assert self.hub is not None
        wanted = not self.hub.idle
        if wanted != self.hears_signals:
            self.hears_signals = wanted
            cast(Live, self.context).choose_again()

    @tap(select="selects", batch_s=0.02, rest_s=0.01)
    def on_batch(self, batch: list[Raw]) -> None:
        assert self.hub is not None
        self.look()  # first: what is behind a name is kept from its first message on
        self.hub.crossing.put(batch)

    @timer(0.5)
    def look(self) -> None:
        """Tell the hub who is there."""
        assert self.hub is not None
        found = cast(Live, self.context).entries()
        if found.keys() != self.seen.keys() or any(e is not self.seen[name] for name, e in found.items()):
            self.seen = dict(found)
            self.hub.crossing.call(self.hub.learn_entries, self.seen)

    @timer(1.0)
    def check(self) -> None:
        """Say that this node lives, and whether the web server and the crossing do."""
        assert self.hub is not None
        self.hub.node_seen_ns = self.now_ns()
        self.choose()
        if self.serving is not None and self.serving.failed:
            raise RuntimeError(f"the web server ended: {self.serving.failed}")
        if busy := self.hub.crossing.busy:
            text = f"{busy} messages came faster than the web server takes them; browsers are told which"
            self.report("hub_busy", ConditionLevel.WARNING, text)

    # what the log of a topic holds is read anew at each start: the hub keeps nothing of its own
    @subscription(topics.INTERVENTION, namespace=EVERY, cursor="from_the_beginning")
    def keep_intervention(self, said: Intervention) -> None:
        super().keep_intervention(said)
        self._keep("interventions", said)

    @subscription(topics.VERDICT, namespace=EVERY, cursor="from_the_beginning")
    def keep_verdict(self, said: Verdict) -> None:
        self._keep("verdicts", said)

    @subscription(topics.REACTION_RESULT, namespace=EVERY)
    def keep_reaction(self, said: ReactionResult) -> None:
        self._keep("reactions", said)

    @subscription(topics.MOTION, namespace=EVERY)
    def keep_motion(self, said: MotionEvent) -> None:
        self._keep("motion", said)

    def _keep(self, what: str, said: Message) -> None:
        assert self.hub is not None
        self.hub.crossing.call(self.hub.keep, what, self.source.namespace, said)

    def on_shutdown(self) -> None:
        if self.serving is not None and not self.serving.end():
            self.log.error("the web server did not end within 3 s")


FanucApi.default_name = "fanuc_api"


def write_address(hub: Hub, url: str) -> str:
    """Keep the address for whoever shows it on this computer; it may hold a key, so it travels by no message.

    Returns the path; empty when it could not be written.
    """
    import os

    from bus.logs import state_root

    path = state_root() / hub.domain / "web" / "address"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{url}\n")
    except OSError as error:
        hub.unreadable.append(f"{path}: {error.strerror}")
        return ""
    return str(path)
