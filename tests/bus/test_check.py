"""The rules of --check: every mistake of a launch in one answer, each with its id, place and suggestion."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from bus.check import check
from bus.plan import Plan, load
from bus.show import dot, plain, text

TOYS = "tests.bus.toys.graph"


def plan_of(tmp_path: Path, body: str, arguments: Sequence[str] = (), overrides: Sequence[str] = ()) -> Plan:
    file = tmp_path / "shop.py"
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    file.write_text(f"from bus.launch import *\nT = {TOYS!r}\ndef launch():\n{lines}\n")
    return load(file, arguments, overrides=overrides)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('yield Process(f"{T}:Spindle")', []),
        ('yield Process("nodes.no_such_node")', ["module-missing"]),
        ('yield Process("bus.node")', ["no-node"]),
        ("yield Process(T)", ["many-nodes"]),
        ('yield Process(f"{T}:Spindel")', ["no-node"]),
        ('yield Process("no_such_file.py")', ["module-missing"]),
        ('yield Process(f"{T}:Spindle", parameters={"rate": 5})', ["unknown-parameter"]),
        ('yield Process(f"{T}:Spindle", parameters={"rate_hz": "fast"})', ["bad-parameter"]),
        ('yield Process(f"{T}:Spindle", parameters={"rate_hz": 5000})', ["bad-parameter"]),
        ('yield Process(f"{T}:Spindle", parameters={"owners": {"a": object()}})', ["bad-parameter"]),
        ('yield Process(f"{T}:Spindle", parameters={"owners": {"x": 1, "y": 1}})', ["two-owners"]),
        ('yield Process(f"{T}:Spindle", remappings={"toy/sped": "toy/v"})', ["unknown-remap"]),
        ('yield Process(f"{T}:Spindle", remappings={"toy/speed": "Bad"})', ["bad-name"]),
        ('yield Process(f"{T}:Spindle", realtime=100)', ["bad-setting"]),
        ('yield Process(f"{T}:Spindle", cpus="0")', ["bad-setting"]),
        ('yield Process(f"{T}:Spindle", hang_s=0)', ["bad-setting"]),
        ('yield Process(f"{T}:Spindle", end_s=-1)', ["bad-setting"]),
        ('yield Compose("core", [])', ["bad-setting"]),
        ('yield Process(f"{T}:Spindle")\nyield Process(f"{T}:Spindle")', ["duplicate-node"]),
        ('yield Process(f"{T}:Spindle")\nyield Process(f"{T}:Spindle", name="b")', ["two-servers", "two-writers"]),
        ('yield Process(f"{T}:Careful")', ["unfed", "unserved"]),
        ('yield Process(f"{T}:Careful", outside=("toy/speed", "toy/halt"))', []),
        ('yield Process(f"{T}:Spindle")\nyield Process(f"{T}:Careful", name="b")', []),
        ('yield Process(f"{T}:Spindle")\nyield Process(f"{T}:Careless", name="b")', ["unhandled-silence"]),
        ('yield Process(f"{T}:Spindle")\nyield Process(f"{T}:Judge", name="b")', ["unhandled-silence"]),
        ('yield Process(f"{T}:Spindle", namespace="a")\nyield Process(f"{T}:Everywhere", name="b")', []),
        ('yield Process(f"{T}:Everywhere")', ["unfed"]),
        ('yield Process(f"{T}:Spindle")\nyield Process(f"{T}:OtherCaller", name="b")', ["incompatible-types"]),
        ('yield Process(f"{T}:Geared", remappings={"toy/speed": "toy/speed_out"})', ["incompatible-types"]),
        ('yield Process(f"{T}:LatchedSpindle", namespace="a")\n'
         'yield Process(f"{T}:Everywhere", name="b")', ["unlike-qos"]),
        ('yield Process(f"{T}:OtherSpindle", namespace="a")\n'
         'yield Process(f"{T}:Everywhere", name="b")', ["incompatible-types"]),
        ('yield Process(f"{T}:Spindle", name="a", needs=("n/b",))\n'
         'yield Process(f"{T}:OtherSpindle", name="b", namespace="n", needs=("/a",))', ["needs-cycle"]),
        ('yield Compose("c", [Process(f"{T}:Everywhere", name="a")])\n'
         'yield Compose("c", [Process(f"{T}:Spindle", namespace="n")])', ["duplicate-node"]),
        ('for n in range(2):\n'
         '    yield Compose("c", [Process(f"{T}:Spindle", name=n, namespace=n) for n in "ab"])', ["duplicate-node"]),
        ('for n in "abc":\n'
         '    yield Compose(f"c{n}", [Process(f"{T}:Everywhere", name=m) for m in ("e", n)])\n'
         'yield Process(f"{T}:Spindle", namespace="n")', ["duplicate-node"]),
    ],
)  # fmt: skip
def test_each_rule(tmp_path: Path, body: str, expected: list[str]) -> None:
    assert [m.id for m in check(plan_of(tmp_path, body))] == expected


def test_every_mistake_in_one_answer(tmp_path: Path) -> None:
    body = """
        yield Process("nodes.no_such_node", name="a", needs=("b",))
        yield Process(f"{T}:Spindle", name="b", needs=("a",), parameters={"rat_hz": 1}, remappings={"x": "y"})
        yield Process(f"{T}:Careless", name="c", nice=40)
        """
    mistakes = check(plan_of(tmp_path, body, arguments=["sim:=true"], overrides=["b.rate_hz=x", "d.e=1"]))
    assert sorted(m.id for m in mistakes) == sorted(
        [
            "bad-parameter",
            "bad-setting",
            "module-missing",
            "needs-cycle",
            "unhandled-silence",
            "unknown-argument",
            "unknown-node",
            "unknown-parameter",
            "unknown-remap",
        ]
    )
    places = {m.id: m.where.line for m in mistakes}
    assert (places["module-missing"], places["unknown-parameter"], places["bad-setting"]) == (4, 5, 6)
    (found,) = (m for m in mistakes if m.id == "unknown-parameter")
    assert str(found) == (
        f"{tmp_path}/shop.py:5: error: b: Spindle has no parameter 'rat_hz'; "
        "did you mean 'rate_hz'? [unknown-parameter]"
    )


def test_what_is_wrong_between_the_same_two_nodes_is_one_line(tmp_path: Path) -> None:
    body = """
        yield Process("nodes.recorder")
        yield Process("nodes.recorder", name="b")
        """
    found = check(plan_of(tmp_path, body))
    assert [m.id for m in found] == ["two-servers", "two-writers"]
    assert found[1].text.startswith("b writes bag/status, bag/closed, ")


def test_a_node_that_looks_at_every_machine_and_finds_none_warns_in_one_line(tmp_path: Path) -> None:
    (mistake,) = (m for m in check(plan_of(tmp_path, 'yield Process("nodes.console")')) if "*/" in m.text)
    assert mistake.level == "warning"
    assert "*/machine/state" in mistake.text
    assert "*/impact/protection" in mistake.text


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    (mistake,) = check(plan_of(tmp_path, 'yield Process(f"{T}:Spindle", name="Bad-Name")'))
    place = f"{tmp_path}/shop.py:4: error: bad name, segments are"
    assert str(mistake) == f"{place} [a-z][a-z0-9_]* joined by '/': Bad-Name [bad-name]"


def test_two_circles_are_two_mistakes(tmp_path: Path) -> None:
    body = """
        for a, b in ("pq", "qp", "rs", "sr"):
            yield Process(f"{T}:Everywhere", name=a, needs=(b,))
        """
    assert [m.id for m in check(plan_of(tmp_path, body))].count("needs-cycle") == 2


def test_a_circle_through_a_node_that_is_yielded_twice(tmp_path: Path) -> None:
    body = """
        yield Process(f"{T}:Everywhere", name="a", needs=("b",))
        yield Process(f"{T}:Everywhere", name="b", needs=("a",))
        yield Process(f"{T}:Everywhere", name="b")
        yield Process(f"{T}:Spindle", namespace="n")
        """
    mistakes = check(plan_of(tmp_path, body))
    assert [(m.id, m.where.line) for m in mistakes] == [("needs-cycle", 4), ("duplicate-node", 6)]
    assert "a <- b <- a" in mistakes[0].text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("""
         yield Group([Process(f"{T}:{n}", name=n.lower()) for n in ("Spindle", "Careful")], namespace="VMC 1")
         yield Process(f"{T}:Careful", name="c", namespace="vmc1", needs=("vmc1/spindle",))
         """, "bad-name"),
        ("""
         yield Compose("core", [Process(f"{T}:Spindle", name="a"), Process(f"{T}:Careful")], namespace="vmc-1")
         yield Process(f"{T}:Careful", name="c", remappings={"toy/speed": "/vmc1/toy/speed"}, outside=("toy/halt",))
         """, "bad-name"),
        ("""
         yield Process(f"{T}:Spindle", remappings={"toy/speed": "Fast"})
         yield Process(f"{T}:Careful", name="c")
         """, "bad-name"),
        ("""
         yield Process(f"{T}:Spindle", remappings={"toy/sped": "/a/speed"})
         yield Process(f"{T}:Careful", name="c", remappings={"toy/speed": "/a/speed"})
         """, "unknown-remap"),
        ("""
         yield Process(3)
         yield Process(f"{T}:Careful", name="c", needs=("spindle",))
         """, "bad-setting"),
        ("""
         yield from include("gone.py")
         yield Process(f"{T}:Careful", name="c", needs=("spindle",))
         """, "launch-file"),
    ],
)  # fmt: skip
def test_one_mistake_is_told_once(tmp_path: Path, body: str, expected: str) -> None:
    mistakes = check(plan_of(tmp_path, body, overrides=["vmc1/spindle.rate_hz=3"] if "VMC" in body else []))
    assert [m.id for m in mistakes] == [expected]


def test_a_site_file_that_cannot_be_read_is_one_mistake(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("[machines.vmc1]\nmode = 'STOP\n")
    (mistake,) = check(plan_of(tmp_path, 'yield Process(f"{T}:Careful")'))
    assert (mistake.id, mistake.where.line) == ("site-syntax", 2)


def test_a_partial_launch_only_warns(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 'yield Process(f"{T}:Careful")')
    assert {m.level for m in check(plan, partial=True)} == {"warning"}


def test_an_unfed_topic_names_the_one_that_was_meant(tmp_path: Path) -> None:
    body = """
        yield Process(f"{T}:Spindle", namespace="vmc1")
        yield Process(f"{T}:Careful", name="b", outside=("toy/halt",))
        """
    (mistake,) = check(plan_of(tmp_path, body))
    assert mistake.suggestion.startswith("did you mean 'vmc1/toy/speed'?")


def test_nodes_of_a_folder_import_one_another(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes/physics.py").write_text("LIMIT_PCT = 85.0\n")
    (tmp_path / "nodes/watch.py").write_text(
        "from bus import Node, parameter\n"
        "from .physics import LIMIT_PCT\n"
        "class Watch(Node):\n    limit_pct = parameter(LIMIT_PCT)\n"
    )
    plan = plan_of(tmp_path, 'yield Process("nodes/watch.py", parameters={"limit_pct": 1.0})')
    assert check(plan) == []
    (tmp_path / "nodes/broken.py").write_text("x = 1\ny = 1 / 0\n")
    (mistake,) = check(plan_of(tmp_path, 'yield Process("nodes/broken.py")'))
    assert mistake.id == "module-import"
    assert f"ZeroDivisionError: division by zero at {tmp_path}/nodes/broken.py:2" in mistake.text


def test_a_node_that_ends_the_program_hides_no_other_mistake(tmp_path: Path) -> None:
    (tmp_path / "exits.py").write_text("import sys\nsys.exit('bye')\n")
    found = check(plan_of(tmp_path, 'yield Process("exits.py")\nyield Process("nodes.no_such_node")'))
    assert [(m.id, m.where.line) for m in found] == [("module-import", 4), ("module-missing", 5)]
    assert f"SystemExit: bye at {tmp_path}/exits.py:2" in found[0].text


def test_a_declaration_that_cannot_work_is_told_with_the_line_of_who_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from bus import Node, timer\nclass Odd(Node):\n    @timer(-1)\n    def t(self): ...\n"
    )
    (mistake,) = check(plan_of(tmp_path, 'yield Process("odd.py")'))
    assert mistake.text == (
        f"odd: importing {tmp_path.name}/odd.py failed: DeclarationError: a timer's period must be above 0 s, not -1 "
        f"at {tmp_path}/odd.py:3"
    )


@pytest.mark.parametrize("module", ["nodes.messages", "messages"])
def test_a_file_beside_a_node_is_imported_with_a_dot(tmp_path: Path, module: str) -> None:
    (tmp_path / "messages.py").write_text("X = 1\n")
    (tmp_path / "watch.py").write_text(f"from {module} import X\n")
    (mistake,) = check(plan_of(tmp_path, 'yield Process("watch.py")'))
    assert mistake.text.endswith("a file beside it is imported with a dot: from .messages import ...")


def test_print_and_graph(tmp_path: Path) -> None:
    body = """
        yield Process(f"{T}:Spindle", namespace="vmc1", parameters={"rate_hz": 5.0})
        yield Process(f"{T}:Everywhere", name="hub")
        """
    plan = plan_of(tmp_path, body)
    assert f"    rate_hz = 5.0  ({tmp_path}/shop.py:4)" in list(text(plan))
    graph = dot(plan)
    assert '"vmc1/graph" -> "topic vmc1/toy/speed";' in graph
    assert '"topic vmc1/toy/speed" -> "hub";' in graph
    assert plain(plan)["processes"][0]["nodes"][0]["parameters"] == {"rate_hz": 5.0}


def test_a_cpu_that_this_computer_has_not_is_a_warning(tmp_path: Path) -> None:
    (mistake,) = check(plan_of(tmp_path, 'yield Process(f"{T}:Spindle", cpus=(0, 4000))'))
    assert (mistake.level, mistake.id) == ("warning", "bad-setting")
    assert "graph: this computer has no CPU 4000, only 0.." in mistake.text


def test_a_bad_setting_does_not_hide_what_is_unfed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 'yield Process(f"{T}:Careful", nice=40, outside=("toy/halt",))')
    assert [m.id for m in check(plan)] == ["bad-setting", "unfed"]


def test_what_is_unusual_about_a_process_is_printed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 'yield Process(f"{T}:Spindle", name="a", end_s=30, restart=Restart(most=3))')
    (line,) = [line for line in text(plan) if line.startswith("a")]
    assert line == "a  end_s 30; restart Restart(first_s=0.2, longest_s=10.0, most=3, window_s=60.0)"
    assert plain(plan)["processes"][0]["end_s"] == 30
    never = plan_of(tmp_path, 'yield Process(f"{T}:Spindle", name="a", restart=None)')
    assert plain(never)["processes"][0]["restart"] == "never"


def test_parameters_of_a_node_that_is_not_launched_here_are_a_warning(tmp_path: Path) -> None:
    """A site file may serve several launch files: only what looks like a slip is an error."""
    (tmp_path / "site.toml").write_text("[nodes.nothing_like_it]\nx = 1\n[nodes.spindel]\nrate_hz = 1.0\n")
    found = plan_of(tmp_path, 'yield Process(f"{T}:Spindle", name="spindle")').mistakes
    assert [(m.id, m.level, m.where.line) for m in found] == [
        ("unknown-node", "warning", 2),
        ("unknown-node", "error", 4),
    ]
