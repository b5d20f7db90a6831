"""Wires the adapter to the bus: hears one machine, tells it to whoever is connected."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from bus.node import Gone, LinkEvent, Node, Stale, on_link, parameter, subscription, timer, worker
from nodes.shdr_adapter.clients import PeerEvent, PeerKind
from nodes.shdr_adapter.lines import Lines
from nodes.shdr_adapter.server import Post, Server
from schemas import topics
from schemas.machine import Alarm, ConditionLevel, CoolantState, MachineInfo, MachineState, SignalBlock, Signals
from schemas.wire.shdr import Command, encode


class ShdrAdapter(Node):
    """Serves the machine of its namespace as an SHDR adapter on a TCP port: state, readings, coolant, alarms.

    The protocol is for tens of values a second: of the 1 kHz samples the newest row goes out, `rate_hz` times a second;
    vibration does not. It only tells; nobody can act on the machine through it. There is no login: whoever reaches the
    port reads the machine, so it is loopback unless `host` says otherwise.
    """

    host = parameter("127.0.0.1", doc="IP address to listen on; beyond loopback only when this says so")
    port = parameter(7878, ge=0, le=65535, doc="TCP port; 0 is any that is free")
    rate_hz = parameter(10.0, unit="Hz", ge=0.1, le=50.0, doc="most rows of samples a second")
    heartbeat_ms = parameter(10_000, unit="ms", ge=100, le=60_000, doc="what PONG announces")

    @classmethod
    def mistakes(cls, parameters: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """A host that is no address."""
        try:
            ip_address(parameters["host"])
        except ValueError:
            yield "adapter-host", f"host: an IP address was expected, not {parameters['host']!r}"

    def on_configure(self) -> None:
        self.lines = Lines()
        self.listening = ""
        self.lost_lines = 0
        self._newest: dict[str, SignalBlock] = {}
        self._told_ns: dict[str, int] = {}
        self._lost_before: dict[int, int] = {}
        self._server = Server(self.host, self.port, encode(Command("PONG", str(self.heartbeat_ms))))

    # --- from the bus -------------------------------------------------------------------------------------------------

    @subscription(topics.MACHINE_STATE)
    def on_state(self, state: MachineState) -> None:
        self._tell(self.lines.fields(state))

    @on_link(topics.MACHINE_STATE)
    def on_state_link(self, event: LinkEvent) -> None:
        """A machine that is not heard of is UNAVAILABLE, whatever was told last."""
        if isinstance(event, Gone | Stale):
            self._tell(self.lines.gone(self.now_ns()))

    @subscription(topics.COOLANT)
    def on_coolant(self, state: CoolantState) -> None:
        self._tell(self.lines.fields(state))

    @subscription(topics.ALARM)
    def on_alarm(self, alarm: Alarm) -> None:
        self._tell(self.lines.alarm(alarm))

    @subscription(topics.SIGNALS)
    def on_signals(self, signals: Signals) -> None:
        self.lines.signals(signals)

    @subscription(topics.MACHINE_INFO)
    def on_info(self, info: MachineInfo) -> None:
        self._tell(self.lines.info(info, self.now_ns()))

    @subscription(topics.SAMPLES, batch_s=0.02)
    def on_samples(self, blocks: list[SignalBlock]) -> None:
        for block in blocks:
            self._newest[block.source] = block

    @on_link(topics.SAMPLES)
    def on_samples_link(self, event: LinkEvent) -> None:
        """A silent source is told by machine/info, in its own patience; a lost row is one of many that are left out."""

    @timer(0.02)
    def tell_rows(self) -> None:
        """The newest row of each source that is due."""
        now_ns = self.now_ns()
        for source, block in list(self._newest.items()):
            if now_ns - self._told_ns.get(source, 0) >= 1e9 / self.rate_hz:
                self._told_ns[source] = now_ns
                del self._newest[source]
                self._tell(self.lines.row(block))

    @timer(0.2)
    def pass_time(self) -> None:
        """So that the worker knows who is slow."""
        self._server.post(Post(self.now_ns()))

    def _tell(self, data: bytes) -> None:
        if data:
            self._server.post(Post(self.now_ns(), data))

    # --- clients ------------------------------------------------------------------------------------------------------

    @worker(depth=64)
    def serve(self, end: threading.Event) -> Iterator[PeerEvent]:
        """The sockets."""
        yield from self._server.run(end)

    @serve.received
    def on_peer(self, event: PeerEvent) -> None:
        match event.kind:
            case PeerKind.LISTENING:
                self.listening = event.text
                self.clear("adapter_port")
                open_to = "" if ip_address(self.host).is_loopback else ": whoever reaches it reads this machine"
                (self.log.warning if open_to else self.log.info)(f"SHDR adapter on {event.text}{open_to}")
            case PeerKind.FAILED:
                self.report("adapter_port", ConditionLevel.FAULT, f"cannot listen on {event.text}")
            case PeerKind.CAME | PeerKind.LOST_LINES:
                if event.kind is PeerKind.CAME:
                    self.log.info(f"{event.text} reads this machine")
                self._server.post(Post(self.now_ns(), self.lines.dump(), event.client))
            case PeerKind.LEFT:
                self.log.info(f"{event.text} left")
            case PeerKind.CUT:
                self.log.warning(f"{event.text} took nothing for seconds and was cut off")
            case PeerKind.REFUSED:
                self.log.warning(f"{event.text} was refused: there are too many clients")
        self._count(event)

    def _count(self, event: PeerEvent) -> None:
        """Lines that a slow client did not get."""
        before = self._lost_before.get(event.client, 0)
        self.lost_lines += event.lost_lines - before
        if event.kind in (PeerKind.LEFT, PeerKind.CUT):
            self._lost_before.pop(event.client, None)
        elif event.lost_lines:
            self._lost_before[event.client] = event.lost_lines
        if event.lost_lines > before:
            text = f"{self.lost_lines} lines left out for slow clients, the last {event.text}: told everything anew"
            self.report("slow_client", ConditionLevel.WARNING, text)
