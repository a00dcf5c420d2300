"""The written form of plain objects: JSON that says the types which JSON lacks, and that runs nothing when it is read.

It takes None, bool, int, float, str, bytes, bytearray, complex, list, tuple, dict with any of these as keys, set,
frozenset, Decimal, Fraction, UUID, and datetime's date, time, datetime and timedelta, and refuses instances of their
subclasses, which would come back as something else. Equal sets and equal dicts need not have equal bytes; those that
`pack_key` packs have them.

A list, a str and so on stand for themselves; what JSON lacks is an object with one key, "$" and the type's name; a dict
that looks so itself, or has keys that are no str, is written as "$dict", a list of pairs.
"""

import base64
import json
from collections.abc import Callable
from typing import Any, Final

from oxidbm._codec_types import too_deep

EXPONENT_MAX: Final = 4000  # of a Decimal in a key: as an int it has that many digits
INT_BITS_MAX = 8192  # Python limits the length of decimal numbers that it converts, but not of hexadecimal ones
PLAIN = (str, bool, type(None))

# What `loads` raises for bytes that `dumps` did not write.
LOAD_FAILURES = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)


class UnknownTypeError(TypeError):
    """The value has a part of a type that has no written form; the text is the type's name."""


class UnknownZoneError(TypeError):
    """The value has a part with time zone rules, of which only a UTC offset could be written; the text is the zone."""


def pack(value: Any) -> Any:
    """Return a value as what the json module writes; UnknownTypeError for types that have no written form."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is int:
        return value if value.bit_length() <= INT_BITS_MAX else {"$int": hex(value)}
    if kind is float:
        return value if value - value == 0 else {"$float": repr(value)}
    if kind is list:
        return [pack(item) for item in value]
    if kind is dict:
        if all(type(key) is str for key in value) and not (len(value) == 1 and next(iter(value)).startswith("$")):
            return {key: pack(item) for key, item in value.items()}
        return {"$dict": [[pack(key), pack(item)] for key, item in value.items()]}
    if kind in (tuple, set, frozenset):
        return {f"${kind.__name__}": [pack(item) for item in value]}
    if kind in (bytes, bytearray):
        return {f"${kind.__name__}": base64.b64encode(value).decode("ascii")}
    if kind is complex:
        return {"$complex": [pack(value.real), pack(value.imag)]}
    return {f"${kind.__name__}": pack_library_type(value)}


def pack_library_type(value: Any) -> Any:
    """Return what stands behind the tag of a type from the standard library's modules."""
    import datetime as dt

    kind = type(value)
    if kind in (dt.datetime, dt.time):
        if value.tzinfo is not None and type(value.tzinfo) is not dt.timezone:
            raise UnknownZoneError(repr(value.tzinfo))
        return [value.isoformat(), value.fold]
    if kind is dt.date:
        return value.isoformat()
    if kind is dt.timedelta:
        return [value.days, value.seconds, value.microseconds]
    if (kind.__module__, kind.__qualname__) in (("decimal", "Decimal"), ("fractions", "Fraction"), ("uuid", "UUID")):
        return str(value)
    raise UnknownTypeError(f"{kind.__module__}.{kind.__qualname__}")


def unpack(item: dict[str, Any]) -> Any:
    """Return what an object of the written form stands for; for json's object_hook, which calls it inside out."""
    if len(item) != 1:
        return item
    ((tag, content),) = item.items()
    if not tag.startswith("$"):
        return item
    match tag:
        case "$dict":
            return dict(content)
        case "$tuple":
            return tuple(content)
        case "$set":
            return set(content)
        case "$frozenset":
            return frozenset(content)
        case "$bytes":
            return base64.b64decode(content, validate=True)
        case "$bytearray":
            return bytearray(base64.b64decode(content, validate=True))
        case "$int":
            return int(content, 16)
        case "$float":
            return float(content)
        case "$complex":
            return complex(*content)
    return unpack_library_type(tag, content)


def unpack_library_type(tag: str, content: Any) -> Any:
    """Return a value of a type from the standard library's modules; ValueError for a tag that is not known."""
    import datetime as dt

    match tag:
        case "$datetime":
            return dt.datetime.fromisoformat(content[0]).replace(fold=content[1])
        case "$time":
            return dt.time.fromisoformat(content[0]).replace(fold=content[1])
        case "$date":
            return dt.date.fromisoformat(content)
        case "$timedelta":
            return dt.timedelta(*content)
        case "$Decimal":
            from decimal import Decimal

            return Decimal(content)
        case "$Fraction":
            from fractions import Fraction

            return Fraction(content)
        case "$UUID":
            from uuid import UUID

            return UUID(content)
    raise ValueError(f"it has the tag {tag!r}, which the codec does not know")


