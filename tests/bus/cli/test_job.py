"""`rise job`: a file becomes the machine's next job, and what is wrong with it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.host import Spec
from bus.node import Node, service
from bus.testing import Domain
from schemas import topics
from schemas.shop import JobReply, JobSpec
from tests.bus.cli.shop import rise

TAKEN: list[JobSpec] = []
JOB = """
job_id = "502"
program = "O1001"
operator_id = "maria"
[[cuts]]
tool = 1
depth_mm = 5.0
[[limits]]
task = "load_limit"
error = 80.0
"""


class Brain(Node):
    """Takes jobs, but none of program O13."""

    @service(topics.JOB_START)
    def start(self, request: JobSpec) -> JobReply:
        TAKEN.append(request)
        if request.program == "O13":
            return JobReply(ok=False, text="program: unlucky; limits[0]: too low")
        return JobReply(ok=True, text=f"job {request.job_id or 'none'}")


@pytest.fixture(autouse=True)
def cell() -> Iterator[Domain]:
    TAKEN.clear()
    with Domain() as domain, domain.running(Spec(Brain, namespace="vmc1"), Spec(Brain, namespace="vmc2")):
        yield domain


def written(folder: Path, text: str = JOB) -> Path:
    (folder / "502.toml").write_text(text)
    return folder / "502.toml"


def test_a_file_is_the_next_job_of_a_machine(tmp_path: Path) -> None:
    done = rise("job", "start", str(written(tmp_path)), "--machine", "vmc2")
    assert (done.exit_code, done.stdout) == (0, "vmc2: job 502\n")
    (spec,) = TAKEN
    assert (spec.program, spec.operator_id, spec.cuts[0].depth_mm, spec.limits[0].error) == (
        "O1001",
        "maria",
        5.0,
        80.0,
    )


def test_a_job_is_ended() -> None:
    assert rise("job", "end", "--machine", "vmc1").stdout == "vmc1: job none\n"
    assert [JobSpec(job_id="", program="")] == TAKEN


def test_of_several_machines_one_is_named(tmp_path: Path) -> None:
    done = rise("job", "start", str(written(tmp_path)))
    assert done.exit_code == 2
    assert "say which machine, by --machine: there is vmc1, vmc2" in done.stderr
    wrong = rise("job", "start", str(written(tmp_path)), "--machine", "vcm1")
    assert wrong.exit_code == 1
    assert "did you mean 'vmc1'?" in wrong.stderr
    assert TAKEN == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("job_id = 502\n", "job_id"),
        (JOB + "eror = 3\n", "eror"),
        ("job_id = '502'\n", "program"),
        ("job_id = \n", "not TOML"),
        ("x = " + "9" * 5000, "not TOML"),
        (JOB.replace("5.0", "1979-05-27"), "depth_mm"),
    ],
)
def test_a_file_that_is_no_job_is_told_with_its_name(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    done = rise("job", "start", str(file), "--machine", "vmc1")
    assert done.exit_code == 2
    assert str(file) in done.stderr
    assert said in done.stderr
    assert TAKEN == []


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = rise("job", "start", str(tmp_path / "gone.toml"), "--machine", "vmc1")
    assert (done.exit_code, "No such file or directory" in done.stderr) == (2, True)


def test_a_machine_that_does_not_take_it_says_why(tmp_path: Path) -> None:
    done = rise("job", "start", str(written(tmp_path, JOB.replace("O1001", "O13"))), "--machine", "vmc1")
    assert done.exit_code == 1
    assert "vmc1: program: unlucky\n  limits[0]: too low" in done.stderr
