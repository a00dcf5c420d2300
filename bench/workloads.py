"""The workloads by name, after leveldb's db_bench."""

from __future__ import annotations

from time import perf_counter_ns
from typing import ClassVar

from bench.engines import Engine
from bench.loops import LoopInput
from bench.records import shuffled
from bench.rounds import Case, Sample, Stage, Workload, calibrated


class FillSequential(Workload):
    name = "fillseq"
    summary = "write num new keys in key order into an empty store"

    def prepare(self, stage: Stage) -> None:
        """Nothing: each round starts with an empty store."""

    def sample(self, stage: Stage, number: int) -> Sample:
        """Fill from empty."""
        stage.engine.recreate()
        loop = stage.loop("pairs", stage.engine.set_ordered or stage.engine.set)

        def run(start: int, stop: int) -> int:
            part = range(start, stop)
            return loop(stage.given(keys=stage.key_list(part, ordered=True), values=stage.values(part)))

        return stage.run_slices(stage.case.num, run)


class FillRandom(FillSequential):
    name = "fillrandom"
    summary = "write num new keys in random order into an empty store"

    def sample(self, stage: Stage, number: int) -> Sample:
        """Fill from empty."""
        stage.engine.recreate()
        return _write_all(stage, number)


class Overwrite(Workload):
    name = "overwrite"
    summary = "write a new value to every key once, in random order"

    def sample(self, stage: Stage, number: int) -> Sample:
        """Overwrite everything."""
        return _write_all(stage, number)


def _write_all(stage: Stage, number: int) -> Sample:
    loop = stage.loop("pairs", stage.engine.set)
    order = shuffled(stage.case.num, seed=number)

    def run(start: int, stop: int) -> int:
        part = order[start:stop]
        return loop(stage.given(keys=stage.key_list(part), values=stage.values(part)))

    return stage.run_slices(len(order), run)


class ReadRandom(Workload):
    name = "readrandom"
    summary = "read every key once, in random order, by new key objects"

    def statement(self, engine: Engine) -> str:
        """What is timed."""
        return engine.get

    def first_number(self, case: Case) -> int:
        """Number of the first key that is asked for."""
        return 0

    def sample(self, stage: Stage, number: int) -> Sample:
        """Ask for every key."""
        loop = stage.loop("keys", self.statement(stage.engine))
        first = self.first_number(stage.case)
        order = [first + n for n in shuffled(stage.case.num, seed=number)]

        def run(start: int, stop: int) -> int:
            given = stage.given(keys=stage.key_list(order[start:stop]), f=stage.engine.change)
            return loop(given)

        return stage.run_slices(len(order), run)


class ReadMissing(ReadRandom):
    name = "readmissing"
    summary = "ask for num keys that are not stored"

    def statement(self, engine: Engine) -> str:
        """`get(key)` with no default."""
        return engine.missing

    def first_number(self, case: Case) -> int:
        """Past all that are stored."""
        return case.num


class ReadModifyWrite(ReadRandom):
    name = "rmw"
    summary = "change every value once by a Python function, in random order"

    def prepare(self, stage: Stage) -> None:
        """Fill, then open a session where rmw needs one."""
        super().prepare(stage)
        stage.engine.begin_session()

    def statement(self, engine: Engine) -> str:
        """The engine's own rmw, or a get and a set."""
        return engine.rmw

    def note(self, engine: Engine) -> str:
        """Whether the engine has rmw."""
        return "" if "rmw" in engine.rmw else "a get and a set"


class Delete(ReadRandom):
    name = "delete"
    summary = "delete every key, in random order; loaded again before each round"

    def prepare(self, stage: Stage) -> None:
        """Nothing: each round loads."""

    def statement(self, engine: Engine) -> str:
        """What is timed."""
        return engine.delete

    def sample(self, stage: Stage, number: int) -> Sample:
        """Load, then delete."""
        stage.engine.recreate()
        stage.load_all()
        return super().sample(stage, number)


class ReadHot(Workload):
    name = "readhot"
    summary = "read 1,000 keys over and over, by the same key objects"

    def prepare(self, stage: Stage) -> None:
        """Fill, write the hot keys by the objects that will be used, and find out how long one pass takes."""
        stage.load_all()
        keys = stage.hot_keys()
        values = stage.values(range(len(keys)))
        stage.engine.load(keys, values)
        stage.hot = stage.given(keys=keys, values=values)
        stage.repeats = calibrated(stage, "keys", self.statement(stage.engine), stage.hot)

    def statement(self, engine: Engine) -> str:
        """What is timed."""
        return engine.get

    def sample(self, stage: Stage, number: int) -> Sample:
        """As many passes as make a round."""
        stage.hot.repeats = stage.repeats
        elapsed = stage.loop("keys", self.statement(stage.engine))(stage.hot)
        return Sample(len(stage.hot.keys) * stage.repeats, elapsed)


class SetHot(ReadHot):
    name = "sethot"
    summary = "write 1,000 keys over and over, by the same key objects"

    def statement(self, engine: Engine) -> str:
        """What is timed."""
        return engine.set


