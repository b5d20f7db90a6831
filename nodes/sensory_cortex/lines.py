"""Lines of text out of a stream of bytes, none longer than a row may be."""

from __future__ import annotations

from nodes.sensory_cortex.rows import LONGEST_LINE


class LineCutter:
    """Cuts bytes into lines. Of one that is too long its beginning remains, long enough to be refused as a row."""

    def __init__(self) -> None:
        self._begun = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """The lines that end in these bytes."""
        *ended, begun = data.split(b"\n")
        lines: list[str] = []
        for piece in ended:
            self._add(piece)
            lines.append(self._begun.decode("utf-8", "replace"))
            self._begun.clear()
        self._add(begun)
        return lines

    def _add(self, piece: bytes) -> None:
        room = LONGEST_LINE + 1 - len(self._begun)
        if room > 0:
            self._begun += piece[:room]