# json.dumps and json.loads, given these arguments, would make both anew for each call.
ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
DECODER = json.JSONDecoder(object_hook=unpack)


def pack_key(value: Any) -> Any:
    """Return a value as what the json module writes, the same for every equal value; for keys.

    Raises UnknownTypeError also for types that could be equal to others and are not common in keys.
    """
    kind = type(value)
    if kind is bool or kind is int:
        return pack(int(value))
    if kind is float:
        return pack(int(value) if value.is_integer() else value)
    if kind is list:
        return [pack_key(item) for item in value]
    if kind is tuple:
        return {"$tuple": [pack_key(item) for item in value]}
    if kind is set or kind is frozenset:
        return {"$frozenset": sorted(map(pack_key, value), key=ENCODER.encode)}
    if kind is dict:
        pairs = sorted(([pack_key(key), pack_key(item)] for key, item in value.items()), key=ENCODER.encode)
        plain = all(type(key) is str for key in value) and not (len(value) == 1 and next(iter(value)).startswith("$"))
        return {key: item for key, item in pairs} if plain else {"$dict": pairs}  # noqa: C416 - dict() takes no lists
    if kind is bytearray:
        return pack(bytes(value))
    if kind in PLAIN or kind is bytes:
        return pack(value)
    return pack_library_key(value)


def pack_library_key(value: Any) -> Any:
    """As `pack_key`, of a type from the standard library's modules."""
    import datetime as dt

    kind = type(value)
    if kind is dt.datetime:
        pack(value)  # which refuses time zones with rules
        if value.tzinfo is not None:
            try:
                value = value.astimezone(dt.UTC)
            except OverflowError:
                raise ValueError(
                    f"{value} cannot be part of a key: in UTC it is out of the range of datetime"
                ) from None
        return pack(value.replace(fold=0))
    if kind is dt.time:
        if value.tzinfo is not None:
            raise UnknownTypeError("datetime.time with a UTC offset in keys")
        return pack(value.replace(fold=0))
    if (kind.__module__, kind.__qualname__) == ("decimal", "Decimal"):
        return pack_decimal_key(value)
    if kind is complex or (kind.__module__, kind.__qualname__) == ("fractions", "Fraction"):
        raise UnknownTypeError(f"{kind.__module__}.{kind.__qualname__} in keys")
    return pack(value)


def pack_decimal_key(value: Any) -> Any:
    """As `pack_key`, of a Decimal: an int or float where one is equal, else without zeros behind its last digit."""
    if not value.is_finite():
        return pack(float(value)) if value.is_infinite() else pack(value)
    if value == 0:
        return 0
    sign, digits, exponent = value.as_tuple()
    if abs(value.adjusted()) > EXPONENT_MAX or len(digits) > EXPONENT_MAX:
        raise ValueError(
            f"a Decimal that reaches to the power {value.adjusted()} of ten, in {len(digits)} digits, cannot be part "
            f"of a key: at most {EXPONENT_MAX} of both"
        )
    if value == value.to_integral_value():
        return pack(int(value))
    if float(value) == value:
        return pack(float(value))
    while digits[-1] == 0:
        digits, exponent = digits[:-1], exponent + 1
    return pack(type(value)((sign, digits, exponent)))


def dumps(value: Any, who: str, instead: str, packed: Callable[[Any], Any] = pack) -> bytes:
    """Return a value's written form; TypeError for a type that has none, ValueError for a value that is in itself.

    who, instead: words for the errors: the codec that refuses, and what takes values of any type.
    """
    try:
        return ENCODER.encode(packed(value)).encode("ascii")
    except UnknownTypeError as failure:
        raise TypeError(f"{who} does not take {failure}; convert the value, or {instead}") from None
    except UnknownZoneError as failure:
        raise TypeError(
            f"{who} keeps UTC offsets and no time zone rules ({failure}); convert with astimezone(datetime.UTC)"
        ) from None
    except RecursionError as failure:
        raise too_deep(failure, who) from None


def loads(data: bytes) -> Any:
    """Return the value that `dumps` wrote; one of LOAD_FAILURES for other bytes."""
    return DECODER.decode(data.decode())
