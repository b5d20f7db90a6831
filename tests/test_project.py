"""The project as a checkout: what lies where, what may not stand in a commit, that exceptions carry reasons."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOP = {
    "schemas", "bus", "nodes", "launch", "erp", "web", "tests", ".ci",
    "pyproject.toml", "README.md", "Makefile", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md",
    "requirements.lock", "requirements-dev.lock", "compose.yaml", ".gitignore", ".dockerignore",
}  # fmt: skip

# Written in pieces, so that this file does not find itself.
INDEX = re.compile(
    r"(?i)files\.python" + r"hosted\.org|pypi\." + r"org|registry\.npm" + r"js|--(extra-)?index" + r"-url"
)
MACHINE_PATH = re.compile(r"(?<![\w.~$}-])/" + r"(work|farm|home/\w+|root|Users/\w+)/\w")


def tracked() -> list[Path]:
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT)]
    listed = subprocess.run([*git, "ls-files", "-z"], capture_output=True, text=True, timeout=20, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        if path.suffix in {".mcap", ".png", ".ico", ".woff2"}:
            continue
        found.append((path.relative_to(ROOT), path.read_text(encoding="utf-8")))
    return found


def test_the_top_level_is_fixed() -> None:
    assert {p.relative_to(ROOT).parts[0] for p in tracked()} <= TOP


def test_no_registry_address_and_no_path_of_one_computer() -> None:
    wrong = [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if INDEX.search(line) or MACHINE_PATH.search(line)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_is_hashes_only(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "#" not in text
    assert "://" not in text
    for requirement in text.replace("\\\n", "").splitlines():
        assert re.match(r"[a-z0-9.-]+==[\w.]+( ; [^\\]+?)?\s+--hash=sha256:[0-9a-f]{64}", requirement), requirement[:80]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;\[]", name, maxsplit=1)[0]).lower()


def test_the_locks_hold_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]

    def pins(name: str) -> set[tuple[str, str]]:
        return set(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / name).read_text(), re.M))

    run, dev = pins("requirements.lock"), pins("requirements-dev.lock")
    assert run <= dev
    assert {normal(d) for d in project["dependencies"] + extra["build"]} <= {normal(n) for n, _ in run}
    assert {normal(d) for d in extra["dev"] + extra["parquet"]} <= {normal(n) for n, _ in dev}


def test_the_readme_says_why_of_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    table = re.findall(r"^\| ([\w, -]+) \| \S", (ROOT / "README.md").read_text(), re.M)
    told = {normal(name) for row in table for name in row.split(", ")} - {"dependency"}
    assert told == {normal(d) for d in project["dependencies"] + project["optional-dependencies"]["build"]}


def test_every_exception_to_a_rule_has_a_code_and_a_reason() -> None:
    """`# type: ignore[code] # reason`, `# noqa: CODE # reason`, and a comment on each exception in pyproject."""
    wrong = []
    for path, text in texts():
        if path.suffix != ".py" or path.name == "test_project.py":
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for kind, form in (("type: " + "ignore", r"\[[\w, -]+\]"), ("noqa", r": [A-Z]+\d+(, ?[A-Z]+\d+)*")):
                reason = rf"{form}\s+(#|-+|—|:)?\s*\w.{{7,}}"
                if any(not re.match(reason, line[found.end() :]) for found in re.finditer(rf"# ?{kind}", line)):
                    wrong.append(f"{path}:{number}: {line.strip()}")
    inside = False
    for number, line in enumerate((ROOT / "pyproject.toml").read_text().splitlines(), 1):
        if line.startswith("["):
            inside = "per-file-ignores" in line
            if "overrides" in line and "#" not in line:
                wrong.append(f"pyproject.toml:{number}: {line}")
        elif line.startswith("ignore = ["):
            inside = True
        elif line == "]":
            inside = False
        elif inside and line.strip() and "#" not in line:
            wrong.append(f"pyproject.toml:{number}: {line}")
    assert not wrong, "\n".join(wrong)


def setup(folder: Path, kind: str = "run", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / ".ci" / "setup", kind], env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in (".ci/setup", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def program(folder: Path, name: str, text: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_set_up_without_python_names_the_cure(checkout: Path) -> None:
    done = setup(checkout, PYTHON="no-such-python")
    assert (done.returncode, done.stdout) == (2, "")
    assert "sudo apt-get update && sudo apt-get install -y python3 python3-venv" in done.stderr


def test_set_up_with_an_old_python_says_which_is_needed(checkout: Path) -> None:
    old = program(checkout / "bin", "old", 'case "$2" in *sys.exit*) exit 1;; esac; echo 3.9.2')
    done = setup(checkout, PYTHON=old)
    assert done.returncode == 2
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "3.9.2" in done.stderr


def test_set_up_without_venv_names_the_package(checkout: Path) -> None:
    bare = program(checkout / "bin", "bare", 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.11.2;; esac')
    done = setup(checkout, PYTHON=bare)
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith("install -y python3-venv")


def test_set_up_on_a_full_disk_says_how_much_is_needed(checkout: Path) -> None:
    program(checkout / "bin", "df", "echo head; echo dev 9999999 9000000 20480 98% /")
    done = setup(checkout, PYTHON=sys.executable, PATH=f"{checkout / 'bin'}:/usr/bin:/bin")
    assert done.returncode == 2
    assert "20 MiB free" in done.stderr
    assert "1024 MiB are needed" in done.stderr
    assert not (checkout / ".venv").exists()


def append(path: Path) -> None:
    path.write_text(path.read_text() + "\n")


PRETENDING = """
here=$(dirname "$0")
case "$*" in
*sys.version_info[:3]*) echo 3.11.2 ;;
*"-m venv"*)
    echo "$@" >>"$here/calls"
    mkdir -p .venv/bin && printf '#!/bin/sh\\necho "$@" >>%s/calls\\n' "$here" >.venv/bin/python
    cp .venv/bin/python .venv/bin/pip && chmod +x .venv/bin/python .venv/bin/pip ;;
