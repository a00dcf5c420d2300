"""The public names of a module as its source or stub declares them, read without importing anything.

`oxidbm/__init__.pyi` types and documents what the compiled core has, and a stub has what no tool for references reads
well: a method may stand there as ten overloads, and only the last has a docstring. Here they are one: its arguments and
what it returns are what all of them together allow. Names that the stub keeps to itself are written as what they mean.

A name is looked for where it is defined: imports from oxidbm's own modules are followed.
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "oxidbm"
READABLE = {  # names of types that nobody looks up, as what they stand for
    "_K": "K", "_V": "V", "_T": "T", "_R": "R", "_P": "P", "_B": "K", "_CK": "K", "_CV": "V", "R_co": "R", "C": "T",
    "ReadableBuffer": "Buffer", "StrOrBytesPath": "str | bytes | PathLike", "StorePath": "str | bytes | PathLike",
    "Path": "str | bytes | PathLike",
    "SupportsKeysAndGetItem": "Mapping",
}  # fmt: skip
LINE = 88
SHOWN = ("__contains__", "__delitem__", "__eq__", "__getitem__", "__ior__", "__iter__", "__len__", "__setitem__")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Declared:
    """A function, a class, a field or a constant: its name, what is said of it, and how it is written."""

    name: str
    kind: str  # "class", "function", "property" or "value"
    signature: str
    documentation: str
    parameters: tuple[str, ...] = ()
    plain: str = ""  # of a class: how it is written without its constructor
    members: list[Declared] = field(default_factory=list)


def path_of(module: str) -> Path:
    """Return the file that declares a module's names: the stub where there is one."""
    base = PACKAGE.joinpath(*module.split(".")[1:])
    for path in (base / "__init__.pyi", base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    raise ValueError(f"there is no module {module}")


@functools.cache
def tree_of(module: str) -> ast.Module:
    """Return a module's tree; the same one each time, so nobody may change it."""
    return ast.parse(path_of(module).read_text(encoding="utf-8"))


def public_names(module: str) -> list[str]:
    """Return what the module's `__all__` lists."""
    for node in tree_of(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def statements(module: str) -> list[ast.stmt]:
    """Return a module's statements, those under an `if` too."""
    waiting = list(tree_of(module).body)
    found: list[ast.stmt] = []
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.If):
            waiting[:0] = [*node.body, *node.orelse]
        else:
            found.append(node)
    return found


def declared(module: str, name: str) -> Declared:
    """Return a module's name as it is declared, wherever that is."""
    nodes = [node for node in statements(module) if name in bound_by(node)]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            original = next(one.name for one in node.names if (one.asname or one.name) == name)
            return declared(str(node.module), original)
    names = READABLE | aliases_of(module)
    functions = [node for node in nodes if isinstance(node, Function)]
    if functions:
        return function_declared(functions, names)
    if not nodes:
        raise ValueError(f"{module} declares no {name}")
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            return class_declared(node, names)
    return fields_of(statements(module), names, name)[0]


def bound_by(node: ast.stmt) -> list[str]:
    """Return the names that a statement of a module binds."""
    match node:
        case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] == "oxidbm":
            return [one.asname or one.name for one in names]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return [name]
    return []


def aliases_of(module: str) -> dict[str, str]:
    """Return what the module's private aliases of types mean."""
    return {
        node.target.id: ast.unparse(node.value)
        for node in tree_of(module).body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id.startswith("_")
        and node.value is not None
        and ast.unparse(node.annotation) == "TypeAlias"
    }


