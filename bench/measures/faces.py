"""faces: what each way into a store costs beside `Store[key]` of bytes, and what Python's other mappings cost."""

from __future__ import annotations

from bench.engines.oxidbm_store import OxidbmEngine
from bench.measures.base import Figure, Measure, Outcome, Settings, ratio
from bench.rounds import Case, Result, Workload
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
    ASKED = MAPPINGS[:4]
    OVER_BYTES_AT_MOST_NS = 60.0

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
        pairs: tuple[tuple[str, Workload, Workload], ...] = (
            ("get", ReadHot(), GetMany()),
            ("set", SetHot(), SetMany()),
        )
        for operation, single, batch in pairs:
            own = settings.run(single, text, settings.pick("oxidbm", "oxidbm.open", "oxidbm-typed"), SHORT_TIMES)
            ints = settings.run(single, numbers, settings.pick("oxidbm", "oxidbm-int"), SHORT_TIMES)
            batches = settings.run(batch, text, [OxidbmEngine, SingleCalls], SHORT_TIMES)
            for result in own + ints + batches:
                result.workload += ", short rounds"  # they stand beside the longer ones of other measures
            outcome.results += own + ints + batches
            face = ratio(own, "oxidbm.open", "oxidbm")
            gain = ratio(batches, SingleCalls.name, "oxidbm")
            over = {"str": difference(own, "oxidbm-typed", "oxidbm"), "int": difference(ints, "oxidbm-int", "oxidbm")}
            outcome.figures += [
                self.figure(f"{operation} by oxidbm.open, cost / Store", face, "x", at_most=1.05),
                self.figure(f"{operation}_many, faster than single calls", gain, "x", at_least=1.5),
                *(
                    self.figure(f"{operation} {kind}, over bytes", beyond, "ns", at_most=self.OVER_BYTES_AT_MOST_NS)
                    for kind, beyond in over.items()
                ),
            ]

    def large_batch(self, settings: Settings, outcome: Outcome) -> None:
        """A million pairs into an empty store in one call, beside lmdb's putmulti in one transaction."""
        case = Case(settings.count(1_000_000), seconds=settings.seconds)
        fills: tuple[tuple[str, Workload], ...] = (("random", FillMany()), ("key", FillManySequential()))
        for order, workload in fills:
            results = settings.run(workload, case, settings.pick("oxidbm", "lmdb"))
            outcome.results += results
            label = f"set_many in {order} order, faster than lmdb putmulti"
            asked = 1.0 if order == "random" else None
            outcome.figures.append(self.figure(label, ratio(results, "lmdb", "oxidbm"), "x", at_least=asked))

    def mappings(self, settings: Settings, outcome: Outcome) -> None:
        """Random reads and overwrites against what else looks like a mapping."""
        case = Case(settings.count(100_000), seconds=settings.seconds)
        engines = settings.pick("oxidbm", *self.MAPPINGS)
        against: tuple[tuple[str, Workload, float], ...] = (("get", ReadRandom(), 10.0), ("set", Overwrite(), 20.0))
        for operation, workload, bound in against:
            results = settings.run(workload, case, engines)
            outcome.results += results
            outcome.figures += [self.against(operation, peer, bound, results) for peer in self.MAPPINGS]

    def against(self, operation: str, peer: str, bound: float, results: list[Result]) -> Figure:
        """How many times faster than a mapping; a bound for those that one was asked for."""
        label = f"{operation} 100 B, faster than {peer}"
        asked = bound if peer in self.ASKED else None
        return self.figure(label, ratio(results, peer, "oxidbm"), "x", at_least=asked)


def difference(results: list[Result], engine: str, base: str) -> float | None:
    """Median nanoseconds of one engine beyond another's, or None where either is missing."""
    medians = {result.engine: result.median_ns for result in results}
    return medians[engine] - medians[base] if engine in medians and base in medians else None
