"""A store of zarr's, version 3, for arrays and groups: `zarr.open_group(OxidbmStore("data"))`.

Keys are what zarr makes them, "group/array/c/0/1", kept in order, so that a level of the hierarchy is listed without
looking at the rest; values are chunks and metadata as bytes. A chunk that is written again does not tear: it is the one
that it was, or is to be.
"""

import os
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, default_buffer_prototype

from oxidbm import Store
from oxidbm.integrations._open_stores import OPEN

__all__ = ["OxidbmStore"]

SEPARATOR = "/"
BEHIND_SEPARATOR = chr(ord(SEPARATOR) + 1)


def part_of(data: bytes, byte_range: Any) -> bytes:
    """Return the bytes that a request is for; ValueError for what is none."""
    match byte_range:
        case None:
            return data
        case RangeByteRequest(start=start, end=end):
            return data[start:end]
        case OffsetByteRequest(offset=offset):
            return data[offset:]
        case SuffixByteRequest(suffix=suffix):
            return data[max(0, len(data) - suffix) :]
    raise ValueError(f"Unexpected byte_range, got {byte_range}.")


class OxidbmStore(ZarrStore):
    """A store of zarr's in the directory `path`, which one process at a time has open for writing.

    read_only: take no lock, and see what was last committed, also while another process writes.
    options: those of `oxidbm.Store`. A chunk and its key have to fit into half of its memory=.

    All objects of a process for the same path share one store, those made by pickling and `with_read_only` included; it
    is opened when it is used first. `close()` closes it for all, and it is opened again where it is used again.
    """

    supports_writes: bool = True
    supports_deletes: bool = True
    supports_listing: bool = True

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False, **options: Any) -> None:
        super().__init__(read_only=read_only)
        self.path = os.path.abspath(path)
        self.options = options

    def __eq__(self, other: object) -> bool:
        """Return whether another is of the same directory, and for reading or writing as this one."""
        return isinstance(other, OxidbmStore) and (self.path, self.read_only) == (other.path, other.read_only)

    def __hash__(self) -> int:
        """Return what equal ones share."""
        return hash((self.path, self.read_only))

    def __str__(self) -> str:
        """Return the directory as an address."""
        return f"oxidbm://{self.path}"

    def __repr__(self) -> str:
        """Return what makes another."""
        return f"OxidbmStore({self.path!r}, read_only={self.read_only})"

    @property
    def store(self) -> Store[str, bytes]:
        """The store behind it, which this opens where it is not open."""
        self._is_open = True
        return OPEN.get(self.path, {**self.options, "key": str, "ordered": True}, self.read_only)

    def with_read_only(self, read_only: bool = False) -> "OxidbmStore":
        """Return another for the same directory, for reading only or for writing too."""
        return type(self)(self.path, read_only=read_only, **self.options)

    def close(self) -> None:
        """Close the store for all of this process; what was written is durable."""
        super().close()
        OPEN.close(self.path)

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Any:
        """Return the value of a key, or a part of it, as a buffer; None where it has none."""
        data = self.store.get(key)
        if data is None:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(part_of(data, byte_range))

    def set_sync(self, key: str, value: Any) -> None:
        """Store a buffer under a key."""
        self._check_writable()
        self.store[key] = bytes_of(value)

    def delete_sync(self, key: str) -> None:
        """Delete a key, if it is there."""
        self._check_writable()
        self.store.delete_many([key])

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Return the value of a key, or a part of it, as a buffer; None where it has none."""
        return self.get_sync(key, prototype=prototype, byte_range=byte_range)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
        """Return parts of the values of keys, None for each that has none."""
        return [self.get_sync(key, prototype=prototype, byte_range=byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return whether a key has a value."""
        return key in self.store

    async def set(self, key: str, value: Any) -> None:
        """Store a buffer under a key."""
        self.set_sync(key, value)

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        """Store a buffer where the key has none; atomic."""
        self._check_writable()
        self.store.add(key, bytes_of(value))

    async def delete(self, key: str) -> None:
        """Delete a key, if it is there."""
        self.delete_sync(key)

    async def delete_dir(self, prefix: str) -> None:
        """Delete the keys below a prefix."""
        self._check_writable()
        below = prefix if prefix == "" or prefix.endswith(SEPARATOR) else prefix + SEPARATOR
        self.store.delete_many(list(self.keys_of(below)))

    async def list(self) -> AsyncIterator[str]:
        """Iterate all keys in order."""
        for key in self.keys_of(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Iterate the keys that begin with a prefix, in order."""
        for key in self.keys_of(prefix):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Iterate what is below a prefix, one level deep, in order; O(log n) for each, however much is below that."""
        top = prefix.rstrip(SEPARATOR)
        below = top + SEPARATOR if top else ""
        given: set[str] = set()
        key = self.first_from(below)
        while key is not None and key.startswith(below):
            name, separator, _ = key.removeprefix(below).partition(SEPARATOR)
            if name not in given:
                given.add(name)
                yield name
            key = self.first_from(below + name + BEHIND_SEPARATOR) if separator else self.store.next_key(key)

    def keys_of(self, prefix: str) -> Iterator[str]:
        """Iterate the keys that begin with a prefix, in order, without reading a value."""
        key = self.first_from(prefix)
        while key is not None and key.startswith(prefix):
            yield key
            key = self.store.next_key(key)

    def first_from(self, key: str) -> str | None:
        """Return a key where it is there, else the first one behind it; None for none."""
        return key if key in self.store else self.store.next_key(key)


def bytes_of(value: Any) -> bytes:
    """Return the bytes of a buffer; TypeError for another value."""
    if not isinstance(value, Buffer):
        raise TypeError(
            f"OxidbmStore.set(): `value` must be a Buffer instance. Got an instance of {type(value)} instead."
        )
    data: bytes = value.to_bytes()
    return data
