"""Codecs: how the keys and values of a typed store become bytes and come back.

A codec has a `name`, `encode(value) -> bytes` and `decode(bytes) -> value`. The name is kept in the store and compared
when it is opened again, so it says the type; it has at most 255 bytes. `resolve` finds the codec for a type or a name.

1. decode(encode(value)) is equal to the value, and of the type that the codec states. Subclasses of bytes, str, int,
   float and tuple are taken and come back as their base; a bool is no int here, because it would come back as one. Of
   other types INT and FLOAT take what has `__index__`, and FLOAT what has `__float__`: see _numbers.py.
2. BYTES, STR, INT, FLOAT, BOOL, those of datetime's types, UUID, DECIMAL, Enum and Tuple of them keep order: encode(a)
   < encode(b) where a < b. Only they are made for the keys of an ordered store. What a store does with a codec that it
   is given for its keys is in _key_codecs.py.
3. These also have one way to write a value: decode refuses every other as DecodeError, so that a key is found again.
4. A wrong type is a TypeError, also that of a dataclass's field, a value out of range a ValueError or OverflowError;
   nothing is stored then.
5. No codec but "pickle" runs what the bytes say.

Codecs hold no state that changes, so threads may share one. Json and Msgpack need the package msgspec.
"""

import enum
import importlib
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    NewType,
    Protocol,
    TypeAlias,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)

from oxidbm._class_codecs import Json, Msgpack, MsgspecCodec
from oxidbm._codec_types import (
    Constant,
    DecodeError,
    checked_name,
    is_structured,
    too_deep,
    type_name,
    undecodable,
    wrong_type,
)
from oxidbm._scalar_codecs import BoolCodec, BytesCodec, Delimited, FloatCodec, IntCodec, StrCodec

if TYPE_CHECKING:
    from oxidbm._library_codecs import DECIMAL, UUID, Enum
    from oxidbm._time_codecs import DATE, DATETIME, NAIVE_DATETIME, TIME, TIMEDELTA

__all__ = [
    "BOOL", "BYTES", "DATE", "DATETIME", "DECIMAL", "FLOAT", "INT", "JSON", "MSGPACK", "NAIVE_DATETIME", "OBJECTS",
    "PICKLE", "RAW", "STR", "TIME", "TIMEDELTA", "UUID",
    "Codec", "DecodeError", "Enum", "Json", "Msgpack", "Name", "Tuple", "resolve",
]  # fmt: skip

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

ESCAPED_ZERO: Final = b"\x00\xff"  # a zero byte inside a part of a tuple
PART_END: Final = b"\x00\x01"  # sorts before every escaped zero and every byte but zero, so a shorter part comes first


class Codec(Protocol[T]):
    """What a codec is: any object with these three will do."""

    @property
    def name(self) -> str:
        """What the store keeps of the codec: the same for each process, another for another way to write bytes."""

    def encode(self, value: T, /) -> bytes:
        """Return a value's bytes; TypeError for a wrong type, ValueError for a value that cannot be written."""

    def decode(self, data: bytes, /) -> T:
        """Return the value that was written as these bytes; ValueError for bytes that were not."""


class ObjectsCodec(Constant):
    """None, bool, numbers, str, bytes, list, tuple, dict, set, datetime's types and so on, of any nesting, as JSON.

    It keeps types that plain JSON loses, needs no package, and runs nothing when it reads. It refuses subclasses. For
    keys it has a form that equal objects share, in which they may come back as equal ones of another type.
    """

    name = "objects"

    def encode(self, value: Any, /) -> bytes:
        """Return the object's written form; TypeError for a type that has none, ValueError for a value in itself."""
        from oxidbm._objects import dumps

        return dumps(value, "the codec 'objects'", 'use the codec of its type, or "pickle" where you trust the file')

    def decode(self, data: bytes, /) -> Any:
        """Return the object."""
        from oxidbm._objects import LOAD_FAILURES, loads

        try:
            return loads(data)
        except LOAD_FAILURES as failure:
            raise undecodable(self.name, data, failure) from failure


