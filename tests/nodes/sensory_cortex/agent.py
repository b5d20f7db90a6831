"""An MTConnect agent for tests: a real HTTP server. In a thread, or as a process that can be stopped in its tracks:

python -P -m tests.nodes.sensory_cortex.agent    prints its port; an axis moves ten times a second
"""

from __future__ import annotations

import contextlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape, quoteattr

ITEMS = """
<Device id="d" name="mill" uuid="mill.1"><Description manufacturer="Test" model="M1"/><DataItems>
<DataItem id="a" name="avail" category="EVENT" type="AVAILABILITY"/></DataItems><Components>
<Axes id="ax"><Components>
<Linear id="x" name="X"><DataItems>
<DataItem id="xp" name="Xtrue" category="SAMPLE" type="POSITION" subType="ACTUAL" units="MILLIMETER"/>
<DataItem id="xl" category="SAMPLE" type="LOAD" units="PERCENT"/></DataItems></Linear>
<Rotary id="c" name="C"><DataItems>
<DataItem id="Sload" category="SAMPLE" type="LOAD" units="PERCENT"/></DataItems></Rotary></Components></Axes>
<Controller id="ctl"><Components><Path id="p" name="path"><DataItems>
<DataItem id="e" category="EVENT" type="EXECUTION"/>
<DataItem id="f" name="vel" category="SAMPLE" type="PATH_FEEDRATE" subType="ACTUAL" units="MILLIMETER/SECOND"/>
<DataItem id="n" category="EVENT" type="MESSAGE"/>
<DataItem id="s" name="logic" category="CONDITION" type="LOGIC_PROGRAM"/></DataItems></Path></Components></Controller>
</Components></Device>
"""
ROOT = 'MTConnectDevices xmlns="urn:mtconnect.org:MTConnectDevices:1.4"'
DEVICES = f"<{ROOT}>{{}}<Devices>{ITEMS}</Devices></MTConnectDevices>"
GROUPS = {"Position": "Samples", "Load": "Samples", "PathFeedrate": "Samples", "Message": "Events"}
CONDITIONS = ("Normal", "Warning", "Fault", "Unavailable")


class Agent:
    """Tells what it is told to tell; `buffer` observations at most can be asked for."""

    def __init__(self, *, buffer: int = 1000, port: int = 0, streams: bool = True) -> None:
        self.instance, self.buffer, self.streams = 1, buffer, streams
        self.asked: list[str] = []
        self._told: list[tuple[int, str, str]] = []
        self._next = 1
        self._ended = False
        self._news = threading.Condition()
        agent = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                agent._answer(self)

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def tell(self, item: str, tag: str, text: str, **attributes: str) -> None:
        """One observation: an element of a stream."""
        with self._news:
            words = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
            place = f'dataItemId="{item}" timestamp="2026-01-01T00:00:00.{self._next:06d}Z" sequence="{self._next}"'
            group = "Condition" if tag in CONDITIONS else GROUPS.get(tag, "Events")
            element = f"<{group}><{tag} {place}{words}>{escape(text)}</{tag}></{group}>"
            self._told = [*self._told, (self._next, item, element)][-self.buffer :]
            self._next += 1
            self._news.notify_all()

    def restart(self) -> None:
        """Begin anew, with nothing told."""
        with self._news:
            self.instance += 1
            self._told, self._next = [], 1
            self._news.notify_all()

    def close(self) -> None:
        with self._news:
            self._ended = True
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _header(self) -> str:
        first = self._told[0][0] if self._told else self._next
        return (
            f'<Header instanceId="{self.instance}" sender="test" version="1.4" bufferSize="{self.buffer}" '
            f'firstSequence="{first}" lastSequence="{self._next - 1}" nextSequence="{self._next}"/>'
        )

    def _document(self, told: list[tuple[int, str, str]]) -> bytes:
        body = "".join(element for _, _, element in told)
        stream = f'<DeviceStream name="mill" uuid="mill.1"><ComponentStream component="Path">{body}</ComponentStream>'
        root = 'MTConnectStreams xmlns="urn:mtconnect.org:MTConnectStreams:1.4"'
        return f"<{root}>{self._header()}<Streams>{stream}</DeviceStream></Streams></MTConnectStreams>".encode()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path, query = urlsplit(request.path).path, parse_qs(urlsplit(request.path).query)
        self.asked.append(request.path)
        with self._news:
            if path.endswith("/probe"):
                self._whole(request, DEVICES.format(self._header()).encode())
            elif path.endswith("/current"):
                self._whole(request, self._document(list({item: t for t in self._told for item in [t[1]]}.values())))
            elif not self._told or int(query["from"][0]) >= self._told[0][0]:
                following = int(query["from"][0])
                if self.streams:
                    self._stream(request, following, int(query["heartbeat"][0]) / 1000)
                else:
                    self._whole(request, self._document([t for t in self._told if t[0] >= following]))
            else:
                error = f'<Error errorCode="OUT_OF_RANGE">from is less than {self._told[0][0]}</Error>'
                self._whole(
                    request, f"<MTConnectError>{self._header()}<Errors>{error}</Errors></MTConnectError>".encode()
                )

    @staticmethod
    def _whole(request: BaseHTTPRequestHandler, body: bytes) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/xml")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _stream(self, request: BaseHTTPRequestHandler, following: int, heartbeat_s: float) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace;boundary=b0")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        with contextlib.suppress(OSError):
            while not self._ended:
                new = [t for t in self._told if t[0] >= following]
                following = self._next
                body = self._document(new)
                head = f"--b0\r\nContent-type: text/xml\r\nContent-length: {len(body)}\r\n\r\n".encode()
                part = head + body + b"\r\n"
                request.wfile.write(b"%x\r\n" % len(part) + part + b"\r\n")
                self._news.wait(heartbeat_s)
        request.close_connection = True


def main() -> None:
    agent = Agent()
    sys.stdout.write(f"{agent.port}\n")
    sys.stdout.flush()
    agent.tell("e", "Execution", "ACTIVE")
    pause = threading.Event()
    for n in count():
        agent.tell("xp", "Position", str(n))
        pause.wait(0.1)


if __name__ == "__main__":
    main()
