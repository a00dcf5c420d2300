"""Steps of a walk with readers: several stay open over everything, and each shows the commit that it says it shows.

One was opened at the newest commit, a checkpoint's token, or to follow by itself; with much memory or little, ordered
or not. What it iterates stays with the commit at which that began, and is gone on with at any time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from oxidbm import Store
from tests.model.walk_base import Items, State, WalkBase, difference, verify
from tests.model.walk_instants import no_instants
from tests.support import shrink

READERS_MAX = 4
WALKS_MAX = 2


@dataclass(eq=False)
class Iteration:
    """An iteration over a reader's items, what it has yet to yield, and when it began."""

    source: Iterator[tuple[bytes, bytes]]
    left: Items
    began: float


@dataclass(eq=False)
class Reader:
    """A store opened to read, and the states that it may show."""

    store: Store
    how: str
    states: list[State] = field(default_factory=list)
    iterations: list[Iteration] = field(default_factory=list)

    def number(self) -> int:
        """Return the number of the commit that it says it stands at."""
        number: int = self.store.stats()["commit_sequence"]
        return number


class ReaderSteps(WalkBase):
    """With steps of readers."""

    def __init__(self, *arguments: Any) -> None:
        self.readers: list[Reader] = []
        self.seen: list[tuple[Reader, int, Items, float]] = []
        super().__init__(*arguments)

    def a_reader(self) -> Reader | None:
        """Return one of the readers."""
        return self.chance.choice(self.readers) if self.readers else None

    def states_of(self, number: int) -> list[State]:
        """Return the states that the commit of a number may be of."""
        states = self.commits.get(number)
        if states is not None:
            return states
        return [] if self.alone() else [*self.passed, self.state]  # cut in the background since the last look

    def open_reader(self) -> None:
        with no_instants():
            self.open_one()

    def open_one(self) -> None:
        """Open a reader, if there are not many yet."""
        if len(self.readers) < READERS_MAX:
            how = self.chance.choice(["newest", "newest", "small", "follow", "checkpoint"])
            made = self.chance.choice(list(self.kept.values())) if self.kept else None
            at = made if how == "checkpoint" and made is not None and made.kind != "index" else None
            store = Store(
                self.path,
                read_only=True,
                memory=self.chance.choice(self.memories),
                ordered=self.chance.random() < 0.3,
                checkpoint=None if at is None else at.token,
                follow=0.001 if how == "follow" else None,
                clock=self.clock,
            )
            if how == "small":
                shrink(store, 8)
            reader = Reader(store, how if at is None else f"at {at.token}")
            self.readers.append(reader)
            if at is None:
                self.look_up(reader)
            else:
                reader.states = self.states_of(at.commit)
                assert store.recovery.commit == reader.number() == at.commit
            self.hold(reader)

    def look_up(self, reader: Reader) -> None:
        """Know the states that a reader may show, by the number that it says."""
        number = reader.number()
        self.note()
        reader.states = self.states_of(number)
        durable = self.durable_at_least()
        assert reader.how == "follow" or number >= durable or not self.alone(), (number, durable)

    def durable_at_least(self) -> int:
        """Return which commit a reader that looks now sees at the least."""
        number: int = 0 if self.store.closed else self.store.stats()["durable_sequence"]
        return number

    def hold(self, reader: Reader) -> None:
        """Hold a reader against the commit that it shows."""
        if all(other is not reader for other, *_ in self.seen):  # else it is known later what it may show
            with no_instants():
                self.hold_now(reader)

    def hold_now(self, reader: Reader) -> None:
        """As `hold`; one that follows may move meanwhile, and is asked again."""
        if reader.how != "follow":
            verify(reader.store, reader.states, self.clock.now, f"reader {reader.how} {reader.number()}")
            return
        for _ in range(20):
            number = reader.number()
            found = dict(reader.store.items())
            if reader.number() == number:
                self.note()
                states = [*self.states_of(number), *self.lost.get(number, [])]
                assert any(state.living(self.clock.now) == found for state in states), f"follower {number}"
                return

    def refresh_reader(self) -> None:
        reader = self.a_reader()
        if reader is not None and not reader.how.startswith("at "):
            with no_instants():
                self.refresh(reader)

    def refresh_within(self) -> None:
        """Have a reader move in the middle of what is done to the store; what it shows is looked at afterwards."""
        reader = self.a_reader()
        if reader is not None and reader.how != "follow" and not reader.how.startswith("at "):
            reader.store.refresh()
            self.seen.append((reader, reader.number(), dict(reader.store.items()), self.clock.now))

    def look_at_seen(self) -> None:
        """Hold what readers have seen meanwhile against the commits, which are known by now."""
        seen = self.seen
        self.seen = []
        for reader, number, found, now in seen:
            states = [*self.states_of(number), *self.lost.get(number, [])]
            fitting = [state for state in states if state.living(now) == found]
            assert fitting, f"reader {reader.how} {number}: {difference(found, {}, states, now)}"
        for reader in {id(reader): reader for reader, *_ in seen}.values():
            if reader in self.readers:
                reader.states = [*self.states_of(reader.number()), *self.lost.get(reader.number(), [])]
                self.hold(reader)

    def refresh(self, reader: Reader) -> None:
        """Have a reader move, and look at what it shows."""
        before = reader.number()
        moved = reader.store.refresh()
        assert moved or reader.how == "follow" or reader.number() == before
        self.look_up(reader)
        assert not self.alone() or not reader.store.refresh()
        if reader.how == "small" and self.chance.random() < 0.5:
            shrink(reader.store, 8)
        self.hold(reader)

    def look_at_reader(self) -> None:
        reader = self.a_reader()
        if reader is not None:
            self.hold(reader)

    def read_some_of_reader(self) -> None:
        """Ask it for some keys, without reading all of the others into memory."""
        reader = self.a_reader()
        if reader is None or reader.how == "follow":
            return
        keys = [self.key() for _ in range(5)]
        found = reader.store.get_many(keys)
        living = [state.living(self.clock.now) for state in reader.states]
        assert any(found == [items.get(key) for key in keys] for items in living), f"reader {reader.how}"

    def begin_iteration(self) -> None:
        reader = self.a_reader()
        if reader is None or reader.how == "follow" or len(reader.iterations) == WALKS_MAX:
            return
        items = dict(reader.store.items())
        in_order = reader.store.ordered and self.chance.random() < 0.5
        source = reader.store.range() if in_order else iter(reader.store.items())
        reader.iterations.append(Iteration(source, items, self.clock.now))
        self.go_on(reader.iterations[-1], 1)

    def go_on(self, iteration: Iteration, steps: int) -> bool:
        """Take some steps; return whether there are more. What has expired meanwhile need not come."""
        for _ in range(steps):
            found = next(iteration.source, None)
            if found is None:
                left = iteration.left if iteration.began == self.clock.now else {}
                assert not left, f"an iteration of a reader has left out {sorted(left)}"
                return False
            assert iteration.left.pop(found[0]) == found[1]
        return True

    def go_on_iterating(self) -> None:
        reader = self.a_reader()
        if reader is not None and reader.iterations:
            iteration = self.chance.choice(reader.iterations)
            if not self.go_on(iteration, self.chance.choice([1, 5, 1000])):
                reader.iterations.remove(iteration)

    def history_of_reader(self) -> None:
        reader = self.a_reader()
        if reader is not None and reader.how != "follow":
            self.look_back(reader.store, reader.states)

    def look_back(self, store: Store, states: list[State]) -> None:
        """Read a key's versions: they go backwards, and the first is the key's value."""
        key = self.key()
        scan = self.chance.random() < 0.3
        versions = list(store.history(key, scan=scan))
        values = [state.items.get(key) for state in states]
        addresses = [version.address for version in versions]
        assert addresses == sorted(set(addresses), reverse=True)
        if versions and not scan:
            assert versions[0].value in values, (key, versions[0], values)
            assert not any(version.tombstone for version in versions)
        elif not versions:
            assert None in values, (key, values)

    def close_reader(self) -> None:
        reader = self.a_reader()
        if reader is not None:
            self.readers.remove(reader)
            reader.iterations.clear()
            reader.store.close()

    def close_readers(self) -> None:
        """End all of them."""
        while self.readers:
            self.close_reader()