class PickleCodec(Constant):
    """Nearly any object, as a pickle. It has to be asked for by name, "pickle" or `codecs.PICKLE`.

    Unpickling calls what the bytes name: whoever can write the file can run anything in the process that reads it. A
    pickle also names classes by their modules, so that it cannot be read once they moved. Equal objects need not have
    equal pickles, so it is for values, and refused for keys.
    """

    name = "pickle"
    PROTOCOL: Final = 5  # the newest that every supported Python reads and writes

    def encode(self, value: Any, /) -> bytes:
        """Return the object's pickle; TypeError for what pickle does not take."""
        import pickle

        try:
            return pickle.dumps(value, self.PROTOCOL)
        except (pickle.PicklingError, AttributeError, TypeError) as failure:
            raise TypeError(f"the codec 'pickle' does not take {type_name(type(value))} ({failure})") from failure
        except RecursionError as failure:
            raise too_deep(failure, f"the codec {self.name!r}") from None

    def decode(self, data: bytes, /) -> Any:
        """Return the object; this runs what the bytes say."""
        import pickle

        try:
            return pickle.loads(data)
        except Exception as failure:  # a pickle that is none, or whose classes are gone, can raise anything
            reason = failure if isinstance(failure, RecursionError) else f"{type(failure).__name__}: {failure}"
            raise undecodable(self.name, data, reason) from failure


class Tuple(Generic[T]):
    """Tuples of a fixed length, in bytes whose order is theirs where the parts' codecs keep order: composite keys.

    `Tuple(int, str)`, its parts being what `resolve` takes; tuple[int, str] stands for it. The last part, and parts
    whose bytes tell where they end, as those of numbers, times and UUIDs do, stand as their codecs write them. Of every
    other part zero bytes are escaped (00 ff) and its end is marked (00 01). Named tuples come back as tuples.
    """

    @overload
    def __init__(self: "Tuple[tuple[A]]", a: "type[A] | Codec[A]", /) -> None: ...
    @overload
    def __init__(self: "Tuple[tuple[A, B]]", a: "type[A] | Codec[A]", b: "type[B] | Codec[B]", /) -> None: ...
    @overload
    def __init__(
        self: "Tuple[tuple[A, B, C]]", a: "type[A] | Codec[A]", b: "type[B] | Codec[B]", c: "type[C] | Codec[C]", /
    ) -> None: ...
    @overload
    def __init__(
        self: "Tuple[tuple[A, B, C, D]]",
        a: "type[A] | Codec[A]",
        b: "type[B] | Codec[B]",
        c: "type[C] | Codec[C]",
        d: "type[D] | Codec[D]",
        /,
    ) -> None: ...
    @overload
    def __init__(self: "Tuple[tuple[Any, ...]]", *parts: object) -> None: ...
    def __init__(self, *parts: Any) -> None:
        if not parts:
            raise TypeError("Tuple needs the codec of each part: Tuple(int, str)")
        self.parts: list[Codec[Any]] = [resolve(part) for part in parts]
        self.name = checked_name(f"tuple({','.join(part.name for part in self.parts)})")
        self.marked = [not isinstance(part, Delimited) or not part.delimited for part in self.parts]
        self.marked[-1] = False

    def __repr__(self) -> str:
        return f"codecs.Tuple({', '.join(map(repr, self.parts))})"

    def encode(self, value: T, /) -> bytes:
        """Return the tuple's bytes; TypeError for no tuple or a wrong part, ValueError for a wrong length."""
        if isinstance(value, tuple) and len(value) != len(self.parts):
            raise ValueError(f"the codec {self.name!r} takes tuples of {len(self.parts)} parts, not of {len(value)}")
        return self.encode_prefix(value)

    def encode_prefix(self, value: Any, /) -> bytes:
        """Return what the bytes of every tuple begin with whose first parts are those of `value`; for ranges.

        It sorts before all of these and behind every tuple that is less. Given all parts, it is the tuple itself, and
        begins those too whose last part, as bytes or str, begins with the one given.
        """
        if not isinstance(value, tuple):
            raise wrong_type(self.name, "a tuple", value)
        if len(value) > len(self.parts):
            raise ValueError(f"the codec {self.name!r} takes tuples of {len(self.parts)} parts, not of {len(value)}")
        out = b""
        for part, marked, item in zip(self.parts, self.marked, value, strict=False):
            data = part.encode(item)
            out += data.replace(b"\x00", ESCAPED_ZERO) + PART_END if marked else data
        return out

    def decode(self, data: bytes, /) -> T:
        """Return the tuple."""
        items = []
        start = 0
        last = len(self.parts) - 1
        for i, part in enumerate(self.parts):
            try:
                if self.marked[i]:
                    end = data.find(PART_END, start)
                    items.append(part.decode(unescape(data[start:end], end)))
                    start = end + len(PART_END)
                else:
                    end = part.end(data, start) if i < last else len(data)  # type: ignore[attr-defined]
                    items.append(part.decode(data[start:end]))
                    start = end
            except ValueError as failure:
                raise undecodable(self.name, data, f"part {i}: {failure}") from failure
        return cast(T, tuple(items))


