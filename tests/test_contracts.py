"""Who may know whom, and where time and chance may come from: the rules that keep the rooms apart."""

from __future__ import annotations

import ast
import importlib.machinery
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import bus
import nodes

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(p for room in ("schemas", "bus", "nodes", "launch", "erp", "web") for p in (ROOT / room).rglob("*.py"))
WEB = ("web", "erp", "nodes.vision_server", "nodes.legacy_bridge")

IMPORTERS = {
    "zmq": ("bus.transport", "bus.doors", "bus.services", "bus.discovery"),
    "mcap": ("bus.bag",),
    "django": ("erp", "web"),
    "fastapi": WEB,
    "starlette": WEB,
    "uvicorn": WEB,
    "flask": WEB,
    "werkzeug": WEB,
    "http": ("nodes.sensory_cortex.drivers.mtconnect", "web"),
    "aiohttp": ("nodes.sensory_cortex.drivers.mtconnect",),
    "httpx": ("nodes.sensory_cortex.drivers.mtconnect",),
    "requests": ("nodes.sensory_cortex.drivers.mtconnect",),
    "networkx": ("nodes.knowledge_graph",),
    "pyarrow": ("bus.bag.parquet",),
    "hal": ("nodes.sensory_cortex.linuxcnc.helper",),
    "serial": ("nodes.sensory_cortex.endpoints", "nodes.legacy_bridge"),
    "pickle": (),
    "tests": (),
    "launch": (),
}
"""Third-party packages that are somebody's secret, and who that is (with everything below)."""

TIME_AND_CHANCE = re.compile(
    r"time\.(time|monotonic|perf_counter|clock_gettime|localtime|gmtime|ctime|strftime|sleep)(_ns)?"
    r"|datetime\.(datetime|date)\.(now|utcnow|today)"
    r"|random\.(?!Random$).*|secrets\..*|uuid\.uuid[14]|os\.(urandom|getrandom)|numpy\.random\.(?!Generator$)[a-z]\w*"
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def time_and_chance(source: str) -> list[tuple[int, str]]:
    """Line and dotted name of every use of the clock or of chance, whatever it was imported as.

    A numpy generator with a seed of its own (`default_rng(seed)`) is no chance.
    """
    tree = ast.parse(source)
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                known[a.asname or a.name.split(".")[0]] = a.name if a.asname else a.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})

    def dotted(node: ast.AST) -> str | None:
        if isinstance(node, ast.Name):
            return known.get(node.id)
        if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
            return f"{base}.{node.attr}"
        return None

    seeded = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call) and (n.args or n.keywords)}
    found = []
    for node in ast.walk(tree):
        name = dotted(node)
        if name and TIME_AND_CHANCE.fullmatch(name):
            if name.startswith("numpy.random.") and id(node) in seeded and name.endswith("default_rng"):
                continue
            found.append((getattr(node, "lineno", 0), name))
    return found


def test_import_contracts_are_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_secret_package_is_imported_only_by_its_owner() -> None:
    wrong = []
    for path in SOURCES:
        module = module_name(path)
        for line, name in imported(ast.parse(path.read_text())):
            owners = IMPORTERS.get(name.split(".")[0])
            if owners is not None and not any(module == o or module.startswith(f"{o}.") for o in owners):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}; only {owners or 'nobody'} may")
    assert not wrong, "\n".join(wrong)


IMPORTED_AS = {
    "fastapi": {"fastapi", "starlette"},
    "pyzmq": {"zmq"},
    "pyserial": {"serial"},
    "pydantic": {"pydantic", "pydantic_core"},
}
"""What a distribution is imported as, where that is not its own name."""


def test_what_is_imported_is_a_dependency_and_every_dependency_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared: set[str] = set()
    for requirement in project["dependencies"] + project["optional-dependencies"]["parquet"]:
        name = re.split(r"[<>=\[ ]", requirement)[0]
        declared |= IMPORTED_AS.get(name, {name.replace("-", "_")})
    own = {"schemas", "bus", "nodes", "erp", "web"}
    used = {
        name.split(".")[0]
        for path in SOURCES
        for _, name in imported(ast.parse(path.read_text()))
        if module_name(path) != "bus.replay.pytest_plugin"  # loaded by pytest, so it is there
    }
    # LinuxCNC's module comes with its Debian package, for the system's Python, in a process of its own
    assert used - own - sys.stdlib_module_names - {"hal"} == declared


def test_nodes_take_time_and_chance_from_the_node_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} uses {name}; use self.now_ns(), a timer or self.rng"
        for path in SOURCES
        if path.is_relative_to(ROOT / "nodes")
        for line, name in time_and_chance(path.read_text())
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import time\ntime.time()", ["time.time"]),
        ("import time as t\nx = t.monotonic_ns", ["time.monotonic_ns"]),
        ("from time import perf_counter as p\np()", ["time.perf_counter"]),
        ("from datetime import datetime\ndatetime.now()", ["datetime.datetime.now"]),
        ("import datetime\ndatetime.datetime.utcnow()", ["datetime.datetime.utcnow"]),
        ("import random\nrandom.gauss(0, 1)", ["random.gauss"]),
        ("from random import choice\nchoice([1])", ["random.choice"]),
        ("import uuid\nuuid.uuid4()", ["uuid.uuid4"]),
        ("import numpy as np\nnp.random.normal()", ["numpy.random.normal"]),
        ("import numpy as np\nnp.random.default_rng()", ["numpy.random.default_rng"]),
        ("import numpy as np\nnp.random.default_rng(7)", []),
        ("import random\ndef f(rng: random.Random) -> float:\n    return rng.gauss(0, 1)", []),
        ("def f(self):\n    return self.time.time()", []),
    ],
)
def test_the_lint_for_time_and_chance_sees(source: str, names: list[str]) -> None:
    assert [name for _, name in time_and_chance(source)] == names


def test_a_name_in_bus_is_not_also_a_module() -> None:
    modules = {m.name for m in pkgutil.iter_modules(bus.__path__)}
    assert not modules & set(bus.__all__)
    assert all(hasattr(bus, name) for name in bus.__all__)


NODE_PACKAGES = sorted(
    m.name for m in pkgutil.iter_modules(nodes.__path__) if isinstance(m.module_finder, importlib.machinery.FileFinder)
)


@pytest.mark.parametrize("name", NODE_PACKAGES)
def test_a_node_module_is_light(name: str) -> None:
    """`--check` reads every interface, so importing one must not pull a web framework, OpenCV or a socket library."""
    heavy = "{'cv2', 'django', 'fastapi', 'flask', 'zmq', 'mcap', 'asyncio', 'networkx'}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys, nodes.{name}; print(*sorted({heavy} & set(sys.modules)))"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_launch_is_no_package() -> None:
    assert not (ROOT / "launch" / "__init__.py").exists()
