"""A build in place: each optimization level keeps its own libraries, and what was edited is compiled again."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from tests.support import ROOT, build_fault

SUFFIX = EXTENSION_SUFFIXES[0]
SETTINGS = """
[build-system]
requires = ["setuptools"]

[project]
name = "oxidbm"
version = "1"

[tool.setuptools]
packages = ["oxidbm"]
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.compiled_only("compiles, whatever runs the tests"),
    pytest.mark.skipif(importlib.util.find_spec("mypyc") is None, reason="mypyc is not installed"),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A package of two core modules, one in a folder, built by this project's setup.py."""
    core = tmp_path / "oxidbm" / "_core"
    (core / "log").mkdir(parents=True)
    for directory in (core.parent, core, core / "log"):
        (directory / "__init__.py").touch()
    (core / "hashing.py").write_text("def one() -> int:\n    return 1\n")
    (core / "log" / "record.py").write_text("def two() -> int:\n    return 2\n")
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    shutil.copy(ROOT / "setup.py", tmp_path)
    shutil.copy(ROOT / "finish_c.py", tmp_path)
    shutil.copy(ROOT / "oxidbm" / "_documentation.py", core.parent)
    return tmp_path


def build(project: Path, level: int) -> None:
    """Build in place."""
    unset = {"OXIDBM_CFLAGS", "OXIDBM_ANNOTATE"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"OXIDBM_PURE": "0", "OXIDBM_OPT": str(level)}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def libraries(project: Path) -> dict[str, bytes]:
    """Return what lies beside the sources: name to content."""
    core = project / "oxidbm" / "_core"
    return {path.relative_to(core).as_posix(): path.read_bytes() for path in core.rglob(f"*{SUFFIX}")}


def objects(project: Path) -> dict[Path, int]:
    """Return when each object file was written, those of all levels."""
    return {path: path.stat().st_mtime_ns for path in (project / "build").rglob("*.o")}


def two(project: Path) -> str:
    """Return what the compiled function of the folder says."""
    code = "from oxidbm._core.log import record; print(record.__file__.endswith('.py'), record.two())"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True, timeout=300
    ).stdout


def test_levels_do_not_evict_each_other(project: Path) -> None:
    core = project / "oxidbm" / "_core"
    build(project, 0)
    quick = libraries(project)
    assert sorted(quick) == [f"hashing{SUFFIX}", f"log/record{SUFFIX}", f"native__mypyc{SUFFIX}"]
    assert build_fault(core) is None
    build(project, 3)
    optimized = libraries(project)
    assert optimized.keys() == quick.keys()
    assert optimized[f"native__mypyc{SUFFIX}"] != quick[f"native__mypyc{SUFFIX}"]
    compiled = objects(project)
    for level, expected in ((0, quick), (3, optimized)):
        build(project, level)
        assert libraries(project) == expected
        assert build_fault(core) is None
    assert objects(project) == compiled, "switching compiles nothing"


def test_an_edit_in_a_folder_is_compiled(project: Path) -> None:
    core = project / "oxidbm" / "_core"
    build(project, 0)
    assert two(project) == "False 2\n"
    source = core / "log" / "record.py"
    usual = source.read_text()
    source.write_text(usual.replace("return 2", "return 22"))
    later = time.time() + 1
    os.utime(source, (later, later))
    fault = build_fault(core)
    assert fault is not None
    assert "older than log/record.py" in fault
    os.utime(source)
    build(project, 0)
    assert build_fault(core) is None
    assert two(project) == "False 22\n"
    source.write_text(usual)
    build(project, 0)
    assert two(project) == "False 2\n"


def test_a_library_goes_with_its_source(project: Path) -> None:
    build(project, 0)
    (project / "oxidbm" / "_core" / "hashing.py").unlink()
    build(project, 0)
    assert sorted(libraries(project)) == [f"log/record{SUFFIX}", f"native__mypyc{SUFFIX}"]
    assert build_fault(project / "oxidbm" / "_core") is None
    assert list((project / "build").rglob(f"hashing{SUFFIX}")) == []


def test_changed_flags_compile_again(project: Path) -> None:
    build(project, 0)
    compiled = objects(project)
    setup = project / "setup.py"
    setup.write_text(setup.read_text().replace("flags = []", 'flags = ["-DEXTRA"]'))
    build(project, 0)
    again = objects(project)
    assert again.keys() == compiled.keys()
    assert all(again[path] > compiled[path] for path in compiled)
