"""The fuzzer of logs (log_fuzz.py): a fixed row of cases, and with OXIDBM_SOAK as many more."""

import faulthandler
import shutil
import sys
import tracemalloc
from pathlib import Path

import pytest

from tests.format import log_fuzz
from tests.support import soaked

CASES = 80
CASE_SECONDS = 60
MEMORY_MAX = 512 << 20


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the holes are Linux's")
def test_any_damage_ends_in_a_result_or_an_error(tmp_path: Path) -> None:
    """A hang ends the process, with the stack; a case alone is `run_case` with its number."""
    appended = log_fuzz.make_bases(tmp_path / "bases")
    opened = 0
    for number in range(soaked(CASES, least=8)):
        faulthandler.dump_traceback_later(CASE_SECONDS, exit=True)
        tracemalloc.start()
        try:
            opened += log_fuzz.run_case(number, tmp_path / "bases", tmp_path / "room", appended)
            assert tracemalloc.get_traced_memory()[1] < MEMORY_MAX
        except BaseException as failure:
            failure.add_note(f"case {number}")
            raise
        finally:
            tracemalloc.stop()
            faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(tmp_path / "room")
    assert 0 < opened < soaked(CASES, least=8)


def test_a_case_is_the_same_each_time(tmp_path: Path) -> None:
    log_fuzz.make_bases(tmp_path / "bases")
    kinds = set()
    for case in range(20):
        for turn in ("a", "b"):
            kinds.add(log_fuzz.make_case(case, tmp_path / "bases", tmp_path / turn / str(case))[1])
        one, two = (
            {file.name: file.lstat().st_size for file in (tmp_path / turn / str(case)).rglob("*")}
            for turn in ("a", "b")
        )
        assert one == two
    assert kinds == {True, False}
