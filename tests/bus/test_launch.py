"""Launch files: from a function that yields data to the plan, with every value's place."""

from __future__ import annotations

import textwrap
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.arguments import convert
from bus.launch import Compose, Process
from bus.plan import Plan, load


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "from bus.launch import *\n" + textwrap.dedent(text) if name.endswith(".py") else textwrap.dedent(text)
    )
    return path


def ids(plan: Plan) -> list[str]:
    return [m.id for m in plan.mistakes]


SHOP = """
    def launch(site: Site, compose: bool = True, limit_pct: float = 85.0):
        for machine in site.machines:
            core = [
                Process("nodes.sensory_cortex", parameters={"mode": machine.mode}),
                Process("nodes.impact_cortex", parameters={"limit_pct": limit_pct}, needs=("sensory_cortex",)),
            ]
            if compose:
                yield Compose("core", core[:1], namespace=machine.name, critical="namespace")
            else:
                yield Group(core, namespace=machine.name)
    """
SITE = """
    [machines.vmc1]
    mode = "STOP"

    [machines.vmc1.impact_cortex]
    limit_pct = 90.0

    [machines.vmc2]
    """


def test_loops_conditions_and_namespaces(tmp_path: Path) -> None:
    file = write(tmp_path, "shop.py", SHOP)
    write(tmp_path, "site.toml", SITE)
    plan = load(file, ["compose:=false"])
    assert not plan.mistakes
    assert [p.name for p in plan.processes] == [
        "vmc1/sensory_cortex",
        "vmc1/impact_cortex",
        "vmc2/sensory_cortex",
        "vmc2/impact_cortex",
    ]
    assert plan.processes[1].needs == ("vmc1/sensory_cortex",)
    assert plan.processes[0].nodes[0].parameters["mode"].value == "STOP"
    assert plan.arguments == {"compose": False, "limit_pct": 85.0}


def test_precedence_launch_file_site_file_command_line(tmp_path: Path) -> None:
    file = write(tmp_path, "shop.py", SHOP)
    site = write(tmp_path, "site.toml", SITE)

    def limit(plan: Plan, node: str) -> tuple[object, str]:
        given = next(n for n in plan.nodes() if n.name == node).parameters["limit_pct"]
        return given.value, str(given.where)

    plan = load(file, ["compose:=no", "limit_pct:=70"], overrides=["vmc2/impact_cortex.limit_pct=95"])
    assert limit(plan, "vmc1/impact_cortex") == (90.0, f"{site}:6")
    assert limit(plan, "vmc2/impact_cortex") == (95, "-p vmc2/impact_cortex.limit_pct=95")
    plan = load(file, ["compose:=no", "limit_pct:=70"], site=write(tmp_path, "bare.toml", "[machines.vmc1]"))
    assert limit(plan, "vmc1/impact_cortex") == (70.0, f"{file}:7")


def test_actions_remember_their_line(tmp_path: Path) -> None:
    plan = load(write(tmp_path, "a.py", 'def launch():\n    yield Process("x.y")\n    yield Process("x.z")\n'))
    assert [n.where.line for n in plan.nodes()] == [3, 4]
    assert [n.name for n in plan.nodes()] == ["y", "z"]


def test_include_passes_arguments_and_sits_below_the_group(tmp_path: Path) -> None:
    write(
        tmp_path,
        "edge.py",
        'def launch(n: int = 1):\n    for i in range(n):\n        yield Process("a.b", name=f"e{i}")\n',
    )
    file = write(
        tmp_path, "main.py", 'def launch():\n    yield Group(list(include("edge.py", n=2)), namespace="cell")\n'
    )
    assert [n.name for n in load(file).nodes()] == ["cell/e0", "cell/e1"]


def test_a_file_as_target_is_relative_to_the_launch_file(tmp_path: Path) -> None:
    file = write(
        tmp_path, "launch/a.py", 'def launch():\n    yield Process("../nodes/spindle_watch.py:SpindleWatch")\n'
    )
    (node,) = load(file).nodes()
    assert node.target == f"{tmp_path}/nodes/spindle_watch.py:SpindleWatch"
    assert node.name == "spindle_watch"


