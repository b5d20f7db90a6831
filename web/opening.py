"""Opening the hub: on loopback at once, to the network only with users and TLS."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from web.origin import LOOPBACK
from web.people import People
from web.private import NotPrivate
from web.serving import CannotListen, is_loopback
from web.tls import Certificate, closed, given_certificate, own_certificate

SIOCGIFADDR = 0x8915
IF_INET6 = Path("/proc/net/if_inet6")


class Opened(NamedTuple):
    people: People
    """who is let in"""
    certificate: Certificate | None
    """to serve with; None on loopback"""
    typed: str
    """the name or address that the printed URL says: one that can be typed elsewhere"""


def opened(
    folder: Path, listen: str, names: tuple[str, ...], certificate: str, certificate_key: str
) -> Opened:  # fmt: skip
    """The door at `listen`.

    Args:
        names: what people type beside the address itself; where `listen` is every address, those of this computer as
            they are now count, too.
        certificate: the site's own, with its key; empty: one is made.

    Raises:
        CannotListen: why it may not be opened.
    """
    if is_loopback(listen):
        return Opened(People(folder, names={*LOOPBACK, *names}), None, listen)
    typed = [*(name.lower() for name in names), *(own_addresses() if _is_any(listen) else [listen.lower()])]
    if not typed:
        raise CannotListen(f"listen={listen} is every address, and this computer has none but loopback: say `names`")
    ours = {*LOOPBACK, socket.gethostname().lower(), *typed}
    people = People(folder, names=ours)
    people.look_needs_login = True
    try:
        users = len(people.users.read())
        made: Certificate | None = None
        if certificate or certificate_key:
            made = given_certificate(Path(certificate), Path(certificate_key))
        elif users:
            made = own_certificate(folder, ours)
    except NotPrivate as error:
        raise CannotListen(f"listen={listen}: {error}") from None
    if why := closed(listen, users=users, certificate=made):
        raise CannotListen(why)
    return Opened(people, made, typed[0] if _is_any(listen) else listen)


def own_addresses() -> list[str]:
    """The addresses of this computer that another one can type: IPv4 first, none of loopback or of one link only."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has no such address
                said = fcntl.ioctl(asking, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                found.append(socket.inet_ntoa(said[20:24]))
    with contextlib.suppress(OSError):  # no IPv6
        found += [
            str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in IF_INET6.read_text().splitlines()
        ]
    addresses = [ipaddress.ip_address(address) for address in found]
    return [str(a) for a in addresses if not (a.is_loopback or a.is_link_local or a.is_unspecified)]


def _is_any(listen: str) -> bool:
    try:
        return ipaddress.ip_address(listen).is_unspecified
    except ValueError:
        return False
