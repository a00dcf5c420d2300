"""What memoize tells functions apart by: the object that one is bound to, and for a warning its code and closure.

Keys begin with a function's name, which is all that another process knows of it. So in one store a name belongs to one
function: a second one of other code, or one made anew around other variables, would get the first one's results. And
the error for an argument that cannot be part of a key, by its name.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple

NAME_BYTES_MAX: Final = 400  # which leaves room in a key for the arguments' hash

Encode = Callable[[Any], bytes]


class Origin(NamedTuple):
    """Where a function comes from; code and closure are None and empty for one that is not written in Python."""

    place: str
    code: Any
    closure: tuple[Any, ...]


def chain(function: Any) -> Iterator[Any]:
    """Yield a function, and those that it wraps as functools.wraps says, the innermost last."""
    seen = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        yield function
        function = getattr(function, "__wrapped__", None)


def checked_name(function: Any, name: str | None) -> str:
    """Return the name that a function's keys begin with; ValueError for one that would not tell it from others."""
    if name is None:
        name = f"{getattr(function, '__module__', None)}.{getattr(function, '__qualname__', '<lambda>')}"
        if name.endswith("<lambda>"):
            raise ValueError(f"{function!r} has no name to tell its results by; pass name=")
    size = len(name.encode())
    if not 0 < size <= NAME_BYTES_MAX:
        raise ValueError(f"a name of {size} bytes cannot begin a key; pass name=, of 1 to {NAME_BYTES_MAX} bytes")
    return name


def owner_of(function: Any) -> Any:
    """Return the object or class that a function, or what it wraps, is bound to as a method; None for no method."""
    for part in chain(function):
        owner = getattr(part, "__self__", None)
        if owner is not None and not isinstance(owner, ModuleType):
            return owner
    return None


def code_mark(code: CodeType) -> tuple[Any, ...]:
    """Return what two compilations of the same source share, wherever in a file it stands."""
    constants = [code_mark(item) if isinstance(item, CodeType) else (type(item), repr(item)) for item in code.co_consts]
    return code.co_code, code.co_names, tuple(constants)


def value_mark(cell: CellType, encode: Encode) -> Any:
    """Return what tells a closure's variable from another, without keeping it alive; None for one not yet set."""
    try:
        value = cell.cell_contents
    except ValueError:
        return None  # a recursive function's own name
    if isinstance(value, FunctionType):
        return code_mark(value.__code__)
    if isinstance(value, MethodType) and isinstance(value.__func__, FunctionType):
        return code_mark(value.__func__.__code__), id(value.__self__)
    try:
        return encode(value)
    except (TypeError, ValueError, RecursionError):
        return type(value), id(value)


def origin_of(function: Any, encode: Encode) -> Origin:
    """Return where a function comes from; `encode` gives the bytes of a plain object."""
    *_, innermost = chain(function)
    code = getattr(innermost, "__code__", None)
    if not isinstance(code, CodeType):
        return Origin(repr(function), None, ())
    cells = [cell for part in chain(function) for cell in getattr(part, "__closure__", None) or ()]
    return Origin(
        f"{code.co_filename}:{code.co_firstlineno}", code_mark(code), tuple(value_mark(cell, encode) for cell in cells)
    )


def differ(one: Origin, other: Origin, named: bool) -> bool:
    """Tell whether two functions of one name can have different results; with `named`, by their code alone."""
    if one.code is None or other.code is None:
        return False
    if one.code != other.code or len(one.closure) != len(other.closure):
        return True
    pairs = zip(one.closure, other.closure, strict=True)
    return not named and any(a is not None and b is not None and a != b for a, b in pairs)


def take_name(
    names: dict[tuple[str, bytes], Origin], name: str, owner: bytes, function: Any, named: bool, encode: Encode
) -> None:
    """Give a name to a function; a RuntimeWarning where it was another's, unless that was meant.

    owner: what the function's keys have of the object that it is bound to.
    named: whether the user gave the name.
    encode: gives the bytes of a plain object.
    """
    origin = origin_of(function, encode)
    before = names.get((name, owner))
    names[name, owner] = origin
    if before is not None and differ(before, origin, named):
        warnings.warn(
            f"the functions {name} at {before.place} and at {origin.place} keep their results under one name in this "
            "store, and get each other's; give one of them another with name=, or drop what is no longer right",
            RuntimeWarning,
            stacklevel=4,
        )


def unfit_argument(signature: inspect.Signature, args: Any, kwargs: Any, name: str, encode: Encode) -> TypeError:
    """Return the error for arguments of which one cannot be encoded, with its name, and the type that has no bytes."""
    arguments: dict[str, Any] = {}
    for word, value in signature.bind(*args, **kwargs).arguments.items():
        kind = signature.parameters[word].kind
        if kind is inspect.Parameter.VAR_KEYWORD:  # each was given by a name of its own
            arguments |= value
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            arguments |= {f"{word}[{place}]": item for place, item in enumerate(value)}
        else:
            arguments[word] = value
    unfit = "?"
    for word, value in arguments.items():
        part = unfit_part(value, encode)
        if part is not None:
            kind_name = f"{type(part).__module__}.{type(part).__qualname__}"
            unfit = f"{word!r} of {name}, {f'a {kind_name}' if part is value else f'in which is a {kind_name}'}"
    return TypeError(
        f"the argument {unfit}, cannot be part of a key; pass key=, a function of the arguments that returns a key"
    )


def unfit_part(value: Any, encode: Encode) -> Any:
    """Return the innermost part of a value that cannot be encoded; None where all of it can be."""
    try:
        encode(value)
    except TypeError:
        inside: list[Any] = []
        if type(value) is dict:
            inside = [*value.keys(), *value.values()]
        elif type(value) in (list, tuple, set, frozenset):
            inside = list(value)
        parts = (unfit_part(item, encode) for item in inside)
        return next((part for part in parts if part is not None), value)
    return None
