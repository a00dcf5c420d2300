"""The stub `oxidbm/__init__.pyi` against what is there at run time, as documentation, and as type checkers use it."""

import ast
import builtins
import contextlib
import importlib
import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
def test_mypy_takes_what_is_documented_and_refuses_the_rest(tmp_path: Path) -> None:
    run_mypy(tmp_path, "mypy", "--strict", "tests/types")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("basedpyright") is None, reason="basedpyright is not installed")
@pytest.mark.compiled_only("type checkers read the same in both modes")
def test_pyright_takes_what_is_documented_and_refuses_the_rest(tmp_path: Path) -> None:
    """Where its package is installed, as `make types` does; there it also reads the examples and the documents."""
    run_mypy(tmp_path, "basedpyright", "--pythonpath", sys.executable)


def private_returns(tree: ast.Module) -> list[str]:
    """Return what public functions of a stub return, or have for an attribute, that nobody can import from there."""
    listed: set[str] = set()
    known = {"ParamSpec", "Self", *dir(builtins)}
    for node in tree.body:
        if isinstance(node, ast.Import):
            known |= {name.name for name in node.names}
        elif (
            isinstance(node, ast.ImportFrom) and node.module is not None and not node.module.startswith("oxidbm._core")
        ):
            known |= {name.asname or name.name for name in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if names == {"__all__"}:
                listed = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}  # type: ignore[misc]
            elif isinstance(node.value, ast.Call):
                known |= names  # a type variable
    found = []
    walked: Any
    for walked in ast.walk(tree):
        returned = walked.returns if isinstance(walked, ast.FunctionDef | ast.AsyncFunctionDef) else None
        if isinstance(walked, ast.AnnAssign):
            returned = walked.annotation
        for name in names_in(returned) - known - listed if returned is not None else ():
            found.append(f"line {walked.lineno}: {name}")  # noqa: PERF401 - a loop over nodes that have none, too
    return found


def test_what_is_returned_can_be_named() -> None:
    assert private_returns(ast.parse(STUB.read_text(encoding="utf-8"))) == []
    hidden = "from oxidbm._core.a import A\n__all__ = ['B']\nT = TypeVar('T')\ndef a() -> A: ...\ndef b() -> B: ...\n"
    assert private_returns(ast.parse(hidden + "def c() -> list[T | None]: ...\n")) == ["line 4: A"]


def test_what_is_generic_can_be_so_in_an_annotation_that_runs() -> None:
    """Functions' annotations are looked at when they are defined."""
    spec = importlib.util.find_spec("tests.types.documented")
    assert spec is not None
    pytest.importorskip("msgspec")
    module = importlib.import_module("tests.types.documented")
    assert module.Kept.__annotations__["session"].__args__ == (str, module.Reading)


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
