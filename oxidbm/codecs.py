"""Codecs: how the keys and values of a typed store become bytes and come back.

A codec has a `name`, `encode(value) -> bytes` and `decode(bytes) -> value`. The name is kept in the store and compared
when it is opened again, so it says the type; it has at most 255 bytes. `resolve` finds the codec for a type or a name.

1. decode(encode(value)) is equal to the value, and of the type that the codec states. Subclasses of bytes, str, int,
   float and tuple are taken and come back as their base; a bool is no int here, because it would come back as one.
2. BYTES, STR, INT, FLOAT and Tuple of them keep order: encode(a) < encode(b) where a < b. Only they are made for the
   keys of an ordered store. What a store does with a codec that it is given for its keys is in _key_codecs.py.
3. These also have one way to write a value: decode refuses every other as DecodeError, so that a key is found again.
4. A wrong type is a TypeError, a value out of range a ValueError or OverflowError; nothing is stored then.
5. No codec but "pickle" runs what the bytes say.

Codecs hold no state that changes, so threads may share one. Json and Msgpack need the package msgspec.
"""

import struct
from collections.abc import Callable
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, cast, get_origin, overload

from oxidbm._buffers import bytes_of
from oxidbm._codec_types import (
    checked_name,
    import_msgspec,
    is_structured,
    stack_is_deep,
    taken_types,
    too_deep,
    type_name,
    wrong_type,
)

__all__ = [
    "BYTES", "FLOAT", "INT", "JSON", "MSGPACK", "OBJECTS", "PICKLE", "STR",
    "Codec", "DecodeError", "Json", "Msgpack", "Tuple", "resolve",
]  # fmt: skip

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

INT_ZERO: Final = 0x80  # an int's first byte is this plus the count of bytes after it
INT_MINUS_ONE: Final = 0x7F  # below zero it is this minus the count
INT_BYTES_MAX: Final = 120

FLOAT_BYTES: Final = 8
FLOAT_SIGN: Final = 1 << 63
FLOAT_BITS: Final = (1 << 64) - 1
FLOAT_NAN: Final = 0x7FF8 << 48

ESCAPED_ZERO: Final = b"\x00\xff"  # a zero byte inside a part of a tuple
PART_END: Final = b"\x00\x01"  # sorts before every escaped zero and every byte but zero, so a shorter part comes first


class DecodeError(ValueError):
    """Bytes that the codec does not write. Open with the one they were written with. `address` is of a log's entry."""

    address: int | None = None


class Codec(Protocol[T]):
    """What a codec is: any object with these three will do."""

    @property
    def name(self) -> str:
        """What the store keeps of the codec: the same for each process, another for another way to write bytes."""

    def encode(self, value: T, /) -> bytes:
        """Return a value's bytes; TypeError for a wrong type, ValueError for a value that cannot be written."""

    def decode(self, data: bytes, /) -> T:
        """Return the value that was written as these bytes; ValueError for bytes that were not."""


def undecodable(name: str, data: bytes, reason: object) -> DecodeError:
    """Return the error for bytes that a codec did not write; raise a reason that says nothing of them."""
    if isinstance(reason, RecursionError) and stack_is_deep():
        raise reason
    return DecodeError(
        f"{len(data)} bytes are not what the codec {name!r} writes ({reason}); use the codec they were written with"
    )


class BytesCodec:
    """Bytes as they are. str (as UTF-8) and every other buffer are taken too, and come back as bytes."""

    name = "bytes"
    single = False  # whether only buffers of single bytes are taken, as for keys

    def encode(self, value: bytes | bytearray | memoryview | str, /) -> bytes:
        """Return the bytes."""
        if isinstance(value, bytes | bytearray):
            return bytes(value)
        copied = value.encode() if isinstance(value, str) else bytes_of(value, single=self.single)
        if copied is None:
            raise wrong_type(self.name, "bytes or str", value)
        return copied

    def decode(self, data: bytes, /) -> bytes:
        """Return the bytes."""
        return data


