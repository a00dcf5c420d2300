"""A cache with cachelib's interface: for Flask-Session and whatever else takes a `cachelib.BaseCache`.

Values are pickled, as cachelib's own caches do, which runs what the store's files say when they are read; with
`value="objects"` they are plain types, and reading them is safe.
"""

import datetime as dt
from typing import Any

from cachelib.base import BaseCache

from oxidbm import Store
from oxidbm.codecs import Codec, DecodeError, Name
from oxidbm.dbm import StorePath

__all__ = ["OxidbmCache"]

Timeout = int | dt.timedelta | None


class OxidbmCache(BaseCache):
    """A cache in the directory `path`, which one process at a time has open; `store` is the store behind it.

    default_timeout: how many seconds a value lives where nothing else is said; 0 is for ever.
    ignore_delete_many_errors: as for other caches; here a deletion that fails is an error in any case.
    value: the codec of the values, see oxidbm.codecs.
    options: those of `oxidbm.Store`, such as memory= and size_limit=.

    A counter keeps the time to live that it was made with, and no concurrent count is lost. What cannot be decoded is
    as good as not there. Raises what `oxidbm.Store` raises.
    """

    def __init__(
        self,
        path: StorePath,
        default_timeout: int | dt.timedelta = 300,
        ignore_delete_many_errors: bool = True,
        *,
        value: type[Any] | Codec[Any] | Name = "pickle",
        **options: Any,
    ) -> None:
        super().__init__(default_timeout)
        self.ignore_delete_many_errors = ignore_delete_many_errors
        self.store: Store[str, Any] = Store(path, key=str, value=value, **options)

    def close(self) -> None:
        """Close the store; what was written is durable."""
        self.store.close()

    def lifetime(self, timeout: Timeout) -> float | None:
        """Return for how many seconds a value lives; None for ever, a number below 0 for not at all."""
        seconds: float = self._normalize_timeout(timeout)
        return seconds or None

    def get(self, key: str) -> Any:
        """Return the value of a key, None where it has none."""
        try:
            return self.store.get(key)
        except DecodeError:
            return None

    def get_many(self, *keys: str) -> list[Any]:
        """Return the values of the keys, None for each that has none."""
        try:
            return self.store.get_many(keys)
        except DecodeError:
            return [self.get(key) for key in keys]

    def set(self, key: str, value: Any, timeout: Timeout = None) -> bool:
        """Store a value for `timeout` seconds; always True."""
        return bool(self.set_many({key: value}, timeout))

    def set_many(self, mapping: dict[str, Any], timeout: Timeout = None) -> list[Any]:
        """Store the values of a mapping for `timeout` seconds, and return its keys."""
        expire = self.lifetime(timeout)
        if expire is not None and expire < 0:
            self.store.delete_many(mapping)
        else:
            self.store.set_many(mapping, expire=expire)
        return list(mapping)

    def add(self, key: str, value: Any, timeout: Timeout = None) -> bool:
        """Store a value for `timeout` seconds where the key has none, and return whether it had none; atomic."""
        expire = self.lifetime(timeout)
        if expire is not None and expire < 0:
            return key not in self.store
        return self.store.add(key, value, expire)

    def has(self, key: str) -> bool:
        """Return whether a key has a value, without decoding it."""
        return key in self.store

    def delete(self, key: str) -> bool:
        """Delete a key, and return whether it had a value."""
        return self.store.delete_many([key]) == 1

    def delete_many(self, *keys: str) -> list[Any]:
        """Delete keys, and return them; one that had no value is gone as well."""
        self.store.delete_many(keys)
        return list(keys)

    def clear(self) -> bool:
        """Delete all; always True."""
        self.store.clear()
        return True

    def inc(self, key: str, delta: int = 1) -> int:
        """Add to a counter, which begins at 0, and return what it is then; TypeError for another value; atomic."""
        return self.store.incr(key, delta, 0, self.lifetime(None))

    def dec(self, key: str, delta: int = 1) -> int:
        """Subtract from a counter; as inc."""
        return self.inc(key, -delta)
