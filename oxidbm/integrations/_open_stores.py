"""The stores of this process that packages share: they make objects of theirs as they like, where one store is open."""

import os
import threading
from typing import Any, Final

from oxidbm import Store

OpenStore = tuple[dict[str, Any], "Store[str, Any]"]  # with which options it was opened


class OpenStores:
    """Stores by path, opened when they are asked for first; one that was closed is opened again.

    A store that is open for writing is also what those get that only read; else these share one that is read-only.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stores: dict[tuple[str, bool], OpenStore] = {}

    def forget(self) -> None:
        """Begin anew, in a forked child: the stores are its parent's, and a thread that is gone may have the lock."""
        self.lock = threading.Lock()
        self.stores = {}

    def find(self, path: str, read_only: bool) -> OpenStore | None:
        """Return what is open at a path and serves; None for nothing."""
        for kind in (False, True) if read_only else (False,):
            known = self.stores.get((path, kind))
            if known is not None and not known[1].closed:
                return known
        return None

    def get(self, path: str, options: dict[str, Any], read_only: bool = False) -> "Store[str, Any]":
        """Return the store at a path, opened with these options; ValueError where it is open with others.

        Whoever only reads takes what is there, whatever the options.
        """
        known = self.find(path, read_only)
        if known is None:
            with self.lock:
                known = self.find(path, read_only)
                if known is None:
                    known = options, Store(path, read_only=read_only, **options)
                    self.stores[path, read_only] = known
        if known[0] != options and not read_only:
            raise ValueError(f"the store {path} is open with other options")
        return known[1]

    def close(self, path: str) -> None:
        """Close what is open at a path."""
        with self.lock:
            for kind in (False, True):
                known = self.stores.pop((path, kind), None)
                if known is not None:
                    known[1].close()


OPEN: Final = OpenStores()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=OPEN.forget)
