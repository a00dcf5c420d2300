"""Alternating rounds: every engine is opened and loaded, then A B C, A B C, ... are measured in one process.

A Workload says what a round is; `run_case` does the rest. The garbage collector is off while anything is timed, for
every engine alike.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bench.engines import Engine
from bench.engines.base import MEMORY_BEYOND_RECORD, MEMORY_TIMES, MINIMUM_MEMORY
from bench.loops import Key, Loop, LoopInput, Value, build
from bench.records import ValuePool, ordered_keys, random_keys, shuffled

FIRST_SLICE = 64
LOAD_SLICE = 50_000


@dataclass(frozen=True)
class Case:
    """One workload at one size."""

    num: int
    key_size: int = 16
    value_size: int = 100
    distribution: str = "uniform"
    seconds: float = 2.0
    hot: int = 1000
    stretch_ns: int = 50_000_000  # how long a round over hot keys lasts

    @property
    def memory(self) -> int:
        """The budget for engines that have one: large enough that the data stays in memory."""
        record = self.key_size + self.value_size + MEMORY_BEYOND_RECORD
        return max(MINIMUM_MEMORY, MEMORY_TIMES * self.num * record)


@dataclass(frozen=True)
class Sample:
    """One timed stretch."""

    operations: int
    elapsed_ns: int


@dataclass
class Result:
    """What one engine did in one case."""

    workload: str
    engine: str
    case: Case
    samples: list[Sample] = field(default_factory=list)
    note: str = ""

    @property
    def rounds_ns(self) -> list[float]:
        """Nanoseconds an operation, round by round."""
        return [sample.elapsed_ns / sample.operations for sample in self.samples]

    @property
    def median_ns(self) -> float:
        """The median round's nanoseconds an operation."""
        return statistics.median(self.rounds_ns)


@dataclass
class Stage:
    """One engine on its way through one case."""

    engine: Engine
    case: Case
    pool: ValuePool
    repeats: int = 1
    hot: LoopInput = field(default_factory=LoopInput)

    def key_list(self, numbers: Sequence[int], ordered: bool = False) -> Sequence[Key]:
        """New keys of the case's size, in the engine's type."""
        make = ordered_keys if ordered else random_keys
        return self.engine.keys(make(numbers, self.case.key_size))

    def values(self, numbers: Sequence[int]) -> Sequence[Value]:
        """New values of the case's size, in the engine's type."""
        return self.engine.values(self.pool.values(numbers))

    def loop(self, shape: str, statement: str, other: str = "pass") -> Loop:
        """The engine's own copy of a timed loop."""
        return build(shape, statement, other, owner=self.engine.name)

    def hot_keys(self) -> Sequence[Key]:
        """The keys of the hot workloads, spread over all that are stored."""
        hot = min(self.case.hot, self.case.num)
        return self.key_list(shuffled(self.case.num, seed=7)[:hot])

    def load_all(self) -> None:
        """Write every record of the case into the open store."""
        numbers = range(self.case.num)
        for start in range(0, self.case.num, LOAD_SLICE):
            part = numbers[start : start + LOAD_SLICE]
            self.engine.load(self.key_list(part), self.values(part))

    def given(self, **inputs: object) -> LoopInput:
        """Loop input with the engine's objects in it."""
        return LoopInput(m=self.engine.m, s=self.engine.s, **inputs)  # type: ignore[arg-type]

    def run_slices(self, count: int, run: Callable[[int, int], int]) -> Sample:
        """Call `run(start, stop)` over 0..count in growing slices until the case's seconds are used up.

        A slow engine does fewer operations over the same data, instead of keeping all others waiting.
        """
        limit = int(self.case.seconds * 1e9)
        start = elapsed = 0
        size = min(FIRST_SLICE, count)
        while start < count and elapsed < limit:
            stop = min(start + size, count)
            took = run(start, stop)
            elapsed += took
            start = stop
            if took * 4 < limit:
                size = min(size * 2, LOAD_SLICE)
        return Sample(start, elapsed)


class Workload(ABC):
    """A workload: `prepare` once an engine, `sample` once a round."""

    name: ClassVar[str]
    summary: ClassVar[str]
    persistent_only: ClassVar[bool] = False
    distributions: ClassVar[tuple[str, ...]] = ("uniform",)

    def prepare(self, stage: Stage) -> None:
        """Fill the store; not timed."""
        stage.load_all()

    def takes(self, engine: type[Engine]) -> bool:
        """Whether the engine can do what the workload is about."""
        return engine.persistent or not self.persistent_only

    @abstractmethod
    def sample(self, stage: Stage, number: int) -> Sample:
        """Do and time round `number`."""

    def note(self, engine: Engine) -> str:
        """What a reader of the figure must know."""
        return ""

    def label(self, case: Case) -> str:
        """Name in the table."""
        return f"{self.name} {case.distribution}" if len(self.distributions) > 1 else self.name


def calibrated(stage: Stage, shape: str, statement: str, given: LoopInput) -> int:
    """How often a short loop must be repeated for a round to last as the case says. Warms the engine up as well."""
    given.repeats = 1
    once = min(stage.loop(shape, statement)(given) for _ in range(2))
    longest = min(stage.case.stretch_ns, int(stage.case.seconds * 1e9))
    return max(1, min(longest // max(once, 1), 1000))


@contextlib.contextmanager
def garbage_collector_off() -> Iterator[None]:
    """Collect now, and not again before the end of the block."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def run_case(
    workload: Workload,
    case: Case,
    engines: Sequence[type[Engine]],
    rounds: int,
    directory: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """Measure one workload at one size with every engine, in alternating rounds."""
    chosen = [engine for engine in engines if workload.takes(engine)]
    pool = ValuePool(case.value_size)
    label = workload.label(case)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as top:
        stages = [Stage(engine(Path(top) / engine.name, case.memory), case, pool) for engine in chosen]
        results = [Result(label, stage.engine.name, case) for stage in stages]
        try:
            for stage, result in zip(stages, results, strict=True):
                report(f"{label} {case.value_size} B: preparing {stage.engine.name}")
                stage.engine.recreate()
                workload.prepare(stage)
                result.note = workload.note(stage.engine)
            for number in range(rounds):
                for stage, result in zip(stages, results, strict=True):
                    report(f"{label} {case.value_size} B: round {number + 1} of {rounds}, {stage.engine.name}")
                    with garbage_collector_off():
                        result.samples.append(workload.sample(stage, number))
        finally:
            for stage in stages:
                stage.engine.close()
    return results
