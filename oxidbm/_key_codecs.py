"""Codecs as the keys of a store need them: equal keys have equal bytes, in every process, or they are refused.

A value may be written in any way that is read back; a key has to be found by its bytes. `for_keys` returns the codec
that a store uses for its keys in the place of the one it was given: of the same name, for the same bytes where these
are the only ones. What it changes:

1. Of floats, -0.0 is written as the equal 0.0.
2. "objects" sorts sets and dicts, and writes what is equal as one: 1, 1.0 and True as an int, a set as a frozenset, a
   bytearray as bytes, an aware datetime in UTC. So a key may come back as an equal one of another type.
3. Json and Msgpack of a type write what they read back, where that is equal to the key. Their type is looked at when
   the store is opened, down to its parts: those of which equal ones may differ are refused, as are Json and Msgpack
   without a type.
4. "pickle" is refused: a pickle tells whether two equal parts are one object.
5. decode refuses all bytes that encode would not write for the key, as a DecodeError.

BYTES, STR and INT are so already. What a codec of the user's own writes is the user's concern.
"""

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from oxidbm import codecs
from oxidbm._class_codecs import MsgspecCodec
from oxidbm._codec_types import DecodeError, field_types, import_msgspec, type_name, undecodable
from oxidbm._scalar_codecs import BytesCodec, FloatCodec

INSTEAD: Final = 'use str, int, codecs.Tuple of the parts, or "objects"'
SINGLE: Final = (str, bytes, int, bool, float, NoneType, uuid.UUID, dt.date, dt.timedelta)
MINUS_ZERO: Final = codecs.FLOAT.encode(-0.0)
CONTAINERS: Final = (tuple, list, set, frozenset, dict)


class BytesKeys(BytesCodec):
    """Bytes, of which a buffer has to have items of one byte."""

    single = True


class FloatKeys(FloatCodec):
    """Floats with one zero."""

    def encode(self, value: float, /) -> bytes:
        """Return the float's bytes."""
        if type(value) is not int:
            value = (value if type(value) is float else self.number(value)) + 0.0  # which makes 0.0 of -0.0
        return super().encode(value)

    def decode(self, data: bytes, /) -> float:
        """Return the float."""
        if data == MINUS_ZERO:
            raise other_way(self.name, data)
        return super().decode(data)


class ObjectKeys(codecs.ObjectsCodec):
    """Plain objects in a written form that equal ones share."""

    def encode(self, value: Any, /) -> bytes:
        """Return the object's written form; TypeError and ValueError for what has none in a key."""
        from oxidbm._objects import dumps, pack_key

        return dumps(value, "a key of the codec 'objects'", "use codecs.Tuple of the parts", pack_key)

    def decode(self, data: bytes, /) -> Any:
        """Return the object."""
        value = super().decode(data)
        try:
            if self.encode(value) == data:
                return value
        except (TypeError, ValueError):
            pass  # it has a part that no key has
        raise other_way(self.name, data)


class MsgspecKeys:
    """Values of one type as Json or Msgpack writes what it has read back."""

    def __init__(self, codec: MsgspecCodec[Any]) -> None:
        reason = unfit(codec.kind, set())
        if reason is not None:
            raise ValueError(
                f"the codec {codec.name!r} is not for keys, of which equal ones need to have equal bytes: {reason}; "
                f"{INSTEAD}"
            )
        self.codec = codec.unchecked()
        self.name = codec.name
        msgspec = import_msgspec()
        self.write: Callable[[Any], bytes] = getattr(msgspec, codec.language).Encoder(order="deterministic").encode
        self.write_ordered = codec.load()[0]  # ordering again would sort a class's fields too
        self.to_builtins: Callable[..., Any] = msgspec.to_builtins
        self.minus_zero = self.write(-0.0)

    def encode(self, value: Any, /) -> bytes:
        """Return the value's bytes; TypeError for another type, ValueError for a part that its type does not fit."""
        data = self.codec.encode(value)
        try:
            back = self.codec.decode(data)
        except DecodeError as failure:
            raise ValueError(
                f"a key of {type_name(type(value))} has parts of other types than the codec {self.name!r} reads "
                f"({failure.__cause__})"
            ) from None
        if back != value:
            raise ValueError(
                f"a key of {type_name(type(value))} would come back from the codec {self.name!r} as an unequal one: "
                "a part is NaN or of another type than it should be, or the type compares otherwise than by its fields"
            )
        return self.canonical(back)

    def canonical(self, value: Any) -> bytes:
        """Return the bytes of a value that was read, which has the types it should have."""
        data = self.write(value)
        if self.minus_zero not in data:
            return data
        ordered = self.to_builtins(value, builtin_types=(bytes,), order="deterministic")
        return self.write_ordered(one_zero(ordered))

    def decode(self, data: bytes, /) -> Any:
        """Return the value, checked against the type."""
        value = self.codec.decode(data)
        if self.canonical(value) != data:
            raise other_way(self.name, data)
        return value


