"""The fuzzer (fuzz.py) for a while, in a process of its own: a hang, a crash or a foreign exception ends that one."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.format import fuzz
from tests.support import PURE, ROOT

SECONDS = 8.0


def run_cases(bases: Path, first: int, count: int, seconds: float) -> tuple[int, str]:
    """Run cases in a process; return how many were begun, and what it said of the one that ended it."""
    arguments = [str(bases), str(first), str(count), str(seconds)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.format.fuzz", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=seconds + 2 * fuzz.CASE_SECONDS,
        check=False,
    )
    begun = done.stdout.split()
    said = f"case {begun[-1] if begun else first} ended the process with {done.returncode}:\n{done.stderr}"
    return len(begun), said if done.returncode else ""


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stores that the cases begin with."""
    path = tmp_path_factory.mktemp("fuzz") / "bases"
    fuzz.make_bases(path)
    return path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory and the holes are Linux's")
def test_cases_never_tried_before(bases: Path) -> None:
    first = random.SystemRandom().randrange(1 << 40)
    begun, said = run_cases(bases, first, 1 << 20, 2.0 if PURE else SECONDS)
    assert said == "", f"python -m tests.format.fuzz {bases} repeats it with FIRST and COUNT 1"
    assert begun > 0


def test_a_case_is_the_same_each_time(bases: Path, tmp_path: Path) -> None:
    kinds = set()
    for case in range(40):
        for turn in ("a", "b"):
            kinds.add(fuzz.make_case(case, bases, tmp_path / turn / str(case)) is None)
        one, two = (
            {file.name: file.lstat().st_size for file in (tmp_path / turn / str(case)).rglob("*")}
            for turn in ("a", "b")
        )
        assert one == two
    assert kinds == {True, False}


def test_what_is_no_error_of_a_store_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "bases").mkdir()
    begun, said = run_cases(tmp_path / "bases", 5, 2, 5.0)
    assert begun == 1
    assert said.startswith("case 5 ended the process with 1:\n")
    assert "FileNotFoundError" in said
