"""memory and larger: what a store takes beyond its data, and whether it keeps to its budget."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.machine import anonymous_memory
from bench.measures.base import Measure, Outcome, Settings, median
from bench.probe import run_probe

MIB = 1 << 20
KEY_SIZE = 16


class Memory(Measure):
    """Bytes a key beyond key and value, and what an empty store costs. Anonymous memory, each in a new process."""

    name = "memory"
    summary = "bytes a key beyond key and value at a million keys; an empty store's memory and open time"

    def run(self, settings: Settings) -> Outcome:
        """Engines that keep their data in mapped files show no anonymous memory: the kernel's cache has it."""
        outcome = Outcome()
        num = settings.count(1_000_000)
        for engine in settings.pick("oxidbm", "oxidbm-memory", "dict", "lmdb", "rocksdict"):
            for value_size in settings.sizes(100):
                settings.report(f"{self.name}: {engine.name} {value_size} B")
                with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as directory:
                    [report] = run_probe(
                        "memory",
                        {
                            "engine": engine.name,
                            "directory": directory,
                            "num": num,
                            "key_size": KEY_SIZE,
                            "value_size": value_size,
                        },
                    )
                beyond = report["anonymous"] / num - KEY_SIZE - value_size
                label = f"memory beyond key and value, {value_size} B"
                outcome.figures.append(self.figure(label, engine.name, beyond, "bytes/key"))
                if engine.persistent:
                    label = f"files, {value_size} B"
                    outcome.figures.append(self.figure(label, engine.name, report["files"] / num, "bytes/key"))
            self.empty(engine.name, settings, outcome)
        return outcome

    def empty(self, engine: str, settings: Settings, outcome: Outcome) -> None:
        """The median of six stores opened one after another in one process."""
        with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as directory:
            reports = run_probe("empty", {"engine": engine, "directory": directory})
        size = median([report["anonymous"] for report in reports]) / MIB
        opening = median([report["open_ns"] for report in reports]) / 1e6
        outcome.figures += [
            self.figure("memory of an empty store", engine, size, "MiB"),
            self.figure("opening a new store", engine, opening, "ms"),
        ]


class Larger(Measure):
    """Data eight times the budget."""

    name = "larger"
    summary = "data eight times the budget (--memory): peak anonymous memory, random gets beside lmdb's"

    TIMES = 8

    def run(self, settings: Settings) -> Outcome:
        """One process a value size: alone while its memory is watched, then in rounds with lmdb."""
        outcome = Outcome()
        for value_size in settings.sizes(100, 1000):
            self.run_size(settings, value_size, outcome)
        return outcome

    def run_size(self, settings: Settings, value_size: int, outcome: Outcome) -> None:
        """Fill, read, compare."""
        memory = settings.memory_mib * MIB
        num = settings.count(self.TIMES * memory // (KEY_SIZE + value_size))
        reads = min(num, 2000 if settings.smoke else 200_000)
        settings.report(f"{self.name}: {num} records of {value_size} B")
        peers = [engine.name for engine in settings.pick("lmdb")]
        with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as directory:
            peak = 0
            peer_directories = [Path(directory) / peer for peer in peers]

            def watch(process: int) -> bool:
                nonlocal peak
                # The peers' directories appear when the store has been filled and read by itself.
                if any(path.exists() for path in peer_directories):
                    return False
                peak = max(peak, anonymous_memory(process))
                return True

            reports = run_probe(
                "larger",
                {
                    "engine": "oxidbm",
                    "peers": peers,
                    "directory": directory,
                    "num": num,
                    "key_size": KEY_SIZE,
                    "value_size": value_size,
                    "memory": memory,
                    "reads": reads,
                    "rounds": settings.rounds,
                },
                watch,
            )
        data = num * (KEY_SIZE + value_size) / MIB
        note = f"{data:.0f} MiB of keys and values, memory={settings.memory_mib} MiB, interpreter included"
        outcome.figures.append(self.figure(f"peak memory, {value_size} B", "oxidbm", peak / MIB, "MiB", note))
        gets: dict[str, list[float]] = {}
        for report in reports:
            if "get_ns" in report:
                gets.setdefault(report["engine"], []).append(report["get_ns"])
        for engine, figures in gets.items():
            outcome.figures.append(self.figure(f"random get, {value_size} B", engine, median(figures), "ns"))
