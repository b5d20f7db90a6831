"""Removes a domain's folder after a launcher that was killed: `python -P -m bus.janitor ROOT DOMAIN`.

The launcher starts it before it is in the domain itself, and holds the other end of its standard input together with
every guard. So that ends when nothing is left of the launch. The last node to leave has removed the folder, unless it
was killed as well, or there was none yet.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

WITHIN_S = 1.0
"""whoever is in the domain for longer does not belong to the launch, and removes the folder later"""


def main() -> None:
    root, domain = sys.argv[1:]
    sys.stdin.buffer.read()
    from bus.register import Register  # 2 MB that are not needed while it waits
    from bus.runtime import DomainFolder

    register = Register(DomainFolder(domain, Path(root)))
    ends_s = time.monotonic() + WITHIN_S
    while not register.clear() and time.monotonic() < ends_s:
        select.select([], [], [], 0.02)


if __name__ == "__main__":
    main()