class StrCodec:
    """Text as UTF-8, whose order is that of str. A lone surrogate is a UnicodeEncodeError, which is a ValueError."""

    name: Final = "str"

    def encode(self, value: str, /) -> bytes:
        """Return the text's UTF-8."""
        if not isinstance(value, str):
            raise wrong_type(self.name, "str", value)
        return value.encode()

    def decode(self, data: bytes, /) -> str:
        """Return the text."""
        try:
            return data.decode()
        except UnicodeDecodeError as failure:
            raise undecodable(self.name, data, failure) from failure


class IntCodec:
    """Integers of up to 960 bits, in bytes whose order is theirs; what is small is short.

    n >= 0: the byte 0x80 + k, then n in k bytes, most significant first, where k is the least that does.
    n < 0: the byte 0x7f - k, then -n - 1 in k bytes, each complemented. An IntEnum's member comes back as an int.
    """

    name: Final = "int"

    def encode(self, value: int, /) -> bytes:
        """Return the integer's bytes; OverflowError for one that takes more than 120."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(self.name, "int", value)
        size = ((value if value >= 0 else ~value).bit_length() + 7) // 8
        if size > INT_BYTES_MAX:
            raise OverflowError(f"an int of {size} bytes is too large for the codec 'int': at most {INT_BYTES_MAX}")
        if value >= 0:
            return bytes([INT_ZERO + size]) + value.to_bytes(size, "big")
        complement: int = 256**size + value
        return bytes([INT_MINUS_ONE - size]) + complement.to_bytes(size, "big")

    def decode(self, data: bytes, /) -> int:
        """Return the integer."""
        if len(data) != self.end(data, 0):
            raise undecodable(self.name, data, "the first byte tells another length")
        first, size = data[0], len(data) - 1
        if size > 0 and data[1] == (0 if first >= INT_ZERO else 255):
            raise undecodable(self.name, data, "it has a leading byte that says nothing")
        number = int.from_bytes(data[1:], "big")
        return number if first >= INT_ZERO else number - 256**size

    def end(self, data: bytes, start: int) -> int:
        """Return where the integer ends that starts at `start`; the bytes may end before."""
        if start == len(data):
            raise undecodable(self.name, data, "there is no first byte")
        first = data[start]
        size = first - INT_ZERO if first >= INT_ZERO else INT_MINUS_ONE - first
        if size > INT_BYTES_MAX:
            raise undecodable(self.name, data, f"the first byte tells {size} bytes, {INT_BYTES_MAX} are the most")
        return start + 1 + size


class FloatCodec:
    """Floats in 8 bytes whose order is theirs: IEEE 754's total order, -inf < -1.0 < -0.0 < 0.0 < 1.0 < inf < nan.

    So -0.0 and 0.0 are two keys, although they are equal. Every NaN is written as the one that sorts last, since a
    computed NaN may have either sign; its payload is lost. An int is taken where a float is equal to it.
    """

    name: Final = "float"

    def encode(self, value: float, /) -> bytes:
        """Return the float's bits, complemented where it is negative, else with the sign bit set."""
        if isinstance(value, int) and not isinstance(value, bool):
            value = self.exact(value)
        if not isinstance(value, float):
            raise wrong_type(self.name, "float", value)
        bits: int = FLOAT_NAN if value != value else struct.unpack(">Q", struct.pack(">d", value))[0]
        bits = FLOAT_BITS - bits if bits & FLOAT_SIGN else FLOAT_SIGN | bits
        return bits.to_bytes(FLOAT_BYTES, "big")

    def decode(self, data: bytes, /) -> float:
        """Return the float."""
        if len(data) != FLOAT_BYTES:
            raise undecodable(self.name, data, f"a float has {FLOAT_BYTES}")
        bits = int.from_bytes(data, "big")
        bits = bits - FLOAT_SIGN if bits & FLOAT_SIGN else FLOAT_BITS - bits
        value: float = struct.unpack(">d", bits.to_bytes(FLOAT_BYTES, "big"))[0]
        if value != value and bits != FLOAT_NAN:
            raise undecodable(self.name, data, "it is a NaN other than the one that is written")
        return value

    def end(self, data: bytes, start: int) -> int:
        """Return where the float ends that starts at `start`; the bytes may end before."""
        return start + FLOAT_BYTES

    def exact(self, value: int) -> float:
        """Return the float that is equal to an int; ValueError where there is none."""
        try:
            nearest = float(value)
        except OverflowError:
            raise OverflowError(
                f"an int of {value.bit_length()} bits is too large for the codec 'float': at most 1024"
            ) from None
        if nearest != value:
            raise ValueError(f"no float is equal to {value}, the nearest is {nearest!r}; use the codec 'int' for ints")
        return nearest


