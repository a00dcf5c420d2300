"""faces: what each way into a store costs beside `Store[key]` of bytes, and what Python's other mappings cost."""

from __future__ import annotations

from bench.engines.oxidbm_store import OxidbmEngine
from bench.measures.base import Measure, Outcome, Settings
from bench.rounds import Case
from bench.workloads import FillMany, FillManySequential, GetMany, Overwrite, ReadHot, ReadRandom, SetHot, SetMany

SHORT_NS = 1_000_000
SHORT_TIMES = 10


class SingleCalls(OxidbmEngine):
    """A store without its batch calls, so that the workloads of batches make single ones."""

    name = "oxidbm, single calls"
    get_many = None
    set_many = set_many_ordered = None


class Faces(Measure):
    """The dbm face, batches and typed stores beside single operations; peers with Python's own interfaces."""

    name = "faces"
    summary = "oxidbm.open()[key], batches and typed stores beside Store's single calls, and the other mappings"

    MAPPINGS = ("dbm.sqlite3", "diskcache", "shelve", "sqlitedict", "dbm.gnu", "dbm.dumb", "semidbm")

    def run(self, settings: Settings) -> Outcome:
        """Hot keys first, then a large batch, then random reads and writes against the mappings."""
        outcome = Outcome()
        self.hot(settings, outcome)
        self.large_batch(settings, outcome)
        self.mappings(settings, outcome)
        return outcome

    def hot(self, settings: Settings, outcome: Outcome) -> None:
        """1,000 hot keys by the dbm face, in typed stores and in batches, each beside single calls of Store.

        The rounds are many and short: differences of some nanoseconds drown in what else a machine does in a long one.
        """
        text = Case(1000, seconds=settings.seconds, stretch_ns=SHORT_NS)
        numbers = Case(1000, 8, 8, seconds=settings.seconds, stretch_ns=SHORT_NS)
        for single, batch in ((ReadHot(), GetMany()), (SetHot(), SetMany())):
            results = [
                *settings.run(single, text, settings.pick("oxidbm", "oxidbm.open", "oxidbm-typed"), SHORT_TIMES),
                *settings.run(single, numbers, settings.pick("oxidbm", "oxidbm-int"), SHORT_TIMES),
                *settings.run(batch, text, [OxidbmEngine, SingleCalls], SHORT_TIMES),
            ]
            for result in results:
                result.workload += ", short rounds"  # they stand beside the longer ones of other measures
            outcome.results += results

    def large_batch(self, settings: Settings, outcome: Outcome) -> None:
        """A million pairs into an empty store in one call, beside lmdb's putmulti in one transaction."""
        case = Case(settings.count(1_000_000), seconds=settings.seconds)
        for workload in (FillMany(), FillManySequential()):
            outcome.results += settings.run(workload, case, settings.pick("oxidbm", "lmdb"))

    def mappings(self, settings: Settings, outcome: Outcome) -> None:
        """Random reads and overwrites against what else looks like a mapping."""
        case = Case(settings.count(100_000), seconds=settings.seconds)
        for workload in (ReadRandom(), Overwrite()):
            outcome.results += settings.run(workload, case, settings.pick("oxidbm", *self.MAPPINGS))
