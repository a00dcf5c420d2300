"""docs/architecture.md names only what is there, and no file or floor of the core is missing from it.

How the page writes a name, and what is looked for:

    `table/table.py`              a file, by its path from the root, from oxidbm/ or from oxidbm/_core/; or by its name
                                  alone, of a file of the core
    `table/`                      a folder, in the same places
    `upsert`                      a function, class or constant at the top level of a module of oxidbm, or a builtin
    `Commits.cut`                 a method or an attribute of a class, or of a class of oxidbm that it inherits from
    `upsert` in `table/x.py`      the same, in that file
    `store[key] = value`          other code: its names are those above, or store, key, value; what it takes from
                                  store is a member of Store

In a fenced block every word with an underscore, with a capital inside, or with a dot in it is a name too; there a
member of any class may stand alone.
"""

import ast
import builtins
import functools
import re
from collections.abc import Iterator

import pytest

from tests.support import ROOT
from tests.tidy.imports import FLOORS
from tests.tidy.sources import CORE, Sources, text_sources, trees

pytestmark = pytest.mark.compiled_only("the texts are the same in both modes")

PAGE = "docs/architecture.md"
FENCE = re.compile(r"^```")
SPAN = re.compile(r"`([^`]+)`(?: in `([^`]+\.py)`)?")
WORD = re.compile(r"[A-Za-z_][\w./]*\w")
NAME = re.compile(r"\w+(?:\.\w+)?")
DRAWN = re.compile(r"_|[a-z][A-Z]|\w\.\w")
FREE = {"store", "key", "value"}  # what code on the page may call its own


def members(node: ast.ClassDef) -> set[str]:
    """Return the methods and attributes that a class has, those that its methods set included."""
    found = set()
    for part in ast.walk(node):
        match part:
            case ast.FunctionDef(name=name):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found.add(name)
    for statement in node.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


def top_level(tree: ast.Module) -> set[str]:
    """Return the functions, classes and constants of a module."""
    found = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


class Names:
    """What sources define: names by file, and each class's members with those that it inherits."""

    def __init__(self, sources: Sources) -> None:
        self.paths = set(sources)
        self.top: dict[str, set[str]] = {}
        self.classes: dict[str, list[tuple[str, ast.ClassDef]]] = {}
        for path, tree in trees(sources, "oxidbm/").items():
            self.top[path] = top_level(tree)
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    self.classes.setdefault(node.name, []).append((path, node))

    def members(self, name: str, path: str | None = None) -> set[str]:
        """Return the members of the classes of a name, in one file or in all."""
        found: set[str] = set()
        for where, node in self.classes.get(name, []):
            if path is None or where == path:
                found |= members(node)
                for base in node.bases:
                    if isinstance(base, ast.Name):
                        found |= self.members(base.id)
        return found

    def file(self, name: str) -> str | None:
        """Return the path of a file that the page names; None where there is none."""
        for folder in ("", "oxidbm/", CORE):
            if folder + name in self.paths:
                return folder + name
        alone = [path for path in self.paths if path.startswith(CORE) and path.rpartition("/")[2] == name]
        return alone[0] if len(alone) == 1 else None

    def is_folder(self, name: str) -> bool:
        """Return whether a folder, written with its slash, is there."""
        return any(path.startswith((name, "oxidbm/" + name, CORE + name)) for path in self.paths)

    def is_name(self, name: str, path: str | None = None) -> bool:
        """Return whether a name, with a dot or without, is defined: in one file, or anywhere in oxidbm."""
        first, dot, second = name.partition(".")
        if dot:
            return second in self.members(first, path)
        if path is not None:
            return first in self.top[path]
        return hasattr(builtins, first) or any(first in top for top in self.top.values())

    def is_member(self, name: str) -> bool:
        """Return whether any class has a member of that name."""
        return any(name in self.members(owner) for owner in self.classes)

    def is_code(self, text: str) -> bool:
        """Return whether code names nothing that is not there."""
        try:
            tree = ast.parse(text)
        except SyntaxError:
            return False
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id="store"), attr=name):
                    if name not in self.members("Store"):
                        return False
                case ast.Name(id=name):
                    if name not in FREE and not self.is_name(name):
                        return False
        return True

    def is_there(self, text: str) -> bool:
        """Return whether what stands between backticks, or is a word of a drawing, is there."""
        if text.endswith("/"):
            return self.is_folder(text)
        if re.search(r"\.(py|pyi|md|hex)$", text):
            return self.file(text) is not None
        bare = text.removesuffix("()")
        if NAME.fullmatch(bare) and not bare.startswith("store."):
            return self.is_name(bare)
        return self.is_code(text)


