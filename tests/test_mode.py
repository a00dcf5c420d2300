"""The mode that was asked for is the mode that runs, and a stale build is noticed."""

import _thread
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, SourceFileLoader
from pathlib import Path

import pytest

import oxidbm
from oxidbm import _pure
from tests.support import PURE, build_fault, scaled

CORE = Path(oxidbm.__file__).parent / "_core"
SUFFIX = EXTENSION_SUFFIXES[0]
MODULES = sorted(
    path.relative_to(CORE).with_suffix("").as_posix().replace("/", ".")
    for path in CORE.rglob("*.py")
    if path.stem != "__init__"
)


def test_expected_mode_runs() -> None:
    expected = os.environ.get("OXIDBM_EXPECT", "pure" if _pure.requested() else "compiled")
    assert expected in ("compiled", "pure")
    loader = ExtensionFileLoader if expected == "compiled" else SourceFileLoader
    for name in MODULES:
        module = import_module(f"oxidbm._core.{name}")
        assert module.__spec__ is not None
        assert isinstance(module.__spec__.loader, loader), f"{name} comes from {module.__spec__.origin}"
    assert _pure.compiled() == (expected == "compiled")
    assert (expected == "pure") == PURE


@pytest.mark.skipif(not MODULES, reason="the core has no modules")
@pytest.mark.parametrize("compiled_core", [False, pytest.param(True, marks=pytest.mark.compiled_only("is compiled"))])
def test_mode_is_chosen_at_import(compiled_core: bool) -> None:
    code = f"""
import sys, oxidbm
from oxidbm import _pure
_pure.install()
import oxidbm._core.{MODULES[0]}
print(_pure.compiled(), _pure.NATIVE in sys.modules, sum(type(f) is _pure.SourceFinder for f in sys.meta_path))
"""
    environment = {**os.environ, "OXIDBM_PURE": "0" if compiled_core else "1"}
    environment["PYTHONPATH"] = str(CORE.parent.parent)
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert answer.stdout.split() == [str(compiled_core), str(compiled_core), str(int(not compiled_core))]


@pytest.mark.parametrize("compiled_core", [False, pytest.param(True, marks=pytest.mark.compiled_only("is compiled"))])
def test_only_pure_mode_changes_how_threads_take_turns(compiled_core: bool) -> None:
    """A thread that calls a store in a loop lets others run, though it never blocks."""
    code = """
import sys, threading
usual = sys.getswitchinterval()
import oxidbm
store = oxidbm.Store()
ready, done = threading.Event(), False
def read():
    while not done:
        store.get(b"key")
        ready.set()
reader = threading.Thread(target=read)
reader.start()
ready.wait()
for i in range(100):
    store[b"key"] = b"value"
done = True
reader.join()
print(sys.getswitchinterval() == usual, sys.getswitchinterval() > 86400)
"""
    environment = {**os.environ, "OXIDBM_PURE": "0" if compiled_core else "1", "PYTHONPATH": str(CORE.parent.parent)}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert answer.stdout.split() == [str(compiled_core), str(not compiled_core)]


def test_in_pure_mode_a_thread_that_was_started_gets_its_first_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not among the threads that are counted before it has run; a turn is given until it is."""
    counts = [0]
    slept: list[float] = []
    monkeypatch.setattr(_thread, "_count", lambda: counts[0])
    monkeypatch.setattr(time, "sleep", slept.append)
    turns = _pure.Turns()
    turns.seconds = 0.0
    turns.give()
    assert not slept, "nobody waits"
    turns.expect()
    for given, count in enumerate((0, 0, 1), 1):
        counts[0] = count
        turns.give()
        assert len(slept) == given
    counts[0] = 0
    turns.give()
    assert len(slept) == 3, "it has come and gone"


def test_pure_finder_knows_sources_only(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "__init__.py").touch()
    (tmp_path / "record.py").write_text('"""A source."""\n')
    (tmp_path / f"orphan{SUFFIX}").write_bytes(b"")
    finder = _pure.SourceFinder()
    spec = finder.find_spec("oxidbm._core.log.record", [str(tmp_path)])
    assert spec is not None
    assert spec.origin == str(tmp_path / "record.py")
    assert finder.find_spec("oxidbm._core.log", [str(tmp_path)]) is None, "a folder is left to the usual finder"
    assert finder.find_spec("oxidbm.dbm", [str(tmp_path)]) is None
    assert finder.find_spec("record", None) is None
    with pytest.raises(ModuleNotFoundError, match=r"oxidbm\._core\.orphan"):
        finder.find_spec("oxidbm._core.orphan", [str(tmp_path)])


def test_scaled() -> None:
    assert scaled(1000) == (50 if PURE else 1000)
    assert scaled(10, least=5) == (5 if PURE else 10)


def age(path: Path, seconds: int) -> None:
    """Set a file's date to `seconds` after the epoch, creating it."""
    path.touch()
    os.utime(path, (seconds, seconds))


def edit_after_build(core: Path) -> None:
    age(core / "index.py", 300)


def forget_group(core: Path) -> None:
    (core / f"native__mypyc{SUFFIX}").unlink()


def add_source(core: Path) -> None:
    age(core / "scan.py", 100)


def edit_in_a_folder(core: Path) -> None:
    age(core / "log" / "record.py", 300)


def move_source(core: Path) -> None:
    (core / "log" / "record.py").rename(core / "record.py")


def remove_source(core: Path) -> None:
    (core / "index.py").unlink()


def old_group(core: Path) -> None:
    age(core / f"native__mypyc{SUFFIX}", 50)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (edit_after_build, r"older than index\.py: rebuild it with `make build`"),
        (forget_group, "not compiled for this Python"),
        (add_source, r"scan\.py was never compiled"),
        (edit_in_a_folder, r"older than log/record\.py"),
        (move_source, r"log/record.* has lost its source"),
        (remove_source, "index.* has lost its source"),
        (old_group, r"older than hashing\.py"),
    ],
)
def test_stale_build_is_refused(tmp_path: Path, change: Callable[[Path], None], fault: str) -> None:
    (tmp_path / "log").mkdir()
    for name in ("index.py", "hashing.py", "log/record.py"):
        age(tmp_path / name, 100)
    for name in ("index", "hashing", "log/record", "native__mypyc"):
        age(tmp_path / f"{name}{SUFFIX}", 200)
    age(tmp_path / "__init__.py", 900)
    assert build_fault(tmp_path) is None
    change(tmp_path)
    found = build_fault(tmp_path)
    assert found is not None
    assert re.search(fault, found)
