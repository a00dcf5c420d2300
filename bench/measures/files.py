"""churn, replay and importtime: figures about files and starting up."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, perf_counter, perf_counter_ns, sleep
from typing import ClassVar

from bench.engines.oxidbm_store import OxidbmEngine
from bench.measures.base import Measure, Outcome, Settings, median
from bench.probe import PROJECT, run_probe
from bench.records import ValuePool, shuffled
from bench.rounds import LOAD_SLICE, Case, Stage, garbage_collector_off

KEY_SIZE = 16
MIB = 1 << 20
SETTLED_AFTER_SECONDS = 2.0
SETTLE_LIMIT_SECONDS = 60.0


class WithoutCompaction(OxidbmEngine):
    """A store whose dead bytes stay where they are."""

    name = "oxidbm, compaction=False"
    effect = "it also commits and syncs each second, by default, which the store beside it does not"
    options: ClassVar[dict[str, object]] = {"compaction": False}


class Churn(Measure):
    """A million keys overwritten ten times over."""

    name = "churn"
    summary = "a million 100-byte values overwritten ten times: size of the files, rate with and without compaction"

    TIMES = 10

    def run(self, settings: Settings) -> Outcome:
        """With compaction, then without."""
        outcome = Outcome()
        num = settings.count(1_000_000)
        for value_size in settings.sizes(100):
            case = Case(num, KEY_SIZE, value_size)
            rate, once, settled = self.overwrite(settings, OxidbmEngine, case)
            rate_without, once_without, size_without = self.overwrite(settings, WithoutCompaction, case)
            live = num * (KEY_SIZE + value_size)
            note = f"{live / MIB:.0f} MiB of keys and values, memory={settings.memory_mib} MiB"
            note_without = f"{WithoutCompaction.name} is {WithoutCompaction.settings()}"
            for name, with_it, without, unit in (
                ("overwrites", rate, rate_without, "ops/s"),
                ("files afterwards", settled / MIB, size_without / MIB, "MiB"),
                ("files / keys and values", settled / live, size_without / live, "x"),
                ("files / files of one fill", settled / once, size_without / once_without, "x"),
            ):
                label = f"{name}, {value_size} B"
                outcome.figures.append(self.figure(label, OxidbmEngine.name, with_it, unit, note))
                outcome.figures.append(self.figure(label, WithoutCompaction.name, without, unit, note_without))
        return outcome

    def overwrite(self, settings: Settings, engine: type[OxidbmEngine], case: Case) -> tuple[float, int, int]:
        """Overwrites a second, size of the files after the first fill, and after everything has settled."""
        with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as top, garbage_collector_off():
            stage = Stage(engine(Path(top) / engine.name, settings.memory_mib << 20), case, ValuePool(case.value_size))
            stage.engine.recreate()
            try:
                stage.load_all()
                stage.engine.m.sync()
                once = stage.engine.files_size()
                loop = stage.loop("pairs", stage.engine.set)
                elapsed = 0
                for number in range(self.TIMES):
                    settings.report(f"{self.name}: {engine.__name__}, pass {number + 1} of {self.TIMES}")
                    order = shuffled(case.num, seed=number)
                    for start in range(0, case.num, LOAD_SLICE):
                        part = order[start : start + LOAD_SLICE]
                        given = stage.given(keys=stage.key_list(part), values=stage.values(part))
                        elapsed += loop(given)
                stage.engine.m.sync()
                return case.num * self.TIMES / elapsed * 1e9, once, settled_size(stage, settings.smoke)
            finally:
                stage.engine.close()


def settled_size(stage: Stage, smoke: bool) -> int:
    """Size of the files once it has not changed for a while."""
    patience = 0.2 if smoke else SETTLED_AFTER_SECONDS
    size = stage.engine.files_size()
    began = unchanged_since = monotonic()
    while monotonic() - unchanged_since < patience and monotonic() - began < SETTLE_LIMIT_SECONDS:
        sleep(0.05)
        now = stage.engine.files_size()
        if now != size:
            size, unchanged_since = now, monotonic()
    return size


class Replay(Measure):
    """Opening a store whose process ended without closing it, no checkpoint there."""

    name = "replay"
    summary = "records a second replayed when opening after a kill, no checkpoint; a million records of 8 bytes"

    def run(self, settings: Settings) -> Outcome:
        """A new writer each round: only the first opening finds what a kill left."""
        outcome = Outcome()
        num = settings.count(1_000_000)
        for value_size in settings.sizes(8):
            rates = []
            for number in range(settings.rounds):
                settings.report(f"{self.name}: round {number + 1} of {settings.rounds}, {value_size} B")
                with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as directory:
                    rates.append(num / self.reopen(directory, num, value_size) * 1e9)
            outcome.figures.append(self.figure(f"replay, {value_size} B", "oxidbm", median(rates), "records/s"))
        return outcome

    def reopen(self, directory: str, num: int, value_size: int) -> int:
        """Nanoseconds of the first open after the kill."""
        case = Case(num, KEY_SIZE, value_size)
        run_probe(
            "crash",
            {
                "engine": "oxidbm",
                "directory": directory,
                "num": num,
                "key_size": KEY_SIZE,
                "value_size": value_size,
            },
        )
        shutil.rmtree(Path(directory, "oxidbm", "checkpoints"), ignore_errors=True)
        engine = OxidbmEngine(Path(directory) / "oxidbm", case.memory)
        start = perf_counter_ns()
        engine.open()
        elapsed = perf_counter_ns() - start
        found = len(engine.m)
        engine.close()
        if found != num:
            raise RuntimeError(f"{num} records were synced before the kill, but {found} came back")
        return elapsed


class ImportTime(Measure):
    """`import oxidbm` in a new interpreter, less the interpreter itself."""

    name = "importtime"
    summary = "what import oxidbm adds to the start of an interpreter"

    def run(self, settings: Settings) -> Outcome:
        """In turns with an interpreter that imports nothing; medians of each."""
        rounds = 2 if settings.smoke else 15
        with_import, bare = [], []
        for _ in range(rounds):
            with_import.append(start_seconds("import oxidbm"))
            bare.append(start_seconds("pass"))
        added = (median(with_import) - median(bare)) * 1000
        return Outcome([self.figure("import", "oxidbm", added, "ms")])


def start_seconds(statement: str) -> float:
    """Wall time of an interpreter that runs one statement."""
    start = perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, cwd=PROJECT)
    return perf_counter() - start
