"""`rise new`: a folder of one's own to start from."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


@click.group()
def command() -> None:
    """Write a folder of one's own to start from; updates of the program never touch it."""


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
def shop(folder: Path) -> None:
    """A shop in DIR: launch/shop.py, site.toml, a node and its test, a folder where bags are tests."""
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} is not empty: name a new folder")
    shutil.copytree(TEMPLATES / "shop", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        click.echo(f"  {path}")
    click.echo(f"Next:\n  rise launch {folder}/launch/shop.py --check\n  rise launch {folder}/launch/shop.py")
