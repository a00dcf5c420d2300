"""durable: what one durable write costs, and how many a second some threads make together."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any, ClassVar

import oxidbm
from bench.engines.base import optional_module
from bench.measures.base import Measure, Outcome, Settings, median

KEY_SIZE = 16
COMMIT_BYTES = 96
HEADER_BYTES = 24
FILE_BYTES = 64 << 20
MAP_BYTES = 1 << 30
WRITES_FIRST = 3


class Writer(ABC):
    """Something that makes one write durable at a time, from any number of threads."""

    name: ClassVar[str]
    note: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @staticmethod
    def available() -> bool:
        """Whether it is installed."""
        return True

    @abstractmethod
    def enter(self) -> Any:
        """What a thread needs of its own."""

    @abstractmethod
    def write(self, own: Any, key: bytes, value: bytes) -> None:
        """Return when a write is durable."""

    def leave(self, own: Any) -> None:  # noqa: B027 - most have nothing to give back
        """Give back what `enter` returned."""

    @abstractmethod
    def close(self) -> None:
        """Give back everything."""


class FileWriter(Writer):
    """No store: bytes behind one another in a file that has its length already."""

    name = "a file"
    note = "a file is an append of as many bytes as oxidbm writes, and fdatasync, to a file preallocated with fallocate"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.descriptor = os.open(directory / "file", os.O_RDWR | os.O_CREAT)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self.descriptor, 0, FILE_BYTES)
        else:
            os.truncate(self.descriptor, FILE_BYTES)
        os.fsync(self.descriptor)
        self.at = 0
        self.guard = threading.Lock()
        self.sync = getattr(os, "fdatasync", os.fsync)

    def enter(self) -> Any:
        """Nothing."""

    def write(self, own: Any, key: bytes, value: bytes) -> None:
        """Append, and sync."""
        size = HEADER_BYTES + len(key) + len(value) + COMMIT_BYTES
        with self.guard:
            at = self.at
            self.at = (at + size) % (FILE_BYTES - size)
        os.pwrite(self.descriptor, (key + value).ljust(size, b"."), at)
        self.sync(self.descriptor)

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)


class StoreWriter(Writer):
    """oxidbm."""

    name = "oxidbm"
    note = 'oxidbm is Store(path, durability="always")'

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.store = oxidbm.Store(directory / "store", durability="always")

    def enter(self) -> Any:
        """Nothing: threads share a store."""

    def write(self, own: Any, key: bytes, value: bytes) -> None:
        """Set."""
        self.store[key] = value

    def close(self) -> None:
        """Close it."""
        self.store.close()


class SqliteWriter(Writer):
    """sqlite3."""

    name = "sqlite"
    note = "sqlite has journal_mode=WAL and synchronous=FULL, a connection a thread, one statement a transaction"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        connection = self.enter()
        connection.execute("CREATE TABLE pairs (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        connection.close()

    def enter(self) -> Any:
        """A connection."""
        connection = sqlite3.connect(self.directory / "db", isolation_level=None, timeout=60, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def write(self, own: Any, key: bytes, value: bytes) -> None:
        """One statement."""
        own.execute("INSERT OR REPLACE INTO pairs VALUES (?, ?)", (key, value))

    def leave(self, own: Any) -> None:
        """Close the connection."""
        own.close()

    def close(self) -> None:
        """Nothing is left."""


class LmdbWriter(Writer):
    """lmdb."""

    name = "lmdb"
    note = "lmdb is opened with its defaults, which sync each transaction, and has one put a transaction"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        lmdb = optional_module("lmdb")
        assert lmdb is not None
        self.environment = lmdb.open(str(directory / "lmdb"), map_size=MAP_BYTES)

    @staticmethod
    def available() -> bool:
        """Whether it is installed."""
        return optional_module("lmdb") is not None

    def enter(self) -> Any:
        """Nothing: threads share an environment."""

    def write(self, own: Any, key: bytes, value: bytes) -> None:
        """One transaction."""
        with self.environment.begin(write=True) as transaction:
            transaction.put(key, value)

    def close(self) -> None:
        """Close it."""
        self.environment.close()


WRITERS: tuple[type[Writer], ...] = (FileWriter, StoreWriter, SqliteWriter, LmdbWriter)


class Durable(Measure):
    """Writes that are durable when they return."""

    name = "durable"
    summary = "a durable write of 100 bytes: its time, and how many 8 and 64 threads make a second"

    THREADS = (8, 64)

    def run(self, settings: Settings) -> Outcome:
        """Alternating rounds: in each one every writer, alone and with threads."""
        outcome = Outcome()
        writers = [writer for writer in WRITERS if writer.available()]
        threads = (2,) if settings.smoke else self.THREADS
        for value_size in settings.sizes(100):
            alone: dict[str, list[float]] = {writer.name: [] for writer in writers}
            together: dict[tuple[str, int], list[float]] = {(w.name, n): [] for w in writers for n in threads}
            for number in range(settings.rounds):
                for writer in writers:
                    settings.report(f"{self.name}: round {number + 1} of {settings.rounds}, {writer.name}")
                    alone[writer.name].append(time_of_one(settings, writer, value_size))
                    for count in threads:
                        together[writer.name, count].append(rate_of(settings, writer, value_size, count))
            note = "; ".join(writer.note for writer in writers)
            for writer in writers:
                once = median(alone[writer.name])
                label = f"{value_size} B"
                outcome.figures.append(self.figure(f"a write, {label}", writer.name, once, "us", note))
                outcome.figures.append(self.figure(f"1 thread, {label}", writer.name, 1e6 / once, "writes/s", note))
                for count in threads:
                    rate = median(together[writer.name, count])
                    outcome.figures.append(
                        self.figure(f"{count} threads, {label}", writer.name, rate, "writes/s", note)
                    )
        return outcome


def time_of_one(settings: Settings, kind: type[Writer], value_size: int) -> float:
    """The median of one thread's writes in microseconds: a disk that pauses now and then would hide the others."""
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=settings.directory))
    writer = kind(directory)
    own = writer.enter()
    try:
        value = b"v" * value_size
        times = []
        stop = perf_counter() + settings.seconds / 4
        number = 0
        while perf_counter() < stop or number < 2 * WRITES_FIRST:
            key = b"%0*d" % (KEY_SIZE, number)
            began = perf_counter_ns()
            writer.write(own, key, value)
            times.append(perf_counter_ns() - began)
            number += 1
        return median(times[WRITES_FIRST:]) / 1e3
    finally:
        writer.leave(own)
        writer.close()
        shutil.rmtree(directory)


def rate_of(settings: Settings, kind: type[Writer], value_size: int, count: int) -> float:
    """Writes a second of so many threads."""
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=settings.directory))
    writer = kind(directory)
    owned = [writer.enter() for _ in range(count)]
    value = b"v" * value_size
    done = [0] * count
    begin = threading.Barrier(count + 1)
    ended = threading.Event()

    def work(thread: int) -> None:
        own = owned[thread]
        begin.wait()
        number = 0
        while not ended.is_set():
            writer.write(own, b"%0*d" % (KEY_SIZE, number * count + thread), value)
            number += 1
        done[thread] = number

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(count)]
    try:
        for worker in workers:
            worker.start()
        begin.wait()
        began = perf_counter()
        ended.wait(settings.seconds / 4)
        ended.set()
        for worker in workers:
            worker.join()
        return sum(done) / (perf_counter() - began)
    finally:
        for own in owned:
            writer.leave(own)
        writer.close()
        shutil.rmtree(directory)
