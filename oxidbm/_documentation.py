"""Documentation of the core's classes at run time.

The stub `__init__.pyi` carries it, and for devices the source beside the compiled module. Methods have their own from
the start where they are compiled (see finish_c.py), and get it from `document` where they are not. `Documentation` is
set as a class's `__doc__`, which may be a descriptor, and reads the file when `help()` asks, so that importing costs
nothing. `ast` is imported when it is used: it would be a seventh of the time that importing takes.
"""

import os
from types import FunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ast
    import inspect
    from collections.abc import Iterator

HERE = os.path.dirname(__file__)
STUB = "__init__.pyi"
OTHERS = "Names that dir() of an object leaves out are the library's own, and may change with any version."


def texts(path: str) -> dict[str, dict[str, str]]:
    """Return what a file says of its classes: for each its own docstring as "", and those of methods and fields.

    It reads lines, which takes a millisecond where `ast` takes twenty: the uncompiled core asks when it is imported.
    """
    found: dict[str, dict[str, str]] = {}
    owner: dict[str, str] | None = None
    name = indent = ""
    kept: list[str] | None = None
    with open(path, encoding="utf-8") as file:
        for line in file:
            if kept is not None:
                kept.append(line.removeprefix(indent))
            elif line.startswith("class "):
                owner = found.setdefault(line[6:].partition(":")[0].partition("(")[0].partition("[")[0], {})
                name, indent = "", "    "
            elif line[:1].strip():  # a function of the module, or what else begins there
                owner, indent = None, ""
            elif owner is not None and line.startswith("    ") and line[4:5].strip():
                words = line.removeprefix("    async").split("(")[0].split()
                if words[:1] == ["def"]:
                    name, indent = words[1], " " * 8
                elif ": " in line and line[4].isalpha():
                    name, indent = line[4:].partition(":")[0], "    "
            if owner is not None and kept is None and indent and line.startswith(indent + '"""'):
                kept = [line.strip()[3:] + "\n"]
            if owner is not None and kept is not None and kept[-1].rstrip().endswith('"""'):
                text = "".join(kept).strip().removesuffix('"""').rstrip()
                owner.setdefault(name, eval(f'"""{text}"""') if "\\" in text else text)
                kept = None
                indent = ""
    return found


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
    """Yield a class's docstring, that of its `__init__`, then each documented field with its own, indented."""
    import ast

    yield ast.get_docstring(node) or ""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__" and ast.get_docstring(method):
            yield ast.get_docstring(method) or ""
    for field, following in zip(node.body, node.body[1:], strict=False):
        said = following.value if isinstance(following, ast.Expr) else None
        if isinstance(field, ast.AnnAssign) and isinstance(said, ast.Constant):
            yield "\n    ".join([ast.unparse(field.target), *map(str.strip, str(said.value).splitlines())])


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


def stub_texts() -> dict[str, dict[str, str]]:
    """Return what `texts` finds in the stub; nothing where somebody has left the stub out."""
    try:
        return texts(os.path.join(HERE, STUB))
    except OSError:
        return {}


def document(classes: tuple[type, ...]) -> None:
    """Give uncompiled methods and properties the documentation of the stub."""
    said = stub_texts()
    for public in classes:
        for name, text in said.get(public.__name__, {}).items():
            for owner in public.__mro__:
                member = vars(owner).get(name)
                if isinstance(member, FunctionType | property):
                    member.__doc__ = text
                if member is not None:
                    break


listed: dict[type, set[str]] = {}


def public_names(instance: object) -> list[str]:
    """Return what the stub describes of an object, and Python's own names: the `__dir__` of the public classes."""
    kind = type(instance)
    if kind not in listed:
        said = stub_texts()
        listed[kind] = {name for owner in kind.__mro__ for name in said.get(owner.__name__, ())}
    known = listed[kind]
    return [name for name in object.__dir__(instance) if name in known or name.startswith("_") or not known]
