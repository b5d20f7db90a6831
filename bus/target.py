"""From what a launch file or a bag calls a node ("nodes.recorder", "shop/nodes/watch.py:Watch") to its class."""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from bus.node import Node

ROOT = Path(__file__).resolve().parent.parent
SHOP = "shop_"


class BadTarget(ValueError):
    """The target leads to no node class; `.id` is the stable id of the check, the text says what was found instead."""

    def __init__(self, id_: str, text: str) -> None:
        super().__init__(text)
        self.id = id_


def split(target: str) -> tuple[str, str]:
    """`("nodes.recorder", "Recorder")`; the class is empty when the target does not name one."""
    module, _, name = target.rpartition(":")
    return (module, name) if module and "/" not in name else (target, "")


def is_path(module: str) -> bool:
    """Whether this part of a target is a file and not a module's name."""
    return module.endswith(".py") or "/" in module


def default_name(target: str) -> str:
    """The node's name when none is given: the last segment of its module, without a closing `.node`."""
    module, _ = split(target)
    parts = [Path(module).stem] if is_path(module) else module.split(".")
    return parts[-2] if parts[-1] == "node" and len(parts) > 1 else parts[-1]


def node_class(target: str) -> type[Node]:
    """The class that `target` names: in a module, in a file, and the only Node there unless `:Class` says which.

    A file's folder becomes a package of its own (`shop_<hash of the folder>`), so that files in it may import one
    another (`from .physics import force_n`) and no name of theirs meets a name of ours.

    Raises:
        BadTarget: `module-missing`, `module-import`, `no-node`, `many-nodes`.
    """
    where, wanted = split(target)
    found = _nodes(module_of(where))
    if wanted:
        if wanted not in found:
            raise BadTarget("no-node", f"{where} has no node class {wanted!r}{_listing(found)}")
        return found[wanted]
    # a base class of another node of the module is not meant
    leaves = {n: c for n, c in found.items() if not any(o is not c and issubclass(o, c) for o in found.values())}
    classes = set(leaves.values())
    if not classes:
        raise BadTarget("no-node", f"{where} defines no subclass of bus.Node")
    if len(classes) > 1:
        raise BadTarget(
            "many-nodes", f"{where} defines several nodes, say which: {where}:{min(leaves)}{_listing(leaves)}"
        )
    return classes.pop()


def module_of(where: str) -> ModuleType:
    """The module of that name, or the one that this file is.

    Raises:
        BadTarget: `module-missing`, `module-import`.
    """
    return _load_file(Path(where)) if is_path(where) else _load_module(where)


def target_of(cls: type[Node]) -> str:
    """What leads back to a class: its module, or the last two parts of its file's path: a folder may move."""
    module = cls.__module__
    if module.startswith(SHOP):
        file = Path(sys.modules[module].__file__ or "").resolve()
        module = f"{file.parent.name}/{file.name}"
    return f"{module}:{cls.__qualname__}"


def recorded_class(target: str, bag: Path) -> type[Node]:
    """The class that a bag calls `target`; a shop's file is looked for in the folders above the bag and above here.

    Raises:
        BadTarget: as `node_class`.
    """
    where, name = split(target)
    if not is_path(where):
        return node_class(target)
    for folder in (*bag.resolve().parents, Path.cwd(), *Path.cwd().parents):
        if (folder / where).is_file():
            return node_class(f"{folder / where}:{name}")
    raise BadTarget(
        "module-missing",
        f"there is no {where} in a folder above {bag} or above this one: run this in the shop's folder",
    )


def _nodes(module: ModuleType) -> dict[str, type[Node]]:
    """The node classes that the module, or a submodule of it, defines."""
    own = module.__name__
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Node)
        and (value.__module__ == own or value.__module__.startswith(f"{own}."))
        and value is not Node
    }


def _listing(found: dict[str, type[Node]]) -> str:
    return f" (it has {', '.join(sorted(found))})" if found else ""


def _load_module(name: str, file: Path | None = None) -> ModuleType:
    """The module; `file` is a shop's file that it was made of, which people know by its path."""
    folder = file.resolve().parent if file else ROOT / name.partition(".")[0]
    called = f"{folder.name}/{file.name}" if file else name
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise BadTarget("module-missing", f"there is no module {error.name!r}") from None
        text = f"{called} needs the module {error.name!r}, which is not installed"
        last = (error.name or "").rpartition(".")[2]
        if file and last and file.with_name(f"{last}.py").is_file():
            text += f"; a file beside it is imported with a dot: from .{last} import ..."
        raise BadTarget("module-import", text) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also sys.exit() in the module: one node's, not the whole program's
        raise BadTarget("module-import", _reason(called, folder)) from error


def _load_file(path: Path) -> ModuleType:
    try:
        there = path.is_file()
    except OSError:  # a name that is too long for one
        there = False
    if not there:
        raise BadTarget("module-missing", f"there is no file {path}")
    folder = path.resolve().parent
    package = f"{SHOP}{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    if package not in sys.modules:
        made = ModuleType(package, f"The nodes in {folder}.")
        made.__path__ = [str(folder)]
        sys.modules[package] = made
    importlib.invalidate_caches()
    return _load_module(f"{package}.{path.stem}", path)


def _reason(name: str, folder: Path) -> str:
    """`importing x failed: ZeroDivisionError: ... at file:line`: the line in `folder`, where the node was written, not
    that of the library which refused it."""
    kind, error, trace = sys.exc_info()
    if isinstance(error, SyntaxError):
        return f"importing {name} failed: {error.msg} at {error.filename}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(trace) if "importlib" not in f.filename and f.filename != __file__]
    frames = [f for f in frames if Path(f.filename).is_relative_to(folder)] or frames
    at = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"importing {name} failed: {kind.__name__ if kind else ''}: {error}{at}"
