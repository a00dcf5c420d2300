"""cold: data eight times the memory that there is, page cache included: reads that need the disk."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import oxidbm
from bench.cgroup import Cgroup, limited
from bench.engines.base import optional_module
from bench.measures.base import Measure, Outcome, Settings, median
from bench.records import random_keys, uniform, zipfian

KEY_SIZE = 16
TIMES = 8  # as much data as memory
FILL_SLICE = 1000
SLICE = 20  # keys that are made at a time
DRAWS = 50_000  # of each thread, which the group's memory has to hold too
POPULAR_DRAWS = 2_000_000  # zipfian ones, so many that none comes twice: again and again the same are few keys
WARM_UP = 10  # times the length of a measure: what is popular is found out by reading
BATCH = 3000
THREADS = 16
LEAST_MEMORY = 64 << 20  # an interpreter and its modules have to fit in
Get = Callable[[bytes], "bytes | None"]


class Reader(ABC):
    """A store that is read, opened for reading and writing."""

    name: ClassVar[str]
    note: ClassVar[str]

    def __init__(self, directory: Path, memory: int) -> None:
        self.path = directory / self.name
        self.memory = memory

    @staticmethod
    def available() -> bool:
        """Whether it is installed."""
        return True

    @abstractmethod
    def open(self) -> None:
        """Open it, made where it is not there."""

    @abstractmethod
    def fill(self, pairs: Iterator[tuple[bytes, bytes]]) -> None:
        """Write records."""

    @abstractmethod
    def getter(self) -> Get:
        """What a thread reads with."""

    @abstractmethod
    def get_many(self, keys: list[bytes]) -> Sequence[Any]:
        """Read many in one call."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""


