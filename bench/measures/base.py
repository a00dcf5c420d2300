"""Measure: workloads at sizes of their own, or a figure that no timed loop can give: memory, files, a pause."""

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
    """One measured number. `subject` is what was measured, an engine by itself or with a setting: a column."""

    measure: str
    name: str
    subject: str
    measured: float | None
    unit: str
    note: str = ""


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
    """What a measure found: figures, results of workloads, or both."""

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

    def figure(self, name: str, subject: str, measured: float | None, unit: str, note: str = "") -> Figure:
        """A figure of this measure."""
        return Figure(self.name, name, subject, measured, unit, note)


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)
