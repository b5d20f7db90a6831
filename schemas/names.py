"""The rule for names of nodes, topics, services, namespaces and domains. Imports next to nothing: tools start fast."""

from __future__ import annotations

import re

from schemas.sayable import sayable

_SEGMENT = re.compile(r"[a-z_][a-z0-9_]*")
MAX_NAME_BYTES = 200


class BadName(ValueError):
    """A name of a node, topic, service or namespace breaks the rule; the message points at the character."""


def check_name(name: str) -> str:
    """`name` unchanged, when it is segments `[a-z][a-z0-9_]*` joined by `/`, at most 200 bytes, `/` allowed in front.

    Raises:
        BadName: with a caret under the first bad character.
    """
    if len(name) > MAX_NAME_BYTES:
        raise BadName(f"bad name, longer than {MAX_NAME_BYTES} bytes: {sayable(name[:40])}...")
    start = 1 if name.startswith("/") else 0
    at = start
    for segment in name[start:].split("/"):
        match = _SEGMENT.match(segment)
        good = match.end() if match else 0
        if good < len(segment) or not segment:
            at += good
            raise BadName(f"bad name, segments are [a-z][a-z0-9_]* joined by '/':\n  {sayable(name)}\n  {' ' * at}^")
        at += len(segment) + 1
    return name


def resolve(name: str, namespace: str) -> str:
    """The full name, without a leading slash: absolute names as they are, others below the namespace.

    >>> resolve("machine/state", "vmc1"), resolve("/log", "vmc1"), resolve("alarm", "")
    ('vmc1/machine/state', 'log', 'alarm')
    """
    if name.startswith("/"):
        return name[1:]
    return f"{namespace}/{name}" if namespace else name


def is_tool(node: str) -> bool:
    """Whether a node's full name is that of a tool, such as one call of `rise service call`: nobody looks for it."""
    return node.rpartition("/")[2].startswith("_")
