"""Codecs of classes and of other types that msgspec knows: values of one type as JSON or MessagePack.

What is read is checked against the type by msgspec. What is written is checked too, by _field_checks.py, so that a
wrong value is an error where it comes from: without more, the fields of classes, at whatever depth one class holds
another, and the parts of tuples, but nothing of what is in lists, sets and dicts, which are errors when they are read;
with validate=True also these, and by reading back what was written; with validate=False the value's own type alone.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, cast, overload

from oxidbm._codec_types import (
    DecodeError,
    checked_name,
    constant_repr,
    import_msgspec,
    is_structured,
    taken_types,
    too_deep,
    type_name,
    type_repr,
    undecodable,
    wrong_type,
)

if TYPE_CHECKING:
    from oxidbm._field_checks import Checks

T = TypeVar("T")

MADE: Final = ("loaded", "checks", "encode")  # of the type, in each process anew

Functions = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]


class MsgspecCodec(Generic[T]):
    """What Json and Msgpack share: values of one type, written and checked by the package msgspec."""

    def __init__(self, language: str, kind: Any, name: str | None, validate: bool | None) -> None:
        self.language = language
        self.kind = kind
        self.validate = validate
        self.named = name
        if name is None and kind is not Any:
            name = type_name(kind)
        self.name = checked_name(language if name is None else f"{language}:{name}")
        self.taken = taken_types(kind)
        self.begin()

    def __repr__(self) -> str:
        if self.kind is Any and self.named is None and self.validate is None:
            return constant_repr(self.name)
        arguments = [] if self.kind is Any else [type_repr(self.kind)]
        if self.named is not None:
            arguments.append(f"name={self.named!r}")
        if self.validate is not None:
            arguments.append(f"validate={self.validate}")
        return f"codecs.{type(self).__name__}({', '.join(arguments)})"

    def begin(self) -> None:
        """Make what is made of the type."""
        self.loaded: Functions | None = None
        self.checks: Checks | None = None
        if self.kind is not Any:
            self.load()
            if self.validate is not False:
                self.make_checks()

    def __getstate__(self) -> dict[str, Any]:
        return {name: part for name, part in self.__dict__.items() if name not in MADE}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.begin()

    def load(self) -> Functions:
        """Return msgspec's functions for the type, made at the first call; TypeError for types that it cannot read."""
        if self.loaded is None:
            module = getattr(import_msgspec(), self.language)
            self.loaded = module.Encoder().encode, module.Decoder(self.kind).decode
        return self.loaded

    def make_checks(self) -> None:
        """Have values be checked before they are written, as far as something is known of their type."""
        from oxidbm._field_checks import Checks

        checks = Checks(self.language, self.validate is True)
        if self.validate:
            self.checks = checks
            return
        encode = checks.encoder(self.kind, self.load()[0], self.encode)
        if encode is not None:
            self.checks = checks
            self.__dict__["encode"] = encode  # in the place of the method, to which it leaves what does not fit

    def unchecked(self) -> Self:
        """Return the codec as it is with validate=False."""
        codec = type(self).__new__(type(self))
        codec.__dict__.update(self.__dict__)
        codec.checks = None
        codec.validate = False
        codec.__dict__.pop("encode", None)
        return codec

    def encode(self, value: T, /) -> bytes:
        """Return the value's bytes; TypeError for another type than the codec's, also of a field, or for a subclass."""
        if self.taken and type(value) not in self.taken:
            raise wrong_type(self.name, " or ".join(type_name(kind) for kind in self.taken), value)
        if self.checks is not None:
            self.check(self.checks, value)
        try:
            data = self.load()[0](value)
        except RecursionError as failure:
            raise too_deep(failure, f"the codec {self.name!r}") from None
        except OverflowError as failure:
            raise self.too_large(value, failure) from None
        if self.validate:
            self.read_back(data)
        return data

    def too_large(self, value: T, failure: OverflowError) -> OverflowError:
        """Return the error for a value with an int that the language has no room for, which says where in it."""
        try:
            place = place_of_large(value)
        except RecursionError:
            place = None
        where = f" in {place.removeprefix('.')}" if place else ""
        return OverflowError(f"the codec {self.name!r} takes ints of up to 64 bits{where}: {failure}")

    def check(self, checks: "Checks", value: T) -> None:
        """Raise what a value is refused with, if it is."""
        try:
            failure = checks.misfit(self.kind, value)
        except RecursionError:
            return  # the encoder, which needs less of the stack, says what there is to say
        if failure is not None:
            raise type(failure)(f"the codec {self.name!r} {failure}")

    def read_back(self, data: bytes) -> None:
        """Raise ValueError for bytes that could not be read again, as of a number outside of what its type allows."""
        try:
            self.load()[1](data)
        except (ValueError, RecursionError, import_msgspec().DecodeError) as failure:
            raise ValueError(f"what the codec {self.name!r} would write could not be read: {failure}") from failure

    def decode(self, data: bytes, /) -> T:
        """Return the value, checked against the type."""
        try:
            return cast(T, self.load()[1](data))
        except (ValueError, RecursionError, import_msgspec().DecodeError) as failure:  # a ValueError in later versions
            if isinstance(failure, import_msgspec().ValidationError):
                raise self.disallowed(data, failure) from failure
            raise undecodable(self.name, data, failure) from failure

    def disallowed(self, data: bytes, failure: Exception) -> DecodeError:
        """Return the error for bytes that are well formed and hold what the type does not allow, as the failure says.

        This codec may have written them: what of a value is looked at before is not all, and classes change.
        """
        unseen = (
            "" if self.validate else "; what is in lists, sets and dicts is looked at on writing with validate=True"
        )
        return DecodeError(
            f"{len(data)} bytes hold what the codec {self.name!r} does not allow ({failure}): the value was so when it "
            f"was written, the type has changed since, or another codec wrote them{unseen}"
        )


