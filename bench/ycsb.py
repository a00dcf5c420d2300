"""YCSB's core workloads a, b, c, d and f, with uniform and zipfian keys.

E is left out: its scans in key order, of engines that have one, are the workload `range`. The operations of a round
are drawn before it starts, so that drawing them costs nothing while the clock runs.
"""

from __future__ import annotations

import random
from typing import ClassVar

from bench.engines import Engine
from bench.records import uniform, zipfian, zipfian_ranks
from bench.rounds import Sample, Stage, Workload


class Ycsb(Workload):
    """Reads mixed with `write_share` of updates."""

    distributions = ("uniform", "zipfian")
    write_share: ClassVar[float]

    def write_statement(self, engine: Engine) -> str:
        """What a write is."""
        return engine.set

    def draw(self, stage: Stage, number: int) -> tuple[list[int], list[bool]]:
        """Which keys the round touches, and which of the touches are writes."""
        count = stage.case.num
        numbers = (zipfian if stage.case.distribution == "zipfian" else uniform)(count, count, number)
        chance = random.Random(number).random
        return numbers, [chance() < self.write_share for _ in range(count)]

    def sample(self, stage: Stage, number: int) -> Sample:
        """As many operations as there are records."""
        loop = stage.loop("mixed", self.write_statement(stage.engine), stage.engine.get)
        numbers, writes = self.draw(stage, number)

        def run(start: int, stop: int) -> int:
            part = numbers[start:stop]
            keys, values = stage.key_list(part), stage.values(part)
            return loop(stage.given(keys=keys, values=values, writes=writes[start:stop], f=stage.engine.change))

        return stage.run_slices(len(numbers), run)


class YcsbA(Ycsb):
    name = "ycsb-a"
    summary = "half reads, half updates"
    write_share = 0.5


class YcsbB(Ycsb):
    name = "ycsb-b"
    summary = "95 % reads, 5 % updates"
    write_share = 0.05


class YcsbC(Ycsb):
    name = "ycsb-c"
    summary = "reads only"
    write_share = 0.0


class YcsbD(Ycsb):
    name = "ycsb-d"
    summary = "95 % reads of what was written last, 5 % inserts of new keys"
    write_share = 0.05

    def prepare(self, stage: Stage) -> None:
        """Nothing: each round starts from the same records, or its inserts would not be inserts."""

    def sample(self, stage: Stage, number: int) -> Sample:
        """Load, then read and insert."""
        stage.engine.recreate()
        stage.load_all()
        return super().sample(stage, number)

    def draw(self, stage: Stage, number: int) -> tuple[list[int], list[bool]]:
        """A read's rank counts back from the newest key there is at that moment."""
        count = stage.case.num
        ranks = (zipfian_ranks if stage.case.distribution == "zipfian" else uniform)(count, count, number)
        chance = random.Random(number).random
        writes = [chance() < self.write_share for _ in range(count)]
        numbers = []
        newest = count - 1
        for rank, write in zip(ranks, writes, strict=True):
            if write:
                newest += 1
            numbers.append(newest if write else newest - rank)
        return numbers, writes


class YcsbF(Ycsb):
    name = "ycsb-f"
    summary = "half reads, half read-modify-writes"
    write_share = 0.5

    def prepare(self, stage: Stage) -> None:
        """Fill, then open a session where rmw needs one."""
        super().prepare(stage)
        stage.engine.begin_session()

    def write_statement(self, engine: Engine) -> str:
        """The engine's own rmw, or a get and a set."""
        return engine.rmw

    def note(self, engine: Engine) -> str:
        """Whether the engine has rmw."""
        return "" if "rmw" in engine.rmw else "a get and a set"


YCSB: dict[str, type[Workload]] = {workload.name: workload for workload in (YcsbA, YcsbB, YcsbC, YcsbD, YcsbF)}
