"""The package as a program outside of the clone finds it, with the environment that the Makefile sets up."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

PROGRAM = """\
import oxidbm

with oxidbm.Store() as store:
    store["a"] = "b"
    print(store["a"].decode())
"""

pytestmark = pytest.mark.skipif(
    not Path(sys.prefix).is_relative_to(ROOT), reason="another environment than those of the Makefile"
)


def run_outside(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python on a program in a directory, and let nothing but the installation say where the package is."""
    (directory / "program.py").write_text(PROGRAM, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    return subprocess.run(
        [sys.executable, *arguments, "program.py"],
        cwd=directory,
        env={**environment, "MYPY_CACHE_DIR": str(directory / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_program_beside_the_clone_imports_the_package(tmp_path: Path) -> None:
    """A directory without __init__.py, as the clone is one, would be a package too, were there no other."""
    (tmp_path / "oxidbm").mkdir()
    done = run_outside(tmp_path)
    assert (done.stdout, done.stderr) == ("b\n", "")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy_finds_the_types(tmp_path: Path) -> None:
    done = run_outside(tmp_path, "-m", "mypy", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
