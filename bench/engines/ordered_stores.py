"""lmdb, rocksdict and plyvel: the peers written in C and C++."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from typing import Any

from bench.engines.base import Engine, optional_module
from bench.loops import Key, Value

MAP_SIZES = (64 << 30, 16 << 30, 1 << 30)


class LmdbEngine(Engine):
    """lmdb at its best: one write transaction that stays open, no sync, a writable map where the system allows it."""

    name = "lmdb"
    module = "lmdb"
    distribution = "lmdb"
    note = "one open write transaction, sync off, writable map"
    get = "m.get(k)"
    set = "m.put(k, v)"
    set_ordered = "m.put(k, v, append=True)"
    delete = "m.delete(k)"
    missing = "m.get(k)"
    rmw = "m.put(k, f(m.get(k)))"
    scan = "for k, v in m.cursor(): pass"
    get_many = "m.cursor().getmulti(keys)"
    set_many = "m.cursor().putmulti(pairs)"
    set_many_ordered = "m.cursor().putmulti(pairs, append=True)"
    range = "c = m.cursor(); c.set_range(k)\nfor p in islice(c.iternext(), 100): pass"

    environment: Any = None

    def open(self) -> None:
        """Open with the largest map that the system grants, then begin the transaction."""
        lmdb = optional_module(self.module)
        assert lmdb is not None
        path = str(self.directory / "store")
        for map_size, writemap in [(size, True) for size in MAP_SIZES] + [(size, False) for size in MAP_SIZES]:
            try:
                self.environment = lmdb.open(
                    path, map_size=map_size, sync=False, metasync=False, writemap=writemap, map_async=writemap
                )
                break
            except (lmdb.Error, OverflowError):
                shutil.rmtree(path, ignore_errors=True)
        else:
            raise OSError(f"lmdb could not be opened with a map of {MAP_SIZES[-1]} bytes")
        self.m = self.environment.begin(write=True)

    def close(self) -> None:
        """Commit and close."""
        if self.environment is not None:
            self.m.commit()
            self.environment.close()
        self.m = self.environment = None


class RocksdictEngine(Engine):
    """RocksDB through rocksdict: raw bytes, no write-ahead log."""

    name = "rocksdict"
    module = "rocksdict"
    distribution = "rocksdict"
    note = "raw mode, write-ahead log off"
    get_many = "m[keys]"
    set_many = "b = s()\nfor k, v in pairs: b.put(k, v)\nm.write(b)"
    range = "for p in islice(m.items(from_key=k), 100): pass"

    def open(self) -> None:
        """Open in raw mode."""
        rocksdict = optional_module(self.module)
        assert rocksdict is not None
        self.m = rocksdict.Rdict(str(self.directory / "store"), rocksdict.Options(raw_mode=True))
        options = rocksdict.WriteOptions()
        options.disable_wal = True
        self.m.set_write_options(options)
        self.s = functools.partial(rocksdict.WriteBatch, raw_mode=True)

    def close(self) -> None:
        """Flush first: without a log, what is only in the memtable would be lost."""
        if self.m is not None:
            self.m.flush()
            self.m.close()
        self.m = None


class PlyvelEngine(Engine):
    """LevelDB through plyvel."""

    name = "plyvel"
    module = "plyvel"
    distribution = "plyvel"
    note = "not synced; its write-ahead log cannot be switched off"
    get = "m.get(k)"
    set = "m.put(k, v)"
    delete = "m.delete(k)"
    rmw = "m.put(k, f(m.get(k)))"
    scan = "for k, v in m: pass"
    set_many = "with m.write_batch() as b:\n    for k, v in pairs: b.put(k, v)"
    range = "for p in islice(m.iterator(start=k), 100): pass"

    def open(self) -> None:
        """Open, creating the database."""
        plyvel = optional_module(self.module)
        assert plyvel is not None
        self.m = plyvel.DB(str(self.directory / "store"), create_if_missing=True)

    def load(self, keys: Sequence[Key], values: Sequence[Value]) -> None:
        """One write batch."""
        with self.m.write_batch() as batch:
            for key, value in zip(keys, values, strict=True):
                batch.put(key, value)
