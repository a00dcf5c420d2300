"""A subinterpreter that imports oxidbm is told that it cannot, before it can break the main one's stores."""

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from oxidbm import _pure
from tests.support import ROOT

MODULES = ("_interpreters", "_xxsubinterpreters")  # the one of Python 3.13 and later, and the one before
HAS_ONE = any(importlib.util.find_spec(name) for name in MODULES)
needs_one = pytest.mark.skipif(not HAS_ONE, reason="this Python makes no subinterpreters")

PROGRAM = textwrap.dedent("""
    import importlib, sys
    if sys.argv[1] == "first":
        import oxidbm
        store = oxidbm.Store(sys.argv[2])
        store["a"] = "1"
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters = importlib.import_module(name)
            break
        except ImportError:
            pass
    code = '''
    import sys
    for name in ("oxidbm", "oxidbm._core.life", "oxidbm.shelve"):
        try:
            __import__(name)
        except ImportError as failure:
            print(type(failure).__name__, failure.name, "subinterpreter" in str(failure), flush=True)
        else:
            print("imported", flush=True)
    print([name for name in sys.modules if "oxidbm._core" in name or "__mypyc" in name], flush=True)
    '''
    import textwrap
    for _ in range(2):
        other = interpreters.create("legacy") if name == "_interpreters" else interpreters.create(isolated=False)
        run = getattr(interpreters, "run_string")
        failure = run(other, textwrap.dedent(code))
        assert failure is None, failure
        interpreters.destroy(other)
    import oxidbm
    if sys.argv[1] != "first":
        store = oxidbm.Store(sys.argv[2])
        store["a"] = "1"
    store["b"] = "2"
    store.close()
    print(dict(oxidbm.Store(sys.argv[2], read_only=True)), flush=True)
""")


@needs_one
@pytest.mark.parametrize("main", ["first", "later"])
@pytest.mark.parametrize("pure", ["0", "1"])
def test_a_subinterpreter_refuses_and_the_main_interpreter_goes_on(main: str, pure: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, main, str(tmp_path / "s")],
        env={**os.environ, "OXIDBM_PURE": pure}, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    refused = ["ImportError oxidbm True"] * 3 + ["[]"]
    assert result.stdout.splitlines() == [*refused, *refused, "{b'a': b'1', b'b': b'2'}"]


def test_the_main_interpreter_is_known() -> None:
    assert _pure.in_main_interpreter()
