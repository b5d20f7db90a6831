"""From a launch file to the plan: which processes, which nodes in them, with which parameters, each with its place.

Precedence of a parameter: code < launch file < site file < `-p vmc1/impact_cortex.limit_pct=90`. Everything that is
wrong is collected in `Plan.mistakes`; what is right is planned, so that bus/check.py can find the rest in the same run.
"""

from __future__ import annotations

import difflib
import inspect
import sys
import traceback
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from bus.arguments import convert, value_of
from bus.launch import SETTINGS, Compose, Group, Include, Process, Settings, Site
from bus.site import Given, Mistake, Placed, PlacedList, Where, did_you_mean, read_site
from bus.target import default_name, is_path, split
from schemas.base import BadName, check_name, resolve

SHIPPED = Path(__file__).resolve().parent.parent / "launch"
MOST_ACTIONS = 10_000
BROKEN = frozenset(
    ("launch-file", "syntax-error", "no-launch", "launch-failed", "no-actions", "no-action", "no-end", "include-cycle")
) | {"bad-argument", "missing-argument", "site-file", "site-syntax", "site-key", "bad-setting", "bad-name"}
"""mistakes of reading after which a part of the launch is missing: what else seems missing is not told as another"""


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """A node as it will run."""

    name: str
    """full name"""
    namespace: str
    target: str
    """as bus.run takes it: a module or an absolute path, with `:Class` where it was given"""
    parameters: Mapping[str, Given]
    remappings: Mapping[str, str]
    outside: tuple[str, ...]
    where: Where


@dataclass(frozen=True, slots=True)
class PlannedProcess:
    """A process as it will run: one node, or several composed."""

    name: str
    namespace: str
    nodes: tuple[PlannedNode, ...]
    needs: tuple[str, ...]
    """full names of processes"""
    after: tuple[str, ...]
    settings: Settings


@dataclass(frozen=True, slots=True)
class Plan:
    file: Path
    arguments: Mapping[str, Any]
    site: Site
    processes: tuple[PlannedProcess, ...]
    mistakes: tuple[Mistake, ...] = ()

    def nodes(self) -> Iterator[PlannedNode]:
        for process in self.processes:
            yield from process.nodes


def find(file: str | Path) -> Path:
    """The file itself, or, when there is none, the shipped launch file of that name (`cell`, `shop.py`)."""
    path = Path(file)
    if not path.exists() and path.parent == Path():
        shipped = SHIPPED / (path.name if path.suffix else f"{path.name}.py")
        if shipped.exists():
            return shipped
    return path


