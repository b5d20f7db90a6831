"""The door of the `rise` command: Ctrl-C ends it with exit code 130 and without a traceback, whenever it comes.

While modules are loaded, and after a command has ended, there is nothing to close: the process leaves at once. In
between Ctrl-C is KeyboardInterrupt, and the command closes what it has open. An import in the middle of a command
counts as the former: what is raised there may be swallowed, or printed, by a callback of Python's own. So this module
loads nothing.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 130
"""what a shell says of a program that Ctrl-C has ended"""


def leave(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def interrupt(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt


def unraisable(what: sys.UnraisableHookArgs) -> None:
    """A KeyboardInterrupt that met a destructor or another place where Python cannot raise: it would be swallowed."""
    if what.exc_type is KeyboardInterrupt:
        os._exit(INTERRUPTED)
    sys.__unraisablehook__(what)


def main() -> None:
    """The entry of the `rise` script."""
    sys.unraisablehook = unraisable
    signal.signal(signal.SIGINT, interrupt)
    try:
        from bus.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, leave)


signal.signal(signal.SIGINT, leave)
if __name__ == "__main__":
    main()
