"""What every command that takes a bag shares: its arguments, its errors, its progress bar."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from schemas.sayable import shown

F = TypeVar("F", bound=Callable[..., Any])


class BadInput(click.ClickException):
    """The bag or what was asked of it is wrong."""

    exit_code = 2


def reads_bags(function: F) -> F:
    """A user's mistake, a damaged file and a full disk are one line, not a traceback."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from bus.bag import BadBag
        from bus.bag.cut import BadCut

        try:
            return function(*args, **kwargs)
        except (BadBag, BadCut) as error:
            raise BadInput(str(error)) from None
        except BrokenPipeError:
            raise  # `| head`: main knows
        except OSError as error:
            if error.strerror is None:  # our own words
                raise BadInput(str(error)) from None
            raise click.ClickException(f"{error.filename or 'disk'}: {error.strerror}") from None

    return wrapped  # type: ignore[return-value] # the same signature, wrapped


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def pattern(ctx: click.Context, parameter: click.Parameter, value: str | None) -> re.Pattern[str] | None:
    """A regular expression, checked at the door."""
    if value is None:
        return None
    try:
        return re.compile(value)
    except (re.error, OverflowError, RecursionError, ValueError) as error:  # counts of many digits, nested too deeply
        raise click.BadParameter(f"{shown(value)} is no regular expression: {error}") from None


BAG = click.argument("bag", type=click.Path(path_type=Path))
TOPICS = click.option("--topics", callback=pattern, metavar="REGEX", help="Only topics in which it is found.")
JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def size(of: int) -> str:
    """Bytes for people."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if of >= one:
            return f"{of / one:.1f} {unit}"
    return f"{of} B"
