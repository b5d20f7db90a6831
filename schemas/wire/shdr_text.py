"""The text of SHDR: fields and their quotes, times, data sets; see shdr.py."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache

MULTILINE = "--multiline--"
TEXT_MAX = 120
"""characters of a bad line that its error repeats"""


def shown(text: str | bytes) -> str:
    cut = text[:TEXT_MAX]
    return repr(cut if isinstance(cut, str) else cut.decode("utf-8", "replace")) + (
        "..." if len(text) > TEXT_MAX else ""
    )


# --- fields -----------------------------------------------------------------------------------------------------------

_QUOTED = re.compile(r'\s*"((?:[^"\\|]|\\.)*)"\s*(\||$)')
_ESCAPED = re.compile(r"\\(.)")


def fields(line: str) -> list[str]:
    """The fields of a line, blanks around them off; `"a\\|b"` is one field, and only in quotes is `\\` special."""
    if '"' not in line:
        return [field.strip() for field in line.split("|")]
    out: list[str] = []
    at = 0
    while True:
        quoted = _QUOTED.match(line, at)
        if quoted:
            out.append(_ESCAPED.sub(r"\1", quoted[1]))
            if not quoted[2]:
                return out
            at = quoted.end()
            continue
        end = line.find("|", at)
        if end < 0:
            out.append(line[at:].strip())
            return out
        out.append(line[at:end].strip())
        at = end + 1


def field(text: str) -> str:
    """As it stands in a line; an end of line cannot, and becomes a blank."""
    if any(c in text for c in "\r\n"):
        text = " ".join(re.split("[\r\n]+", text))
    if "|" in text or text.startswith('"') or MULTILINE in text or text != text.strip():
        quoted = re.sub(r'([|"\\])', r"\\\1", text).replace(MULTILINE, "-\\" + MULTILINE[1:])
        return f'"{quoted}"'
    return text


# --- time -------------------------------------------------------------------------------------------------------------

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?:Z|([+-])(\d\d):?(\d\d))?$", re.ASCII)
_RELATIVE = re.compile(r"[+-]?\d+(\.\d*)?$", re.ASCII)


@lru_cache(64)
def _minute_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def parse_time(text: str) -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 time (UTC unless it says another zone), of any number of fraction digits.

    None where there is none: an empty field, or a count of milliseconds from a moment that only the adapter knows.

    Raises:
        ValueError: it is neither.
    """
    found = _TIME.match(text)
    if found is None:
        if not text or _RELATIVE.match(text):
            return None
        raise ValueError(f"no time: {shown(text)}")
    minute, second, fraction, sign, hours, minutes = found.groups()
    try:
        ns = _minute_ns(minute)
    except (ValueError, OverflowError):
        raise ValueError(f"no time: {shown(text)}") from None
    ns += int(second or 0) * 1_000_000_000 + int((fraction or "0")[:9].ljust(9, "0"))
    if sign:
        ns -= (1 if sign == "+" else -1) * (int(hours) * 60 + int(minutes)) * 60_000_000_000
    return ns


def format_time(stamp_ns: int | None) -> str:
    """Microseconds where they say it all, else nanoseconds; empty for None."""
    if stamp_ns is None:
        return ""
    seconds, ns = divmod(stamp_ns, 1_000_000_000)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole.rjust(19, '0')}.{ns // 1000:06d}Z" if ns % 1000 == 0 else f"{whole.rjust(19, '0')}.{ns:09d}Z"


def parse_duration(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"no duration: {shown(text)}")
    return found


# --- data sets --------------------------------------------------------------------------------------------------------

_ENTRY = re.compile(r"""\s*([^\s=]+)(?:=(?:\{([^}]*)\}|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\S*)))?(?:\s+|$)""")


def data_set(text: str) -> dict[str, str | None]:
    """The entries of a data set, `a=1 b={x y} c`; None takes an entry out. A reset trigger (`:MANUAL`) is left out.

    Raises:
        ValueError: something in it is no entry.
    """
    text = re.sub(r"^\s*:\S*", "", text).strip()
    out: dict[str, str | None] = {}
    at = 0
    while at < len(text):
        found = _ENTRY.match(text, at)
        if found is None:
            raise ValueError(f"no entry of a data set: {shown(text[at:])}")
        key, braced, double, single, plain = found.groups()
        quoted = double if double is not None else single
        out[key] = _ESCAPED.sub(r"\1", quoted) if quoted is not None else braced if braced is not None else plain
        at = found.end()
    return out