esac
"""
"""A Python that makes venvs whose pip only notes what it was asked."""


def test_set_up_is_free_until_something_changed(checkout: Path) -> None:
    python = program(checkout / "bin", "python", PRETENDING)
    calls = checkout / "bin" / "calls"

    def asked(kind: str, folder: Path = checkout) -> list[str]:
        calls.write_text("")
        done = setup(folder, kind, PYTHON=python)
        assert done.returncode == 0, done.stderr
        return [line.replace("-m pip install -qq --disable-pip-version-check --no-input ", "") for line in
                calls.read_text().splitlines()]  # fmt: skip

    def installs(kind: str) -> list[str]:
        return [f"--require-hashes -r {kind}", "--no-deps --no-build-isolation --editable ."]

    assert asked("run") == ["-m venv --clear .venv", *installs("requirements.lock")]
    assert asked("run") == []
    assert asked("dev") == installs("requirements-dev.lock")
    assert asked("dev") == []
    append(checkout / "requirements.lock")
    assert asked("dev") == []
    assert asked("run") == [], "the dev lock holds everything that run needs"
    append(checkout / "pyproject.toml")
    assert asked("run") == installs("requirements.lock")
    assert asked("dev") == installs("requirements-dev.lock")
    moved = checkout.rename(checkout.with_name("moved"))
    python, calls = str(moved / "bin" / "python"), moved / "bin" / "calls"
    assert asked("run", moved) == ["-m venv --clear .venv", *installs("requirements.lock")]


@pytest.mark.parametrize("script", ["setup", "run", "test-clean"])
def test_a_script_is_executable_and_has_no_syntax_error(script: str) -> None:
    path = ROOT / ".ci" / script
    assert path.stat().st_mode & 0o111
    shell = path.read_text().splitlines()[0].removeprefix("#!").split()[-1].rpartition("/")[2]
    done = subprocess.run([shell, "-n", path], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_make_help_lists_every_target() -> None:
    done = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True, timeout=20, check=True)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"^make ([a-z-]+) +\S", done.stdout, re.M)) == targets
    assert {"setup", "run", "test", "test-full", "check", "bench", "test-clean"} <= targets


SKIPPING = """
import pytest

def test_runs():
    pass

def test_skips():
    pytest.skip("no such program")

@pytest.mark.xfail(reason="known", strict=True)
def test_is_known_to_fail():
    assert False

@pytest.mark.full
def test_needs_a_program():
    pass
"""


@pytest.mark.parametrize(
    ("arguments", "counts", "code"),
    [
        ([], {"passed": 1, "skipped": 1, "xfailed": 1, "deselected": 1}, 0),
        (["--full"], {"passed": 2, "failed": 1, "xfailed": 1}, 1),
    ],
    ids=["test", "test-full"],
)
def test_a_skip_has_failed_in_a_full_run(
    arguments: list[str], counts: dict[str, int], code: int, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(SKIPPING)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = full\n")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == code
    last = done.stdout.splitlines()[-1]
    assert {word: int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", last) if word in counts} == counts, last


def test_a_module_that_skips_has_failed_in_a_full_run(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", "--full"],
        cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert "--full allows no skip" in done.stdout
