"""lmdb, rocksdict and plyvel: the peers written in C and C++."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from typing import Any, ClassVar

from bench.engines.base import Engine, optional_module, spelled
from bench.loops import Key, Value

MAP_SIZES = (64 << 30, 16 << 30, 1 << 30)


class LmdbEngine(Engine):
    """lmdb at its best: one write transaction that stays open, no sync, a writable map where the system allows it."""

    name = "lmdb"
    module = "lmdb"
    distribution = "lmdb"
    options: ClassVar[dict[str, Any]] = {"sync": False, "metasync": False, "writemap": True, "map_async": True}
    opened_by = f"lmdb.open(path, map_size=S, {spelled(options)})"
    effect = (
        "one write transaction from opening to closing, not synced; S is the largest of "
        f"{', '.join(str(size >> 30) for size in MAP_SIZES)} GiB that the system grants; without writemap and "
        "map_async where it grants none"
    )
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
        plain = self.options | {"writemap": False, "map_async": False}
        for map_size, options in [(size, self.options) for size in MAP_SIZES] + [(size, plain) for size in MAP_SIZES]:
            try:
                self.environment = lmdb.open(path, map_size=map_size, **options)
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
    options: ClassVar[dict[str, Any]] = {"raw_mode": True}
    opened_by = f"Rdict(path, Options({spelled(options)}))"
    effect = (
        "bytes as they are; write-ahead log off (`WriteOptions.disable_wal = True`), flushed when it is closed; all "
        "else by default: 64 MiB of memtable, 32 MiB of block cache, Snappy, no Bloom filter"
    )
    get_many = "m[keys]"
    set_many = "b = s()\nfor k, v in pairs: b.put(k, v)\nm.write(b)"
    range = "for p in islice(m.items(from_key=k), 100): pass"

    def open(self) -> None:
        """Open in raw mode."""
        rocksdict = optional_module(self.module)
        assert rocksdict is not None
        self.m = rocksdict.Rdict(str(self.directory / "store"), rocksdict.Options(**self.options))
        options = rocksdict.WriteOptions()
        options.disable_wal = True
        self.m.set_write_options(options)
        self.s = functools.partial(rocksdict.WriteBatch, **self.options)

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
    options: ClassVar[dict[str, Any]] = {"create_if_missing": True}
    opened_by = f"plyvel.DB(path, {spelled(options)})"
    effect = (
        "not synced, but with its write-ahead log, which cannot be switched off; all else by default: 4 MiB of "
        "memtable, 8 MiB of block cache, Snappy, no Bloom filter"
    )
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
        self.m = plyvel.DB(str(self.directory / "store"), **self.options)

    def load(self, keys: Sequence[Key], values: Sequence[Value]) -> None:
        """One write batch."""
        with self.m.write_batch() as batch:
            for key, value in zip(keys, values, strict=True):
                batch.put(key, value)
