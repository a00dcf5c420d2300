"""The stub `oxidbm/__init__.pyi` against what is there at run time, as documentation, and as type checkers use it."""

import ast
import contextlib
import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import oxidbm
from oxidbm import device
from tests.support import PURE, ROOT

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
    with oxidbm.Queue(name, codec=int) as numbers:
        assert_type(numbers, oxidbm.Queue[int])
        assert_type(numbers.get(), int)
        numbers.put("a")  # type: ignore[arg-type]
        with numbers.take() as number:
            assert_type(number, int)
    plain = oxidbm.Queue()
    plain.put("a")
    plain.put_many([b"a", bytearray(b"b")])
    for message in plain.messages():
        assert_type(message, oxidbm.queue.Message[bytes])
        assert_type(message.ack(), bool)
    assert_type(oxidbm.Queue(codec="json").get(), Any)
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

def use_checkpoints(path: str, store: oxidbm.Store) -> None:
    made = store.checkpoint("log")
    again = store.checkpoint(made.kind)
    store.checkpoint("paper")  # type: ignore[arg-type]
    found: oxidbm.Recovery = oxidbm.recover(path, again)
    assert_type(oxidbm.recover(path, made.token, to="other"), oxidbm.Recovery)
    assert_type(store.recovery, oxidbm.Recovery)
    assert_type(oxidbm.Store(path, read_only=True, checkpoint=made), oxidbm.Store)
    assert_type(store.purge(token=made), list[str])

def use_dbm(name: str) -> None:
    assert_type(oxidbm.dbm.open(name, "c"), oxidbm.Database)
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


PUBLIC = ("codecs", "convert", "dbm", "device", "dump", "shelve")  # and testing, which is a package


def sources_of_public_names() -> dict[Path, set[str]]:
    """Return where public names are that are typed by their own source: public modules, and what the stub imports."""
    found: dict[Path, set[str]] = {}
    for path in [ROOT / "oxidbm" / f"{name}.py" for name in PUBLIC] + list((ROOT / "oxidbm" / "testing").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[path] = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("oxidbm._"):
            path = ROOT / f"{node.module.replace('.', '/')}.py"
            if not node.module.startswith("oxidbm._core"):
                found.setdefault(path, set()).update(name.name for name in node.names)
    return found


def imported_when_checked(tree: ast.Module) -> dict[str, str]:
    """Return where a type checker takes the names of a module from: it does not look at what is for run time alone."""
    origins: dict[str, str] = {}
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If):
            checking = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            waiting += node.body if checking else [*node.body, *node.orelse]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            origins.update({name.asname or name.name: node.module for name in node.names})
    return origins


def annotated(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield the annotations of a module's public functions and classes, with what each is of."""
    public: list[tuple[str, ast.AST]] = [
        (node.name, node) for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)
    ]
    for name, node in public:
        if isinstance(node, ast.ClassDef):
            public += [(f"{name}.{part.name}", part) for part in node.body if isinstance(part, ast.FunctionDef)]
            yield from ((name, part.annotation) for part in node.body if isinstance(part, ast.AnnAssign))
        elif isinstance(node, ast.FunctionDef):
            yield from (
                (name, part.annotation)
                for part in ast.walk(node.args)
                if isinstance(part, ast.arg)
                if part.annotation is not None
            )
            if node.returns is not None:
                yield name, node.returns


def names_in(annotation: ast.expr) -> set[str]:
    """Return the names in an annotation, also where it is a string."""
    names = set()
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            with contextlib.suppress(SyntaxError):  # one of the strings of a Literal
                names |= names_in(ast.parse(node.value, mode="eval").body)
    return names


def private_types(tree: ast.Module, typed: set[str]) -> list[str]:
    """Return where a public function or class has the class of the core for a type, and not that of the stub."""
    origins = imported_when_checked(tree)
    return [
        f"{what}: {name}"
        for what, annotation in annotated(tree)
        for name in names_in(annotation) & typed
        if not what.rpartition(".")[2].startswith("_") and origins.get(name, "").startswith("oxidbm._core")
    ]


