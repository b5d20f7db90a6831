"""The last rows of one source, in one piece: evidence of a reaction, and what the assessment looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


class Memory:
    """Keeps at least the last `keep` rows, and of a larger block all of it.

    Rows are written one after another into a buffer several times as long; at its end the kept ones move to its
    front, so that any stretch of them is one slice.
    """

    def __init__(self, columns: int, keep: int) -> None:
        self.keep = keep
        self._buffer: Rows = np.empty((8 * keep, columns), dtype=np.float32)
        self._end = 0
        self._first = 0

    def __len__(self) -> int:
        return self._end - self._first

    def clear(self) -> None:
        self._first = self._end

    def add(self, rows: NDArray[Any]) -> None:
        n = len(rows)
        end, buffer = self._end + n, self._buffer
        if end > len(buffer):
            kept = self.last(self.keep).copy()
            if len(kept) + n > len(buffer):
                self._buffer = buffer = np.empty((2 * (self.keep + n), buffer.shape[1]), dtype=np.float32)
            buffer[: len(kept)] = kept
            self._first, end = 0, len(kept) + n
        buffer[end - n : end] = rows
        self._end = end

    def last(self, rows: int, back: int = 0) -> Rows:
        """The last `rows` rows up to the one `back` rows before the newest; a view, good until the next `add`."""
        end = max(self._first, self._end - back)
        return self._buffer[max(self._first, end - rows) : end]
