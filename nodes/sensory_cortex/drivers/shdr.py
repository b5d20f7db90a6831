"""An MTConnect adapter as a source: SHDR over TCP. It tells; it cannot be asked to hold or stop anything.

`* PING` goes out five times a second, so that a silent adapter is known to be lost within a second and an idle one to
be alive: its answer says that what was told still holds. The heartbeat that the adapter announces (`* PONG 10000`) says
when to hang up and connect anew: after twice that. One that knows no PING is alive as long as it tells something.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from bus.poll import readable
from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.drivers import Setting
from nodes.sensory_cortex.items import PORTS
from nodes.sensory_cortex.options import option
from nodes.sensory_cortex.orders import Do
from nodes.sensory_cortex.telling import CHUNK_BYTES, Telling, TellingOptions
from schemas.system import LogLevel
from schemas.wire.shdr import Command, encode

PING = encode(Command("PING"))
PING_NS = 200_000_000
PING_LEAST_NS = 50_000_000
MUTE_NS = 600_000_000_000
"""an adapter without a heartbeat may be silent for so long, as the C++ agent's legacy timeout has it"""
CONNECT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShdrOptions(TellingOptions):
    """What the reading of an adapter may be told."""

    ports: ClassVar[Mapping[str, int]] = PORTS["shdr"]

    address: str = option("", doc="shdr://HOST:PORT of the adapter")


class Shdr(Telling):
    """Reads one adapter."""

    Options = ShdrOptions

    def __init__(self, setting: Setting) -> None:
        """Raises ValueError: the options do not fit."""
        super().__init__(setting, "MTConnect adapter")
        self._ping_ns = 0
        self._heartbeat_ns = 0
        self._told_pong = self._hanging_up = False

    def opened(self, now_ns: int) -> None:
        self._ping_ns = now_ns
        self._heartbeat_ns = 0
        self._hanging_up = False

    def beat(self, now_ns: int) -> None:
        if now_ns >= self._ping_ns:
            self._ping_ns = now_ns + min(PING_NS, max(PING_LEAST_NS, self._heartbeat_ns // 2 or PING_NS))
            self.send(PING)
        patience_ns = 2 * self._heartbeat_ns or MUTE_NS
        if now_ns - self._heard_ns > patience_ns and not self._hanging_up:
            self._hanging_up = True
            self.hang_up(f"silent for {patience_ns / 1e9:g} s")

    def command(self, command: Command, now_ns: int) -> None:
        if command.name == "PONG":
            digits = command.argument
            if digits.isascii() and digits.isdigit() and 0 < int(digits[:9]) < 100_000_000:
                self._heartbeat_ns = int(digits[:9]) * 1_000_000
            elif not self._told_pong:
                self._told_pong = True
                self._setting.log(LogLevel.WARNING, f"{self._name}: no heartbeat in PONG {digits[:40]!r}")

    # --- the worker ---------------------------------------------------------------------------------------------------

    def read(self, end: threading.Event) -> Iterator[Chunk]:
        yield from self.paced(self._read(end), end)

    def _read(self, end: threading.Event) -> Iterator[Chunk]:
        with self.orders as woken:
            while not end.is_set():
                order = self.orders.wait(0.2)
                if order is None or order.do is not Do.CONNECT:
                    continue
                try:
                    with socket.create_connection((self._at.host, self._at.port), CONNECT_S) as line:
                        yield Chunk(kind=ChunkKind.LINK)
                        yield from self._talk(line, woken, end)
                except OSError as error:
                    yield Chunk(kind=ChunkKind.LINK, text=error.strerror or str(error) or type(error).__name__)

    def _talk(self, line: socket.socket, woken: int, end: threading.Event) -> Iterator[Chunk]:
        while not end.is_set():
            ready = readable((line.fileno(), woken), 0.2)
            if woken in ready:
                self.orders.seen()
                while (order := self.orders.get()) is not None:
                    if order.do is Do.CLOSE:
                        yield Chunk(kind=ChunkKind.LINK, text=order.data.decode())
                        return
                    if order.do is Do.SEND:
                        line.sendall(order.data)  # a line that takes nothing for a second is lost
            if line.fileno() in ready:
                data = line.recv(CHUNK_BYTES)
                if not data:
                    yield Chunk(kind=ChunkKind.LINK, text="the adapter hung up")
                    return
                yield Chunk(kind=ChunkKind.BYTES, payload=data)