def unescape(data: bytes, end: int) -> bytes:
    """Return a part of a tuple as its codec wrote it, from its escaped bytes up to `end`, -1 where that is missing."""
    if end < 0:
        raise DecodeError("its end is not marked")
    if data.count(b"\x00") != data.count(ESCAPED_ZERO):
        raise DecodeError("it has a zero byte that is not escaped")
    return data.replace(ESCAPED_ZERO, b"\x00")


class RawCodec(BytesCodec):
    """The bytes in a store, whatever its codec is: for tools that copy or show them. A new store is one of bytes."""

    name = "*"  # not one that a store keeps


BYTES: Final = BytesCodec()
RAW: Final = RawCodec()
STR: Final = StrCodec()
INT: Final = IntCodec()
FLOAT: Final = FloatCodec()
BOOL: Final = BoolCodec()
JSON: Final[Json[Any]] = Json()
MSGPACK: Final[Msgpack[Any]] = Msgpack()
OBJECTS: Final = ObjectsCodec()
PICKLE: Final = PickleCodec()

ALL: Final[tuple[Codec[Any], ...]] = (BYTES, STR, INT, FLOAT, BOOL, JSON, MSGPACK, OBJECTS, PICKLE)
NAMED: Final = {codec.name: codec for codec in ALL}
TYPES: Final[dict[Any, Codec[Any]]] = {bytes: BYTES, str: STR, int: INT, float: FLOAT, bool: BOOL}

# What is imported when it is used, since its module takes some time: its name here, its module, and what it is for.
TIMES: Final = "oxidbm._time_codecs"
LIBRARY: Final = "oxidbm._library_codecs"
LATER: Final = (
    ("DATETIME", TIMES, "datetime", "datetime.datetime"),
    ("NAIVE_DATETIME", TIMES, "naive-datetime", None),
    ("DATE", TIMES, "date", "datetime.date"),
    ("TIME", TIMES, "time", "datetime.time"),
    ("TIMEDELTA", TIMES, "timedelta", "datetime.timedelta"),
    ("UUID", LIBRARY, "uuid", "uuid.UUID"),
    ("DECIMAL", LIBRARY, "decimal", "decimal.Decimal"),
    ("Enum", LIBRARY, None, None),
)

Name: TypeAlias = Literal[
    "bytes", "str", "int", "float", "bool", "json", "msgpack", "objects", "pickle",
    "datetime", "naive-datetime", "date", "time", "timedelta", "uuid", "decimal",
]  # fmt: skip

