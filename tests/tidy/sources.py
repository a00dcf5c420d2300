"""What the rules read: path (relative, with slashes) to text. A fault is a line of text that begins with its path."""

import ast
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CORE = "oxidbm/_core/"
TEXT_DIRECTORIES = ("oxidbm", "tests", "bench", "examples", "docs", "tools", ".ci")
TEXT_SUFFIXES = (".py", ".pyi", ".md", ".toml", ".in", ".txt")
TEXT_NAMES = ("Makefile", "LICENSE", "run", ".gitignore")

Sources = dict[str, str]
Check = Callable[[Sources], list[str]]
Example = tuple[Check, Sources]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@functools.cache
def text_sources() -> Sources:
    """Return every text file of the project."""
    paths = [path for path in ROOT.iterdir() if path.is_file()]
    for directory in TEXT_DIRECTORIES:
        paths += [path for path in (ROOT / directory).rglob("*") if path.is_file()]
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(paths)
        if path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES
    }


@functools.lru_cache(maxsize=1024)
def parsed(text: str) -> ast.Module:
    """Return a module's tree; the same one for the same text, so nobody may change it."""
    return ast.parse(text)


def trees(sources: Sources, *directories: str) -> dict[str, ast.Module]:
    """Return the trees of the Python files that begin with one of the directories; of all where none is given."""
    return {
        path: parsed(text)
        for path, text in sources.items()
        if path.endswith(".py") and path.startswith(directories or ("",))
    }


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield every function and method in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def module_statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported, those under an `if`, `try` or `with` too."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            waiting += [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)]
            for handler in getattr(node, "handlers", ()):
                waiting += handler.body


def bound_names(node: ast.stmt) -> list[tuple[str, ast.expr | None]]:
    """Return the names an assignment binds, each with its annotation."""
    match node:
        case ast.Assign(targets=targets):
            parts = [part for target in targets for part in ast.walk(target)]
            return [(part.id, None) for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
            return [(name, annotation)]
    return []


def is_constant_name(name: str) -> bool:
    """Return whether a name is written like a constant's: in capitals."""
    return name.isupper()


def is_dunder(name: str) -> bool:
    """Return whether a name is one that Python itself looks up."""
    return name.startswith("__") and name.endswith("__")
