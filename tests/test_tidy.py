"""The rules of the code that matter, each as a test; a rule that cannot fail is no rule, so each has a bad example.

A check is a function from sources to faults: lines of text that name file, line and rule.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The layers of oxidbm/_core from the bottom up: a module imports only modules named before it.
LAYERS = [
    "errors",
    "sizes",
    "hashing",
    "address",
    "epoch",
    "store.coder",
    "log.record",
    "device.device",
    "log.frames",
    "index.hash_index",
    "log.hybrid_log",
    "table.engine",
    "store.arguments",
    "table.locate",
    "table.scan",
    "table.operations",
    "durability.files",
    "durability.commit",
    "durability.recovery",
    "store.session",
    "store.bulk",
    "store.expiring",
    "store.batch",
    "table.compaction",
    "store.size_limit",
    "store.maintenance",
    "store.opening",
    "store.ordered",
    "store.statistics",
    "table.places",
    "table.check",
    "store.base",
    "store.store",
    "store.database",
]

# interpreted, because that is what each is for
OUTSIDE = ("oxidbm._breath", "oxidbm._views", "oxidbm.codecs", "oxidbm._memoize")

LINES_MAX = 500
FUNCTION_LINES_MAX = 70
CODE_DIRECTORIES = ("oxidbm", "tests", "bench", "examples")
TEXT_DIRECTORIES = (*CODE_DIRECTORIES, "docs", ".ci")
TEXT_SUFFIXES = {".py", ".pyi", ".md", ".toml", ".in", ".txt", ".yml", ".yaml", ".sh"}
TEXT_NAMES = {"Makefile", "LICENSE", "run", ".gitignore"}
INTEGER_TYPES = {"i64", "i32", "i16", "u8", "int"}

FORBIDDEN = {
    "a note to do later": re.compile(r"\b(?:TODO|FIXME|XXX)\b"),
    "an emoji": re.compile("[\u2600-\u27bf\u2b50\u2b55\ufe0f\U0001f000-\U0001faff]"),
    "a path of one machine": re.compile(r"(?<![\w.~$}-])/(?:home/\w|root\b|work/|Users/\w)|\b[A-Z]:\\Users"),
}


def python_sources(*directories: str) -> dict[str, str]:
    """Return path (relative, with slashes) to text of every .py file below the directories."""
    found = {}
    for directory in directories:
        for path in sorted((ROOT / directory).rglob("*.py")):
            found[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
    return found


def text_sources() -> dict[str, str]:
    """Return path to text of every text file of the project, save this one, which says what is forbidden."""
    paths = [path for path in ROOT.iterdir() if path.is_file()]
    for directory in TEXT_DIRECTORIES:
        paths += [path for path in (ROOT / directory).rglob("*") if path.is_file()]
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(paths)
        if (path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES) and path != Path(__file__).resolve()
    }


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imported_modules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything imported from oxidbm, wherever in the file it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = ("oxidbm._core." if node.level == 1 else "oxidbm." if node.level else "") + (node.module or "")
            module = module.rstrip(".")
            package = module in ("oxidbm", "oxidbm._core") or (ROOT / module.replace(".", "/")).is_dir()
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}" if package else module


def check_layers(sources: dict[str, str]) -> list[str]:
    """A core module imports, of oxidbm, only core modules below it in LAYERS."""
    faults = []
    for path, text in sources.items():
        if not path.startswith("oxidbm/_core/"):
            continue
        name = path.removeprefix("oxidbm/_core/").removesuffix(".py").replace("/", ".")
        marks_package = name.rpartition(".")[2] == "__init__"
        if not marks_package and name not in LAYERS:
            faults.append(f"{path}: {name} has no place in LAYERS (tests/test_tidy.py)")
            continue
        below = LAYERS[: LAYERS.index(name)] if not marks_package else []
        for line, imported in imported_modules(ast.parse(text)):
            if imported.partition(".")[0] != "oxidbm":
                continue
            if imported.removeprefix("oxidbm._core.") not in below and imported not in OUTSIDE:
                faults.append(f"{path}:{line}: imports {imported}, which is not below it in LAYERS")
    return faults


def check_lengths(sources: dict[str, str]) -> list[str]:
    """Files and functions stay short."""
    faults = []
    for path, text in sources.items():
        lines = len(text.splitlines())
        if lines > LINES_MAX:
            faults.append(f"{path}: {lines} lines, {LINES_MAX} are the most")
        for function in functions(ast.parse(text)):
            assert function.end_lineno is not None
            length = function.end_lineno - function.lineno + 1
            if length > FUNCTION_LINES_MAX:
                where = f"{path}:{function.lineno}: {function.name}"
                faults.append(f"{where} has {length} lines, {FUNCTION_LINES_MAX} are the most")
    return faults


def check_module_docstrings(sources: dict[str, str]) -> list[str]:
    """Every module opens with its contract; an __init__.py that only marks a package may be empty."""
    return [
        f"{path}: no module docstring"
        for path, text in sources.items()
        if ast.get_docstring(ast.parse(text)) is None and (text.strip() or not path.endswith("/__init__.py"))
    ]


def check_public_docstrings(sources: dict[str, str]) -> list[str]:
    """Every public function and class at the top level of a module says what it is for."""
    faults = []
    for path, text in sources.items():
        for node in ast.parse(text).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            overload = any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)
            if ast.get_docstring(node) is None and not overload:
                faults.append(f"{path}:{node.lineno}: {node.name} has no docstring")
    return faults


def is_constant(node: ast.expr | None, names: set[str]) -> bool:
    """Tell whether an integer expression is made of literals and the given names, which stand for literals."""
    match node:
        case ast.Constant(value=bool()):
            return False
        case ast.Constant(value=int()):
            return True
        case ast.UnaryOp(operand=operand):
            return is_constant(operand, names)
        case ast.BinOp(left=left, right=right):
            return is_constant(left, names) and is_constant(right, names)
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in INTEGER_TYPES:
            return is_constant(argument, names)
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(), attr=name):
            return name in names
    return False


def final_constants(trees: Iterable[ast.AST]) -> set[str]:
    """Return the names that are `Final` integer constants in any of the trees; constants of constants too."""
    finals = [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and "Final" in ast.unparse(node.annotation)
    ]
    names: set[str] = set()
    while True:
        found = {ast.unparse(node.target) for node in finals if is_constant(node.value, names)}
        if found <= names:
            return names
        names |= found


def local_constants(function: ast.AST, finals: set[str]) -> set[str]:
    """Return a function's locals that are bound once, to a constant: in the C code they are literals as well."""
    bindings = Counter(
        node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    bindings.update(node.arg for node in ast.walk(function) if isinstance(node, ast.arg))
    names = set()
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if bindings[name] == 1 and is_constant(node.value, finals):
                    names.add(name)
    return names


def is_folded(node: ast.expr, finals: set[str]) -> bool:
    """Tell whether mypyc itself computes a constant: not through a local or an `i64()`."""
    return is_constant(node, finals) and not any(isinstance(part, ast.Call) for part in ast.walk(node))


def check_shifts(sources: dict[str, str]) -> list[str]:
    """The core shifts no constant left, unless mypyc folds the whole shift.

    Any other becomes a 32-bit shift of C literals: 1 << n is 256 for 40, i64(1) << 31 is negative.
    """
    trees = {path: ast.parse(text) for path, text in sources.items() if path.startswith("oxidbm/_core/")}
    finals = final_constants(trees.values())
    faults = {}
    for path, tree in trees.items():
        for scope in [tree, *functions(tree)]:
            names = finals if scope is tree else finals | local_constants(scope, finals)
            for node in ast.walk(scope):
                if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.LShift):
                    continue
                folded = is_folded(node.left, finals) and is_folded(node.right, finals)
                if is_constant(node.left, names) and not folded:
                    fault = f"{path}:{node.lineno}: {ast.unparse(node)} shifts a constant, in 32 bits"
                    faults[path, node.lineno] = fault
    return list(faults.values())