def place_of_large(value: Any) -> str | None:
    """Return where in a value, "" for itself, the first int of more than 64 bits is; None where there is none."""
    if isinstance(value, int):
        return None if -(1 << 63) <= value < 1 << 64 else ""
    parts: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        parts = ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        parts = ((f"[{place}]", part) for place, part in enumerate(value))
    elif is_structured(value):
        names = getattr(value, "__struct_fields__", None) or getattr(value, "__dataclass_fields__", None)
        names = names or [field.name for field in getattr(value, "__attrs_attrs__", ())]
        parts = ((f".{name}", getattr(value, name, None)) for name in names)
    for name, part in parts:
        place = place_of_large(part)
        if place is not None:
            return name + place
    return None


class Json(MsgspecCodec[T]):
    """Values of one type as JSON, which other programs read: `Json(Point)`, `Json(list[int])`, `Json()` for plain JSON.

    A type of any kind that msgspec knows may be given; what is read is checked against it. Without a type, tuples and
    sets come back as lists, bytes, dates and numbers as keys as str, and NaN and infinity as None. With one, a value
    that would not come back is refused.

    name: stands for the type's in the codec's name, "json:app.models.Point", so that the class may move.
    validate: what of a value is checked when it is written. None: its type, those of its fields, where these are
        classes of theirs, and the parts of tuples of fixed length; a wrong one is a TypeError. True: also the items of
        lists, sets and dicts, and limits of msgspec.Meta, by reading what was written, which takes as long as reading.
        False: its own type only.
    """

    @overload
    def __init__(self, kind: type[T], /, *, name: str | None = None, validate: bool | None = None) -> None: ...
    @overload
    def __init__(
        self: "Json[Any]", kind: object = ..., /, *, name: str | None = None, validate: bool | None = None
    ) -> None: ...
    def __init__(self, kind: Any = Any, /, *, name: str | None = None, validate: bool | None = None) -> None:
        super().__init__("json", kind, name, validate)


class Msgpack(MsgspecCodec[T]):
    """Values of one type as MessagePack: shorter than JSON, with bytes and every float. `Msgpack(Point)`.

    All else is as for Json. Integers have at most 64 bits; larger ones are an OverflowError.

    name: stands for the type's in the codec's name, "msgpack:app.models.Point", so that the class may move.
    validate: as for Json.
    """

    @overload
    def __init__(self, kind: type[T], /, *, name: str | None = None, validate: bool | None = None) -> None: ...
    @overload
    def __init__(
        self: "Msgpack[Any]", kind: object = ..., /, *, name: str | None = None, validate: bool | None = None
    ) -> None: ...
    def __init__(self, kind: Any = Any, /, *, name: str | None = None, validate: bool | None = None) -> None:
        super().__init__("msgpack", kind, name, validate)
