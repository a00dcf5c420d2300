"""What a log is measured beside: other ways to append entries, and to have them back, each in statements of its own.

A peer is made anew for each round. The statements are those of `bench.loops`: `m` is the peer's object, `s` its second
one, `k` and `v` a key and an entry. `None` says that the peer cannot do it, or not without doing something else.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from pathlib import Path
from typing import Any, ClassVar

import oxidbm
from bench.engines.base import optional_module
from bench.loops import Key, LoopInput, build

MAP_BYTES = 4 << 30
LENGTH = struct.Struct("<I")


class Peer:
    """One way to keep entries in order."""

    name: ClassVar[str]
    note: ClassVar[str]
    append: ClassVar[str]
    append_many: ClassVar[str | None] = None
    scan: ClassVar[str | None] = None
    read: ClassVar[str | None] = None
    m: Any = None
    s: Any = None

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @staticmethod
    def available() -> bool:
        """Whether it is installed."""
        return True

    def begin(self) -> None:
        """Be ready to append to what is new."""
        raise NotImplementedError

    def end(self) -> None:
        """Have written what was appended, and be ready to read."""

    def places(self, count: int, size: int) -> list[Key]:
        """Where to read each entry."""
        return list(range(count))

    def close(self) -> None:
        """Give back everything."""

    def time(self, shape: str, statement: str, **inputs: Any) -> int:
        """The nanoseconds of one loop around a statement."""
        return build(shape, statement, owner=self.name)(LoopInput(m=self.m, s=self.s, **inputs))


class LogPeer(Peer):
    """oxidbm.Log."""

    name = "oxidbm.Log"
    note = "oxidbm.Log has its defaults: 64 MiB of memory, commits by commit() and close() alone"
    append = "m.append(v)"
    append_many = "m.append_many(values)"
    scan = "for e in m: pass"
    read = "m.read(k)"

    def begin(self) -> None:
        """A new log."""
        self.m = oxidbm.Log(self.directory / "log")

    def end(self) -> None:
        """A commit."""
        self.m.commit()

    def places(self, count: int, size: int) -> list[Key]:
        """The addresses."""
        return [address for address, _ in self.m]

    def close(self) -> None:
        """Close it."""
        self.m.close()


class FilePeer(Peer):
    """A buffered file, each entry behind its length."""

    name = "a file"
    note = (
        "a file is `open(path, 'wb')` with its default buffer, to which each entry is written joined to its length of "
        "four bytes; many are joined by one bytes.join, and a read is one os.pread, which needs to know the length"
    )
    append = "m.write(s(len(v)) + v)"
    append_many: ClassVar[str | None] = "m.write(b''.join([s(len(v)) + v for v in values]))"
    scan: ClassVar[str | None] = "while head := m.read(4): m.read(s(head)[0])"
    read: ClassVar[str | None] = "s(m, len(v), k + 4)"

    def begin(self) -> None:
        """A new file."""
        self.m = open(self.directory / "file", "wb")  # noqa: SIM115 - closed by `end`
        self.s = LENGTH.pack

    def end(self) -> None:
        """Open it to read."""
        self.m.close()
        self.m = open(self.directory / "file", "rb")  # noqa: SIM115 - closed by `close`
        self.s = LENGTH.unpack

    def places(self, count: int, size: int) -> list[Key]:
        """Offsets, for a read by os.pread."""
        self.s = os.pread
        self.m.close()
        self.m = os.open(self.directory / "file", os.O_RDONLY)
        return [number * (LENGTH.size + size) for number in range(count)]

    def close(self) -> None:
        """Close it."""
        if isinstance(self.m, int):
            os.close(self.m)
        else:
            self.m.close()


class JoinedPeer(FilePeer):
    """The same file, to which what is written was joined before: no program has that, but it is the least there is."""

    name = "a file, joined before"
    note = "joined before: length and entry are one bytes object already, made outside of what is timed"
    append = "m.write(v)"
    append_many = None
    scan = None
    read = None

    def time(self, shape: str, statement: str, **inputs: Any) -> int:
        """As `Peer.time`, the lengths in front."""
        return super().time(
            shape, statement, **inputs | {"values": [LENGTH.pack(len(v)) + v for v in inputs["values"]]}
        )


class SqlitePeer(Peer):
    """A table of sqlite3."""

    name = "sqlite"
    note = "sqlite has a table of one column, and one transaction around all"
    append = "m.execute(s, (v,))"
    append_many = "m.executemany(s, [(v,) for v in values])"
    scan = "for e in m.execute('SELECT rowid, entry FROM entries ORDER BY rowid'): pass"
    read = "m.execute('SELECT entry FROM entries WHERE rowid = ?', (k,)).fetchone()"

    def begin(self) -> None:
        """A new database, in a transaction."""
        self.m = sqlite3.connect(self.directory / "db", isolation_level=None)
        self.m.execute("PRAGMA journal_mode=WAL")
        self.m.execute("CREATE TABLE entries (entry BLOB)")
        self.m.execute("BEGIN")
        self.s = "INSERT INTO entries VALUES (?)"

    def end(self) -> None:
        """The end of the transaction."""
        self.m.execute("COMMIT")

    def places(self, count: int, size: int) -> list[Key]:
        """Numbers of rows."""
        return list(range(1, count + 1))

    def close(self) -> None:
        """Close it."""
        self.m.close()


class LmdbPeer(Peer):
    """lmdb with keys that grow."""

    name = "lmdb"
    note = (
        "lmdb has keys of eight bytes that grow, made outside of what is timed, MDB_APPEND, and one transaction around "
        "all, with sync=False and writemap=True"
    )
    append = "m.put(k, v, append=True)"
    append_many = "m.cursor().putmulti(list(zip(keys, values)), append=True)"
    scan = "for e in m.cursor(): pass"
    read = "m.get(k)"
    environment: Any = None

    @staticmethod
    def available() -> bool:
        """Whether it is installed."""
        return optional_module("lmdb") is not None

    def begin(self) -> None:
        """A new environment."""
        lmdb = optional_module("lmdb")
        assert lmdb is not None
        path = str(self.directory / "lmdb")
        self.environment = lmdb.open(path, map_size=MAP_BYTES, sync=False, writemap=True)
        self.m = self.environment.begin(write=True)

    def end(self) -> None:
        """The end of the transaction, and one to read."""
        self.m.commit()
        self.m = self.environment.begin()

    def places(self, count: int, size: int) -> list[Key]:
        """The keys."""
        return key_list(count)

    def close(self) -> None:
        """Close it."""
        self.m.abort()
        self.environment.close()


class PersistQueuePeer(Peer):
    """persist-queue, which gives entries back by taking them out."""

    name = "persist-queue"
    note = "persist-queue is persistqueue.Queue, whose scan takes the entries out"
    append = "m.put(v)"
    scan = "while m.qsize(): m.get()"

    @staticmethod
    def available() -> bool:
        """Whether it is installed."""
        return optional_module("persistqueue") is not None

    def begin(self) -> None:
        """A new queue."""
        module = optional_module("persistqueue")
        assert module is not None
        self.m = module.Queue(str(self.directory / "queue"))


PEERS: tuple[type[Peer], ...] = (LogPeer, FilePeer, JoinedPeer, SqlitePeer, LmdbPeer, PersistQueuePeer)


def key_list(count: int) -> list[Key]:
    """Keys that grow."""
    return [number.to_bytes(8, "big") for number in range(count)]