def one_zero(value: Any) -> Any:
    """Return builtin objects with every -0.0 in them as 0.0."""
    kind = type(value)
    if kind is float:
        return value + 0.0
    if kind is list or kind is tuple:
        return kind(one_zero(item) for item in value)
    if kind is dict:
        return {one_zero(key): one_zero(item) for key, item in value.items()}
    return value


def other_way(name: str, data: bytes) -> DecodeError:
    """Return the error for bytes that stand for a key and are not the ones that it is found by."""
    return undecodable(name, data, "as a key it has another, canonical form")


def unfit(kind: Any, seen: set[Any]) -> str | None:
    """Say which part of a type keeps it from being one of keys; None where equal values can be written equally.

    seen: types that are being looked at, since types may hold themselves.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return unfit(arguments[0], seen)
    if kind in SINGLE or kind is None or origin is Literal or (isinstance(kind, type) and issubclass(kind, enum.Enum)):
        return None
    if origin is Union or origin is UnionType:
        if sum(map(is_number, arguments)) > 1:
            return f"in {kind}, a number of one type can be equal to one of another"
        return first_unfit(arguments, seen)
    if origin is dict and arguments[0] is not str:
        return f"in {kind}, keys that are no str have no order"
    if origin in CONTAINERS and arguments:
        return first_unfit((argument for argument in arguments if argument is not ...), seen)
    plain = origin or kind
    if plain in seen:
        return None
    fields = fields_of(plain, arguments) if isinstance(plain, type) else None
    if fields is None:
        return f"equal values of {kind.__name__ if isinstance(kind, type) else kind} can differ in their parts"
    return first_unfit(fields, {*seen, plain})


def is_number(kind: Any) -> bool:
    """Tell whether values of a type can be equal to numbers."""
    if get_origin(kind) is Annotated:
        return is_number(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return any(isinstance(argument, int) for argument in get_args(kind))
    return isinstance(kind, type) and issubclass(kind, int | float)


def first_unfit(kinds: "Iterator[Any] | tuple[Any, ...]", seen: set[Any]) -> str | None:
    """Return the reason against the first of several types that has one."""
    for kind in kinds:
        reason = unfit(kind, seen)
        if reason is not None:
            return reason
    return None


def fields_of(kind: type, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return the types of the fields by which instances of a class are compared; None where that is not so.

    arguments: what a generic class's parameters stand for.
    """
    if dataclasses.is_dataclass(kind):
        if not all(field.compare for field in dataclasses.fields(kind)):
            return None
        equality: Any = kind.__eq__
        if getattr(getattr(equality, "__code__", None), "co_filename", "<string>") != "<string>":
            return None  # it was not made by the decorator
    elif hasattr(kind, "__struct_fields__"):
        if kind.__eq__ is not import_msgspec().Struct.__eq__:
            return None
    elif not (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return None
    generic: Any = kind
    fields = field_types(generic[arguments] if arguments else kind)
    return None if fields is None else tuple(fields.values())


def for_keys(codec: "codecs.Codec[Any]") -> "codecs.Codec[Any]":
    """Return the codec that writes the keys of a store which was given this one; ValueError for one that cannot."""
    if isinstance(codec, codecs.PickleCodec):
        raise ValueError(
            f"the codec {codec.name!r} is not for keys: equal objects need not have equal pickles, so a key would not "
            f"be found again; {INSTEAD}"
        )
    if codec is codecs.BYTES:
        return BYTES_KEYS
    if codec is codecs.FLOAT:
        return FLOAT_KEYS
    if codec is codecs.OBJECTS:
        return OBJECT_KEYS
    if isinstance(codec, MsgspecCodec):
        return MsgspecKeys(codec)
    if type(codec) is codecs.Tuple:
        return codecs.Tuple(*map(for_keys, codec.parts))
    return codec


BYTES_KEYS: Final = BytesKeys()
FLOAT_KEYS: Final = FloatKeys()
OBJECT_KEYS: Final = ObjectKeys()
