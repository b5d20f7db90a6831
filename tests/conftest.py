"""For every test: a runtime directory of its own, so that no test meets the user's nodes; `--full`; real data."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from bus.testing import Domain

settings.register_profile("rise", deadline=None, max_examples=60, derandomize=True, print_blob=True)
settings.load_profile("rise")

REAL_DATA = Path(os.environ.get("RISE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))

_OWN: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="run tests marked `full` too; a test that is skipped has failed"
    )


def pytest_configure(config: pytest.Config) -> None:
    # short: a socket's path has at most 107 bytes
    folder = tempfile.mkdtemp(prefix="rise-", dir="/tmp")
    _OWN.append(folder)
    os.environ["RISE_RUNTIME_DIR"] = f"{folder}/run"
    os.environ["XDG_STATE_HOME"] = f"{folder}/state"
    os.environ.pop("RISE_DOMAIN", None)


def pytest_unconfigure(config: pytest.Config) -> None:
    while _OWN:
        shutil.rmtree(_OWN.pop(), ignore_errors=True)


def pytest_report_header(config: pytest.Config) -> str:
    return f"real data: {REAL_DATA if REAL_DATA.is_dir() else f'none at {REAL_DATA} (RISE_TEST_DATA names its folder)'}"


@pytest.fixture
def domain() -> Iterator[Domain]:
    """A domain of the test's own."""
    with Domain() as made:
        yield made


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out_marks = set() if config.getoption("--full") else {"full"}
    if not REAL_DATA.is_dir():
        left_out_marks.add("real_data")
    left_out = [item for item in items if any(item.get_closest_marker(m) for m in left_out_marks)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--full"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and --full allows no skip: {call.excinfo.value if call.excinfo else ''}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped and collector.config.getoption("--full"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and --full allows no skip: {report.longrepr}"
    return report
