"""A backend of requests-cache.

session = CachedSession(backend=OxidbmCache("http_cache"))
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any

from requests_cache.backends.base import BaseCache, BaseStorage

from oxidbm import Store

__all__ = ["OxidbmCache", "OxidbmStorage"]

REDIRECTS_MEMORY = "4MiB"


class OxidbmStorage(BaseStorage[str, Any]):
    """A mapping of str to what a serializer of requests-cache takes, in the store in the directory `path`.

    serializer: the name of a serializer, or one; None for values that are str.
    options: those of `oxidbm.Store`.
    """

    def __init__(self, path: str | os.PathLike[str], serializer: Any = None, **options: Any) -> None:
        super().__init__(serializer=serializer)
        self.is_binary = bool(getattr(self.serializer, "is_binary", False))
        self.store: Store[str, bytes] = Store(path, key=str, **options)

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key; None where it cannot be deserialized, KeyError where there is none."""
        data = self.store[key]
        return self.deserialize(key, data if self.is_binary else data.decode())

    def __setitem__(self, key: str, value: Any) -> None:
        """Store a value under a key."""
        self.store[key] = self.serialize(value)

    def __delitem__(self, key: str) -> None:
        """Delete a key; KeyError where it has no value."""
        del self.store[key]

    def __contains__(self, key: object) -> bool:
        """Return whether a key has a value."""
        return key in self.store

    def __iter__(self) -> Iterator[str]:
        """Iterate the keys; writing meanwhile is allowed."""
        return iter(self.store)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self.store)

    def bulk_delete(self, keys: Iterable[str]) -> None:
        """Delete keys, those that are there."""
        self.store.delete_many(keys)

    def clear(self) -> None:
        """Delete all."""
        self.store.clear()

    def close(self) -> None:
        """Close the store."""
        self.store.close()


class OxidbmCache(BaseCache):
    """The responses that a session has had, and where redirections led: two stores in the directory `cache_name`.

    serializer: what a response becomes: "pickle", "json" or another of requests-cache's. With "json" reading is safe.
    options: those of `oxidbm.Store`, for the responses; `size_limit=` has the oldest go.

    Responses that are stale stay until `delete(expired=True)` is called, since requests-cache revalidates them.
    """

    def __init__(
        self, cache_name: str | os.PathLike[str] = "http_cache", serializer: Any = "pickle", **options: Any
    ) -> None:
        path = os.fspath(cache_name)
        super().__init__(cache_name=path)
        self.responses = OxidbmStorage(os.path.join(path, "responses"), serializer, **options)
        self.redirects = OxidbmStorage(os.path.join(path, "redirects"), memory=REDIRECTS_MEMORY)