def test_needs_of_a_composed_node_stands_for_its_process(tmp_path: Path) -> None:
    text = """
        def launch():
            yield Compose("core", [Process("a.one"), Process("a.two")], namespace="vmc1")
            yield Process("a.three", needs=["vmc1/two", "/vmc1/one"])
        """
    assert load(write(tmp_path, "a.py", text)).processes[1].needs == ("vmc1/core",)


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("def launch(:\n", [], "syntax-error"),
        ("import no_such_module\n", [], "launch-failed"),
        ("import sys\nsys.exit(0)\n", [], "launch-failed"),
        ("import sys\ndef launch():\n    yield Process('a.b')\n    sys.exit(0)\n", [], "launch-failed"),
        ("x = 1\n", [], "no-launch"),
        ("def launch():\n    return None\n", [], "no-actions"),
        ("def launch():\n    yield 3\n", [], "no-action"),
        ("def launch():\n    yield include('a.py')\n", [], "no-action"),
        ("def launch():\n    yield Process('a.b', nmae='x')\n", [], "launch-failed"),
        ("def launch(sim: bool = True):\n    yield from ()\n", ["sin:=true"], "unknown-argument"),
        ("def launch(sim: bool = True):\n    yield from ()\n", ["sim:=maybe"], "bad-argument"),
        ("def launch(sim: bool = True):\n    yield from ()\n", ["sim=true"], "bad-argument"),
        ("def launch(n: int):\n    yield from ()\n", [], "missing-argument"),
        ("def launch(n: int = 1):\n    yield from ()\n", ["n:=1", "n:=2"], "bad-argument"),
        ("def launch(n: complex = 1j):\n    yield from ()\n", ["n:=1"], "bad-argument"),
        ("def launch(n: tuple[str, ...] = ()):\n    yield from ()\n", ["n:=1"], "bad-argument"),
        ("def launch(*given):\n    yield from ()\n", [], "launch-failed"),
        ("def launch(**given):\n    yield from ()\n", [], "launch-failed"),
        ("def launch():\n    while True:\n        yield Process('a.b')\n", [], "no-end"),
        ("def launch():\n    yield from include('self.py')\n", [], "include-cycle"),
        ("def launch():\n    yield from include('gone.py')\n", [], "launch-file"),
        ("def launch():\n    yield Process('a.b', name='Bad Name')\n", [], "bad-name"),
        ("def launch():\n    yield Process('a.b', needs=('c',))\n", [], "unknown-need"),
        ("def launch():\n    yield Compose('c', [Process('a.b', nice=5)])\n", [], "ignored-setting"),
        ("def launch():\n    yield Process('a.b', parameters=['x'])\n", [], "bad-setting"),
    ],
)
def test_mistakes_of_a_file(tmp_path: Path, text: str, arguments: list[str], expected: str) -> None:
    plan = load(write(tmp_path, "self.py", text), arguments)
    assert ids(plan) == [expected]
    assert "Traceback" not in str(plan.mistakes[0])


def test_mistakes_carry_file_line_and_suggestion(tmp_path: Path) -> None:
    file = write(tmp_path, "a.py", "def launch(compose: bool = True):\n    yield Process('a.b', nmae='x')\n")
    plan = load(file, ["compsoe:=false"])
    assert [str(m) for m in plan.mistakes] == [
        f"command line: error: {file} takes no argument 'compsoe'; did you mean 'compose'? [unknown-argument]",
        f"{file}:3: error: TypeError: Process.__init__() got an unexpected keyword argument 'nmae'; "
        "did you mean 'name'? [launch-failed]",
    ]


def test_mistakes_of_a_site_file(tmp_path: Path) -> None:
    file = write(tmp_path, "a.py", "def launch(site: Site):\n    yield Process('a.recorder')\n")
    site = write(
        tmp_path,
        "site.toml",
        """
        [machine.vmc1]
        [machines.vmc2]
        mod = "STOP"
        mode = 3
        [nodes.recordr]
        quota_gb = 5
        """,
    )
    assert [(m.id, m.where.line) for m in load(file).mistakes] == [
        ("site-key", 2),
        ("site-key", 4),
        ("site-value", 5),
        ("unknown-node", 7),
    ]
    site.write_text("[machines\n")
    assert [(m.id, m.where.line) for m in load(file).mistakes] == [("site-syntax", 1)]
    assert ids(load(file, site=tmp_path / "none.toml")) == ["site-file"]


