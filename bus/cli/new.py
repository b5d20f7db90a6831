"""`rise new`: a folder of one's own to start from."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
RISE = Path(sys.executable).with_name("rise")
TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


@click.group()
def command() -> None:
    """Write a folder of one's own to start from; updates of the program never touch it."""


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
def shop(folder: Path) -> None:
    """A shop in DIR: launch/shop.py, site.toml, a node and its test, a folder where bags are tests."""
    if folder.resolve().is_relative_to(ROOT):
        raise click.UsageError(
            f"{folder} is inside the checkout {ROOT}, which updates change: name a folder outside of it"
        )
    try:
        if folder.exists() and any(folder.iterdir()):
            raise click.UsageError(f"{folder} is not empty: name a new folder")
        shutil.copytree(TEMPLATES / "shop", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as error:
        raise click.UsageError(f"cannot write {folder}: {error.strerror or error}") from None
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        click.echo(f"  {path}")
    # whole paths, so that a line can be pasted anywhere: on a fresh computer no `rise` is on the path
    rise, python, file = (shlex.quote(str(p)) for p in (RISE, sys.executable, folder.resolve() / "launch/shop.py"))
    click.echo(f"Next:\n  {rise} launch {file} --check\n  {rise} launch {file}")
    test = f"{python} -P -m pytest {shlex.quote(str(folder.resolve()))}"
    click.echo(
        f"Its test (pytest comes with `make setup-dev`):\n  make -C {shlex.quote(str(ROOT))} setup-dev && {test}"
    )
