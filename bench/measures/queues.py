"""queue: putting, taking and acknowledging, beside persist-queue and a table of SQLite."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any, ClassVar, Literal

import oxidbm
from bench.engines.base import optional_module
from bench.measures.base import Figure, Measure, Outcome, Settings, median

ITEM_SIZE = 100
THREADS = 8
PASSES_FIRST = 3
SPENT_SECONDS = 0.5


class WorkQueue(ABC):
    """A queue from which items are taken, and stay until they are acknowledged."""

    name: ClassVar[str]
    note: ClassVar[str]

    @abstractmethod
    def __init__(self, directory: Path) -> None: ...

    @staticmethod
    def available() -> bool:
        """Whether it is installed."""
        return True

    @abstractmethod
    def put(self, item: bytes) -> None:
        """Put an item."""

    @abstractmethod
    def take(self) -> Any:
        """Take an item that is there."""

    @abstractmethod
    def ack(self, taken: Any) -> None:
        """Acknowledge what was taken."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""


class OxidbmQueue(WorkQueue):
    """oxidbm.Queue, each put durable."""

    name = "oxidbm"
    note = (
        "oxidbm is Queue(path), whose put() returns when it is durable, and whose acknowledgements are within a second"
    )
    durability: ClassVar[Literal["always", "manual"]] = "always"

    def __init__(self, directory: Path) -> None:
        self.queue = oxidbm.Queue(directory / "queue", durability=self.durability)

    def put(self, item: bytes) -> None:
        """Put."""
        self.queue.put(item)

    def take(self) -> Any:
        """Take."""
        return self.queue.take()

    def ack(self, taken: Any) -> None:
        """Acknowledge."""
        taken.ack()

    def close(self) -> None:
        """Close it."""
        self.queue.close()


class OxidbmManual(OxidbmQueue):
    """oxidbm.Queue, durable when it is asked for."""

    name = "oxidbm, manual"
    note = 'oxidbm, manual is Queue(path, durability="manual")'
    durability = "manual"


class PersistQueue(WorkQueue):
    """persist-queue's SQLiteAckQueue."""

    name = "persist-queue"
    note = "persist-queue is SQLiteAckQueue(path, multithreading=True)"

    def __init__(self, directory: Path) -> None:
        module = optional_module("persistqueue")
        assert module is not None
        self.queue = module.SQLiteAckQueue(str(directory / "queue"), multithreading=True)

    @staticmethod
    def available() -> bool:
        """Whether it is installed."""
        return optional_module("persistqueue") is not None

    def put(self, item: bytes) -> None:
        """Put."""
        self.queue.put(item)

    def take(self) -> Any:
        """Take, with the number by which it is acknowledged."""
        return self.queue.get(raw=True)

    def ack(self, taken: Any) -> None:
        """Acknowledge."""
        self.queue.ack(id=taken["pqid"])

    def close(self) -> None:
        """Close it."""
        self.queue.close()