class GetMany(Workload):
    name = "getmany"
    summary = "read 1,000 hot keys in one batch, over and over"

    def shape(self, engine: Engine) -> tuple[str, str]:
        """Loop shape and statement: the batch call, or a loop of single ones."""
        return ("whole", engine.get_many) if engine.get_many else ("keys", engine.get)

    def batch(self, stage: Stage) -> LoopInput:
        """The hot keys, alone and with values."""
        keys = stage.hot_keys()
        values = stage.values(range(len(keys)))
        return stage.given(keys=keys, values=values, pairs=list(zip(keys, values, strict=True)))

    def prepare(self, stage: Stage) -> None:
        """Fill and find out how long one batch takes."""
        stage.load_all()
        shape, statement = self.shape(stage.engine)
        stage.repeats = calibrated(stage, shape, statement, self.batch(stage))

    def sample(self, stage: Stage, number: int) -> Sample:
        """As many batches as make a round; an operation is one key."""
        shape, statement = self.shape(stage.engine)
        given = self.batch(stage)
        given.repeats = stage.repeats
        return Sample(len(given.keys) * stage.repeats, stage.loop(shape, statement)(given))

    def note(self, engine: Engine) -> str:
        """Whether the engine has the batch call."""
        return "a loop of single calls" if self.shape(engine)[0] != "whole" else ""


class SetMany(GetMany):
    name = "setmany"
    summary = "write 1,000 hot keys in one batch, over and over"

    def shape(self, engine: Engine) -> tuple[str, str]:
        """Loop shape and statement: the batch call, or a loop of single ones."""
        return ("whole", engine.set_many) if engine.set_many else ("pairs", engine.set)

    def sample(self, stage: Stage, number: int) -> Sample:
        """As many batches as make a round; the loop of pairs has no repeats of its own."""
        shape, statement = self.shape(stage.engine)
        if shape == "whole":
            return super().sample(stage, number)
        given = self.batch(stage)
        given.keys, given.values = list(given.keys) * stage.repeats, list(given.values) * stage.repeats
        return Sample(len(given.keys), stage.loop(shape, statement)(given))


class FillMany(Workload):
    name = "fillmany"
    summary = "write num new pairs in one batch into an empty store, in random order"
    ordered: ClassVar[bool] = False

    def prepare(self, stage: Stage) -> None:
        """Nothing: each round starts with an empty store."""

    def statement(self, engine: Engine) -> str | None:
        """The batch call, if there is one."""
        return engine.set_many

    def sample(self, stage: Stage, number: int) -> Sample:
        """One batch of all, or a loop of single calls that stops when its time is used up."""
        stage.engine.recreate()
        numbers = range(stage.case.num)
        statement = self.statement(stage.engine)
        if statement is not None:
            pairs = list(zip(stage.key_list(numbers, self.ordered), stage.values(numbers), strict=True))
            return Sample(len(pairs), stage.loop("whole", statement)(stage.given(pairs=pairs)))
        loop = stage.loop("pairs", (stage.engine.set_ordered if self.ordered else None) or stage.engine.set)

        def run(start: int, stop: int) -> int:
            part = numbers[start:stop]
            return loop(stage.given(keys=stage.key_list(part, self.ordered), values=stage.values(part)))

        return stage.run_slices(stage.case.num, run)

    def note(self, engine: Engine) -> str:
        """Whether the engine has the batch call."""
        return "" if self.statement(engine) else "a loop of single calls"


class FillManySequential(FillMany):
    name = "fillmanyseq"
    summary = "as fillmany, in key order"
    ordered = True

    def statement(self, engine: Engine) -> str | None:
        """The batch call for keys in order, or the usual one."""
        return engine.set_many_ordered or engine.set_many


class Range(Workload):
    name = "range"
    summary = "100 records in key order from a random key on; engines that keep an order; an operation is one range"

    LENGTH: ClassVar[int] = 100

    def takes(self, engine: type[Engine]) -> bool:
        """Whether the engine has an order."""
        return engine.range is not None

    def sample(self, stage: Stage, number: int) -> Sample:
        """A range for every hundredth key."""
        assert stage.engine.range is not None
        loop = stage.loop("keys", stage.engine.range)
        starts = shuffled(stage.case.num, seed=number)[: max(1, stage.case.num // self.LENGTH)]

        def run(start: int, stop: int) -> int:
            return loop(stage.given(keys=stage.key_list(starts[start:stop])))

        return stage.run_slices(len(starts), run)


class Scan(Workload):
    name = "scan"
    summary = "iterate over every key and value; an operation is one record"

    def sample(self, stage: Stage, number: int) -> Sample:
        """One pass over everything."""
        elapsed = stage.loop("whole", stage.engine.scan)(stage.given())
        return Sample(stage.case.num, elapsed)


class Open(Workload):
    name = "open"
    summary = "close, then time opening a store of num records; an operation is one open"
    persistent_only = True

    def sample(self, stage: Stage, number: int) -> Sample:
        """Reopen, with one read at the end so that nothing is put off."""
        stage.engine.close()
        key = stage.key_list([0])
        start = perf_counter_ns()
        stage.engine.open()
        stage.loop("keys", stage.engine.get)(stage.given(keys=key))
        return Sample(1, perf_counter_ns() - start)


WORKLOADS: dict[str, type[Workload]] = {
    workload.name: workload
    for workload in (
        FillSequential,
        FillRandom,
        Overwrite,
        ReadRandom,
        ReadHot,
        SetHot,
        ReadMissing,
        ReadModifyWrite,
        Delete,
        Scan,
        Open,
        GetMany,
        SetMany,
        FillMany,
        FillManySequential,
        Range,
    )
}