class Readable(ast.NodeTransformer):
    """Writes types for readers: private names as what they mean, and no quotes around a name that comes later."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Return what the name stands for."""
        if node.id not in self.names:
            return node
        return self.written(self.names[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Return the last part of a dotted name, but for the parts of a ParamSpec."""
        return ast.Name(f"P.{node.attr}" if node.attr in ("args", "kwargs") else node.attr)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Return it with readable parts; the texts of a Literal are no types."""
        if ast.unparse(node.value) == "Literal":
            return node
        found = self.generic_visit(node)
        assert isinstance(found, ast.Subscript)
        return found.value if ast.unparse(found.value) == "PathLike" else found

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Return the type that is quoted."""
        return self.written(node.value) if isinstance(node.value, str) else node

    def written(self, text: str) -> ast.expr:
        """Return a type that is given as text."""
        node = self.visit(ast.parse(text, mode="eval").body)
        assert isinstance(node, ast.expr)
        return node


def type_text(annotation: ast.expr, names: dict[str, str]) -> str:
    """Return a type as readers want it."""
    copied = ast.parse(ast.unparse(annotation), mode="eval").body
    return ast.unparse(Readable(names).visit(copied))


def union(texts: list[str]) -> str:
    """Return a type that is any of these; None comes last."""
    parts = [part for text in texts for part in (alternatives(text))]
    return " | ".join(sorted(dict.fromkeys(parts), key=lambda part: part == "None"))


def alternatives(text: str) -> list[str]:
    """Return the parts of a union."""
    node: ast.expr = ast.parse(text, mode="eval").body
    parts: list[str] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        parts.insert(0, ast.unparse(node.right))
        node = node.left
    return [ast.unparse(node), *parts]


def function_declared(functions: list[Function], names: dict[str, str]) -> Declared:
    """Return a function, or what its overloads are together."""
    last = functions[-1]
    overloads = [function for function in functions if is_decorated(function, "overload")] or functions
    general = [function for function in overloads if not narrows_self(function)] or overloads
    parameters = merged_parameters(general, names)
    returned = union([type_text(one.returns, names) for one in general if one.returns is not None] or ["None"])
    documentation = next(filter(None, map(ast.get_docstring, reversed(functions))), "")
    if is_decorated(last, "property"):
        return Declared(last.name, "property", own_quotes(f"{last.name}: {returned}"), documentation)
    prefix = "async " if isinstance(last, ast.AsyncFunctionDef) else ""
    signature = laid_out(f"{prefix}{last.name}", [text for _, text in parameters], f" -> {returned}")
    known = tuple(name for name, _ in parameters if name)
    return Declared(last.name, "function", signature, documentation, known)


def is_decorated(function: Function, word: str) -> bool:
    """Return whether one of a function's decorators is called so."""
    return any(ast.unparse(decorator) == word for decorator in function.decorator_list)


def narrows_self(function: Function) -> bool:
    """Return whether an overload is for some of the class's types alone."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    return bool(arguments) and arguments[0].arg == "self" and arguments[0].annotation is not None


def merged_parameters(functions: list[Function], names: dict[str, str]) -> list[tuple[str, str]]:
    """Return name and text of each parameter, its types and its default gathered from all overloads.

    Marks, `*` and `/`, have no name.
    """
    types: dict[str, list[str]] = {}
    defaults: dict[str, str] = {}
    for function in functions:
        for argument, default in arguments_of(function):
            if argument.annotation is not None:
                types.setdefault(argument.arg, []).append(type_text(argument.annotation, names))
            if default is not None:
                defaults.setdefault(argument.arg, default_text(argument.arg, default))
    present = [{argument.arg for argument, _ in arguments_of(function)} for function in functions]

    def text(argument: ast.arg, stars: str = "") -> tuple[str, str]:
        name = argument.arg
        written = stars + name + (f": {union(types[name])}" if name in types else "")
        if name in defaults:
            written += f" = {defaults[name]}" if name in types else f"={defaults[name]}"
        elif any(name not in found for found in present):
            written += " = ..."  # some overloads do without it
        return name, written

    longest = max(functions, key=lambda function: len(arguments_of(function)))
    arguments = longest.args
    found = [text(argument) for argument in arguments.posonlyargs if argument.arg not in ("self", "cls")]
    if found:
        found.append(("", "/"))
    found += [text(argument) for argument in arguments.args if argument.arg not in ("self", "cls")]
    if arguments.vararg is not None:
        found.append(text(arguments.vararg, "*"))
    elif arguments.kwonlyargs:
        found.append(("", "*"))
    found += [text(argument) for argument in arguments.kwonlyargs]
    if arguments.kwarg is not None:
        found.append(text(arguments.kwarg, "**"))
    return found


def default_text(name: str, default: ast.expr) -> str:
    """Return a default as it was written, which is octal for permission bits."""
    if name == "mode" and isinstance(default, ast.Constant) and isinstance(default.value, int):
        return f"0o{default.value:o}"
    return ast.unparse(default)


def arguments_of(function: Function) -> list[tuple[ast.arg, ast.expr | None]]:
    """Return each argument with its default, those with stars too."""
    arguments = function.args
    ordered = [*arguments.posonlyargs, *arguments.args]
    missing = len(ordered) - len(arguments.defaults)
    pairs: list[tuple[ast.arg, ast.expr | None]] = list(
        zip(ordered, [None] * missing + list(arguments.defaults), strict=True)
    )
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    pairs += [(one, None) for one in (arguments.vararg, arguments.kwarg) if one is not None]
    return [pair for pair in pairs if pair[0].arg not in ("self", "cls")]


def laid_out(head: str, parameters: list[str], tail: str) -> str:
    """Return a signature on one line, or with a line for each parameter."""
    line = f"{head}({', '.join(parameters)}){tail}"
    if len(line) > LINE:
        line = "\n".join([f"{head}(", *(f"    {parameter}," for parameter in parameters), f"){tail}"])
    return own_quotes(line)


def own_quotes(text: str) -> str:
    """Return code with the quotes that the project has; ast writes the others."""
    return text.replace("'", '"')


def class_declared(node: ast.ClassDef, names: dict[str, str]) -> Declared:
    """Return a class with its public members; what the library makes itself has no constructor."""
    bases = [type_text(base, names) for base in node.bases]
    shown = [base for base in bases if not base.startswith(("Generic", "object"))]
    fields = fields_of(node.body, names)
    groups: dict[str, list[Function]] = {}
    for item in node.body:
        if isinstance(item, Function) and (not item.name.startswith("_") or item.name in (*SHOWN, "__init__")):
            groups.setdefault(item.name, []).append(item)
    members = [function_declared(group, names) for group in groups.values()]
    constructor = next((member for member in members if member.name == "__init__"), None)
    members = [member for member in members if member is not constructor and member.documentation]
    documentation = ast.get_docstring(node) or ""
    signature = plain = laid_out(f"class {node.name}", shown, "") if shown else f"class {node.name}"
    known = tuple(one.name for one in fields)
    if constructor is not None and not made_by_others(constructor, documentation):
        arguments = constructor.signature.removeprefix("__init__").rpartition(" -> ")[0]
        signature = f"{node.name}{arguments}"
        documentation = "\n\n".join(filter(None, [documentation, constructor.documentation]))
        known += constructor.parameters
    return Declared(node.name, "class", signature, documentation, known, plain, [*fields_said(fields), *members])


def made_by_others(constructor: Declared, documentation: str) -> bool:
    """Return whether users get the class's objects from a call and make none."""
    said = f"{constructor.documentation} {documentation.partition('.')[0]}".lower()
    return "made by" in said or "handed out by" in said


def fields_of(body: list[ast.stmt], names: dict[str, str], only: str | None = None) -> list[Declared]:
    """Return the public fields or constants of a class or module, each with the text behind it."""
    found = []
    for node, following in zip(body, [*body[1:], None], strict=True):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                signature = own_quotes(f"{name}: {type_text(annotation, names)}")
            case ast.Assign(targets=[ast.Name(id=name)]):
                signature = name
            case _:
                continue
        if name.startswith("_") or only not in (None, name):
            continue
        said = ""
        match following:
            case ast.Expr(value=ast.Constant(value=str(text))):
                said = text
        found.append(Declared(name, "value", signature, said))
    return found


def fields_said(fields: list[Declared]) -> list[Declared]:
    """Return the fields that have a text of their own; the others stand in their class's."""
    return [one for one in fields if one.documentation]