class SqliteQueue(WorkQueue):
    """A table of SQLite, one connection below one lock."""

    name = "sqlite"
    note = (
        "sqlite is a table with a column that says what is taken, journal_mode=WAL and synchronous=FULL, one statement "
        "a transaction"
    )

    def __init__(self, directory: Path) -> None:
        self.connection = sqlite3.connect(directory / "db", isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("CREATE TABLE queue (id INTEGER PRIMARY KEY, item BLOB, taken INTEGER DEFAULT 0)")
        self.connection.execute("CREATE INDEX waiting ON queue (id) WHERE taken = 0")
        self.guard = threading.Lock()

    def put(self, item: bytes) -> None:
        """Insert."""
        with self.guard:
            self.connection.execute("INSERT INTO queue (item) VALUES (?)", (item,))

    def take(self) -> Any:
        """Mark the first row that is not taken."""
        with self.guard:
            return self.connection.execute(
                "UPDATE queue SET taken = 1 WHERE id = (SELECT id FROM queue WHERE taken = 0 ORDER BY id LIMIT 1) "
                "RETURNING id, item"
            ).fetchall()[0]

    def ack(self, taken: Any) -> None:
        """Delete."""
        with self.guard:
            self.connection.execute("DELETE FROM queue WHERE id = ?", (taken[0],))

    def close(self) -> None:
        """Close it."""
        self.connection.close()


KINDS: tuple[type[WorkQueue], ...] = (OxidbmQueue, OxidbmManual, PersistQueue, SqliteQueue)


class Queues(Measure):
    """Work queues beside each other."""

    name = "queue"
    summary = "a work queue with items of 100 bytes: put, take and ack of one thread, and puts of eight"

    def run(self, settings: Settings) -> Outcome:
        """Alternating rounds."""
        kinds = [kind for kind in KINDS if kind.available()]
        passes: dict[str, list[tuple[float, float, float]]] = {kind.name: [] for kind in kinds}
        rates: dict[str, list[float]] = {kind.name: [] for kind in kinds}
        for number in range(settings.rounds):
            for kind in kinds:
                settings.report(f"{self.name}: round {number + 1} of {settings.rounds}, {kind.name}")
                passes[kind.name].append(self.passes(settings, kind))
                rates[kind.name].append(self.rate(settings, kind))
        note = "; ".join(kind.note for kind in kinds)
        figures: list[Figure] = []
        for kind in kinds:
            for part, label in enumerate(("put", "take", "ack")):
                taken = median([one[part] for one in passes[kind.name]])
                figures.append(self.figure(f"{label}, {ITEM_SIZE} B", kind.name, taken, "us", note))
            label = f"{THREADS} threads put, {ITEM_SIZE} B"
            figures.append(self.figure(label, kind.name, median(rates[kind.name]), "items/s", note))
        return Outcome(figures=figures)

    def passes(self, settings: Settings, kind: type[WorkQueue]) -> tuple[float, float, float]:
        """The medians of put, take and ack of one item after the other, in microseconds."""
        directory = Path(tempfile.mkdtemp(prefix="bench-", dir=settings.directory))
        queue = kind(directory)
        try:
            item = b"i" * ITEM_SIZE
            times: tuple[list[float], list[float], list[float]] = ([], [], [])
            stop = perf_counter() + settings.seconds * SPENT_SECONDS
            while perf_counter() < stop or len(times[0]) < 2 * PASSES_FIRST:
                began = perf_counter_ns()
                queue.put(item)
                put = perf_counter_ns()
                taken = queue.take()
                out = perf_counter_ns()
                queue.ack(taken)
                done = perf_counter_ns()
                for part, spent in zip(times, (put - began, out - put, done - out), strict=True):
                    part.append(spent)
            put_ns, take_ns, ack_ns = (median(part[PASSES_FIRST:]) for part in times)
            return put_ns / 1e3, take_ns / 1e3, ack_ns / 1e3
        finally:
            queue.close()
            shutil.rmtree(directory)

    def rate(self, settings: Settings, kind: type[WorkQueue]) -> float:
        """Puts a second of some threads together."""
        directory = Path(tempfile.mkdtemp(prefix="bench-", dir=settings.directory))
        queue = kind(directory)
        count = 2 if settings.smoke else THREADS
        done = [0] * count
        begin = threading.Barrier(count + 1)
        ended = threading.Event()

        def work(thread: int) -> None:
            item = b"i" * ITEM_SIZE
            begin.wait()
            while not ended.is_set():
                queue.put(item)
                done[thread] += 1

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(count)]
        try:
            for thread in threads:
                thread.start()
            begin.wait()
            began = perf_counter()
            ended.wait(settings.seconds * SPENT_SECONDS)
            ended.set()
            for thread in threads:
                thread.join()
            return sum(done) / (perf_counter() - began)
        finally:
            queue.close()
            shutil.rmtree(directory)
