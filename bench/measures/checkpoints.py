"""checkpoints: what one costs alone and beside a writer, what opening costs, and what the default's commits cost."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, Literal

from bench.measures.base import Figure, Measure, Outcome, Settings, median
from bench.measures.interval import SECONDS, interval_cost
from bench.records import shuffled
from oxidbm import Store

MEMORY = "1GiB"
SCATTERED = 100_000
NORMAL_SECONDS = 3.0


class Writer:
    """A thread that overwrites random keys, and notes how many, and how long the longest took."""

    def __init__(self, store: Store[Any, Any], num: int) -> None:
        self.store = store
        self.keys = [key_of(number) for number in shuffled(num, seed=1)[:SCATTERED]]
        self.stopping = False
        self.count = 0
        self.longest = 0.0
        self.thread = threading.Thread(target=self.write)

    def write(self) -> None:
        """Overwrite until told to stop."""
        store = self.store
        while not self.stopping:
            for key in self.keys:
                before = perf_counter()
                store[key] = b"abcdefgh"
                took = perf_counter() - before
                self.count += 1
                if took > self.longest:
                    self.longest = took
                if self.stopping:
                    return

    def beside(self, work: Callable[[], object]) -> tuple[float, float, float]:
        """Do something meanwhile: its seconds, overwrites a second, and the longest one in milliseconds."""
        self.longest, before = 0.0, self.count
        start = perf_counter()
        work()
        seconds = perf_counter() - start
        return seconds, (self.count - before) / seconds, self.longest * 1e3


def key_of(number: int) -> bytes:
    """A key of eight bytes."""
    return b"%08d" % number


def records(num: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of eight bytes, in random order."""
    return ((key_of(number), b"12345678") for number in shuffled(num, seed=0))


def beside_writer(
    measure: Measure, settings: Settings, store: Store[Any, Any], num: int, kind: Literal["fold-over", "snapshot"]
) -> list[Figure]:
    """A checkpoint while another thread overwrites keys at random, against the same without one."""
    writer = Writer(store, num)
    writer.thread.start()
    rounds = []
    try:
        for number in range(settings.rounds):
            settings.report(f"{measure.name}: beside a writer, {number + 1} of {settings.rounds}")
            normal = writer.beside(lambda: sleep(0.1 if settings.smoke else NORMAL_SECONDS))
            rounds.append((normal, writer.beside(lambda: store.checkpoint(kind))))
    finally:
        writer.stopping = True
        writer.thread.join()
    share = median([beside[1] / normal[1] for normal, beside in rounds])
    label = "snapshot" if kind == "snapshot" else "checkpoint"
    return [
        measure.figure(f"{label} beside a writer", "oxidbm", median([beside[0] for _, beside in rounds]), "s"),
        measure.figure("the writer's rate meanwhile", "oxidbm", share, "x"),
        measure.figure("its longest overwrite, usually", "oxidbm", median([usual[2] for usual, _ in rounds]), "ms"),
        measure.figure("its longest overwrite meanwhile", "oxidbm", median([beside[2] for _, beside in rounds]), "ms"),
    ]


class Checkpoints(Measure):
    """Checkpoints of ten million small records, opening, and the commits that a store makes by itself."""

    name = "checkpoints"
    summary = (
        "ten million 8-byte records: a checkpoint alone and beside a writer, opening with one and without; "
        "a million: a commit each second"
    )

    def run(self, settings: Settings) -> Outcome:
        """One large store, then small ones that are opened for one operation, and those that commit by themselves."""
        outcome = Outcome()
        num = settings.count(10_000_000)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as top:
            outcome.figures += self.large(settings, Path(top) / "large", num)
            for few in (100, settings.count(100_000)):
                outcome.figures.append(self.one_operation(settings, Path(top) / f"store {few}", few))
        for value_size in settings.sizes(8, 100):
            outcome.figures += self.by_itself(settings, value_size)
        return outcome

    def by_itself(self, settings: Settings, value_size: int) -> list[Figure]:
        """Overwrites of a million keys in random order, with the default's commits and with none."""
        times, ratio = interval_cost(settings, value_size)
        label = f"overwrite, {value_size} B"
        note = (
            f"an overwrite is one of a million keys of 16 bytes in random order, {SECONDS:.0f} seconds a round, in a "
            "store of 256 MiB of memory; its times with a commit each second, over manual, are the median of the "
            "rounds' own ratios"
        )
        return [
            self.figure(f"{label}, manual", "oxidbm", times["manual"], "ns", note),
            self.figure(f"{label}, a commit each second", "oxidbm", times["interval"], "ns", note),
            self.figure(f"{label}, over manual", "oxidbm", ratio, "x", note),
        ]

    def large(self, settings: Settings, path: Path, num: int) -> list[Figure]:
        """A checkpoint alone, beside a writer, and opening."""
        settings.report(f"{self.name}: filling")
        with Store(path, memory=MEMORY, checkpoints=False) as store:
            store.update(records(num))
            store.sync()
            alone, images = [], 0.0
            for _ in range(settings.rounds):
                start = perf_counter()
                images = store.checkpoint().bytes / num
                alone.append(perf_counter() - start)
                store[b"one more"] = b"write"
            figures = [
                self.figure("checkpoint alone", "oxidbm", median(alone), "s"),
                self.figure("image, a key", "oxidbm", images, "bytes"),
            ]
            figures += beside_writer(self, settings, store, num, "fold-over")
            store.purge(keep=1)
        return figures + self.opening(settings, path)

    def opening(self, settings: Settings, path: Path) -> list[Figure]:
        """Opening with a checkpoint, and by replay of the whole log."""
        settings.report(f"{self.name}: opening")
        figures = []
        for name in ("opening with a checkpoint", "opening without"):
            seconds = []
            for _ in range(settings.rounds):
                start = perf_counter()
                store = Store(path, memory=MEMORY, checkpoints=False)
                seconds.append(perf_counter() - start)
                store.close()
            figures.append(self.figure(name, "oxidbm", median(seconds), "s"))
            shutil.rmtree(path / "checkpoints")
            (path / "checkpoints").mkdir()
        return figures

    def one_operation(self, settings: Settings, path: Path, num: int) -> Figure:
        """Open, read one key, close."""
        with Store(path) as store:
            store.update((key_of(number), bytes(100)) for number in range(num))
        seconds = []
        for _ in range(settings.rounds * 10):
            start = perf_counter()
            with Store(path) as store:
                store[key_of(num // 2)]
            seconds.append(perf_counter() - start)
        return self.figure(f"open, get, close, {num:,} keys", "oxidbm", median(seconds) * 1e3, "ms")
