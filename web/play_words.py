"""What is said on `/ws/bags/{name}`, where a bag is played to one page: all that `/ws` says (web/protocol.py), and

    {"op": "play", "speed": 1.0}                 go on from here; 0.1..32 times as fast as recorded
    {"op": "pause"}
    {"op": "seek", "at_ns": ...}                 wall time in the bag

The player answers, beside names and batches:

    {"op": "sought", "at_ns": ...}
        all that was said before is of another time: begin with nothing. Behind it come names, the latched values as
        they were, the events of the last minute and the signals of the last seconds up to `at_ns`. It comes after a
        seek, and after each change of subscriptions.
    {"op": "position", "at_ns": ..., "start_ns": ..., "end_ns": ..., "speed": 1.0, "paused": false, "slipped_s": 0.0}
        where it is, ten times a second. `slipped_s`: how much later than asked for it is, where the page or the
        computer is too slow: the player waits then, and nothing is lost.

A close code from 4000 on says that the same will be said again: the bag is none, or is gone.
"""

from __future__ import annotations

import msgspec

from web.protocol import BadRequest, Ping, Subscribe, Unsubscribe, check

SPEED_MIN, SPEED_MAX = 0.1, 32.0
NO_SUCH_BAG = 4404


class Play(msgspec.Struct, frozen=True, tag_field="op", tag="play", forbid_unknown_fields=True):
    """Go on from here."""

    speed: float = 1.0


class Pause(msgspec.Struct, frozen=True, tag_field="op", tag="pause", forbid_unknown_fields=True):
    """Stay where you are."""


class Seek(msgspec.Struct, frozen=True, tag_field="op", tag="seek", forbid_unknown_fields=True):
    """Go there."""

    at_ns: int


PlayRequest = Subscribe | Unsubscribe | Ping | Play | Pause | Seek
_requests = msgspec.msgpack.Decoder(PlayRequest)
_encode = msgspec.msgpack.Encoder().encode


def decode(data: bytes) -> PlayRequest:
    """A page's request.

    Raises:
        BadRequest: as of `/ws`; or a speed that is none.
    """
    request: PlayRequest = check(data, _requests)
    if isinstance(request, Play) and not SPEED_MIN <= request.speed <= SPEED_MAX:
        raise BadRequest(f"speed: expected {SPEED_MIN:g}..{SPEED_MAX:g}")
    return request


def sought(at_ns: int) -> bytes:
    return _encode({"op": "sought", "at_ns": at_ns})


def position(at_ns: int, start_ns: int, end_ns: int, *, speed: float, paused: bool, slipped_s: float) -> bytes:
    return _encode(
        {
            "op": "position", "at_ns": at_ns, "start_ns": start_ns, "end_ns": end_ns, "speed": speed,
            "paused": paused, "slipped_s": slipped_s,
        }
    )  # fmt: skip
