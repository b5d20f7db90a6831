"""That the packages of this project come from one folder.

Their names are plain (`nodes`, `web`, `tests`), so another distribution in the same environment may bring one of the
same name, and Python would mix two programs in silence. `rise` and every node process ask here before anything else.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path

PACKAGES = ("schemas", "bus", "nodes", "erp", "web", "tests")


class MixedRoots(RuntimeError):
    """The packages do not share one root; the text lists where each was found and what to do."""


def found() -> dict[str, Path | None]:
    """The folder that holds each package, as an import would find it; None where there is no such package."""
    return {name: _parent(name) for name in PACKAGES}


def _parent(name: str) -> Path | None:
    loaded = sys.modules.get(name)
    spec = PathFinder.find_spec(name) if loaded is None else loaded.__spec__
    if spec is None:
        return None
    if spec.origin is not None:
        return Path(spec.origin).resolve().parent.parent
    folders = list(spec.submodule_search_locations or ())
    return Path(folders[0]).resolve().parent if folders else None


def one_root(parents: Mapping[str, Path | None]) -> Path:
    """The one folder that holds all packages.

    Raises:
        MixedRoots: a package comes from elsewhere than `bus`, or there is none.
    """
    root = parents["bus"]
    if root is not None and all(parent == root for parent in parents.values()):
        return root
    lines = [f"  {name:8} {'not found' if parent is None else parent / name}" for name, parent in parents.items()]
    foreign = [name for name, parent in parents.items() if parent != root]
    raise MixedRoots(
        f"{', '.join(foreign)}: not from the checkout that holds bus ({root})\n"
        + "\n".join(lines)
        + "\nAnother package of the same name shadows it, or PYTHONPATH names another checkout: "
        "unset PYTHONPATH, or set up a fresh environment with `make setup`."
    )


def project_root() -> Path:
    """The checkout this program runs from.

    Raises:
        MixedRoots: see `one_root`.
    """
    return one_root(found())