if not TYPE_CHECKING:  # which would take any name for one that is there

    def __getattr__(name: str) -> Any:
        """Import a codec when it is used first."""
        for attribute, module, _, _ in LATER:
            if name == attribute:
                return getattr(importlib.import_module(module), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def named(name: str) -> Codec[Any] | None:
    """Return the codec that has a name; None where a program has to give it, or there is none."""
    for attribute, module, own, _ in LATER:
        if name == own:
            return cast(Codec[Any], getattr(importlib.import_module(module), attribute))
    return NAMED.get(name)


def constant(name: str) -> Codec[Any] | None:
    """Return the one codec of this module that has a name; None where there is none."""
    return RAW if name == RAW.name else named(name)


def for_type(kind: Any) -> Codec[Any]:
    """Return the codec that a type stands for; TypeError for one that stands for none."""
    if kind in TYPES:
        return TYPES[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple and arguments and arguments[-1] is not ...:
        return Tuple(*arguments)
    if isinstance(kind, type) and origin is None:
        if isinstance(kind, enum.EnumMeta):
            return cast(Codec[Any], importlib.import_module(LIBRARY).Enum(kind))
        if is_structured(kind):
            return Msgpack(kind)
        for attribute, module, _, full_name in LATER:
            if full_name == f"{kind.__module__}.{kind.__qualname__}":
                return cast(Codec[Any], getattr(importlib.import_module(module), attribute))
    raise no_codec(kind, origin)


def no_codec(kind: Any, origin: Any) -> TypeError:
    """Return the error for a type that stands for no codec, which says what to give."""
    shown = repr(kind) if origin is not None or not isinstance(kind, type) else type_name(kind)
    if origin is tuple or kind is tuple:
        return TypeError(
            f"{shown} does not say how many parts there are: tuple[int, str] stands for codecs.Tuple(int, str), the "
            f"codec of pairs of these, and codecs.Msgpack({shown}) takes tuples of any length, in no useful order"
        )
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return TypeError(
            f"the named tuple {shown} has no codec of its own; codecs.Tuple of its parts' types keeps their order, and "
            f"gives tuples back, and codecs.Msgpack({kind.__name__}) gives it back, in no useful order"
        )
    own = isinstance(kind, type) and kind.__module__.startswith("oxidbm.")
    known = not own or kind.__name__ in __all__  # else the class of a constant, which nobody makes another one of
    if isinstance(kind, type) and known and all(callable(getattr(kind, part, None)) for part in ("encode", "decode")):
        made = f"codecs.{kind.__name__}(T), T being the type of" if own else f"{kind.__name__}(...), which codes"
        return TypeError(f"{kind.__name__} is a class of codecs, and no codec; give one, {made} the keys or values")
    return TypeError(
        f"the type {shown} has no codec of its own; give codecs.Msgpack or codecs.Json of it, "
        'the name "objects" or "pickle", or an object with name, encode and decode'
    )


@overload
def resolve(spec: Literal["bytes"] | None, /) -> Codec[bytes]: ...
@overload
def resolve(spec: Literal["str"], /) -> Codec[str]: ...
@overload
def resolve(spec: Literal["int"], /) -> Codec[int]: ...
@overload
def resolve(spec: Literal["float"], /) -> Codec[float]: ...
@overload
def resolve(spec: Name, /) -> Codec[Any]: ...
@overload
def resolve(spec: type[T], /) -> Codec[T]: ...
@overload
def resolve(spec: Codec[T], /) -> Codec[T]: ...
def resolve(spec: Any, /) -> Codec[Any]:
    """Return the codec that `spec` stands for.

    spec: None or bytes, str, int, float, bool, datetime's types, UUID, Decimal (the types); an enum; tuple[int, str],
        which means Tuple of these; a dataclass, TypedDict or msgspec.Struct type, which means Msgpack of it; a NewType
        of one of these; a codec's name, as "objects" or "pickle"; or a codec.

    Raises TypeError for what has no codec or is none, ValueError for an unknown name, ImportError without msgspec.
    """
    if spec is None:
        return BYTES
    while isinstance(spec, NewType):
        spec = spec.__supertype__
    if isinstance(spec, str):
        codec = named(spec)
        if codec is None:
            names = [*NAMED, *(own for _, _, own, _ in LATER if own is not None)]
            raise ValueError(f"there is no codec named {spec!r}; the names are {', '.join(names)}")
        spec = codec
    if isinstance(spec, type) or get_origin(spec) is not None:
        return for_type(spec)
    functions = getattr(spec, "encode", None), getattr(spec, "decode", None)
    if not isinstance(getattr(spec, "name", None), str) or not all(callable(function) for function in functions):
        raise TypeError(f"a codec is an object with a name (str), encode and decode, and {spec!r} is none")
    checked_name(spec.name)
    if isinstance(spec, MsgspecCodec):
        spec.load()
    return cast(Codec[Any], spec)
