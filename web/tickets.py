"""The ERP's ticket, verified without the ERP: what Django's `TimestampSigner.sign_object` writes.

    <base64url of JSON>:<seconds since 1970 in base 62>:<base64url of HMAC-SHA256>

The key of the HMAC is SHA256(salt + "signer" + secret). Values in, values out; Django is not imported.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import zlib
from collections.abc import Sequence
from typing import Any

from schemas.sayable import shown

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MAX_TICKET_CHARS = 4096
MAX_OBJECT_BYTES = 65_536
AHEAD_S = 60
"""a ticket of a clock that is so far ahead is still taken"""


class BadTicket(ValueError):
    """A ticket that the ERP did not write, or that is too old."""


def read_ticket(ticket: str, secrets: Sequence[str], salt: str, *, now_s: float, max_age_s: float) -> Any:
    """What the ERP signed, and since when it is so: `(object, signed_s)`.

    Args:
        secrets: the secret that is in use, then those that were.

    Raises:
        BadTicket: another's signature, too old, or no ticket at all.
    """
    if len(ticket) > MAX_TICKET_CHARS or not ticket.isascii():
        raise BadTicket("this is no ticket")
    value, _, signature = ticket.rpartition(":")
    if not value or not any(hmac.compare_digest(signature, sign(value, secret, salt)) for secret in secrets if secret):
        raise BadTicket("the ticket was not signed by this shop's ERP")
    packed, _, stamp = value.rpartition(":")
    signed_s = _base62(stamp)
    age_s = now_s - signed_s
    if age_s > max_age_s:
        raise BadTicket(f"the ticket is {age_s:.0f} s old; it is good for {max_age_s:.0f} s")
    if age_s < -AHEAD_S:
        raise BadTicket(f"the ticket is {-age_s:.0f} s from the future: compare the clocks of the ERP and of this host")
    return _unpacked(packed), signed_s


def sign(value: str, secret: str, salt: str) -> str:
    """The signature of `value`, as Django's Signer makes it."""
    key = hashlib.sha256(f"{salt}signer{secret}".encode()).digest()
    digest = hmac.new(key, value.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _base62(text: str) -> int:
    if not text or len(text) > 12:
        raise BadTicket(f"{shown(text)} is no time stamp")
    number = 0
    for letter in text:
        digit = ALPHABET.find(letter)
        if digit < 0:
            raise BadTicket(f"{shown(text)} is no time stamp")
        number = number * 62 + digit
    return number


def _unpacked(packed: str) -> Any:
    """The object; one that was compressed begins with a dot."""
    body = packed.removeprefix(".")
    try:
        data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        if packed.startswith("."):
            inflate = zlib.decompressobj()
            data = inflate.decompress(data, MAX_OBJECT_BYTES)
            if inflate.unconsumed_tail:
                raise BadTicket(f"the ticket holds more than {MAX_OBJECT_BYTES} bytes")
        return json.loads(data.decode("latin-1"))
    except (binascii.Error, zlib.error, ValueError, RecursionError) as error:
        raise BadTicket(f"the ticket does not hold what it should: {error}") from None