def test_ctrl_c_while_a_launch_file_runs_ends_the_program(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(write(tmp_path, "a.py", "raise KeyboardInterrupt\n"))


def test_a_value_of_the_site_file_keeps_its_line(tmp_path: Path) -> None:
    file = write(tmp_path, "shop.py", SHOP)
    site = write(tmp_path, "site.toml", SITE)
    given = load(file).processes[0].nodes[0].parameters["mode"]
    assert (type(given.value), str(given.where)) == (str, f"{site}:3")


@pytest.mark.parametrize(
    ("name", "hint"), [("sel", "cell, linuxcnc, recording, shop"), ("bus", ""), ("cel", "'cell'?")]
)
def test_a_launch_file_that_is_not_there_names_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bus").mkdir()
    (tmp_path / "bus/mine.py").touch()
    (mistake,) = load(name).mistakes
    assert hint in mistake.suggestion
    if name == "bus":
        assert "bus/mine.py, cell, linuxcnc, recording, shop" in mistake.suggestion


def test_an_include_that_is_not_there_names_shipped_files_too(tmp_path: Path) -> None:
    file = write(tmp_path, "a.py", "def launch():\n    yield from include('sho.py')\n")
    assert [m.suggestion for m in load(file).mistakes] == ["did you mean 'shop.py'?"]


def test_bad_overrides(tmp_path: Path) -> None:
    file = write(tmp_path, "a.py", "def launch():\n    yield Process('a.recorder')\n")
    plan = load(file, overrides=["recorder", "recorder=3", "recoder.x=3"])
    assert ids(plan) == ["bad-override", "bad-override", "unknown-node"]
    assert "did you mean 'recorder'?" in str(plan.mistakes[2])


class Colour(Enum):
    RED = "r"


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ("off", bool, False),
        ("3", int, 3),
        ("3", float, 3.0),
        ("x", str, "x"),
        ("RED", Colour, Colour.RED),
        ("r", Colour, Colour.RED),
        ("a/b", Path, Path("a/b")),
        ("none", int | None, None),
        ("4", int | None, 4),
        ("b", Literal["a", "b"], "b"),
        (True, bool, True),
        (2, float, 2.0),
    ],
)
def test_arguments_have_the_declared_type(text: object, wanted: object, value: object) -> None:
    assert convert(text, wanted) == value


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("maybe", bool), ("3.5", int), ("x", float), ("BLUE", Colour), ("c", Literal["a", "b"]), (True, int)],
)
def test_arguments_of_another_type_are_refused(text: object, wanted: object) -> None:
    with pytest.raises(ValueError, match=r"expected|no truth value|is not one of"):
        convert(text, wanted)


ODD = st.text(max_size=40) | st.from_regex(r"[a-z]{1,4}(:=|=|\.)[a-z0-9.]{0,6}", fullmatch=True)


@given(arguments=st.lists(ODD, max_size=3), overrides=st.lists(ODD, max_size=3))
def test_no_argument_raises(
    tmp_path_factory: pytest.TempPathFactory, arguments: list[str], overrides: list[str]
) -> None:
    file = write(
        tmp_path_factory.mktemp("odd"), "a.py", "def launch(n: int = 1, on: bool = True): yield Process('a.b')"
    )
    plan = load(file, arguments, overrides=overrides)
    assert len(plan.mistakes) >= len({a for a in arguments if a.partition(":=")[0] not in ("n", "on")} - {""})


TOML = st.binary(max_size=80) | st.lists(
    st.sampled_from(
        ["[machines]", "[machines.vmc1]", "[machines.vmc1.b]", "[nodes]", "[nodes.b]", "[[nodes]]", "mode = 3", "x = 1"]
    ),
    max_size=6,
).map(lambda lines: "\n".join(lines).encode())


@given(content=TOML)
def test_no_site_file_raises(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("odd")
    file = write(
        folder, "a.py", "def launch(site: Site): yield from (Process('a.b', namespace=m.name) for m in site.machines)"
    )
    (folder / "site.toml").write_bytes(content)
    for mistake in load(file).mistakes:
        assert mistake.where.file == str(folder / "site.toml")


@given(source=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_launch_file_raises(tmp_path_factory: pytest.TempPathFactory, source: bytes) -> None:
    file = tmp_path_factory.mktemp("odd") / "a.py"
    file.write_bytes(b"if 0:\n    x = 1\n" + source)
    assert load(file).mistakes


def test_actions_are_data() -> None:
    assert Process("a.b") == Process("a.b")
    assert Compose("c", [Process("a.b")], namespace="x").namespace == "x"


@pytest.mark.parametrize("source", ["(" * 100, "-" * 100_000 + "1", "[" * 100_000 + "]" * 100_000, "x = 1\0"])
def test_a_file_that_python_gives_up_on_is_a_syntax_error(tmp_path: Path, source: str) -> None:
    (tmp_path / "deep.py").write_text(source)
    mistakes = load(tmp_path / "deep.py").mistakes
    assert [m.id for m in mistakes] == ["syntax-error"]
    assert mistakes[0].text