def references(tree: ast.AST) -> Counter[str]:
    """Count the names a tree uses: loaded, imported, an attribute, or a string that is a name, as in __all__."""
    used: Counter[str] = Counter()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                used[name] += 1
            case ast.alias(name=name):
                used[name.rpartition(".")[2]] += 1
    return used


def check_dead(sources: dict[str, str]) -> list[str]:
    """Every top-level function and class of oxidbm is used outside its own body, be it by a test."""
    trees = {path: ast.parse(text) for path, text in sources.items()}
    used: Counter[str] = Counter()
    for tree in trees.values():
        used.update(references(tree))
    faults = []
    for path, tree in trees.items():
        if not path.startswith("oxidbm/"):
            continue
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            dunder = node.name.startswith("__") and node.name.endswith("__")
            if not dunder and used[node.name] <= references(node)[node.name]:
                faults.append(f"{path}:{node.lineno}: {node.name} is never used")
    return faults


def check_forbidden_text(sources: dict[str, str]) -> list[str]:
    """No notes to do later, no emoji, no paths of the machine it was written on."""
    return [
        f"{path}:{number}: {what}: {line.strip()}"
        for path, text in sources.items()
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in FORBIDDEN.items()
        if pattern.search(line)
    ]


Check = Callable[[dict[str, str]], list[str]]

RULES: list[tuple[Check, Callable[[], dict[str, str]]]] = [
    (check_layers, lambda: python_sources("oxidbm")),
    (check_lengths, lambda: python_sources(*CODE_DIRECTORIES)),
    (check_module_docstrings, lambda: python_sources(*CODE_DIRECTORIES)),
    (check_public_docstrings, lambda: python_sources("oxidbm")),
    (check_shifts, lambda: python_sources("oxidbm/_core")),
    (check_dead, lambda: python_sources(*CODE_DIRECTORIES)),
    (check_forbidden_text, text_sources),
]