DELIMITED: Final = (IntCodec, FloatCodec)  # codecs whose bytes tell where they end


class ObjectsCodec:
    """None, bool, numbers, str, bytes, list, tuple, dict, set, datetime's types and so on, of any nesting, as JSON.

    It keeps types that plain JSON loses, needs no package, and runs nothing when it reads. It refuses subclasses. For
    keys it has a form that equal objects share, in which they may come back as equal ones of another type.
    """

    name: Final = "objects"

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


class PickleCodec:
    """Nearly any object, as a pickle. It has to be asked for by name, "pickle" or `codecs.PICKLE`.

    Unpickling calls what the bytes name: whoever can write the file can run anything in the process that reads it. A
    pickle also names classes by their modules, so that it cannot be read once they moved. Equal objects need not have
    equal pickles, so it is for values, and refused for keys.
    """

    name: Final = "pickle"
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


class MsgspecCodec(Generic[T]):
    """What Json and Msgpack share: values of one type, written and checked by the package msgspec."""

    def __init__(self, language: str, kind: Any, name: str | None) -> None:
        self.language = language
        self.kind = kind
        if name is None and kind is not Any:
            name = type_name(kind)
        self.name = checked_name(language if name is None else f"{language}:{name}")
        self.taken = taken_types(kind)
        self.loaded: tuple[Callable[[Any], bytes], Callable[[bytes], Any]] | None = None
        if kind is not Any:
            self.load()

    def load(self) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
        """Return msgspec's functions for the type, made at the first call; TypeError for types that it cannot read."""
        if self.loaded is None:
            module = getattr(import_msgspec(), self.language)
            self.loaded = module.Encoder().encode, module.Decoder(self.kind).decode
        return self.loaded

    def encode(self, value: T, /) -> bytes:
        """Return the value's bytes; TypeError for another type than the codec's, also for a subclass of it."""
        if self.taken and type(value) not in self.taken:
            raise wrong_type(self.name, " or ".join(type_name(kind) for kind in self.taken), value)
        try:
            return self.load()[0](value)
        except RecursionError as failure:
            raise too_deep(failure, f"the codec {self.name!r}") from None

    def decode(self, data: bytes, /) -> T:
        """Return the value, checked against the type."""
        try:
            return cast(T, self.load()[1](data))
        except (ValueError, RecursionError, import_msgspec().DecodeError) as failure:  # a ValueError in later versions
            raise undecodable(self.name, data, failure) from failure


class Json(MsgspecCodec[T]):
    """Values of one type as JSON, which other programs read: `Json(Point)`, `Json(list[int])`, `Json()` for plain JSON.

    A type of any kind that msgspec knows may be given; what is read is checked against it. The value's own type is
    checked when it is written, the types of its parts are not. Without a type, tuples and sets come back as lists, and
    bytes, dates and numbers as keys as str. JSON has no NaN and no infinity: they are written as null.

    name: stands for the type's in the codec's name, "json:app.models.Point", so that the class may move.
    """

    @overload
    def __init__(self, kind: type[T], /, *, name: str | None = None) -> None: ...
    @overload
    def __init__(self: "Json[Any]", kind: object = ..., /, *, name: str | None = None) -> None: ...
    def __init__(self, kind: Any = Any, /, *, name: str | None = None) -> None:
        super().__init__("json", kind, name)


