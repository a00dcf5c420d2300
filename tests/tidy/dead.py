"""Nothing of oxidbm lies about unused. Uses are found by name, so a name that two things share is used for both.

A string that is a name counts as a use, as in __all__ or getattr, and so does a word in a snippet of the documentation.
"""

import ast
import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator

from tests.tidy.sources import (
    Example,
    Function,
    Sources,
    bound_names,
    is_constant_name,
    is_dunder,
    module_statements,
    trees,
)

SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WORD = re.compile(r"\w+")


def annotations(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield what stands in a tree as text and is an annotation, parsed."""
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            for part in ast.walk(getattr(node, field, None) or ast.Pass()):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    with contextlib.suppress(SyntaxError):  # a description, in Annotated
                        yield ast.parse(part.value, mode="eval").body


def member_references(tree: ast.AST) -> Counter[str]:
    """Count the members of classes that a tree uses: attributes read, matched, named in text or in a class body."""
    used: Counter[str] = Counter()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Load()) | ast.Constant(value=str(name)):
                used[name] += 1
            case ast.MatchClass(kwd_attrs=names):
                used.update(names)
            case ast.ClassDef(body=body):
                values = [part.value for part in body if isinstance(part, ast.Assign | ast.AnnAssign) and part.value]
                for part in (part for value in values for part in ast.walk(value)):
                    if isinstance(part, ast.Name):
                        used[part.id] += 1
    return used


def references(tree: ast.AST) -> Counter[str]:
    """Count the names a tree uses: loaded, imported, in an annotation, or as a member."""
    used = member_references(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                used[name] += 1
            case ast.alias(name=name):
                used[name.rpartition(".")[2]] += 1
    for annotation in annotations(tree):
        used.update(references(annotation))
    return used


def all_references(sources: Sources, count: Callable[[ast.AST], Counter[str]]) -> Counter[str]:
    """Count the names that the project uses, the words of the documentation's snippets included."""
    used: Counter[str] = Counter()
    for tree in trees(sources).values():
        used.update(count(tree))
    for path, text in sources.items():
        if path.endswith(".md"):
            used.update(word for snippet in SNIPPET.findall(text) for word in WORD.findall(snippet))
    return used


def check_dead(sources: Sources) -> list[str]:
    """Every function and class at the top level of oxidbm is used outside its own body, be it by a test."""
    used = all_references(sources, references)
    return [
        f"{path}:{node.lineno}: {node.name} is never used"
        for path, tree in trees(sources, "oxidbm/").items()
        for node in tree.body
        if isinstance(node, Function | ast.ClassDef)
        and not is_dunder(node.name)
        and used[node.name] <= references(node)[node.name]
    ]


def classes(tree: ast.AST) -> Iterator[ast.ClassDef]:
    """Yield every class in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node


def is_enumeration(node: ast.ClassDef) -> bool:
    """Return whether a class is an enumeration, judged by the names of its bases."""
    return any("Enum" in ast.unparse(base) for base in node.bases)


def check_dead_methods(sources: Sources) -> list[str]:
    """Every method of oxidbm is called or named outside its own body, save those that Python looks up itself.

    An override has the name of what it overrides, so it is used where that is.
    """
    used = all_references(sources, member_references)
    return [
        f"{path}:{node.lineno}: the method {owner.name}.{node.name} is never used"
        for path, tree in trees(sources, "oxidbm/").items()
        for owner in classes(tree)
        for node in owner.body
        if isinstance(node, Function)
        and not is_dunder(node.name)
        and used[node.name] <= member_references(node)[node.name]
    ]


HELD = ("owner",)


def check_dead_attributes(sources: Sources) -> list[str]:
    """Every attribute that a method of oxidbm sets on self is read somewhere; to count it up is not to read it.

    Those in HELD are there to keep an object alive.
    """
    used = all_references(sources, member_references)
    faults: dict[tuple[str, str, str], str] = {}
    for path, tree in trees(sources, "oxidbm/").items():
        for owner in classes(tree):
            for node in ast.walk(owner):
                match node:
                    case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()) if (
                        not used[name] and name not in HELD
                    ):
                        fault = f"{path}:{node.lineno}: the attribute {owner.name}.{name} is never read"
                        faults.setdefault((path, owner.name, name), fault)
    return list(faults.values())


def check_dead_constants(sources: Sources) -> list[str]:
    """Every constant of a module or class of oxidbm is read somewhere; the members of an enumeration are all read."""
    used = all_references(sources, references)
    faults = []
    for path, tree in trees(sources, "oxidbm/").items():
        statements = [
            *module_statements(tree),
            *(node for owner in classes(tree) if not is_enumeration(owner) for node in owner.body),
        ]
        for node in statements:
            for name, _ in bound_names(node):
                if is_constant_name(name) and used[name] <= references(node)[name]:
                    faults.append(f"{path}:{node.lineno}: the constant {name} is never read")
    return faults


GOOD_OWNER = "class Probe:\n    def __init__(self, owner):\n        self.owner = owner\n"
INDEX = "oxidbm/_core/index/hash_index.py"
CLASS = "class Probe:\n    def __init__(self):\n        self.steps = 0\n"

BAD: list[Example] = [
    (check_dead, {INDEX: "def probe():\n    pass"}),
    (check_dead, {INDEX: "def probe():\n    return probe()"}),
    (check_dead, {INDEX: "class Probe:\n    def copy(self):\n        return Probe()"}),
    (check_dead_methods, {INDEX: CLASS + "    def copy(self):\n        return self.steps"}),
    (check_dead_methods, {INDEX: CLASS + "    def copy(self):\n        return self.copy()"}),
    (
        check_dead_methods,
        {INDEX: CLASS + "    @property\n    def size(self):\n        return 3", "docs/a.md": "the size"},
    ),
    (check_dead_methods, {INDEX: "class Probe:\n    def copy(self):\n        pass\nother.copy = copy"}),
    (check_dead_attributes, {INDEX: CLASS}),
    (check_dead_attributes, {INDEX: CLASS, "oxidbm/dbm.py": "print(steps)"}),
    (check_dead_attributes, {INDEX: CLASS + "        self.steps += 1\n        del self.steps\n        steps = 3"}),
    (check_dead_attributes, {INDEX: CLASS.replace("steps = 0", "steps: i64 = 0")}),
    (check_dead_attributes, {INDEX: CLASS.replace("steps = 0", "steps, rest = pop(rest)") + "        self.rest"}),
    (check_dead_constants, {INDEX: "LIMIT: Final = 3"}),
    (check_dead_constants, {INDEX: "LIMIT = 3\nclass C:\n    def f(self):\n        LIMIT = 4"}),
    (check_dead_constants, {"oxidbm/dbm.py": "class C:\n    LIMIT: Final = 3"}),
    (check_dead_constants, {"oxidbm/dbm.py": "if True:\n    _LIMIT = 3", "docs/a.md": "```text\n_LIMIT\n```\n"}),
]

GOOD: list[Example] = [
    (check_dead, {INDEX: "class Probe:\n    pass\ndef __getattr__(name) -> 'list[Probe]':\n    pass"}),
    (check_dead_methods, {INDEX: CLASS + "    def copy(self):\n        pass\n    __copy__ = copy"}),
    (check_dead_constants, {INDEX: "class Kind(StrEnum):\n    GDBM = 'gdbm'"}),
    (check_dead_constants, {INDEX: "A = TypeVar('A')\ndef f(a: 'type[A] | None') -> None:\n    pass"}),
    (check_dead, {INDEX: "def probe():\n    pass\ndef __getattr__(name):\n    return probe"}),
    (check_dead, {INDEX: "def probe():\n    pass\n__all__ = ['probe']"}),
    (check_dead, {"tests/support.py": "def probe():\n    pass"}),
    (check_dead_methods, {INDEX: CLASS + "    def copy(self):\n        pass", "bench/loops.py": "probe.copy()"}),
    (check_dead_methods, {INDEX: CLASS + "    def copy(self):\n        pass", "tests/test_a.py": "getattr(x, 'copy')"}),
    (
        check_dead_methods,
        {INDEX: CLASS + "    def copy(self):\n        pass", "docs/a.md": "```python\np.copy()\n```\n"},
    ),
    (
        check_dead_methods,
        {INDEX: "class A:\n    def f(self):\n        pass\nclass B(A):\n    def f(self):\n        pass\ng().f()"},
    ),
    (check_dead_attributes, {INDEX: GOOD_OWNER}),
    (check_dead_attributes, {INDEX: CLASS, "tests/test_a.py": "assert probe.steps == 0"}),
    (check_dead_attributes, {INDEX: CLASS, "oxidbm/dbm.py": "match probe:\n    case Probe(steps=0):\n        pass"}),
    (check_dead_constants, {INDEX: "LIMIT: Final = 3", "oxidbm/dbm.py": "print(hash_index.LIMIT)"}),
    (check_dead_constants, {INDEX: "LIMIT: Final = 3\nMORE: Final = LIMIT + 1\n__all__ = ['MORE']\nlower = 3"}),
]