@pytest.mark.parametrize(("check", "sources"), RULES, ids=[check.__name__ for check, _ in RULES])
def test_the_project_keeps_the_rule(check: Check, sources: Callable[[], dict[str, str]]) -> None:
    found = sources()
    assert found
    assert check(found) == []


INDEX = "oxidbm/_core/index/hash_index.py"
BAD = [
    (check_layers, INDEX, "from oxidbm._core.store.store import Store"),
    (check_layers, INDEX, "from oxidbm._core.table import scan"),
    (check_layers, INDEX, "import oxidbm._core.index.hash_index"),
    (check_layers, INDEX, "import oxidbm"),
    (check_layers, INDEX, "from oxidbm import dbm"),
    (check_layers, INDEX, "from oxidbm.dbm import open"),
    (check_layers, INDEX, "from . import store"),
    (check_layers, INDEX, "from oxidbm._core.store import store"),
    (check_layers, INDEX, "def f():\n    from oxidbm._core.store.store import Store"),
    (check_layers, "oxidbm/_core/utilities.py", ""),
    (check_layers, "oxidbm/_core/__init__.py", "from oxidbm._core.errors import error"),
    (check_lengths, INDEX, "\n" * (LINES_MAX + 1)),
    (check_lengths, INDEX, "class C:\n    def f():\n" + "        pass\n" * FUNCTION_LINES_MAX),
    (check_module_docstrings, INDEX, "x = 1"),
    (check_module_docstrings, "oxidbm/__init__.py", "x = 1"),
    (check_public_docstrings, INDEX, "def f():\n    pass"),
    (check_public_docstrings, INDEX, "class C:\n    pass"),
    (check_shifts, INDEX, "def f(n):\n    return 1 << n"),
    (check_shifts, INDEX, "def f(n):\n    return i64(1) << n"),
    (check_shifts, INDEX, "def f(n):\n    return -(2 + 3) << (n + 1)"),
    (check_shifts, INDEX, "ONE: Final = 1\ndef f(n):\n    return ONE << n"),
    (check_shifts, INDEX, "ONE: Final[i64] = 1\nTWO: Final = ONE + 1\ndef f(n):\n    return address.TWO << n"),
    (check_shifts, INDEX, "def f(n):\n    one: i64 = 1\n    return one << n"),
    (check_shifts, INDEX, "def f(n):\n    one: i64 = 1\n    return one << 31"),
    (check_shifts, INDEX, "def f(n):\n    shift: i64 = 31\n    return 1 << shift"),
    (check_shifts, INDEX, "def f(n):\n    return i64(1) << 31"),
    (check_dead, INDEX, "def probe():\n    pass"),
    (check_dead, INDEX, "def probe():\n    return probe()"),
    (check_dead, INDEX, "class Probe:\n    def copy(self):\n        return Probe()"),
    (check_forbidden_text, "docs/design.md", "TODO: later"),
    (check_forbidden_text, "docs/design.md", "# FIXME"),
    (check_forbidden_text, "docs/design.md", "fast \U0001f680"),
    (check_forbidden_text, "docs/design.md", "done \u2705"),
    (check_forbidden_text, "docs/design.md", "see /home/someone/notes"),
    (check_forbidden_text, "Makefile", "PYTHON=/root/bin/python"),
]


@pytest.mark.parametrize(("check", "path", "text"), BAD)
def test_a_rule_finds_what_it_forbids(check: Check, path: str, text: str) -> None:
    assert len(check({path: text})) == 1


GOOD = [
    (check_layers, INDEX, "import os\nfrom oxidbm._core import hashing\nfrom oxidbm._core.log.record import decode"),
    (check_layers, "oxidbm/dbm.py", "from oxidbm._core.store.store import Store"),
    (check_lengths, INDEX, "def f():\n" + "    pass\n" * (FUNCTION_LINES_MAX - 1)),
    (check_module_docstrings, "tests/__init__.py", ""),
    (check_public_docstrings, INDEX, "def _f():\n    pass\nclass C:\n    'Says.'\n    def g(self):\n        pass"),
    (check_shifts, INDEX, "BITS: Final = 48\nMASK: Final = (1 << BITS) - 1\ndef f(x):\n    return x << BITS"),
    (check_shifts, INDEX, "def shl(x, n):\n    return x << n"),
    (check_shifts, INDEX, "def f(n):\n    bit = 1\n    while n > bit:\n        bit = bit << n\n    return bit"),
    (check_shifts, "bench/engines.py", "def f(n):\n    return 1 << n"),
    (check_dead, INDEX, "def probe():\n    pass\ndef __getattr__(name):\n    return probe"),
    (check_dead, INDEX, "def probe():\n    pass\n__all__ = ['probe']"),
    (check_forbidden_text, "docs/design.md", "a -> b \u2192 c, src/work/x, ~/work/, $HOME/x, https://a.org/home"),
]


@pytest.mark.parametrize(("check", "path", "text"), GOOD)
def test_a_rule_lets_the_rest_pass(check: Check, path: str, text: str) -> None:
    assert check({path: text}) == []
