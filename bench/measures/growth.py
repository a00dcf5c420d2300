"""tenmillion: rates at ten million small records, and the longest single operation while the store grows to them."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from bench.engines import Engine
from bench.engines.base import MINIMUM_MEMORY
from bench.loops import LoopInput, build
from bench.measures.base import Figure, Measure, Outcome, Settings
from bench.records import ValuePool, uniform
from bench.rounds import Case, Stage, garbage_collector_off

CHUNK = 100_000
QUANTILES = ((0.5, "p50"), (0.99, "p99"), (0.9999, "p99.99"), (1.0, "longest"))


class TenMillion(Measure):
    """Ten million keys and values of 8 bytes, one thread."""

    name = "tenmillion"
    summary = "ten million 8-byte keys and values: gets and sets a second, longest operation while growing"

    def run(self, settings: Settings) -> Outcome:
        """Each engine by itself: they would not all fit into memory together."""
        outcome = Outcome()
        num = settings.count(10_000_000)
        outcome.figures += self.latency_figures("empty loop", idle_latencies(num))
        for engine in settings.pick("oxidbm", "oxidbm-memory", "dict", "lmdb"):
            ample = Case(num, key_size=8, value_size=8).memory
            # With the default budget, eviction goes on as well while it grows.
            budgets = [ample, MINIMUM_MEMORY] if engine.name == "oxidbm" and ample > MINIMUM_MEMORY else [ample]
            for memory in budgets:
                budgeted = engine.name.startswith("oxidbm")
                subject = f"{engine.name}, memory {memory >> 20} MiB" if budgeted else engine.name
                settings.report(f"{self.name}: {subject}")
                outcome.figures += self.grow(subject, engine, memory, num, settings.directory)
        return outcome

    def grow(self, subject: str, engine: type[Engine], memory: int, num: int, directory: Path | None) -> list[Figure]:
        """Grow from empty with each operation timed, then set and get at random."""
        with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as top, garbage_collector_off():
            stage = Stage(engine(Path(top) / engine.name, memory), Case(num, key_size=8, value_size=8), ValuePool(8))
            stage.engine.recreate()
            try:
                figures = self.latency_figures(subject, growth_latencies(stage))
                for operation in ("set", "get"):
                    figures.append(self.figure(f"random {operation}", subject, random_rate(stage, operation), "ops/s"))
            finally:
                stage.engine.close()
        return figures

    def latency_figures(self, subject: str, latencies: Counter[int]) -> list[Figure]:
        """The quantiles, in microseconds but for the longest."""
        figures = []
        for quantile, name in QUANTILES:
            scale, unit = (1e6, "ms") if name == "longest" else (1e3, "us")
            measured = latency_at(latencies, quantile) / scale
            figures.append(self.figure(f"set while growing, {name}", subject, measured, unit))
        return figures


def growth_latencies(stage: Stage) -> Counter[int]:
    """Write the case's records into an empty store; how often each latency in ns was seen. Two clock calls included."""
    loop = stage.loop("each", stage.engine.set)
    seen: Counter[int] = Counter()
    for start in range(0, stage.case.num, CHUNK):
        part = range(start, min(start + CHUNK, stage.case.num))
        given = stage.given(keys=stage.key_list(part), values=stage.values(part))
        loop(given)
        seen.update(given.latencies)
    return seen


def idle_latencies(count: int) -> Counter[int]:
    """The same loop around nothing: what the clock and the machine's own interruptions come to."""
    loop = build("each", "pass")
    keys, values = [b"key"] * CHUNK, [b"value"] * CHUNK
    seen: Counter[int] = Counter()
    for start in range(0, count, CHUNK):
        given = LoopInput(keys=keys[: count - start], values=values)
        loop(given)
        seen.update(given.latencies)
    return seen


def random_rate(stage: Stage, operation: str) -> float:
    """Operations a second over as many random records as there are, by new key objects."""
    loop = stage.loop("keys", stage.engine.get) if operation == "get" else stage.loop("pairs", stage.engine.set)
    elapsed = 0
    for start in range(0, stage.case.num, CHUNK):
        part = uniform(stage.case.num, min(CHUNK, stage.case.num - start), seed=start)
        elapsed += loop(stage.given(keys=stage.key_list(part), values=stage.values(part)))
    return stage.case.num / elapsed * 1e9


def latency_at(latencies: Counter[int], quantile: float) -> int:
    """The smallest latency that `quantile` of all operations did not pass."""
    wanted = quantile * latencies.total()
    passed = 0
    for latency in sorted(latencies):
        passed += latencies[latency]
        if passed >= wanted:
            return latency
    return 0
