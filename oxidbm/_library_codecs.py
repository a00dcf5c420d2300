"""Codecs of other types of the standard library, in bytes whose order is that of the values: UUID, Decimal, enums."""

import enum
import uuid
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

from oxidbm._codec_types import DecodeError, checked_name, type_name, type_repr, undecodable, wrong_type
from oxidbm._scalar_codecs import BytesCodec, Delimited, FloatCodec, IntCodec, StrCodec

E = TypeVar("E", bound=enum.Enum)

INT: Final = IntCodec()
UUID_BYTES: Final = 16

# The first byte of a Decimal. Behind the middle three there is nothing.
MINUS_INFINITY: Final = 0x10
NEGATIVE: Final = 0x20
ZERO: Final = 0x30
POSITIVE: Final = 0x40
INFINITY: Final = 0x50
DIGITS_END: Final = 0x00  # sorts before every pair of digits, which are 0x01 to 0x64
COMPLEMENT: Final = bytes(range(255, -1, -1))


class UuidCodec(Delimited):
    """UUIDs, as their 16 bytes, most significant first."""

    name = "uuid"

    def encode(self, value: uuid.UUID, /) -> bytes:
        """Return the UUID's bytes."""
        if not isinstance(value, uuid.UUID):
            raise wrong_type(self.name, "uuid.UUID", value)
        return value.bytes

    def decode(self, data: bytes, /) -> uuid.UUID:
        """Return the UUID."""
        if len(data) != UUID_BYTES:
            raise undecodable(self.name, data, f"a UUID has {UUID_BYTES}")
        return uuid.UUID(bytes=data)

    def end(self, data: bytes, start: int) -> int:
        """Return where the UUID ends that starts at `start`; the bytes may end before."""
        return start + UUID_BYTES


class DecimalCodec(Delimited):
    """Decimals by their value, which is exact: 1.10 and 1.1 are one, and come back as 1.1. No NaN.

    The byte 0x40, the exponent of the first digit as INT writes it, the digits without zeros at their end, each pair as
    the byte 1 + 10 * first + second, and 0x00. Below zero the byte 0x20, and all that follows complemented. Zero is
    0x30, the infinities 0x10 and 0x50.
    """

    name = "decimal"

    def encode(self, value: Decimal, /) -> bytes:
        """Return the number's bytes; ValueError for NaN, which is equal to nothing."""
        if not isinstance(value, Decimal):
            raise wrong_type(self.name, "decimal.Decimal", value)
        if value.is_nan():
            raise ValueError("the codec 'decimal' takes numbers, not NaN")
        sign, digits, _ = value.as_tuple()
        if value.is_infinite():
            return bytes([MINUS_INFINITY if sign else INFINITY])
        if not value:
            return bytes([ZERO])
        significant = bytes(digits).rstrip(b"\x00")
        even = significant + bytes(len(significant) % 2)
        pairs = bytes(1 + 10 * even[i] + even[i + 1] for i in range(0, len(even), 2))
        rest = INT.encode(value.adjusted()) + pairs + bytes([DIGITS_END])
        return bytes([NEGATIVE]) + rest.translate(COMPLEMENT) if sign else bytes([POSITIVE]) + rest

    def decode(self, data: bytes, /) -> Decimal:
        """Return the number."""
        try:
            found = self.read(data)
            if self.encode(found) == data:
                return found
        except (ValueError, ArithmeticError) as failure:
            raise undecodable(self.name, data, failure) from failure
        raise undecodable(self.name, data, "it has another form")

    def read(self, data: bytes) -> Decimal:
        """Return the number that bytes stand for; ValueError or ArithmeticError where they do not."""
        if len(data) != self.end(data, 0):
            raise ValueError("it has another end")
        first = data[0]
        if first not in (NEGATIVE, POSITIVE):
            return {ZERO: Decimal(0), INFINITY: Decimal("Infinity"), MINUS_INFINITY: Decimal("-Infinity")}[first]
        rest = data[1:].translate(COMPLEMENT) if first == NEGATIVE else data[1:]
        end = INT.end(rest, 0)
        digits: list[int] = []
        for pair in rest[end:-1]:
            digits += divmod(pair - 1, 10)
        if digits[-1:] == [0]:
            digits.pop()
        return Decimal((int(first == NEGATIVE), tuple(digits), INT.decode(rest[:end]) - len(digits) + 1))

    def end(self, data: bytes, start: int) -> int:
        """Return where the number ends that starts at `start`; DecodeError where no end is to be found."""
        first = data[start] if start < len(data) else 0
        if first in (ZERO, INFINITY, MINUS_INFINITY):
            return start + 1
        if first not in (NEGATIVE, POSITIVE):
            raise undecodable(self.name, data, "there is no first byte that it has")
        exponent = data[start + 1 :].translate(COMPLEMENT) if first == NEGATIVE else data[start + 1 :]
        mark = 255 - DIGITS_END if first == NEGATIVE else DIGITS_END
        end = data.find(mark, start + 1 + INT.end(exponent, 0))
        if end < 0:
            raise undecodable(self.name, data, "its end is not marked")
        return end + 1


class Enum(Delimited, Generic[E]):
    """Members of an enum by their values, of which all are int, str, bytes or float, in the order of these.

    `Enum(Colour)`, and the class itself stands for it. A member that is renamed or moved to another place stays what it
    was; one whose value is changed, or that is gone, is a DecodeError where it is read.

    name: stands for the class's in the codec's name, "int:app.models.Colour", so that the class may move.
    """

    def __init__(self, kind: type[E], /, *, name: str | None = None) -> None:
        if not isinstance(kind, enum.EnumMeta):
            raise TypeError(f"codecs.Enum takes an enum, a class, not {kind!r}")
        types = {type(member.value) for member in kind}
        part = VALUES.get(types.pop()) if len(types) == 1 else None
        if part is None:
            raise TypeError(
                f"a codec of the members of {type_name(kind)} needs values that are all int, all str, all bytes or all "
                'float; give codecs.Msgpack or codecs.Json of it, or "pickle" for values'
            )
        self.kind = kind
        self.part: Any = part
        self.delimited = isinstance(part, Delimited)
        self.name = checked_name(f"{part.name}:{type_name(kind) if name is None else name}")

    def __repr__(self) -> str:
        own = f"{self.part.name}:{type_name(self.kind)}"
        name = "" if self.name == own else f", name={self.name.partition(':')[2]!r}"
        return f"codecs.Enum({type_repr(self.kind)}{name})"

    def encode(self, value: E, /) -> bytes:
        """Return the bytes of the member's value; TypeError for what is no member."""
        if not isinstance(value, self.kind):
            raise wrong_type(self.name, type_name(self.kind), value)
        data: bytes = self.part.encode(value.value)
        return data

    def decode(self, data: bytes, /) -> E:
        """Return the member."""
        try:
            member = self.kind(self.part.decode(data))
            if self.part.encode(member.value) == data:
                return member
        except DecodeError as failure:
            raise undecodable(self.name, data, failure) from failure
        except (ValueError, TypeError) as failure:
            raise undecodable(self.name, data, failure) from failure
        raise undecodable(self.name, data, "no member has this value")

    def end(self, data: bytes, start: int) -> int:
        """Return where the member's value ends that starts at `start`, where its bytes tell that."""
        end: int = self.part.end(data, start)
        return end


VALUES: Final[dict[type, Any]] = {int: INT, str: StrCodec(), bytes: BytesCodec(), float: FloatCodec()}
UUID: Final = UuidCodec()
DECIMAL: Final = DecimalCodec()
