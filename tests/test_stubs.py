"""The stub `oxidbm/__init__.pyi` against what is there at run time, as documentation, and as type checkers use it."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import oxidbm
from oxidbm import device
from tests.support import ROOT

STUB = ROOT / "oxidbm" / "__init__.pyi"
CLASSES = [
    oxidbm.Batch,
    oxidbm.Store,
    oxidbm.Database,
    oxidbm.Session,
    oxidbm.LogScan,
    oxidbm.LogRecord,
    oxidbm.KeyHistory,
]
DEVICES = [device.Device, device.NullDevice, device.FileDevice, device.Directory]

needs_mypy = pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")

TYPED = """
import array
from collections.abc import MutableMapping
from typing import Any, assert_type
import oxidbm
from oxidbm.testing import CrashDevice, FaultyDevice, check_crashes, check_device, crash_states

def double(old: bytes) -> bytes:
    return old + old

def shout(old: str) -> str:
    return old + "!"

def use(store: oxidbm.Store, name: str) -> None:
    mapping: MutableMapping[bytes, bytes] = store
    assert_type(store["a"], bytes)
    assert_type(store[bytearray(b"a")], bytes)
    store["a"] = "b"
    store[b"a"] = memoryview(b"b")
    assert_type(store.get("a"), bytes | None)
    assert_type(store.get("a", b""), bytes)
    assert_type(store.get("a", 1), bytes | int)
    assert_type(store.pop("a"), bytes)
    assert_type(store.pop("a", None), bytes | None)
    assert_type(dict(store), dict[bytes, bytes])
    assert_type([key for key in store], list[bytes])
    store.update({"a": b"b"})
    store.update({b"a": "b"}, c="d")
    store.update([("a", "b")])
    store.update(mapping)
    store |= {"a": "b"}
    store["a"] = array.array("B", b"b")
    store[memoryview(b"a")] = array.array("i", [1])
    store[1] = "a"  # type: ignore[call-overload]
    with store.session(name) as session:
        assert_type(session, oxidbm.Session)
        assert_type(session.read("a"), bytes | None)
        assert_type(session.rmw("a", double), bytes | None)
        assert_type(session.rmw("a", double, b"x"), bytes)
        session.rmw("a", lambda old: old or None, b"x")
    for known in store.sessions():
        assert_type(known, oxidbm.SessionInfo)
        assert_type(known.last_used, float)
    assert_type(store.forget_session(name), bool)
    assert_type(store.forget_sessions(unused_for=1), list[str])
    for record in store.scan(live=False):
        assert_type(record, oxidbm.LogRecord)
        assert_type(record.value, bytes)
    for version in store.history("a", scan=True):
        assert_type(version, oxidbm.KeyVersion[bytes])
        assert_type(version.time, float | None)
        assert_type(version.value, bytes | None)

def use_types(path: str) -> None:
    with oxidbm.Store(path, key=int, value=str, ordered=True) as store:
        assert_type(store, oxidbm.Store[int, str])
        assert_type(store[1], str)
        store[1] = "one"
        store["1"] = "one"  # type: ignore[index]
        store[1] = b"one"  # type: ignore[assignment]
        assert_type(store.get(1), str | None)
        assert_type(store.get_many([1, 2]), list[str | None])
        assert_type(store.first_key(), int | None)
        assert_type([version.value for version in store.history(1)], list[str | None])
        for key, value in store.range(1, 2):
            assert_type(key, int)
            assert_type(value, str)
        with store.session() as session:
            assert_type(session.rmw(1, shout, "new"), str)
        with store.batch() as batch:
            batch[1] = "one"
            batch[1] = 1  # type: ignore[assignment]
        mapping: MutableMapping[int, str] = store
    keyed = oxidbm.Store(path, key=str)
    assert_type(keyed, oxidbm.Store[str, bytes])
    keyed["a"] = "b"
    keyed.set_many({"a": "b"})
    keyed.update([("a", bytearray(b"b"))], c="d")
    keyed.update({1: "b"})  # type: ignore[dict-item]
    counts = oxidbm.Store(path, value=int)
    assert_type(counts, oxidbm.Store[bytes, int])
    text_counts = {"a": 1}
    counts.update(text_counts)
    counts.update({b"a": 1}, b=2)
    counts.update([("a", 1)])
    counts.set_many(text_counts, expire=1)
    counts.set_many([("a", 1), (b"b", 2)])
    counts |= text_counts
    assert_type(counts, oxidbm.Store[bytes, int])
    with counts.batch() as counted:
        counted.update(text_counts)
    counts.update({"a": "1"})  # type: ignore[dict-item]
    counts.set_many([("a", None)])  # type: ignore[list-item]
    objects = oxidbm.Store(path, value="objects")
    assert_type(objects, oxidbm.Store[bytes, Any])
    assert_type(objects["a"], Any)
    named: oxidbm.Store[str, dict[str, int]] = oxidbm.Store(path, key=str, value="json")
    assert_type(named["a"], dict[str, int])

