"""following: what a reader pays for moving to the newest commit of a large store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from bench.measures.base import Figure, Measure, Outcome, Settings, median
from bench.measures.checkpoints import MEMORY, key_of, records
from oxidbm import Store

AT_ONCE = 100_000
TIMES = 15


class Following(Measure):
    """refresh() of a reader of ten million small records."""

    name = "following"
    summary = "ten million 8-byte records: refresh() of a reader after none, one, a thousand and many overwrites"

    def run(self, settings: Settings) -> Outcome:
        """One store, its writer and its reader in one process; the commits of the writer are not in the figures."""
        outcome = Outcome()
        num = settings.count(10_000_000)
        with (
            tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as top,
            Store(Path(top) / "store", memory=MEMORY, durability="manual") as writer,
        ):
            settings.report(f"{self.name}: filling")
            writer.set_many(records(num))
            writer.checkpoint()
            many = min(num, AT_ONCE)
            with Store(Path(top) / "store", memory=MEMORY, read_only=True) as reader:
                self.refreshes(writer, reader, num, min(num, 1000), False)
                for label, count, iterating in (
                    ("nothing new", 0, False),
                    ("1 overwrite", 1, False),
                    ("1,000 overwrites", min(num, 1000), False),
                    (f"{many:,} overwrites", many, False),
                    ("1,000 overwrites, an iteration open", min(num, 1000), True),
                ):
                    settings.report(f"{self.name}: {label}")
                    taken = self.refreshes(writer, reader, num, count, iterating)
                    outcome.figures += self.milliseconds(label, taken)
        return outcome

    def milliseconds(self, label: str, taken: list[float]) -> list[Figure]:
        """The median as a figure, and the longest beside it."""
        note = f"the first column is the median of {TIMES} refreshes, each after a commit of so much"
        name = f"refresh, {label}"
        return [
            self.figure(name, "oxidbm", median(taken) * 1e3, "ms", note),
            self.figure(name, "oxidbm, the longest", max(taken) * 1e3, "ms", note),
        ]

    def refreshes(
        self, writer: Store[Any, Any], reader: Store[Any, Any], num: int, count: int, iterating: bool
    ) -> list[float]:
        """Overwrite so many keys, commit and refresh, again and again; seconds of each refresh."""
        taken = []
        walk: Iterator[object] = iter(())
        for number in range(TIMES):
            for key in Random(number).sample(range(num), count):
                writer[key_of(key)] = b"abcdefgh"
            writer.sync()
            if iterating:
                walk = iter(reader.items())
                next(walk)
            start = perf_counter()
            moved = reader.refresh()
            taken.append(perf_counter() - start)
            if moved != (count > 0):
                raise RuntimeError(f"{count} keys were overwritten, and refresh() returned {moved}")
        del walk
        return taken