class StoreReader(Reader):
    """oxidbm.Store with half of the memory."""

    name = "oxidbm"
    note = 'oxidbm is Store(path, memory=M, durability="manual"), M half of the memory that there is'

    def open(self) -> None:
        """Open it."""
        self.store = oxidbm.Store(self.path, memory=self.memory // 2, durability="manual")

    def fill(self, pairs: Iterator[tuple[bytes, bytes]]) -> None:
        """Write records."""
        self.store.update(pairs)

    def getter(self) -> Get:
        """The store's own."""
        return self.store.get

    def get_many(self, keys: list[bytes]) -> Sequence[Any]:
        """Read many."""
        return self.store.get_many(keys)

    def close(self) -> None:
        """Close it."""
        self.store.close()


class LmdbReader(Reader):
    """lmdb without readahead, which its documentation advises for data larger than memory."""

    name = "lmdb"
    note = "lmdb is opened with readahead=False; each thread has a read transaction of its own"

    @staticmethod
    def available() -> bool:
        """Whether it is installed."""
        return optional_module("lmdb") is not None

    def open(self) -> None:
        """Open it."""
        lmdb: Any = optional_module("lmdb")
        self.environment = lmdb.open(str(self.path), map_size=1 << 34, readahead=False, sync=False)

    def fill(self, pairs: Iterator[tuple[bytes, bytes]]) -> None:
        """Write records in key order, as its pages are fullest then."""
        with self.environment.begin(write=True) as transaction:
            transaction.cursor().putmulti(sorted(pairs), append=True)
        self.environment.sync(True)

    def getter(self) -> Get:
        """A transaction's."""
        get: Get = self.environment.begin().get
        return get

    def get_many(self, keys: list[bytes]) -> Sequence[Any]:
        """Read many."""
        with self.environment.begin() as transaction:
            return list(transaction.cursor().getmulti(keys))

    def close(self) -> None:
        """Close it."""
        self.environment.close()


READERS: tuple[type[Reader], ...] = (StoreReader, LmdbReader)


def evict(directory: Path) -> None:
    """Take what was written of these files out of the page cache, which another group has paid for."""
    for path in directory.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def rate(seconds: float, step: Callable[[], int]) -> float:
    """How many a second `step` does, called over and over."""
    done = 0
    start = perf_counter()
    while (now := perf_counter()) - start < seconds:
        done += step()
    return done / (now - start)


class Keys:
    """Keys to read, in slices: new objects each time."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = array("I", numbers)  # of little memory, since the group has to hold that, too
        self.at = 0

    def some(self, count: int) -> list[bytes]:
        """The next so many."""
        self.at += count
        if self.at > len(self.numbers):
            self.at = count
        return random_keys(self.numbers[self.at - count : self.at], KEY_SIZE)


def getting(get: Get, keys: Keys, count: int) -> Callable[[], int]:
    """A step that reads so many keys one by one."""

    def step() -> int:
        for key in keys.some(count):
            get(key)
        return count

    return step


def count_up() -> int:
    """A step of a thread that computes and needs no store."""
    total = 0
    for number in range(1000):
        total += number & 3
    return 1


def together(seconds: float, steps: list[Callable[[], int]], beside: Callable[[], int] | None) -> tuple[float, float]:
    """How many a second threads do that each have a step, and how many this one does beside them."""
    done = [0] * len(steps)
    ready = threading.Barrier(len(steps) + 1)
    over = threading.Event()

    def work(number: int) -> None:
        ready.wait()
        while not over.is_set():
            done[number] += steps[number]()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(steps))]
    for thread in threads:
        thread.start()
    ready.wait()
    start = perf_counter()
    own = rate(seconds, beside) if beside is not None else 0.0
    over.wait(max(seconds - (perf_counter() - start), 0.0))
    over.set()
    for thread in threads:
        thread.join()
    return sum(done) / (perf_counter() - start), own


def probe_cold(arguments: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Read a store that is there, in a group that has an eighth of its size, in a process of its own."""
    num, seconds, seed = arguments["num"], arguments["seconds"], arguments["seed"]
    draws = min(num, DRAWS)
    popular = Keys(
        zipfian(num, min(2 * num, POPULAR_DRAWS), seed)
    )  # to find them takes memory that the group has not got
    Cgroup(Path(arguments["group"])).join()
    [reader_class] = [reader for reader in READERS if reader.name == arguments["reader"]]
    reader = reader_class(Path(arguments["directory"]), arguments["memory"])
    evict(reader.path)
    reader.open()
    batch: int = min(BATCH, draws)

    def keys(number: int) -> Keys:
        return Keys(uniform(num, draws, seed + number))

    def steps(first: int) -> list[Callable[[], int]]:
        return [getting(reader.getter(), keys(first + number), SLICE) for number in range(THREADS)]

    def get_batch() -> int:
        reader.get_many(many.some(batch))
        return batch

    yield {"get": rate(seconds, getting(reader.getter(), keys(0), SLICE))}
    alone = rate(seconds / 4, count_up)
    gets, beside = together(seconds, steps(1), count_up)
    yield {"get, 16 threads, and one that computes": gets, "computing beside them": beside / alone}
    gets, _ = together(seconds, steps(1 + THREADS), None)
    yield {"get, 16 threads": gets}
    many = keys(1 + 2 * THREADS)
    yield {"get_many of 3,000": rate(seconds, get_batch)}
    hot = getting(reader.getter(), popular, SLICE)
    rate(WARM_UP * seconds, hot)
    yield {"get, zipfian": rate(seconds, hot)}
    reader.close()


class Cold(Measure):
    """Records of which an eighth fits into memory."""

    name = "cold"
    summary = (
        "a million values of 1000 bytes in a memory cgroup of an eighth of that: gets of one thread and 16, batches"
    )

    def run(self, settings: Settings) -> Outcome:
        """Fill each, then read them in turn, each time in a new process that has found nothing in memory."""
        outcome = Outcome()
        for value_size in settings.sizes(1000):
            self.run_size(settings, value_size, outcome)
        return outcome

    def run_size(self, settings: Settings, value_size: int, outcome: Outcome) -> None:
        """One size of values."""
        from bench.probe import run_probe

        num = settings.count(1_000_000)
        memory = max(num * (KEY_SIZE + value_size) // TIMES, LEAST_MEMORY)
        group = limited(memory)
        if group is None or not hasattr(os, "posix_fadvise"):
            settings.report(f"{self.name}: skipped, since this process may not make a memory cgroup here")
            return
        found: dict[tuple[str, str], list[float]] = {}
        chosen = [reader for reader in READERS if reader.available()]
        try:
            with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as directory:
                for reader_class in chosen:
                    settings.report(f"{self.name}: {reader_class.name} {value_size} B")
                    self.fill(reader_class(Path(directory), memory), num, value_size)
                for number in range(settings.rounds):
                    for reader_class in chosen:
                        arguments = {
                            "reader": reader_class.name,
                            "directory": directory,
                            "group": str(group.directory),
                            "memory": memory,
                            "num": num,
                            "seconds": 0.05 if settings.smoke else settings.seconds,
                            "seed": 1000 * number,
                        }
                        for report in run_probe("cold", arguments):
                            for name, measured in report.items():
                                found.setdefault((name, reader_class.name), []).append(measured)
        finally:
            group.remove()
        note = "; ".join(reader.note for reader in chosen)
        for (name, subject), figures in found.items():
            unit = "x" if name.startswith("computing") else "ops/s"
            label = f"{name}, {value_size} B"
            outcome.figures.append(self.figure(label, subject, median(figures), unit, note))

    def fill(self, reader: Reader, num: int, value_size: int) -> None:
        """Write all records, in an order of its own."""
        block = random.Random(7).randbytes(1 << 20) + bytes(value_size)
        reader.path.mkdir(parents=True)
        reader.open()

        def pairs() -> Iterator[tuple[bytes, bytes]]:
            for start in range(0, num, FILL_SLICE):
                numbers = range(start, min(start + FILL_SLICE, num))
                for number, key in zip(numbers, random_keys(numbers, KEY_SIZE), strict=True):
                    at = number * 7919 % (1 << 20)
                    yield key, block[at : at + value_size]

        reader.fill(pairs())
        reader.close()
