from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bus.root import PACKAGES, MixedRoots, found, one_root, project_root

ROOT = Path(__file__).resolve().parent.parent.parent


def test_this_checkout_is_one_root() -> None:
    assert project_root() == ROOT
    assert set(found()) == set(PACKAGES)


def test_a_shadowed_package_is_refused_and_named() -> None:
    parents: dict[str, Path | None] = dict.fromkeys(PACKAGES, Path("/checkout"))
    parents["web"] = Path("/site-packages")
    with pytest.raises(MixedRoots) as caught:
        one_root(parents)
    assert str(caught.value).startswith("web: not from the checkout that holds bus (/checkout)")
    assert "/site-packages/web" in str(caught.value)
    assert "make setup" in str(caught.value)


def test_a_missing_package_is_refused() -> None:
    with pytest.raises(MixedRoots, match=r"erp .*not found"):
        one_root({**dict.fromkeys(PACKAGES, Path("/checkout")), "erp": None})


SHADOWED = {
    "rise": "from bus.cli import main; main()",
    "node process": "from bus.run import main; sys.exit(main(['nodes.impact_cortex']))",
}


@pytest.mark.parametrize("entry", SHADOWED.values(), ids=SHADOWED)
def test_neither_rise_nor_a_node_starts_with_a_shadowed_package(entry: str, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "__init__.py").touch()
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['rise']; {entry}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2, done.stderr
    assert f"{tmp_path}/web" in done.stderr
    assert "Traceback" not in done.stderr
