"""Types as codecs need them: how they are called in a codec's name, which values they take, and codecs' errors."""

import importlib
import sys
from types import ModuleType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

NAME_BYTES_MAX: Final = 255


class DecodeError(ValueError):
    """Bytes that the codec does not write. Open with the one they were written with. `address` is of a log's entry."""

    __module__ = "oxidbm.codecs"  # where it is public
    address: int | None = None


class Constant:
    """What codecs are that oxidbm.codecs has one each of: pickled and copied as that one, which a store knows by it."""

    name = ""

    def __repr__(self) -> str:
        constant = importlib.import_module("oxidbm.codecs").constant
        return constant_repr(self.name) if constant(self.name) is self else super().__repr__()

    def __reduce__(self) -> Any:
        constant = importlib.import_module("oxidbm.codecs").constant
        return (constant, (self.name,)) if constant(self.name) is self else super().__reduce__()


def constant_repr(name: str) -> str:
    """Return how the one codec of a name is written."""
    return f"codecs.{'RAW' if name == '*' else name.upper().replace('-', '_')}"


def type_repr(kind: Any) -> str:
    """Return how a type is written as an argument: `int`, `list[int]`, `app.models.Point`."""
    return type_name(kind) if isinstance(kind, type) and get_origin(kind) is None else repr(kind)


def type_name(kind: Any) -> str:
    """Return how a type is called in a codec's name: "int", "list[int]", "app.models.Point".

    The members of a union are sorted, because typing may hand out one that it built before in another order. What
    `Annotated` adds is left out: the repr of an arbitrary object may differ from one process to the next.
    """
    if kind is Any:
        return "Any"
    if kind is None or kind is type(None):
        return "None"
    if kind is ...:
        return "..."
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_name(arguments[0])
    if origin is Union or origin is UnionType:
        return "|".join(sorted(type_name(argument) for argument in arguments))
    if origin is Literal:
        return f"Literal[{','.join(sorted(repr(argument) for argument in arguments))}]"
    if origin is not None:
        return f"{type_name(origin)}[{','.join(type_name(argument) for argument in arguments)}]"
    if isinstance(kind, type):
        return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    raise TypeError(f'{kind!r} has no name that a store could keep; give one: Msgpack(..., name="prices")')


def checked_name(name: str) -> str:
    """Return a codec's name; ValueError where a store cannot keep it."""
    size = len(name.encode())
    if not 0 < size <= NAME_BYTES_MAX:
        raise ValueError(
            f"a codec's name has 1 to {NAME_BYTES_MAX} bytes of UTF-8, and {name[:40]!r} has {size}; give a shorter one"
        )
    return name


def wrong_type(name: str, expected: str, value: object) -> TypeError:
    """Return the error for a value that is of none of a codec's types."""
    return TypeError(f"the codec {name!r} takes {expected}, not {type_name(type(value))}")


def stack_is_deep() -> bool:
    """Tell whether most of the stack was taken before a codec began, so that a RecursionError says nothing of a value.

    The frames of a value's own functions, such as a __reduce__, count too. O(depth), so only for errors.
    """
    depth = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        depth += 1
        frame = frame.f_back
    return depth > sys.getrecursionlimit() // 2


def too_deep(failure: RecursionError, who: str) -> Exception:
    """Return the error for a value at which a codec ran out of stack: a ValueError where that was the value's doing."""
    if stack_is_deep():
        return failure
    return ValueError(f"the value contains itself, or is nested too deeply for {who}")


def alike(one: Any, other: Any) -> bool:
    """Tell whether two codecs write and read alike, and give objects of the same classes.

    Of a user's own only what is equal is known to be.
    """
    if one is other or one == other:
        return True
    if type(one) is not type(other) or not type(one).__module__.startswith("oxidbm.") or one.name != other.name:
        return False
    parts, others = getattr(one, "parts", ()), getattr(other, "parts", ())
    inner, inners = getattr(one, "codec", None), getattr(other, "codec", None)
    if getattr(one, "kind", None) != getattr(other, "kind", None) or len(parts) != len(others):
        return False
    return (inner is None or alike(inner, inners)) and all(map(alike, parts, others))


def undecodable(name: str, data: bytes, reason: object) -> DecodeError:
    """Return the error for bytes that a codec did not write; raise a reason that says nothing of them."""
    if isinstance(reason, RecursionError) and stack_is_deep():
        raise reason
    return DecodeError(
        f"{len(data)} bytes are not what the codec {name!r} writes ({reason}); use the codec they were written with"
    )


def is_structured(kind: object) -> bool:
    """Tell whether a type is a dataclass, a msgspec.Struct, a TypedDict or a class of attrs."""
    marks = ("__dataclass_fields__", "__struct_fields__", "__attrs_attrs__")
    return is_typeddict(kind) or any(hasattr(kind, mark) for mark in marks)


def field_types(kind: Any) -> dict[str, Any] | None:
    """Return the types of a class's fields by their names; None for what has none.

    A class is a dataclass, a msgspec.Struct, a named tuple, a TypedDict or one of attrs. What a generic class's
    parameters stand for is put in their place. Raises NameError where an annotation names what is not to be found, as
    a class of a function.
    """
    plain = get_origin(kind) or kind
    if hasattr(plain, "__dataclass_fields__"):
        names = [name for name, field in plain.__dataclass_fields__.items() if field._field_type.name == "_FIELD"]
    elif hasattr(plain, "__struct_fields__"):
        names = list(plain.__struct_fields__)
    elif hasattr(plain, "__attrs_attrs__"):
        names = [field.name for field in plain.__attrs_attrs__]
    elif (isinstance(plain, type) and issubclass(plain, tuple) and hasattr(plain, "_fields")) or is_typeddict(plain):
        names = list(plain.__annotations__)
    else:
        return None
    hints = get_type_hints(plain, include_extras=True)
    stand_for = dict(zip(getattr(plain, "__parameters__", ()), get_args(kind), strict=False))
    return {name: put_in(hints[name], stand_for) for name in names if name in hints}


def put_in(hint: Any, stand_for: dict[Any, Any]) -> Any:
    """Return a type with other types in the place of its parameters."""
    if isinstance(hint, TypeVar):
        return stand_for.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    if not parameters or not stand_for or isinstance(hint, type):
        return hint
    return hint[tuple(stand_for.get(parameter, parameter) for parameter in parameters)]


def taken_types(kind: Any) -> tuple[type, ...]:
    """Return the types of the values that a type stands for; none for unions and others that only msgspec can tell.

    Subclasses are left out: they would come back as their base, without what they add.
    """
    origin = get_origin(kind) or kind
    if origin is float:
        return float, int
    no_classes = (Annotated, Any, Union, UnionType, object)  # which of them are of type `type` depends on the version
    if not isinstance(origin, type) or origin in no_classes or is_typeddict(origin):
        return ()
    return () if getattr(origin, "__abstractmethods__", None) else (origin,)


def import_msgspec() -> ModuleType:
    """Return the package msgspec; ModuleNotFoundError with what to do where it is missing."""
    try:
        return importlib.import_module("msgspec")  # not a statement: mypy would have to see it when the core is built
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'the codecs "json" and "msgpack" need msgspec: pip install "oxidbm[codecs]"', name="msgspec"
        ) from None