class Msgpack(MsgspecCodec[T]):
    """Values of one type as MessagePack: shorter than JSON, with bytes and every float. `Msgpack(Point)`.

    All else is as for Json. Integers have at most 64 bits; larger ones are an OverflowError.

    name: stands for the type's in the codec's name, "msgpack:app.models.Point", so that the class may move.
    """

    @overload
    def __init__(self, kind: type[T], /, *, name: str | None = None) -> None: ...
    @overload
    def __init__(self: "Msgpack[Any]", kind: object = ..., /, *, name: str | None = None) -> None: ...
    def __init__(self, kind: Any = Any, /, *, name: str | None = None) -> None:
        super().__init__("msgpack", kind, name)


class Tuple(Generic[T]):
    """Tuples of a fixed length, in bytes whose order is theirs where the parts' codecs keep order: composite keys.

    `Tuple(int, str)`, its parts being what `resolve` takes. Ints, floats and the last part stand as their codecs write
    them; of every other part, zero bytes are escaped (00 ff) and its end is marked (00 01). Named tuples come back
    as tuples.
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
        self.marked = [not isinstance(part, DELIMITED) for part in self.parts]
        self.marked[-1] = False

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
                    end = part.end(data, start) if isinstance(part, DELIMITED) and i < last else len(data)
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
JSON: Final[Json[Any]] = Json()
MSGPACK: Final[Msgpack[Any]] = Msgpack()
OBJECTS: Final = ObjectsCodec()
PICKLE: Final = PickleCodec()

ALL: Final[tuple[Codec[Any], ...]] = (BYTES, STR, INT, FLOAT, JSON, MSGPACK, OBJECTS, PICKLE)
NAMED: Final = {codec.name: codec for codec in ALL}
TYPES: Final[tuple[tuple[type, Codec[Any]], ...]] = ((bytes, BYTES), (str, STR), (int, INT), (float, FLOAT))


@overload
def resolve(spec: Literal["bytes"] | None, /) -> Codec[bytes]: ...
@overload
def resolve(spec: Literal["str"], /) -> Codec[str]: ...
@overload
def resolve(spec: Literal["int"], /) -> Codec[int]: ...
@overload
def resolve(spec: Literal["float"], /) -> Codec[float]: ...
@overload
def resolve(spec: Literal["json", "msgpack", "objects", "pickle"], /) -> Codec[Any]: ...
@overload
def resolve(spec: type[T], /) -> Codec[T]: ...
@overload
def resolve(spec: Codec[T], /) -> Codec[T]: ...
def resolve(spec: Any, /) -> Codec[Any]:
    """Return the codec that `spec` stands for.

    spec: None or bytes, str, int, float (the types); a dataclass or msgspec.Struct type, which means Msgpack of it; one
        of the names "bytes", "str", "int", "float", "json", "msgpack", "objects" and "pickle"; or a codec.

    Raises TypeError for what has no codec or is none, ValueError for an unknown name, ImportError without msgspec.
    """
    if spec is None:
        return BYTES
    if isinstance(spec, str):
        if spec not in NAMED:
            raise ValueError(f"there is no codec named {spec!r}; the names are {', '.join(NAMED)}")
        spec = NAMED[spec]
    if isinstance(spec, type) or get_origin(spec) is not None:
        for kind, codec in TYPES:
            if spec is kind:
                return codec
        if isinstance(spec, type) and is_structured(spec):
            return Msgpack(spec)
        if spec is tuple or get_origin(spec) is tuple:
            raise TypeError(f"{spec!r} needs a codec for each part: codecs.Tuple(int, str) is that of pairs of these")
        raise TypeError(
            f"the type {spec!r} has no codec of its own; give codecs.Msgpack or codecs.Json of it, "
            'the name "objects" or "pickle", or an object with name, encode and decode'
        )
    functions = getattr(spec, "encode", None), getattr(spec, "decode", None)
    if not isinstance(getattr(spec, "name", None), str) or not all(callable(function) for function in functions):
        raise TypeError(f"a codec is an object with a name (str), encode and decode, and {spec!r} is none")
    checked_name(spec.name)
    if isinstance(spec, MsgspecCodec):
        spec.load()
    return cast(Codec[Any], spec)