def load(
    file: str | Path,
    arguments: Sequence[str] = (),
    *,
    site: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """Read a launch file with `name:=value` arguments, a site file (default: site.toml beside it, or one folder up)
    and `NODE.PARAMETER=VALUE` overrides. Never raises for a mistake of the user: see `Plan.mistakes`."""
    path = find(file)
    loader = _Loader(path)
    loader.read_site(Path(site) if site is not None else None)
    bound = loader.read(path, loader.split(arguments), (), Where("command line"))
    processes = loader.finish(overrides)
    return Plan(path, bound, loader.site, processes, tuple(loader.mistakes))


@dataclass(slots=True)
class _Draft:
    name: str
    namespace: str
    nodes: list[PlannedNode]
    settings: Settings


@dataclass(slots=True)
class _Loader:
    root: Path
    site: Site = field(default_factory=Site)
    mistakes: list[Mistake] = field(default_factory=list)
    drafts: list[_Draft] = field(default_factory=list)
    bad_namespaces: set[str] = field(default_factory=set)
    """told already: what is below them is not told again"""

    def wrong(self, id_: str, where: Where, text: str, suggestion: str = "") -> None:
        self.mistakes.append(Mistake(id_, where, text, suggestion))

    # --- what the user gives beside the file --------------------------------------------------------------------------

    def read_site(self, given: Path | None) -> None:
        folder = self.root.resolve().parent
        beside = [p for p in (folder / "site.toml", folder.parent / "site.toml") if p.exists()]
        path = given or (beside[0] if beside else None)
        if path is not None:
            self.site, mistakes = read_site(path)
            self.mistakes += mistakes

    def split(self, arguments: Iterable[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for argument in arguments:
            name, sign, value = argument.partition(":=")
            if not sign:
                self.wrong("bad-argument", Where("command line"), f"{argument!r} is no argument", "write name:=value")
            elif name in found:
                self.wrong("bad-argument", Where("command line"), f"argument {name} is given twice")
            else:
                found[name] = value
        return found

    # --- the file -----------------------------------------------------------------------------------------------------

    def read(
        self, path: Path, arguments: Mapping[str, Any], stack: tuple[Path, ...], by: Where, namespace: str = ""
    ) -> dict[str, Any]:
        """Run a launch file and draft what it yields; gives the arguments it was called with."""
        try:
            source = path.read_text(encoding="utf-8")
            code = compile(source, str(path), "exec")
        except OSError as error:
            # of a folder the files in it, else what is beside it; the shipped ones where a bare name may mean them
            near = map(str, path.glob("*.py")) if path.is_dir() else (p.name for p in path.parent.glob("*.py"))
            bare = path.parent == Path() or stack
            shipped = (p.name if path.suffix else p.stem for p in SHIPPED.glob("*.py")) if bare else ()
            suggestion = did_you_mean("" if path.is_dir() else path.name, (*near, *shipped))
            self.wrong("launch-file", by, f"cannot read launch file {path}: {error.strerror}", suggestion)
            return {}
        except UnicodeDecodeError as error:
            self.wrong("syntax-error", Where(str(path)), f"not UTF-8 at byte {error.start}")
            return {}
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: nested too deeply
            line = getattr(error, "lineno", 0) or 0
            self.wrong("syntax-error", Where(str(path), line), str(getattr(error, "msg", error)) or "nested too deeply")
            return {}
        # a name of its own: launch files are called edge.py, shop.py, and must not shadow a module
        module = ModuleType(f"launch_file_{abs(hash(path.resolve())):x}")
        module.__file__ = str(path)
        sys.modules[module.__name__] = module  # dataclasses and get_type_hints look a class's module up there
        try:
            exec(code, module.__dict__)
        except BaseException as error:
            self.failed(path, error)
            return {}
        function = module.__dict__.get("launch")
        if not inspect.isfunction(function):
            at, hint = Where(str(path)), "write `def launch() -> Iterator[Action]:`"
            self.wrong("no-launch", at, "defines no function launch()", hint)
            return {}
        try:
            hints = typing.get_type_hints(function)
        except Exception as error:
            self.wrong("launch-failed", Where(str(path), function.__code__.co_firstlineno), f"an annotation: {error}")
            return {}
        bound = self.bind(function, hints, arguments, by)
        self.run(path, function, bound, (*stack, path.resolve()), namespace)
        return {k: v for k, v in bound.items() if not isinstance(v, Site)}

    def bind(self, function: Any, hints: Mapping[str, Any], arguments: Mapping[str, Any], by: Where) -> dict[str, Any]:
        signature = inspect.signature(function).parameters
        open_names = [n for n in signature if hints.get(n) is not Site]
        bound: dict[str, Any] = {}
        for name, value in arguments.items():
            if name not in open_names:
                text = f"{function.__code__.co_filename} takes no argument {name!r}"
                self.wrong("unknown-argument", by, text, did_you_mean(name, open_names))
                continue
            try:
                bound[name] = convert(value, hints.get(name, str))
            except ValueError as error:
                self.wrong("bad-argument", by, f"argument {name}: {error}")
        for name, declared in signature.items():
            if declared.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                at = Where(function.__code__.co_filename, function.__code__.co_firstlineno)
                self.wrong("launch-failed", at, f"launch() takes {declared}", "name each argument, with its type")
            elif hints.get(name) is Site:
                bound[name] = self.site
            elif name not in bound:
                if declared.default is not inspect.Parameter.empty:
                    bound[name] = declared.default
                elif name not in arguments:
                    self.wrong("missing-argument", by, f"argument {name} must be given", f"add {name}:=VALUE")
        return bound

    def run(self, path: Path, function: Any, bound: dict[str, Any], stack: tuple[Path, ...], namespace: str) -> None:
        if any(
            name not in bound and p.default is inspect.Parameter.empty
            for name, p in inspect.signature(function).parameters.items()
        ):
            return  # a mistake told by bind()
        line = function.__code__.co_firstlineno
        try:
            made = function(**bound)
            if made is None or not hasattr(made, "__iter__"):
                self.wrong("no-actions", Where(str(path), line), "launch() yields nothing", "`yield Process(...)`")
                return
            for count, action in enumerate(made):
                frame = getattr(made, "gi_frame", None)
                self.draft(action, namespace, Where(str(path), frame.f_lineno if frame else line), stack)
                if count >= MOST_ACTIONS:
                    self.wrong("no-end", Where(str(path), line), f"launch() yields more than {MOST_ACTIONS} actions")
                    return
        except BaseException as error:
            self.failed(path, error)

    def failed(self, path: Path, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):
            raise error
        lines = [f.lineno or 0 for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        text, suggestion = f"{type(error).__name__}: {error}", ""
        if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
            word = str(error).rsplit("'", 2)[-2]
            suggestion = did_you_mean(word, (*Process.__dataclass_fields__, *Compose.__dataclass_fields__))
        self.wrong("launch-failed", Where(str(path), lines[-1] if lines else 0), text, suggestion)

    # --- actions ------------------------------------------------------------------------------------------------------

    def draft(self, action: Any, namespace: str, at: Where, stack: tuple[Path, ...]) -> None:
        match action:
            case Process():
                if node := self.node(action, self.below(action.namespace, namespace, action.where)):
                    self.drafts.append(_Draft(node.name, node.namespace, [node], action))
            case Compose():
                inner = self.below(action.namespace, namespace, action.where)
                self.drafts.append(
                    _Draft(self.full(action.name, inner, action.where), inner, self.composed(action, inner), action)
                )
            case Group():
                inner = self.below(action.namespace, namespace, action.where)
                for one in action.actions:
                    self.draft(one, inner, action.where, stack)
            case Include():
                self.include(action, namespace, stack)
            case _:
                self.wrong(
                    "no-action",
                    at,
                    f"a launch file yields Process, Compose, Group or include(), not {type(action).__name__}",
                    "write `yield from` before include() or a list" if hasattr(action, "__iter__") else "",
                )

    def composed(self, action: Compose, namespace: str) -> list[PlannedNode]:
        nodes = []
        for one in action.nodes:
            if not isinstance(one, Process):
                self.wrong("no-action", action.where, f"Compose takes Processes, not {type(one).__name__}")
                continue
            if node := self.node(one, self.below(one.namespace, namespace, one.where)):
                nodes.append(node)
            blank = Process(one.target)
            for name in SETTINGS:
                if getattr(one, name) != getattr(blank, name):
                    self.wrong(
                        "ignored-setting",
                        one.where,
                        f"{name} of a composed node has no effect",
                        f"give it to Compose({action.name!r}, ...)",
                    )
        return nodes

    def node(self, action: Process, namespace: str) -> PlannedNode | None:
        if not isinstance(action.target, str) or not action.target:
            self.wrong("bad-setting", action.where, f"target must be a module or a file, not {action.target!r}")
            return None
        target = action.target
        where, cls = split(target)
        if is_path(where):
            file = (Path(action.where.file).resolve().parent / where).resolve()
            target = f"{file}:{cls}" if cls else str(file)
        parameters = action.parameters if isinstance(action.parameters, Mapping) else {}
        remappings = action.remappings if isinstance(action.remappings, Mapping) else {}
        if parameters is not action.parameters or remappings is not action.remappings:
            self.wrong("bad-setting", action.where, "parameters and remappings are dicts: {name: value}")
        return PlannedNode(
            self.full(action.name or default_name(target), namespace, action.where),
            namespace,
            target,
            {
                k: v.given() if isinstance(v, Placed | PlacedList) else Given(v, action.where)
                for k, v in parameters.items()
            },
            remappings,
            tuple(action.outside),
            action.where,
        )

    def include(self, action: Include, namespace: str, stack: tuple[Path, ...]) -> None:
        path = Path(action.where.file).parent / action.file
        if not path.exists():
            path = find(action.file) if (SHIPPED / action.file).exists() else path
        if path.resolve() in stack:
            self.wrong("include-cycle", action.where, f"{action.file} includes itself", "break the circle")
            return
        self.read(path, action.arguments, stack, action.where, namespace)

    def below(self, name: str, namespace: str, where: Where) -> str:
        """The namespace that `name` means inside `namespace`."""
        return self.full(name, namespace, where) if name else namespace

    def full(self, name: str, namespace: str, where: Where) -> str:
        try:
            found = resolve(check_name(name), namespace)
            if namespace not in self.bad_namespaces:
                return check_name(found)
        except (BadName, TypeError, AttributeError) as error:
            self.wrong("bad-name", where, str(error))
            found = resolve(str(name), namespace)
        self.bad_namespaces.add(found)
        return found

    # --- all together -------------------------------------------------------------------------------------------------

    def finish(self, overrides: Sequence[str]) -> tuple[PlannedProcess, ...]:
        given: dict[str, dict[str, Given]] = {}
        for name, values in self.site.parameters.items():
            given.setdefault(name, {}).update(values)
        overridden = set()
        for text in overrides:
            node, value = self.override(text)
            overridden.add(node)
            given.setdefault(node, {}).update(value)
        names = {n.name for d in self.drafts for n in d.nodes}
        # a launch file that brings up none of the file's machines is not what the file was written for
        meant = {m.name for m in self.site.machines} & {n.partition("/")[0] for n in names} or not self.site.machines
        for name, values in given.items() if not self.bad_namespaces else ():
            where = min((v.where for v in values.values()), default=Where(str(self.site.path)))
            if not name or name in names:
                continue
            if name in overridden or self.looks_mistyped(name, names):
                self.wrong("unknown-node", where, f"no node {name!r} is launched", did_you_mean(name, names))
            elif meant and any(n.rpartition("/")[0] == name.rpartition("/")[0] for n in names):
                text = f"no node {name!r} is launched: its parameters are for another launch, or its name is wrong"
                self.mistakes.append(Mistake("unknown-node", where, text, did_you_mean(name, names), "warning"))
        homes = {n.name: d.name for d in self.drafts for n in d.nodes} | {d.name: d.name for d in self.drafts}
        processes = []
        for d in self.drafts:
            nodes = (replace(n, parameters={**n.parameters, **given.get(n.name, {})}) for n in d.nodes)
            needs, after = (self.homes(word, d, homes) for word in ("needs", "after"))
            processes.append(PlannedProcess(d.name, d.namespace, tuple(nodes), needs, after, d.settings))
        return tuple(processes)

    def looks_mistyped(self, name: str, names: Iterable[str]) -> bool:
        """Whether a node of the site file, which may serve several launch files, is meant for one of this launch."""
        folder, _, last = name.rpartition("/")
        beside = [n.rpartition("/")[2] for n in names if n.rpartition("/")[0] == folder]
        return bool(difflib.get_close_matches(last, beside))

    def override(self, text: str) -> tuple[str, dict[str, Given]]:
        where = Where(f"-p {text}")
        path, sign, value = text.partition("=")
        node, dot, name = path.strip().rpartition(".")
        if not sign or not dot or not node:
            self.wrong(
                "bad-override", where, "an override reads NODE.PARAMETER=VALUE", "-p vmc1/impact_cortex.limit_pct=90"
            )
            return "", {}
        return node.removeprefix("/"), {name: Given(value_of(value), where)}

    def homes(self, word: str, draft: _Draft, homes: Mapping[str, str]) -> tuple[str, ...]:
        """Full names of the processes that `draft` waits for; a node's name stands for the process it is in."""
        wanted = getattr(draft.settings, word)
        if isinstance(wanted, str):
            where = draft.settings.where
            self.wrong("bad-setting", where, f"{word} is a tuple of names", f"{word}=({wanted!r},)")
            wanted = (wanted,)
        found = []
        for name in wanted:
            home = homes.get(resolve(str(name), draft.namespace)) or homes.get(str(name).removeprefix("/"))
            if home is not None and home not in found:
                found.append(home)
            elif home is None and not any(m.id in BROKEN for m in self.mistakes):
                text = f"{draft.name} {'needs' if word == 'needs' else 'starts after'} {name!r}, which is not launched"
                self.wrong("unknown-need", draft.settings.where, text, did_you_mean(str(name), homes))
        return tuple(found)
