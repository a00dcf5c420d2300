"""Django's cache in a store: BACKEND "oxidbm.integrations.django.Cache", LOCATION the store's directory.

OPTIONS are those of `oxidbm.Store`, such as "memory" and "size_limit", and "value", the codec of the values: "pickle",
as in Django's own backends, where nothing else is said.

1. All caches of a process that have one LOCATION share one store: Django makes a cache for each thread. It is opened
   when it is used first, stays open between requests, and is closed when the process ends.
2. One process at a time can have it open. A forked child opens it anew, which is a LockedError where its parent has it.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.exceptions import ImproperlyConfigured

from oxidbm import Store
from oxidbm.integrations._open_stores import OPEN

__all__ = ["Cache"]

MISSING: Final = object()


class Cache(BaseCache):
    """A cache of Django's that is a store; made from the setting CACHES.

    It has all of a cache's calls. `incr` and `decr` take ints, lose no concurrent count, and leave a key the time that
    it has to live; `clear` deletes what caches with other prefixes and versions have in the same LOCATION, too. There
    is no limit of entries: give "size_limit" in OPTIONS, in bytes; the oldest records go first.

    Raises what `oxidbm.Store` raises when it is used; ImproperlyConfigured for settings that cannot be kept.
    """

    def __init__(self, location: str | os.PathLike[str], params: dict[str, Any]) -> None:
        super().__init__(params)
        options = {"key": str, "value": "pickle", **params.get("OPTIONS", {})}
        for name in ("MAX_ENTRIES", "CULL_FREQUENCY"):
            if name in options or name.lower() in params:
                raise ImproperlyConfigured(f"a store does not count entries: give size_limit instead of {name}")
        if not os.fspath(location):
            raise ImproperlyConfigured("LOCATION is the directory of the store")
        self.path = os.path.abspath(location)
        self.options = options

    @property
    def store(self) -> Store[str, Any]:
        """The store behind the cache, which this opens where it is not open."""
        try:
            return OPEN.get(self.path, self.options)
        except ValueError as failure:
            raise ImproperlyConfigured(f"the cache with the LOCATION {self.path}: {failure}") from failure

    def lifetime(self, timeout: Any) -> float | None:
        """Return for how many seconds a value lives; None for ever, 0 or less for not at all."""
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return None if seconds is None else float(seconds)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Store a value where the key has none, and return whether it had none; atomic."""
        made = self.make_and_validate_key(key, version)
        expire = self.lifetime(timeout)
        if expire is not None and expire <= 0:
            return made not in self.store
        return self.store.add(made, value, expire)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """Return the value of a key, `default` where it has none."""
        return self.store.get(self.make_and_validate_key(key, version), default)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Store a value under a key."""
        made = self.make_and_validate_key(key, version)
        expire = self.lifetime(timeout)
        if expire is not None and expire <= 0:
            self.store.delete_many([made])
        else:
            self.store.set(made, value, expire)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Give a key another time to live, and return whether it has a value."""
        made = self.make_and_validate_key(key, version)
        expire = self.lifetime(timeout)
        if expire is not None and expire <= 0:
            return self.store.delete_many([made]) == 1
        return self.store.touch(made, expire)

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Delete a key, and return whether it had a value."""
        return self.store.delete_many([self.make_and_validate_key(key, version)]) == 1

    def has_key(self, key: Any, version: int | None = None) -> bool:
        """Return whether a key has a value, without decoding it."""
        return self.make_and_validate_key(key, version) in self.store

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Add to a counter and return what it is then; ValueError where there is none, TypeError for another value."""
        try:
            return self.store.incr(self.make_and_validate_key(key, version), delta, None)
        except KeyError:
            raise ValueError(f"Key {key!r} not found") from None

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """Return the values of those of the keys that have one."""
        wanted = list(keys)
        values = self.store.get_many([self.make_and_validate_key(key, version) for key in wanted], MISSING)
        return {key: value for key, value in zip(wanted, values, strict=True) if value is not MISSING}

    def set_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """Store the values of a mapping; return the keys that could not be stored, so an empty list."""
        expire = self.lifetime(timeout)
        pairs = [(self.make_and_validate_key(key, version), value) for key, value in data.items()]
        if expire is not None and expire <= 0:
            self.store.delete_many([key for key, _ in pairs])
        else:
            self.store.set_many(pairs, expire=expire)
        return []

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """Delete many keys."""
        self.store.delete_many([self.make_and_validate_key(key, version) for key in keys])

    def clear(self) -> None:
        """Delete all that is in the store."""
        self.store.clear()