def test_what_is_public_has_the_types_of_the_stub() -> None:
    """To a type checker a class of the core, and the one that the stub has of the same name, are two."""
    typed = {node.name for node in ast.parse(STUB.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)}
    sources = sources_of_public_names()
    assert sources[ROOT / "oxidbm" / "_recover.py"] == {"recover"}
    assert "open" in sources[ROOT / "oxidbm" / "dbm.py"]
    assert [
        f"{path.name}: {fault}"
        for path, public in sources.items()
        for fault in private_types(ast.parse(path.read_text(encoding="utf-8")), typed)
        if fault.partition(":")[0].partition(".")[0] in public
    ] == []


def test_a_type_of_the_core_is_found() -> None:
    core = "from oxidbm._core.store.store import Store\n"
    asked = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from oxidbm import Store\nelse:\n    "
    taken = "def one(a: int) -> 'list[Store]': ...\nclass Two:\n    b: Store\n    def c(self, d: Store | None): ...\n"
    assert private_types(ast.parse(core + taken), {"Store"}) == ["one: Store", "Two: Store", "Two.c: Store"]
    assert private_types(ast.parse(asked + core + taken), {"Store"}) == []


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
    run_mypy(tmp_path, "mypy.stubtest", "oxidbm", "--mypy-config-file", "pyproject.toml", *allowed)


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
    stub = ast.parse(STUB.read_text(encoding="utf-8"))
    (node,) = (node for node in stub.body if isinstance(node, ast.ClassDef) and node.name == public.__name__)
    assert (ast.get_docstring(node) or "-") in text
    methods = {part.name: ast.get_docstring(part) for part in node.body if isinstance(part, ast.FunctionDef)}
    said = {name: inspect.getdoc(getattr(public, name)) for name in methods if not name.startswith("_")}
    assert said == {name: methods[name] for name in said}, "where the stub was edited: build anew"


def test_fields_are_documented() -> None:
    """As methods are; and what a class does not describe is said to be nobody's."""
    text = oxidbm.ReaderInfo.__doc__ or ""
    for field in ("name", "address", "lag", "time", "is_open"):
        assert f"\n{field}\n    " in text
    assert "addresses\n    The addresses of the entries" in (oxidbm.LogBatch.__doc__ or "")
    assert text.endswith("may change with any version.")
    if not PURE:  # where it is the compiled class's, and not each object's own
        assert (inspect.getdoc(vars(oxidbm.LogBatch)["addresses"]) or "").startswith("The addresses of the entries")
    assert "attempts: how often the item was handed out" in (oxidbm.queue.Message.__doc__ or "")


@pytest.mark.parametrize("public", DEVICES, ids=lambda public: public.__name__)
def test_devices_have_the_sources_documentation(public: type) -> None:
    assert public.__doc__
    methods = {name for name in vars(public) if not name.startswith("_") and callable(getattr(public, name))}
    assert methods
    assert [name for name in methods if not inspect.getdoc(getattr(public, name))] == []
    assert (device.Device.begin.__doc__ or "").startswith("Return")
    assert (device.Device.read_many.__doc__ or "").startswith("Return what `read` returns")


def test_devices_are_imported_when_they_are_used() -> None:
    code = "import sys, oxidbm; a = 'oxidbm.device' in sys.modules; print(a, oxidbm.device.Device.__name__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "False Device\n"


def test_every_figure_of_stats_is_documented() -> None:
    with oxidbm.Store() as store:
        text = oxidbm.Store.stats.__doc__ or ""
        assert [name for name in store.stats() if name not in text] == []


def test_all_public_names_are_listed() -> None:
    """Also those that are imported when they are used, in a process that has used none of them."""
    code = "import oxidbm; print(sorted(set(oxidbm.__all__) - set(dir(oxidbm))))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
