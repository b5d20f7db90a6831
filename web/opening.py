"""Opening the hub: on loopback at once, to the network only with users and TLS."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

from web.origin import LOOPBACK
from web.people import People
from web.private import NotPrivate
from web.serving import CannotListen, is_loopback
from web.tls import Certificate, closed, given_certificate, own_certificate


def opened(
    folder: Path, listen: str, names: tuple[str, ...], certificate: str, certificate_key: str
) -> tuple[People, Certificate | None]:
    """Who is let in at `listen`, and the certificate to serve with; None on loopback.

    Args:
        names: what people type beside the address itself.
        certificate: the site's own, with its key; empty: one is made.

    Raises:
        CannotListen: why it may not be opened.
    """
    if is_loopback(listen):
        return People(folder, names={*LOOPBACK, *names}), None
    ours = {*LOOPBACK, socket.gethostname().lower(), *(name.lower() for name in names)}
    if not _is_any(listen):
        ours.add(listen.lower())
    elif not names:
        raise CannotListen(
            f"listen={listen} is every address: say in `names` what people type, such as the host's name"
        )
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
    return people, made


def _is_any(listen: str) -> bool:
    try:
        return ipaddress.ip_address(listen).is_unspecified
    except ValueError:
        return False
