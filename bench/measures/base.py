"""Measure: one of the figures the store must reach, taken by itself and printed beside what was asked."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bench.engines import ENGINES, Engine
from bench.rounds import Case, Result, Workload, run_case


@dataclass(frozen=True)
class Figure:
    """One measured number and the bound it is held against, if there is one."""

    measure: str
    name: str
    measured: float | None
    unit: str
    asked: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept; None without a bound or a measurement."""
        if self.asked is None or self.measured is None:
            return None
        return self.measured <= self.asked if self.at_most else self.measured >= self.asked


@dataclass
class Settings:
    """What the command line decides for every measure. `None` leaves the choice to the measure."""

    engines: Sequence[type[Engine]]
    rounds: int = 3
    num: int | None = None
    value_sizes: tuple[int, ...] | None = None
    memory_mib: int = 64
    seconds: float = 2.0
    smoke: bool = False
    named: bool = True
    directory: Path | None = None
    report: Callable[[str], None] = field(default=lambda _: None)

    def count(self, usual: int, smoke: int = 500) -> int:
        """How many records: as asked on the command line, or tiny for a smoke run, or as usual."""
        if self.num is not None:
            return self.num
        return smoke if self.smoke else usual

    def sizes(self, *usual: int) -> tuple[int, ...]:
        """Value sizes: as asked on the command line, or as usual."""
        return self.value_sizes or usual

    def pick(self, *names: str) -> list[type[Engine]]:
        """Those of the engines that are installed, and were chosen where --engines chose (`named`)."""
        chosen = {engine.name for engine in self.engines} if self.named else set(names)
        return [ENGINES[name] for name in names if name in chosen and ENGINES[name].available()]

    def run(self, workload: Workload, case: Case, engines: Sequence[type[Engine]], times: int = 1) -> list[Result]:
        """Alternating rounds of one workload, `times` as many as usual where they are short."""
        rounds = self.rounds if self.smoke else self.rounds * times
        return run_case(workload, case, engines, rounds, self.directory, self.report)


@dataclass
class Outcome:
    """What a measure found: figures against bounds, and the workload results they were computed from."""

    figures: list[Figure] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)


class Measure(ABC):
    """A measurement by name."""

    name: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("oxidbm",)

    @abstractmethod
    def run(self, settings: Settings) -> Outcome:
        """Measure."""

    def figure(
        self,
        name: str,
        measured: float | None,
        unit: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        note: str = "",
    ) -> Figure:
        """A figure of this measure, with one bound or none."""
        asked = at_most if at_most is not None else at_least
        return Figure(self.name, name, measured, unit, asked, at_most is not None, note)


def ratio(results: Sequence[Result], numerator: str, denominator: str) -> float | None:
    """Median nanoseconds of one engine over another's, or None where either is missing."""
    medians = {result.engine: result.median_ns for result in results}
    if numerator not in medians or denominator not in medians:
        return None
    return medians[numerator] / medians[denominator]


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)
