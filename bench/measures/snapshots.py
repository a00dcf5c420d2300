"""snapshots: what those that leave the log as it is cost, alone, after few changes, and beside a writer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.measures.base import Figure, Measure, Outcome, Settings, median
from bench.measures.checkpoints import MEMORY, beside_writer, key_of, records
from bench.records import shuffled
from oxidbm import Store

CHANGES = (1_000, 100_000)


class Snapshots(Measure):
    """Snapshots of ten million small records that are in memory alone, and incremental ones."""

    name = "snapshots"
    summary = "ten million 8-byte records in memory: a snapshot, incremental ones, both beside a writer, opening at one"

    def run(self, settings: Settings) -> Outcome:
        """One store of which nothing is written but its snapshots."""
        outcome = Outcome()
        num = settings.count(10_000_000)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as top:
            path = Path(top) / "store"
            settings.report(f"{self.name}: filling")
            with Store(path, memory=MEMORY, durability="manual", checkpoints=False) as store:
                store.update(records(num))
                outcome.figures += self.alone(settings, store, num)
                outcome.figures += beside_writer(self, settings, store, num, "snapshot")
                token = store.checkpoint("incremental").token
                seconds = []
                for _ in range(settings.rounds):
                    start = perf_counter()
                    with Store(path, memory=MEMORY, read_only=True, checkpoint=token):
                        seconds.append(perf_counter() - start)
                outcome.figures.append(self.figure("opening at an incremental one", "oxidbm", median(seconds), "s"))
        return outcome

    def alone(self, settings: Settings, store: Store[Any, Any], num: int) -> list[Figure]:
        """A snapshot, and incremental ones after so many overwrites."""
        settings.report(f"{self.name}: alone")
        keys = [key_of(number) for number in shuffled(num, seed=1)[: max(CHANGES)]]
        figures = [self.taken(settings, store, "snapshot", keys[:1], "snapshot alone")]
        for count in CHANGES:
            label = f"incremental, {count:,} overwrites"
            figures.append(self.taken(settings, store, "incremental", keys[:count], label))
        return figures

    def taken(self, settings: Settings, store: Store[Any, Any], kind: Any, keys: list[bytes], label: str) -> Figure:
        """The seconds of a snapshot after overwrites."""
        seconds = []
        for _ in range(settings.rounds):
            for key in keys:
                store[key] = b"abcdefgh"
            start = perf_counter()
            store.checkpoint(kind)
            seconds.append(perf_counter() - start)
        return self.figure(label, "oxidbm", median(seconds), "s")
