"""What a machine's adapter or agent says: lines, documents, streams."""

from __future__ import annotations

from schemas.wire.shdr import Asset, Bad, Command, Condition, Decoder, Event, Kind, TimeSeries, Value, encode
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import LONGEST_TEXT, Target

KINDS = {"cond": Kind.CONDITION, "msg": Kind.MESSAGE, "vib": Kind.TIME_SERIES}
STAMP_NS = 1_659_966_694_716_714_600
SHDR_WORDS = (b"|", b"||||", b'"', b"\\|", b"\n", b"* PING", b"--multiline--", b"@ASSET@", b"NORMAL", b"\xef\xbb\xbf")


def shdr() -> Target:
    """Lines of an adapter in pieces as long as the first byte says; what is written of them is read the same again."""

    def run(data: bytes) -> None:
        piece, stream = (data[0] or 1, data[1:]) if data else (1, b"")
        decoder = Decoder(KINDS, line_max=500, asset_max=1000)
        found: list[Event] = []
        for n in range(0, len(stream), piece):
            found += decoder.receive(stream[n : n + piece])
        for event in found + decoder.close():
            if isinstance(event, Bad):
                assert 0 < len(event.text) < LONGEST_TEXT
                continue
            try:
                line = encode(event)
            except ValueError:  # a time that no calendar has
                continue
            text = event.text if isinstance(event, Value) else ""
            if isinstance(event, Value | TimeSeries) and "\n" not in text and not event.key.startswith("@"):
                (again,) = Decoder(KINDS).receive(line)
                assert repr(again) == repr(event) or event.key in KINDS, f"{again} for {event}"

    said = (
        Condition(STAMP_NS, "cond", "FAULT", "1", "2", "HIGH", "text"),
        Command("PONG", "10000"),
        TimeSeries(STAMP_NS, "vib", 1000.0, (1.0, 2.0)),
        Asset(STAMP_NS, "T1", "CuttingTool", "<a>\n</a>"),
    )
    lines = [
        b"\xef\xbb\xbf2022-08-08T13:51:34.7167146Z|avail|AVAILABLE|block||Srpm|8000\r\n",
        b'|block|"a\\|b"|line|7\n2022-08-08T13:51:34@0.5|mill:avg|3\n',
        b"".join([encode(event) for event in said]),
    ]
    return Target("shdr", run, (), [bytes((40,)) + line for line in lines], Grammar("bytes", head=1, words=SHDR_WORDS))
