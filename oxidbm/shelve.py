"""A shelf on an oxidbm store: `oxidbm.shelve.open`, as the stdlib's `shelve.open`, but safe to read by default.

Unpickling runs what the data says, so a pickled shelf from elsewhere can do anything to its reader. The codec "json"
can only make values of the types it knows: None, bool, int, float, str, bytes, bytearray, complex, list, tuple, dict
with any of these as keys, set, frozenset, Decimal, Fraction, UUID, and datetime's date, time, datetime and timedelta.
It refuses instances of their subclasses, which would come back as something else. "pickle" has to be asked for.

oxidbm/_objects.py says what the written form is.
"""

import atexit
import shelve
import weakref
from collections.abc import Callable, Iterator
from pickle import DEFAULT_PROTOCOL
from typing import Any, cast

from oxidbm import _breath
from oxidbm._codec_types import stack_is_deep
from oxidbm._core.life import FORKED, state_in_words
from oxidbm._core.store.arguments import tell_key
from oxidbm._core.store.database import Database
from oxidbm._core.store.showing import shown_keys
from oxidbm._objects import LOAD_FAILURES, dumps, loads
from oxidbm.dbm import StorePath
from oxidbm.dbm import open as open_database

__all__ = ["DeserializeError", "Shelf", "open"]

Serializer = Callable[[Any, int], bytes]
Deserializer = Callable[[bytes], Any]

WHO = "the 'json' shelf codec"
INSTEAD = 'open the shelf with serializer="pickle" where you trust whoever can write it'


class DeserializeError(ValueError):
    """A stored value is not what the shelf's codec writes; open the shelf with the serializer it was written with."""


def dump_json(value: Any, protocol: int) -> bytes:
    """Return a value as JSON; TypeError for a type that the codec does not know, ValueError for a value in itself."""
    return dumps(value, WHO, INSTEAD)


def load_json(data: bytes) -> Any:
    """Return the value that `dump_json` wrote; DeserializeError for other bytes."""
    try:
        return loads(data)
    except LOAD_FAILURES as failure:
        if isinstance(failure, RecursionError) and stack_is_deep():
            raise
        raise DeserializeError(
            f"a value is not what {WHO} writes ({failure}); open the shelf with the serializer it was written with"
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


def name_of(serializer: Serializer) -> str:
    """Return what a serializer is called."""
    if serializer is dump_json:
        return "json"
    name = getattr(serializer, "__qualname__", type(serializer).__qualname__)
    return "pickle" if (getattr(serializer, "__module__", ""), name) == ("_pickle", "dumps") else str(name)


class Shelf(shelve.Shelf[Any]):
    """A mapping of str to objects, kept in an oxidbm store; made by `open`, used as the stdlib's shelves are.

    A value that is changed after it was read is written back only with writeback=True, or by assigning it again. Errors
    of the store are `oxidbm.error`; using a closed shelf is a ValueError, as it is for the stdlib's.
    """

    dict: Any
    cache: Any
    writeback: bool
    where = "that is not open"

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
        self.where = repr(self.dict.path)
        OPEN_SHELVES[id(self)] = self

    def __repr__(self) -> str:
        database = self.dict
        words = [f"str to {name_of(self.serializer)}", "closed"]
        if isinstance(database, Database):
            words[1] = state_in_words(database.life)
            if database.life.alive():
                table = database.handle.table
                words.insert(0, shown_keys(int(table.count), int(table.pending.count())))
        return f"<oxidbm.shelve.Shelf {self.where}: {', '.join(words)}>"

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
        try:
            data = self.serializer(value, self.protocol)
        except (TypeError, ValueError, OverflowError) as failure:
            tell_key(failure, key)
            raise
        if self.writeback:
            self.cache[key] = value
        self.dict[key.encode()] = data

    def clear(self) -> None:
        """Remove all items. O(1)."""
        self.cache.clear()
        self.dict.clear()

    def close(self) -> None:
        """Write what writeback=True holds, and close the store; a second time does nothing.

        In a forked child the shelf is the parent's: there nothing is written, and the child's copy is let go.
        """
        database = self.dict
        if isinstance(database, Database) and database.life.state == FORKED:
            self.cache, self.dict = {}, {}
        super().close()

    def __reduce__(self) -> Any:
        raise TypeError("a shelf cannot be pickled or copied; open its path where it is needed, to read with flag='r'")

    def reorganize(self) -> None:
        """Write what writeback=True holds, and give back all space that no value takes any more. O(store)."""
        self.sync()
        self.dict.reorganize()


OPEN_SHELVES: weakref.WeakValueDictionary[int, Shelf] = weakref.WeakValueDictionary()


def close_all() -> None:
    """Close every shelf still open when the interpreter exits, before its store is closed, for writeback=True."""
    for shelf in list(OPEN_SHELVES.values()):
        try:
            shelf.close()
        except Exception as failure:  # each shelf has its own chance, and what it lost is said
            _breath.LastWord(failure)


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
    return Shelf(filename, flag, protocol, writeback, mode=mode, serializer=serializer, deserializer=deserializer)
