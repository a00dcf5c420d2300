"""hot, million and scanrate: workloads in alternating rounds, at the sizes that the documentation shows."""

from __future__ import annotations

from bench.measures.base import Measure, Outcome, Settings
from bench.rounds import Case
from bench.workloads import Overwrite, ReadHot, ReadRandom, Scan, SetHot


class Hot(Measure):
    """1,000 hot keys of 16 bytes in a store of 1,000 records, reused key objects."""

    name = "hot"
    summary = "1,000 hot keys of 16 bytes, by the same key objects, values of 8, 100 and 1000 bytes"

    def run(self, settings: Settings) -> Outcome:
        """Gets, then sets, at each value size."""
        outcome = Outcome()
        for value_size in settings.sizes(8, 100, 1000):
            for workload in (ReadHot(), SetHot()):
                case = Case(settings.count(1000), value_size=value_size, seconds=settings.seconds)
                outcome.results += settings.run(workload, case, settings.engines)
        return outcome


class Million(Measure):
    """A million keys with 100-byte values, random, by key objects nobody has hashed before."""

    name = "million"
    summary = "a million keys, 100-byte values, random order, new key objects each time"

    def run(self, settings: Settings) -> Outcome:
        """Gets, then sets."""
        outcome = Outcome()
        for value_size in settings.sizes(100):
            for workload in (ReadRandom(), Overwrite()):
                case = Case(settings.count(1_000_000), value_size=value_size, seconds=settings.seconds * 2)
                outcome.results += settings.run(workload, case, settings.engines)
        return outcome


class ScanRate(Measure):
    """One pass over every item."""

    name = "scanrate"
    summary = "iterate over a million items; an operation is one record"

    def run(self, settings: Settings) -> Outcome:
        """The scan workload."""
        outcome = Outcome()
        for value_size in settings.sizes(100):
            case = Case(settings.count(1_000_000), value_size=value_size, seconds=settings.seconds)
            outcome.results += settings.run(Scan(), case, settings.engines)
        return outcome
