"""What a walk stands on: a store, the state that it should have, and the states of the commits that it has made.

A walk does operations at random to a store on disk, with its seed as the one source of chance. It has no background
thread, but for durability "interval": there commits may be cut between any two writes, so each has several states that
it may be of. A commit's number is what ties a reader, a checkpoint or a recovery to a state.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path

from oxidbm import Checkpoint, Session, Store
from oxidbm._core.durability.checkpointer import PURGE
from oxidbm._core.table.compaction import Compaction
from tests.collisions import colliding_key
from tests.inside import checkpointer_of, disk_of, log_of
from tests.support import Durability, shrink
from tests.unit.helpers import SEED, STORE_ID, Clock, live_bytes, make_superblock

# groups of keys that share an index entry when one of them is written blindly, and how many are in each
SHAPES = ((12, 4), (2, 8), (40, 2), (60, 1), (6, 3), (6, 1))
SIZES = (0, 1, 8, 20, 30, 30, 60, 60, 90, 90, 400, 1500, 4000, 4100, 9000)
EXPIRING = 5
KEPT_MAX = 6
PAGES = (8, 12, 12, 24, 60)
MEMORIES = ("1MiB", "1MiB", "2MiB", "8MiB")
DURABILITIES: tuple[Durability, ...] = ("manual", "manual", "manual", "manual", "always", "interval")
WIDE = ("16MiB",)  # the memory of a store whose index takes an image several steps
BUCKETS_MAX = 5_000
BUCKETS_MAX_WIDE = 40_000

Items = dict[bytes, bytes]


@dataclass
class State:
    """What a store has at an instant: items, when keys of them expire, and how far the sessions are."""

    items: Items = field(default_factory=dict)
    expiries: dict[bytes, float] = field(default_factory=dict)
    serials: dict[str, int] = field(default_factory=dict)

    def copy(self) -> "State":
        """Return the same, to stay as it is."""
        return State(dict(self.items), dict(self.expiries), dict(self.serials))

    def expired(self, now: float) -> list[bytes]:
        """Return the keys whose time is over."""
        return [key for key, expiry in self.expiries.items() if expiry <= now]

    def living(self, now: float) -> Items:
        """Return the items that a look at the store finds."""
        items = dict(self.items)
        for key in self.expired(now):
            del items[key]
        return items


def verify(store: Store, states: list[State], now: float, what: str) -> State:
    """Hold an open store against the states that it may be in, and itself; return the one that it is in."""
    found = dict(store.items())
    serials = {known.name: known.serial for known in store.sessions() if known.serial}
    fitting = [state for state in states if state.living(now) == found and state.serials == serials]
    if not fitting:
        raise AssertionError(f"{what}: {difference(found, serials, states, now)}")
    state = fitting[-1]
    wanted = list(state.items)
    assert store.get_many(wanted) == [found.get(key) for key in wanted], what
    if store.ordered:
        assert list(store.range()) == sorted(found.items()), what
    if not state.expired(now):
        assert len(store) == len(found), (what, len(store), len(found))
        assert store.stats()["unverified"] == 0, what
        assert store.stats()["live_bytes"] == live_bytes(store), (what, store.stats()["live_bytes"], live_bytes(store))
    assert store.check() == [], (what, store.check())
    return state


def difference(found: Items, serials: dict[str, int], states: list[State], now: float) -> str:
    """Say in what a store differs from the last of the states that it may be in."""
    if not states:
        return "no commit has that number"
    items = states[-1].living(now)
    lost = sorted(items.keys() - found.keys())
    more = sorted(found.keys() - items.keys())
    other = sorted(key for key in found.keys() & items.keys() if found[key] != items[key])
    return f"lost {lost}, has besides {more}, differ {other}; sessions {serials} for {states[-1].serials}"


class WalkBase:
    """A store in a directory, and what is known of it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.path = directory / "store"
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.durability = self.chance.choice(DURABILITIES)
        self.shape = self.chance.choice(SHAPES)
        self.sizes = self.chance.sample(SIZES, 5)
        self.ordered = self.chance.choice([0.0, 0.0, 0.3, 1.0])  # how often
        wide = self.chance.random() < 0.15
        self.memories = WIDE if wide else MEMORIES
        self.buckets_max = BUCKETS_MAX_WIDE if wide else BUCKETS_MAX
        self.kept_max = self.chance.choice([0, KEPT_MAX, KEPT_MAX, KEPT_MAX])
        self.automatic = self.kept_max > 0 and self.chance.random() < 0.7  # without, each replay is of the whole log
        self.state = State()
        self.passed: list[State] = [State()]  # what a commit may be of that was cut since the last look
        self.commits: dict[int, list[State]] = {0: [State()]}
        self.lost: dict[int, list[State]] = {}  # of commits that are none any more, which a follower may still show
        self.kept: dict[str, Checkpoint] = {}
        self.begun: Checkpoint | None = None
        self.compaction: Compaction | None = None
        self.sessions: dict[str, Session] = {}
        self.written = 0
        (self.path / "log").mkdir(parents=True)
        make_superblock(self.path, STORE_ID, SEED)
        self.store = self.open()
        if wide:
            self.grow()
            self.grow()
        self.note()

    def alone(self) -> bool:
        """Return whether nothing happens but what the walk does."""
        return self.durability != "interval"

    def open(self, path: Path | None = None) -> Store:
        """Open the store to write, with other memory than before; or one at another path."""
        store = Store(
            path or self.path,
            memory=self.chance.choice(self.memories),
            durability=self.durability,
            interval=0.001,
            compaction=not self.alone(),
            mapped=self.chance.choice([None, None, True, False]),
            ordered=self.chance.random() < self.ordered,
            checkpoints=self.automatic and self.chance.random() < 0.8,
            clock=self.clock,
        )
        self.settled(store)
        return store

    def settled(self, store: Store) -> None:
        """Leave a store that was just opened a few pages, and no thread where the walk is to be alone."""
        if self.alone():
            disk_of(store).stop()
        shrink(store, self.chance.choice(PAGES))

    def changed(self, key: bytes, value: bytes | None, expiry: float | None = None) -> None:
        """Do to the state what the store did: None deletes."""
        self.state.expiries.pop(key, None)
        if value is None:
            self.state.items.pop(key, None)
        else:
            self.state.items[key] = value
            if expiry is not None:
                self.state.expiries[key] = expiry
        self.passing()

    def passing(self) -> None:
        """Take note of a state that a commit may have been cut at."""
        if not self.alone():
            self.passed.append(self.state.copy())

    def note(self) -> None:
        """Take note of the commits that were made since the last look."""
        if not self.store.closed:
            self.note_up_to(self.store.stats()["commit_sequence"])
            self.ended()

    def note_up_to(self, number: int) -> None:
        """Take note of the commits up to one that were made since the last look."""
        states = [self.state.copy()] if self.alone() else [*self.passed, self.state.copy()]
        while number not in self.commits:
            self.commits[number] = states
            number -= 1
        self.passed = states[-1:]

    def ended(self) -> None:
        """Take note of a checkpoint that has come to its end; from PURGE on it is listed, and may be purged."""
        begun = self.begun
        if begun is not None and checkpointer_of(self.store).phase == PURGE:
            checkpointer_of(self.store).advance()
        if begun is not None and begun.done():
            begun.result(0)
            self.keep(begun)
            self.begun = None

    def keep(self, made: Checkpoint) -> None:
        """Know a checkpoint, which is of the present state unless its commit is known."""
        self.commits.setdefault(made.commit, [self.state.copy()])
        self.kept[made.token] = made

    def lose_behind(self, number: int) -> None:
        """Forget the commits behind one that was come back to: the next ones have their numbers."""
        for later in [known for known in self.commits if known > number]:
            self.lost.setdefault(later, []).extend(self.commits.pop(later))

    def key(self) -> bytes:
        """Return one of the keys."""
        if self.chance.random() < 0.1:
            return self.chance.choice([b"", b"long" * 100, b"one", b"two"])
        return colliding_key(SEED, self.chance.randrange(self.shape[0]), self.chance.randrange(self.shape[1]))

    def value(self) -> bytes:
        """Return a value that was not there before, as far as its size allows."""
        self.written += 1
        size = self.chance.choice(self.sizes)
        text = b"%d." % self.written
        return (text * (size // len(text) + 1))[:size]

    def compare(self, what: str) -> None:
        """Hold the store against its state."""
        verify(self.store, [self.state], self.clock.now, what)

    def grow(self) -> None:
        """Double the index, beside the store's few pages."""
        if self.store.stats()["index_buckets"] < self.buckets_max:
            log_of(self.store).budget.limit = 1 << 30
            self.store.grow_index()
            shrink(self.store, self.chance.choice(PAGES))

    def finish_checkpoint(self) -> None:
        """Bring a checkpoint that is being made to its end."""
        checkpointer_of(self.store).finish()
        self.note()
