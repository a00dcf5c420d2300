"""A shelf on an oxidbm store: `oxidbm.shelve.open`, as the stdlib's `shelve.open`, but safe to read by default.

Unpickling runs what the data says, so a pickled shelf from elsewhere can do anything to its reader. The codec "json"
can only make values of the types it knows: None, bool, int, float, str, bytes, bytearray, complex, list, tuple, dict
with any of these as keys, set, frozenset, Decimal, Fraction, UUID, and datetime's date, time, datetime and timedelta.
It refuses instances of their subclasses, which would come back as something else. "pickle" has to be asked for.

The written form is JSON. A list, a str and so on stand for themselves; what JSON lacks is an object with one key, "$"
and the type's name; a dict that looks so itself, or has keys that are no str, is written as "$dict", a list of pairs.
"""

import atexit
import base64
import json
import shelve
import weakref
from collections.abc import Callable, Iterator
from pickle import DEFAULT_PROTOCOL
from typing import Any, cast

from oxidbm.dbm import StorePath
from oxidbm.dbm import open as open_database

__all__ = ["DeserializeError", "Shelf", "open"]

Serializer = Callable[[Any, int], bytes]
Deserializer = Callable[[bytes], Any]

INT_BITS_MAX = 8192  # Python limits the length of decimal numbers that it converts, but not of hexadecimal ones
PLAIN = (str, bool, type(None))


class DeserializeError(ValueError):
    """A stored value is not what the shelf's codec writes; open the shelf with the serializer it was written with."""


def pack(value: Any) -> Any:
    """Return a value as what the json module writes; TypeError for types that the codec does not know."""
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
            raise TypeError(
                f"the 'json' shelf codec keeps UTC offsets and no time zone rules ({value.tzinfo!r}); "
                "convert with astimezone(datetime.UTC)"
            )
        return [value.isoformat(), value.fold]
    if kind is dt.date:
        return value.isoformat()
    if kind is dt.timedelta:
        return [value.days, value.seconds, value.microseconds]
    if (kind.__module__, kind.__qualname__) in (("decimal", "Decimal"), ("fractions", "Fraction"), ("uuid", "UUID")):
        return str(value)
    raise TypeError(
        f"the 'json' shelf codec does not take {kind.__module__}.{kind.__qualname__}; convert the value, "
        'or open the shelf with serializer="pickle" where you trust whoever can write it'
    )


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


def dump_json(value: Any, protocol: int) -> bytes:
    """Return a value as JSON; TypeError for a type that the codec does not know, ValueError for a value in itself."""
    try:
        return json.dumps(pack(value), separators=(",", ":"), allow_nan=False).encode("ascii")
    except RecursionError:
        raise ValueError("the value contains itself, or is nested too deeply for the 'json' shelf codec") from None


def load_json(data: bytes) -> Any:
    """Return the value that `dump_json` wrote; DeserializeError for other bytes."""
    try:
        return json.loads(data, object_hook=unpack)
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as failure:
        raise DeserializeError(
            f"a value is not what the 'json' shelf codec writes ({failure}); "
            "open the shelf with the serializer it was written with"
        ) from failure


def codec(serializer: str | Serializer, deserializer: str | Deserializer | None) -> tuple[Serializer, Deserializer]:
    """Return the two functions that the arguments of `open` ask for."""
    if isinstance(serializer, str):
        if deserializer not in (None, serializer):
            raise ValueError(f"a serializer by name, {serializer!r}, brings its deserializer; leave that out")
        if serializer == "json":
            return dump_json, load_json
        if serializer == "pickle":
            import pickle

            return pickle.dumps, pickle.loads
        raise ValueError(f'a serializer is "json", "pickle" or a function, not {serializer!r}')
    if deserializer is None or isinstance(deserializer, str):
        raise ValueError("a serializer that is a function needs a deserializer that is one")
    return serializer, deserializer


class Shelf(shelve.Shelf[Any]):
    """A mapping of str to objects, kept in an oxidbm store; made by `open`, used as the stdlib's shelves are.

    A value that is changed after it was read is written back only with writeback=True, or by assigning it again. Errors
    of the store are `oxidbm.error`; using a closed shelf is a ValueError, as it is for the stdlib's.
    """

    dict: Any
    cache: Any
    writeback: bool

    def __init__(
        self,
        filename: StorePath,
        flag: str = "c",
        protocol: int | None = None,
        writeback: bool = False,
        *,
        mode: int = 0o666,
        serializer: str | Serializer = "json",
        deserializer: str | Deserializer | None = None,
    ) -> None:
        self.serializer, self.deserializer = codec(serializer, deserializer)
        self.protocol = DEFAULT_PROTOCOL if protocol is None else protocol
        super().__init__(cast(Any, open_database(filename, flag, mode)), protocol, writeback)
        OPEN_SHELVES[id(self)] = self

    def __iter__(self) -> Iterator[str]:
        """Iterate the keys, in bounded memory."""
        for key in self.dict:
            yield key.decode()

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key; KeyError where it has none."""
        if key in self.cache:
            return self.cache[key]
        try:
            data = self.dict[key.encode()]
        except KeyError:
            raise KeyError(key) from None
        value = self.deserializer(data)
        if self.writeback:
            self.cache[key] = value
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        """Store a value under a key; TypeError where the serializer does not take it."""
        data = self.serializer(value, self.protocol)
        if self.writeback:
            self.cache[key] = value
        self.dict[key.encode()] = data

    def clear(self) -> None:
        """Remove all items. O(1)."""
        self.cache.clear()
        self.dict.clear()

    def reorganize(self) -> None:
        """Write what writeback=True holds, and give back all space that no value takes any more. O(store)."""
        self.sync()
        self.dict.reorganize()


OPEN_SHELVES: weakref.WeakValueDictionary[int, Shelf] = weakref.WeakValueDictionary()


def close_all() -> None:
    """Close every shelf still open when the interpreter exits, before its store is closed, for writeback=True."""
    for shelf in list(OPEN_SHELVES.values()):
        shelf.close()


atexit.register(close_all)


def open(  # noqa: A001
    filename: StorePath,
    flag: str = "c",
    protocol: int | None = None,
    writeback: bool = False,
    *,
    mode: int = 0o666,
    serializer: str | Serializer = "json",
    deserializer: str | Deserializer | None = None,
) -> Shelf:
    """Open the shelf `filename`, and make it where there is none and `flag` allows.

    flag, mode: as for `oxidbm.open`.
    protocol: what is given to the serializer as its second argument; default: pickle's own.
    writeback: keep every value that is read in memory, and write all of them back at sync() and close().
    serializer: "json", which is safe to read and takes the types that this module's text names; "pickle", which takes
        nearly everything and must only be read from those one trusts; or a function of the object and the protocol that
        returns bytes.
    deserializer: the function of the bytes that returns the object, where the serializer is a function.

    Raises what `oxidbm.open` raises, and ValueError for serializers that do not fit together.
    """
    return Shelf(
        filename, flag, protocol, writeback, mode=mode, serializer=serializer, deserializer=deserializer
    )
