"""Documentation of the compiled classes at run time.

Compiled classes have no docstrings; the stub `__init__.pyi` carries them, and for devices the source beside the
compiled module. `Documentation` is set as a class's `__doc__`, which may be a descriptor, and reads the file when
`help()` asks, so that importing costs nothing. The `__doc__` of a compiled method cannot be set, so the class's text
holds its methods' too. `ast` is imported when it is used: it would be a seventh of the time that importing takes.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ast
    import inspect
    from collections.abc import Iterator

HERE = os.path.dirname(__file__)
STUB = "__init__.pyi"
OTHERS = "Names that are not described here are the library's own, and may change with any version."


def signature_of(function: "ast.FunctionDef") -> str:
    """Return a method as it is called: its name and arguments without `self` and annotations."""
    import ast

    arguments = function.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            argument.annotation = None
    for listed in (arguments.posonlyargs, arguments.args):
        if listed and listed[0].arg == "self":
            del listed[0]
            break
    return f"{function.name}({ast.unparse(arguments)})"


def sections(node: "ast.ClassDef") -> "Iterator[str]":
    """Yield a class's docstring, then each documented field, method and property with its own, indented."""
    import ast

    yield ast.get_docstring(node) or ""
    heads: list[str] = []
    for field, following in zip(node.body, node.body[1:], strict=False):
        said = following.value if isinstance(following, ast.Expr) else None
        if isinstance(field, ast.AnnAssign) and isinstance(said, ast.Constant):
            yield "\n    ".join([ast.unparse(field.target), *map(str.strip, str(said.value).splitlines())])
    for function in node.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        is_property = any(isinstance(word, ast.Name) and word.id == "property" for word in function.decorator_list)
        head = function.name if is_property else signature_of(function)
        if head not in heads:
            heads.append(head)
        if text := ast.get_docstring(function):  # the last of several overloads has it
            yield "\n".join([*heads, *("    " + line if line else "" for line in text.splitlines())])
            heads = []


def class_in(path: str, name: str) -> "ast.ClassDef | None":
    """Return a class of a file; None where the file, or the class in it, is missing."""
    import ast

    try:
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read())
    except OSError:
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    return None


class Documentation:
    """What a class's `__doc__` gives: the text of a file below this directory, read anew each time."""

    def __init__(self, name: str, file: str = STUB) -> None:
        self.name = name
        self.path = os.path.join(HERE, file)

    def __get__(self, instance: object, owner: type | None = None) -> str | None:
        node = class_in(self.path, self.name)
        return None if node is None else "\n\n".join([*sections(node), OTHERS])


class Call:
    """What a class's `__signature__` gives, for `help()` and `inspect.signature`: that of `__init__` in the stub.

    What mypyc says itself is wrong: that every argument is given by its position.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type | None = None) -> "inspect.Signature | None":
        import ast
        import inspect

        node = class_in(os.path.join(HERE, STUB), self.name)
        for function in node.body if node is not None else ():
            if isinstance(function, ast.FunctionDef) and function.name == "__init__":  # the first overload has defaults
                arguments = signature_of(function).removeprefix("__init__(").removesuffix(")")
                return inspect.signature(eval(f"lambda {arguments}: None"))  # of a file of our own
        return None
