"""What setup.py adds to the C that mypyc makes: the documentation of methods and fields, and weak references.

mypyc drops docstrings, and nothing can give a compiled method another `__doc__` once it is there; so they stand in its
tables from the start, where they cost nothing before somebody asks. mypyc knows no weak references to its classes: a
class that has them gets a pointer behind the table of its methods, and lets go of it when it ends.

`finish` leaves mypyc's own files as they are, since mypyc would make them anew, and puts finished copies beside them.
What it does not find stays as mypyc has it: all still works, and tests/facade/test_prompt.py says what is missing.
"""

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

FINISHED = "finished"
PUBLIC = {"StoreBase": "Store"}  # classes that the stub has under another name
WEAKLY_REFERENCED = ("StoreBase", "Session", "Log")  # none has a base, and what has one of them as its base is as it is
TABLE = re.compile(r"static (PyMethodDef|PyGetSetDef) \w*?([A-Za-z0-9]+)_(?:methods|getseters)\[\] = \{")
METHOD = re.compile(r'(\{"(\w+)",\n\(PyCFunction\)\w+,\nMETH_[\w |]+, )PyDoc_STR\((NULL|".*")\)\},')
FIELD = re.compile(r'(\{"(\w+)",\n\(getter\)\w+, ?\n?(?:\(setter\)\w+|NULL),\s)NULL, NULL\},')
SIZE = re.compile(r"\.tp_basicsize = sizeof\((\w+)\),")
DEALLOC = re.compile(r"\w+_dealloc\((\w+) \*self\)")
STRUCT = re.compile(r"typedef struct \{\nPyObject_HEAD\nCPyVTableItem \*vtable;\n((?:[^}]*;\n)*)\} (\w+);")


def literal(text: str) -> str:
    """Return a text as C writes it."""
    marks = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n"}
    return '"' + "".join(marks.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in text.encode()) + '"'


class Sources:
    """What the stub says, and the core's sources where it says nothing."""

    def __init__(self, package: Path) -> None:
        texts = runpy.run_path(str(package / "_documentation.py"))["texts"]
        stub = package / "__init__.pyi"
        self.public: dict[str, dict[str, str]] = texts(str(stub)) if stub.is_file() else {}
        self.own: dict[str, dict[str, str]] = {}
        self.places: dict[str, Path] = {}
        for path in sorted((package / "_core").rglob("*.py")):
            found = texts(str(path))
            self.own.update(found)
            self.places.update(dict.fromkeys(found, path))

    def text(self, owner: str, name: str) -> str:
        """Return what a method or a field does; nothing where nobody says it."""
        public = self.public.get(PUBLIC.get(owner, owner), {})
        return public.get(name) or self.own.get(owner, {}).get(name, "")

    def signature(self, owner: str, name: str) -> str:
        """Return how a method is called that has a default which mypyc cannot write down; nothing where it is not."""
        if owner not in self.places:
            return ""
        for node in ast.walk(ast.parse(self.places[owner].read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name == owner:
                for function in node.body:
                    if isinstance(function, ast.FunctionDef) and function.name == name:
                        return signature_of(function)
        return ""


def signature_of(function: ast.FunctionDef) -> str:
    """Return a method's arguments as CPython reads them: a default that is no literal is an ellipsis."""
    arguments = function.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            argument.annotation = None
    arguments.defaults = [
        value if isinstance(value, ast.Constant) else ast.Constant(...) for value in arguments.defaults
    ]
    return f"{function.name}(${ast.unparse(arguments)})\n--\n\n"


def documented(table: str, owner: str, sources: Sources) -> str:
    """Return the table of a class's methods, or of its fields, with what they do."""

    def method(found: re.Match[str]) -> str:
        text = sources.text(owner, found[2])
        head = found[3]
        if head == "NULL":
            head = literal(sources.signature(owner, found[2]))
        return f"{found[1]}PyDoc_STR({head} {literal(text)})}},"

    def field(found: re.Match[str]) -> str:
        text = sources.text(owner, found[2])
        return f"{found[1]}{literal(text)}, NULL}}," if text else found[0]

    return FIELD.sub(field, METHOD.sub(method, table))


def finished_code(lines: Iterator[str], sources: Sources, weak: set[str]) -> Iterator[str]:
    """Yield the lines of the C file, finished; each begins with its first character that is no space.

    weak: the structs that know who refers to them weakly.
    """
    for line in lines:
        yield line
        if found := TABLE.fullmatch(line):
            table: list[str] = []
            for row in lines:
                table.append(row)
                if row == "};":
                    break
            yield documented("\n".join(table), found[2], sources)
        elif (found := SIZE.fullmatch(line)) and found[1] in weak:
            yield f".tp_weaklistoffset = offsetof({found[1]}, weak_references),"
        elif (found := DEALLOC.fullmatch(line)) and found[1] in weak:
            for row in lines:
                if row == "PyObject_GC_UnTrack(self);":  # behind the finalizer, which may still be asked for it
                    yield "if (self->weak_references != NULL) PyObject_ClearWeakRefs((PyObject *)self);"
                yield row
                if row in ("PyObject_GC_UnTrack(self);", ""):
                    break


def weak_structs(header: str) -> set[str]:
    """Return the structs of the classes that can be referred to weakly, and of their subclasses.

    That of a subclass begins with the fields of its base; one that only looks so has a pointer that nobody needs.
    """
    fields = {found[2]: found[1] for found in STRUCT.finditer(header)}
    ends = tuple(f"___{name}Object" for name in WEAKLY_REFERENCED)
    bases = [fields[name] for name in fields if name.endswith(ends)]
    return {name for name in fields if any(fields[name].startswith(base) for base in bases)}


def finished_header(text: str, weak: set[str]) -> str:
    """Return the header, where some structs have a pointer to who refers to them weakly."""

    def struct(found: re.Match[str]) -> str:
        if found[2] not in weak:
            return found[0]
        return (
            "typedef struct {\nPyObject_HEAD\nCPyVTableItem *vtable;\nPyObject *weak_references;\n"
            f"{found[1]}}} {found[2]};"
        )

    return STRUCT.sub(struct, text)


def write(path: Path, text: str) -> None:
    """Write a file, unless it says that already: its date decides what is compiled."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def finish(source: Path, package: Path) -> Path:
    """Finish the C file of a group, and its headers; return where it is then.

    mypyc indents each function by more than the one before, which makes up six of seven bytes; none of that is copied.
    """
    sources = Sources(package)
    place = source.parent / FINISHED
    weak: set[str] = set()
    for path in sorted(source.parent.glob("__native*.h")):
        text = "\n".join(line.strip() for line in path.read_text(encoding="utf-8").split("\n"))
        weak |= weak_structs(text)
        write(place / path.name, finished_header(text, weak))
    with source.open(encoding="utf-8") as file:
        code = list(finished_code((line.strip() for line in file), sources, weak))
    types = sum(line.endswith(", weak_references),") for line in code)
    ends = sum(line.startswith("if (self->weak_references") for line in code)
    if types != ends:
        raise SystemExit(f"oxidbm: {types} types have weak references and {ends} let go of them; this mypyc is unknown")
    write(place / source.name, "\n".join([*code, ""]))
    return place / source.name
