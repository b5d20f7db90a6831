from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.cli import NOUNS
from bus.testing import Domain
from tests.bus.cli.shop import open_shop, rise

SCRIPT = Path(sys.executable).with_name("rise")


@pytest.fixture(scope="module", autouse=True)
def shop() -> Iterator[Domain]:
    with open_shop() as domain:
        yield domain


def environment(shell: str, words: str) -> dict[str, str]:
    """As the shell's script asks; the last word is the one that is being typed."""
    typed = words.split(" ")
    said = (" ".join(typed[:-1]), typed[-1]) if shell == "fish" else (words, str(len(typed) - 1))
    return {**os.environ, "_RISE_COMPLETE": f"{shell}_complete", "COMP_WORDS": said[0], "COMP_CWORD": said[1]}


def offered(words: str) -> list[str]:
    done = subprocess.run([SCRIPT], env=environment("bash", words), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("rise t", ["topic"]),
        ("rise topic e", ["echo"]),
        ("rise topic echo vmc1/shop/r", ["vmc1/shop/reading"]),
        ("rise topic echo /vmc1/shop/s", ["/vmc1/shop/state"]),
        ("rise topic hz vmc1/m", []),  # traces and events of parameters are no person's
        ("rise service call ", ["vmc1/shop/feed", "vmc1/shop/park"]),
        ("rise node info vmc1/", ["vmc1/mill", "vmc1/watch"]),
        ("rise param get vmc1/mill ", ["limit_pct"]),
        ("rise param set mill l", ["limit_pct"]),
        ("rise param get vmc1/watch ", []),
        ("rise restart vmc1/m", ["vmc1/mill"]),
        ("rise node list --domain sh", ["shop"]),
        ("rise node info --domain nowhere ", []),
        ("rise node info --domain Bad/Name ", []),
        ("rise topci echo t", ["topic"]),  # what was misspelled is passed over
        ("rise topic ecko e", ["echo"]),
        ("rise launch sh", ["sh", "shop"]),
        ("rise launch cell li", ["limit_pct:="]),
        ("rise launch no_such_file ", []),
        ("rise doctor --j", ["--json"]),
        ("rise bag m", ["merge"]),
        ("rise bag us", ["usage"]),
        ("rise bag usage --q", ["--quick", "--quota-gb"]),
        ("rise bag convert --to p", ["parquet"]),
    ],
)
def test_what_is_offered(words: str, expected: list[str]) -> None:
    assert offered(words) == expected


def test_every_noun_is_offered() -> None:
    assert offered("rise ") == list(NOUNS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_asked_and_answered(shell: str) -> None:
    script = rise("completion", shell).stdout
    assert f"_RISE_COMPLETE={shell}_complete" in script
    answer = subprocess.run(
        [SCRIPT], env=environment(shell, "rise topic echo vmc1/shop/r"), capture_output=True, text=True, check=True
    )
    assert "vmc1/shop/reading" in answer.stdout


def test_in_a_real_bash() -> None:
    assert shutil.which("bash")
    said = """
        eval "$(rise completion bash)"
        COMP_WORDS=(rise node info vmc1/w) COMP_CWORD=3
        complete -p rise
        _rise_completion rise
        echo "${COMPREPLY[@]}"
        """
    path = f"{SCRIPT.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", said], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "vmc1/watch"
    assert done.stderr == ""


@pytest.mark.parametrize("words", ["rise topic echo v", "rise restart v", "rise launch c", "rise logs v", "rise run x"])
def test_it_loads_neither_sockets_nor_models(words: str) -> None:
    code = (
        "import sys\nfrom bus.cli import cli\ntry: cli.main(prog_name='rise', standalone_mode=False)\nfinally: "
        "sys.exit(str({'zmq', 'pydantic', 'numpy', 'rich', 'msgpack', 'msgspec'} & set(sys.modules)))"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, env=environment("bash", words), capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"