def use_dbm(name: str) -> None:
    with oxidbm.open(name, "c") as db:
        assert_type(db, oxidbm.Database)
        assert_type(db.keys(), list[bytes])
        assert_type(db.nextkey("a"), bytes | None)
        mapping: MutableMapping[bytes, bytes] = db
    assert_type(oxidbm.whichdb(name), str | None)

class Own(oxidbm.device.Device):
    def begin(self) -> int:
        return 0

    def read(self, address: int, size: int) -> bytes:
        return b""

    def write(self, address: int, data: memoryview) -> None:
        pass

def use_device(path: str) -> None:
    with oxidbm.Store(path, device=Own()) as store:
        assert_type(store, oxidbm.Store)
    files = oxidbm.device.FileDevice(oxidbm.device.Directory(path), 12)
    assert_type(files.read_many([(64, 8)]), list[bytes])
    check_device(Own, page_bytes=4096)
    oxidbm.Store(path, device=path)  # type: ignore[call-overload]

def pay(path: str, crashing: CrashDevice) -> None:
    faulty = FaultyDevice(crashing)
    faulty.fail("write", 28, after=100)
    with oxidbm.Store(path, device=faulty) as store:
        store["paid"] = "1"
    crashing.note(1)
    assert_type(faulty.calls["write"], int)
    assert_type([state.restore("left") for state in crash_states(crashing)], list[CrashDevice])

def paid(path: str, crashing: CrashDevice, notes: list[int]) -> None:
    with oxidbm.Store(path, device=crashing) as store:
        assert len(store) >= max(notes, default=0)

assert_type(check_crashes(pay, paid, limit=20), int)

def misuse(store: oxidbm.Store) -> None:
    store[1]  # type: ignore[call-overload]
    store["a"] = 1  # type: ignore[call-overload]
    oxidbm.Store("a", durability="sometimes")  # type: ignore[call-overload]
    for key in store:
        key.encode()  # type: ignore[attr-defined]
"""


def run_mypy(tmp_path: Path, *arguments: str) -> None:
    """Run a mypy module in pure mode, whose signatures are exact, and show what it found."""
    result = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "OXIDBM_PURE": "1", "MYPY_CACHE_DIR": str(tmp_path / "cache"), "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
@needs_mypy
@pytest.mark.compiled_only("type checkers read the same in both modes")
def test_the_stub_says_what_is_there(tmp_path: Path) -> None:
    allowed = ("--allowlist", "tests/stubtest_allowlist.txt", "--ignore-unused-allowlist")
    run_mypy(tmp_path, "mypy.stubtest", "oxidbm", *allowed)


@pytest.mark.slow
@needs_mypy
@pytest.mark.compiled_only("type checkers read the same in both modes")
def test_type_checkers_see_a_mapping_of_bytes(tmp_path: Path) -> None:
    source = tmp_path / "typed.py"
    source.write_text(TYPED, encoding="utf-8")
    run_mypy(tmp_path, "mypy", "--strict", str(source))


def test_everything_in_the_stub_is_documented() -> None:
    faults = []
    for node in ast.walk(ast.parse(STUB.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        overload = (
            isinstance(node, ast.FunctionDef)
            and isinstance(node.body[0], ast.Expr)
            and isinstance(node.body[0].value, ast.Constant)
            and (node.body[0].value.value is Ellipsis)
        )
        if not overload and ast.get_docstring(node) is None:
            faults.append(f"{node.name}, line {node.lineno}")
    assert faults == []


@pytest.mark.parametrize("public", CLASSES, ids=lambda public: public.__name__)
def test_classes_have_the_stubs_documentation(public: type) -> None:
    text = public.__doc__ or ""
    methods = {name for name in vars(public) if not name.startswith("_")}
    stub = ast.parse(STUB.read_text(encoding="utf-8"))
    (node,) = (node for node in stub.body if isinstance(node, ast.ClassDef) and node.name == public.__name__)
    documented = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    assert (ast.get_docstring(node) or "-") in text
    for name in methods & documented:
        assert f"\n{name}" in text


@pytest.mark.parametrize("public", DEVICES, ids=lambda public: public.__name__)
def test_devices_have_the_sources_documentation(public: type) -> None:
    text = public.__doc__ or ""
    methods = {name for name in vars(public) if not name.startswith("_") and callable(getattr(public, name))}
    assert methods
    assert [name for name in methods if f"\n{name}(" not in text] == []
    assert "begin()\n    Return" in (device.Device.__doc__ or "")
    assert "read_many(requests)\n    Return what `read` returns" in (device.Device.__doc__ or "")


def test_devices_are_imported_when_they_are_used() -> None:
    code = "import sys, oxidbm; a = 'oxidbm.device' in sys.modules; print(a, oxidbm.device.Device.__name__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "False Device\n"


def test_every_figure_of_stats_is_documented() -> None:
    with oxidbm.Store() as store:
        text = oxidbm.Store.__doc__ or ""
        assert [name for name in store.stats() if name not in text] == []
