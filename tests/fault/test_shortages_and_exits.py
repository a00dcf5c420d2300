"""What is no fault of the disk, and what one store's failure must not do to another: descriptors, exits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import oxidbm
from tests.support import ROOT


def run_python(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, in a directory."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.skipif(os.name == "nt", reason="descriptors are limited by setrlimit")
def test_a_shortage_of_descriptors_is_over_when_it_is_over(tmp_path: Path) -> None:
    """It is told as what it is, poisons nothing, and the next sync makes everything durable."""
    code = """
import resource, oxidbm
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
store = oxidbm.Store("s", durability="manual")
store["a"] = "1"
held = []
try:
    while True:
        held.append(open("/dev/null"))
except OSError:
    pass
for _ in range(2):
    try:
        store.sync()
    except oxidbm.error as failure:
        print("poisoned", failure)
    except OSError as failure:
        print("shortage", failure.errno)
for file in held:
    file.close()
store["b"] = "2"
store.sync()
store.close()
"""
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["shortage", "24", "shortage", "24"]
    with oxidbm.Store(tmp_path / "s", read_only=True) as store:
        assert dict(store) == {b"a": b"1", b"b": b"2"}
        assert store.check() == []


def test_each_store_has_its_own_chance_when_the_interpreter_exits(tmp_path: Path) -> None:
    """A store whose directory is gone is reported; the one behind it is committed."""
    code = """
import os, shutil, oxidbm
first = oxidbm.Store("a", durability="manual")
first["x"] = "1"
second = oxidbm.Store("b", durability="manual")
second["important"] = "1"
shutil.rmtree("a")
"""
    done = run_python(code, tmp_path)
    assert done.returncode == 0
    assert "Traceback" in done.stderr, "what was lost is said"
    with oxidbm.Store(tmp_path / "b", read_only=True) as store:
        assert dict(store) == {b"important": b"1"}
