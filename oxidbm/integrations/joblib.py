"""Where `joblib.Memory` keeps results: `joblib.register_store_backend("oxidbm", Backend)`, then `backend="oxidbm"`.

joblib thinks in files and directories. Here a path is a key, in order, so that what is in a directory stands together;
directories are there as long as something is in them.
"""

import datetime as dt
import io
import os
from collections.abc import Iterator, Mapping
from typing import Any

from joblib._store_backends import CacheItemInfo, StoreBackendBase, StoreBackendMixin

from oxidbm import Store
from oxidbm.integrations._open_stores import OPEN

__all__ = ["Backend"]

RESULT = "output.pkl"


class Item(io.BytesIO):
    """A file that is written: it is in the store when the block that writes it ends, unless by an error."""

    def __init__(self, store: Store[str, bytes], key: str) -> None:
        super().__init__()
        self.store = store
        self.key = key

    def __exit__(self, *failure: object) -> None:
        if failure[0] is None:
            self.store[self.key] = self.getvalue()
        self.close()


class Backend(StoreBackendBase, StoreBackendMixin):
    """A backend of `joblib.Memory`, whose location is the store's directory.

    backend_options: the options of `oxidbm.Store`. A result has to fit into half of its memory=.

    joblib's compress= is kept, its mmap_mode= refused: there are no files of results.

    One process at a time can have a location. `Memory.reduce_size` has those go first that were computed longest ago.
    """

    def configure(self, location: str, verbose: int = 1, backend_options: Mapping[str, Any] | None = None) -> None:
        """Take where the results are, and the options; the store is opened when it is used first."""
        options = dict(backend_options or {})
        self.compress = options.pop("compress", False)
        if options.pop("mmap_mode", None) is not None:
            raise ValueError("results in a store cannot be mapped: leave mmap_mode out")
        self.location = os.path.abspath(location)
        self.verbose = verbose
        self.options = {**options, "key": str, "ordered": True}

    @property
    def store(self) -> Store[str, bytes]:
        """The store behind it, which this opens where it is not open."""
        return OPEN.get(self.location, self.options)

    def create_location(self, location: str) -> None:
        """Do nothing: a directory is there when something is in it."""

    def clear_location(self, location: str) -> None:
        """Delete what is in a directory."""
        self.store.delete_many(list(self.keys_in(location)))

    def get_items(self) -> list[Any]:
        """Return each result's directory, its size, and when it was computed; reads all of them."""
        found = []
        for key in list(self.keys_in(self.location)):
            directory, name = os.path.split(key)
            if name == RESULT:
                parts = list(self.keys_in(directory))
                size = sum(len(data) for data in self.store.get_many(parts, b""))
                computed = self.get_metadata(os.path.relpath(directory, self.location).split(os.sep)).get("time", 0)
                found.append(CacheItemInfo(directory, size, dt.datetime.fromtimestamp(computed)))  # noqa: DTZ006
        return found

    def keys_in(self, directory: str) -> Iterator[str]:
        """Iterate the keys in a directory and in those below it, without reading a value."""
        below = directory + os.sep
        key = self.store.next_key(below)
        while key is not None and key.startswith(below):
            yield key
            key = self.store.next_key(key)

    def _open_item(self, name: str, mode: str) -> io.BytesIO:
        if "w" in mode:
            return Item(self.store, name)
        data = self.store.get(name)
        if data is None:
            raise FileNotFoundError(2, "no result has this name", name)
        return io.BytesIO(data)

    def _item_exists(self, location: str) -> bool:
        return location in self.store or next(self.keys_in(location), None) is not None

    def _move_item(self, src: str, dst: str) -> None:
        with self.store.batch() as batch:
            batch[dst] = self.store[src]
            batch.delete(src)