def named(text: str) -> Iterator[tuple[int, str, str | None, bool]]:
    """Yield line, name, the file that it is said to be in, and whether it is drawn, of all that a page names."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
        elif fenced:
            for word in WORD.findall(line):
                if DRAWN.search(word):
                    yield number, word, None, True
        else:
            for match in SPAN.finditer(line):
                yield number, match[1], match[2], False


def faults(text: str, names: Names) -> list[str]:
    """Return each name on a page that is not there, with its line."""
    found = []
    for number, name, where, is_drawn in named(text):
        if where is None:
            is_there = names.is_there(name) or (is_drawn and names.is_member(name))
        else:
            path = names.file(where)
            is_there = path is not None and names.is_name(name.removesuffix("()"), path)
        if not is_there:
            found.append(f"{PAGE}:{number}: there is no {name}" + (f" in {where}" if where else ""))
    return found


def floors(text: str) -> list[str]:
    """Return the folders that the rows of the page's tables begin with."""
    return re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)


def unnamed_files(text: str, names: Names) -> list[str]:
    """Return the files of the core that a page does not name."""
    seen = {names.file(written) for _, name, where, _ in named(text) for written in (name, where) if written}
    wanted = {path for path in names.paths if path.startswith(CORE) and not path.endswith("/__init__.py")}
    return sorted(wanted - seen)


@functools.cache
def project() -> Names:
    """Return the names of this project."""
    return Names(text_sources())


def page() -> str:
    """Return the page."""
    return (ROOT / PAGE).read_text(encoding="utf-8")


def test_every_name_on_the_page_is_there() -> None:
    assert len(list(named(page()))) > 100
    assert faults(page(), project()) == []


def test_the_table_has_every_floor_from_the_bottom_up() -> None:
    assert floors(page()) == list(FLOORS)


def test_every_file_of_the_core_is_on_the_page() -> None:
    assert unnamed_files(page(), project()) == []


SMALL = Names(
    {
        "oxidbm/_core/table/table.py": "class Table(Base):\n  count: int\n  def tell(self):\n    self.told_to = 1",
        "oxidbm/_core/table/base.py": "class Base:\n    def close(self):\n        pass\nLIMIT: Final = 3",
        "oxidbm/_core/table/write.py": "def upsert():\n    inner = 1",
        "oxidbm/_core/store/store.py": "class Store:\n    def sync(self):\n        pass",
        "docs/format.md": "",
    }
)

BAD = [
    "words\n`table/tables.py`",
    "words\n`tables/`",
    "words\n`insert`",
    "words\n`inner`",
    "words\n`tell`",
    "words\n`Table.ask`",
    "words\n`Tables.tell`",
    "words\n`LIMIT.tell`",
    "words\n`upsert` in `table/table.py`",
    "words\n`Table.tell` in `table/write.py`",
    "words\n`upsert` in `table/scan.py`",
    "words\n`store.flush()`",
    "words\n`other[key] = value`",
    "words\n`begin <= <= tail`",
    "```text\nTable --> HashTable\n```",
    "```text\ntable --> hash_table\n```",
    "```text\nTable.ask\n```",
    "words\n`told_to`",
    "words\n`docs/house.md`",
]

GOOD = [
    "`table/table.py`, `table.py`, `oxidbm/_core/table/table.py` and `table/`; `docs/format.md`",
    "`upsert`, `upsert()`, `Table`, `LIMIT`, `len`",
    "`Table.tell`, `Table.told_to`, `Table.count`, `Table.close()`",
    "`upsert` in `table/write.py`, `Table.tell` in `table/table.py`",
    "`store[key] = value`, `store.sync()`, `len(store)`",
    "```text\nbegin <= tail, Table.tell, told_to, Table and LIMIT\n```",
]


@pytest.mark.parametrize("text", BAD)
def test_a_name_that_is_not_there_is_found_with_its_line(text: str) -> None:
    found = faults(text, SMALL)
    assert len(found) == 1
    assert found[0].startswith(f"{PAGE}:2: there is no ")


@pytest.mark.parametrize("text", GOOD)
def test_what_is_there_passes(text: str) -> None:
    assert faults(text, SMALL) == []


def test_a_missing_floor_or_file_is_found() -> None:
    assert floors("| floor | knows |\n|---|---|\n| `log/` | pages |\n| `table/` | keys |\n") == ["log", "table"]
    core = [path for path in SMALL.paths if path.startswith(CORE)]
    assert unnamed_files("`table/base.py`, `write.py`; `Table` in `table/table.py`", SMALL) == [
        "oxidbm/_core/store/store.py"
    ]
    assert unnamed_files("", SMALL) == sorted(core)
