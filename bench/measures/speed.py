"""hot, million and scanrate: figures that come out of the workloads' alternating rounds."""

from __future__ import annotations

from typing import ClassVar

from bench.measures.base import Figure, Measure, Outcome, Settings, ratio
from bench.rounds import Case, Result, Workload
from bench.workloads import Overwrite, ReadHot, ReadRandom, Scan, SetHot

Bounds = tuple[tuple[str, float], ...]


class Hot(Measure):
    """1,000 hot keys of 16 bytes in a store of 1,000 records, reused key objects."""

    name = "hot"
    summary = "1,000 hot keys of 16 bytes, by the same key objects, values of 8, 100 and 1000 bytes"

    DICT_AT_MOST: ClassVar[dict[int, float]] = {100: 3.0}
    PEERS_AT_LEAST: ClassVar[dict[int, Bounds]] = {100: (("lmdb", 4.0), ("rocksdict", 20.0)), 1000: (("lmdb", 2.0),)}

    def run(self, settings: Settings) -> Outcome:
        """Gets, then sets, at each value size."""
        outcome = Outcome()
        operations: tuple[tuple[str, Workload], ...] = (("get", ReadHot()), ("set", SetHot()))
        for value_size in settings.sizes(8, 100, 1000):
            for operation, workload in operations:
                case = Case(settings.count(1000), value_size=value_size, seconds=settings.seconds)
                results = settings.run(workload, case, settings.engines)
                outcome.results += results
                outcome.figures += self.compare(f"{operation} {value_size} B", value_size, results)
        return outcome

    def compare(self, label: str, value_size: int, results: list[Result]) -> list[Figure]:
        """Against dict as "how many times its cost", against the others as "how many times faster"."""
        against_dict = ratio(results, "oxidbm", "dict")
        figures = [self.figure(f"{label}, cost / dict", against_dict, "x", at_most=self.DICT_AT_MOST.get(value_size))]
        bounds = dict(self.PEERS_AT_LEAST.get(value_size, ()))
        for peer in ("lmdb", "rocksdict"):
            faster = ratio(results, peer, "oxidbm")
            figures.append(self.figure(f"{label}, faster than {peer}", faster, "x", at_least=bounds.get(peer)))
        return figures


class Million(Measure):
    """A million keys with 100-byte values, random, by key objects nobody has hashed before."""

    name = "million"
    summary = "a million keys, 100-byte values, random order, new key objects each time"

    PEERS_AT_LEAST: Bounds = (("dict", 1.0), ("lmdb", 2.0), ("rocksdict", 6.0))

    def run(self, settings: Settings) -> Outcome:
        """Gets, then sets."""
        outcome = Outcome()
        operations: tuple[tuple[str, Workload], ...] = (("get", ReadRandom()), ("set", Overwrite()))
        for value_size in settings.sizes(100):
            for operation, workload in operations:
                case = Case(settings.count(1_000_000), value_size=value_size, seconds=settings.seconds * 2)
                results = settings.run(workload, case, settings.engines)
                outcome.results += results
                for peer, bound in self.PEERS_AT_LEAST:
                    label = f"{operation} {value_size} B, faster than {peer}"
                    outcome.figures.append(self.figure(label, ratio(results, peer, "oxidbm"), "x", at_least=bound))
        return outcome


class ScanRate(Measure):
    """How many records a second `store.items()` yields."""

    name = "scanrate"
    summary = "records a second out of store.items(), a million of them"

    def run(self, settings: Settings) -> Outcome:
        """The scan workload."""
        outcome = Outcome()
        for value_size in settings.sizes(100):
            case = Case(settings.count(1_000_000), value_size=value_size, seconds=settings.seconds)
            results = settings.run(Scan(), case, settings.engines)
            outcome.results += results
            rate = {result.engine: 1e9 / result.median_ns for result in results}.get("oxidbm")
            label = f"scan {value_size} B"
            outcome.figures.append(self.figure(label, rate, "records/s", at_least=3_000_000))
        return outcome
