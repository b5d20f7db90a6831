"""Text that may be said: in an error, a log line, a message on the bus. Imports next to nothing: tools start fast."""

from __future__ import annotations

from reprlib import Repr

MOST = 600
"""characters: what a stranger sent is quoted in an error, and may be megabytes"""


def sayable(text: str, most: int = MOST) -> str:
    """`text` cut in the middle to about `most` characters, with escapes for what is no UTF-8 (half a surrogate pair).

    >>> sayable("a" * 100, 20), sayable("\\udc80")
    ('aaaaaaaaaa ... aaaaaaaaaa', '\\\\udc80')
    """
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[-(most // 2) :]}"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


_short = Repr()
"""writes no more of a list of millions than is shown: all of it would take seconds"""
_short.maxlevel = 3
_short.maxstring = _short.maxother = _short.maxlong = 200


def shown(value: object, most: int = 80) -> str:
    """A value as Python writes it, in short."""
    try:
        text = _short.repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number of more digits than Python writes
        text = f"<{type(value).__name__}>"
    return sayable(text, most)
