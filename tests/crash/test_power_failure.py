"""A power failure at every write, sync, rename and deletion of a scenario: what was durable is there, and nothing torn.

One run records the scenario (tests/crash/disk.py). Then, for the state after each event, the store is opened on what is
left: with nothing that was not synced, with all of it, and with parts of it. It must hold one of the states that the
writer had between its last durable one and the moment of the failure.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from oxidbm import Session, Store
from oxidbm._core.device.segment import SURPLUS_BYTES
from oxidbm._core.log.flush import flush_to, seal_to
from tests.crash.disk import Directory, Disk, Entry, File, Platter
from tests.inside import abandon, begin_compaction, compactor_of, handle_of, log_of
from tests.support import PURE, leave_memory, make_room, soaked

PAGE_BYTES = 4096
MEMORY = "1MiB"
RECOVERIES = 40
VARIANTS = ((None, 0.0), (None, 1.0), (0.5, 0.5), (0.9, 0.9))

State = dict[bytes, bytes]
SESSION_KEY = b"session "  # with a name behind it, the key of a state for a session's serial number


def clock() -> float:
    """Return a time that stands still."""
    return 1000.0


def open_store(path: Path, **more: Any) -> Store:
    """Open a store that does nothing of itself."""
    given = {"memory": MEMORY, "page_size": PAGE_BYTES, "durability": "manual", "compaction": False, "clock": clock}
    return Store(path, **{**given, **more})


def ttl_of(key: bytes) -> bytes:
    """Return under which name a state has when a key expires."""
    return b"ttl of " + key


def held_by(store: Store) -> State:
    """Return what a store holds: values, when keys expire, and sessions' numbers."""
    found = dict(store.items())
    lasting = {ttl_of(key): store.ttl(key) for key in found}
    numbers = {SESSION_KEY + known.name.encode(): b"%d" % known.serial for known in store.sessions()}
    return {**found, **{name: b"%d" % round(ttl) for name, ttl in lasting.items() if ttl is not None}, **numbers}


class Story(Protocol):
    """What keeps a writer's notes, in between of what happens to the disk."""

    def note(self, *words: Any) -> None: ...


class Writer:
    """A store, the states it went through, and notes of them in the story."""

    def __init__(self, disk: Story, path: Path) -> None:
        self.disk = disk
        self.path = path
        self.states: list[State] = [{}]
        self.more: dict[str, Any] = {}
        self.store = self.open()

    def open(self) -> Store:
        """Open the store with memory for a few pages."""
        store = open_store(self.path, **self.more)
        leave_memory(store, 8 * PAGE_BYTES)
        return store

    def change(self, **pairs: bytes | None) -> None:
        """Set and delete, key by key."""
        for name, value in pairs.items():
            key = name.encode()
            state = dict(self.states[-1])
            if value is None:
                state.pop(key)
            else:
                state[key] = value
            self.began(state)
            if value is None:
                del self.store[key]
            else:
                self.store[key] = value

    def session(self, name: str, count: int) -> None:
        """Do some operations in a session: each changes its number and its key in one step."""
        with self.store.session(name) as session:
            for _ in range(count):
                key = f"last of {name[:8]}".encode()
                value = b"%d" % (session.serial + 1)
                self.began({**self.states[-1], key: value, SESSION_KEY + name.encode(): value})
                session.upsert(key, value)
        self.durable()

    def use(self, session: Session, count: int) -> None:
        """Do some operations that change nothing in a session that is left open."""
        for _ in range(count):
            self.began({**self.states[-1], SESSION_KEY + str(session.name).encode(): b"%d" % (session.serial + 1)})
            session.delete(b"not there")

    def forget(self, name: str) -> None:
        """Forget a session."""
        state = dict(self.states[-1])
        del state[SESSION_KEY + name.encode()]
        self.began(state)
        assert self.store.forget_session(name)

    def batch(self, **pairs: bytes | None) -> None:
        """Set and delete in one batch: there is no state in between."""
        state = dict(self.states[-1])
        for name, value in pairs.items():
            if value is None:
                state.pop(name.encode())
            else:
                state[name.encode()] = value
        self.began(state)
        with self.store.batch() as batch:
            for name, value in pairs.items():
                if value is None:
                    batch.delete(name)
                else:
                    batch[name] = value

    def expiring(self, name: str, value: bytes, seconds: int) -> None:
        """Set a key that expires."""
        self.began({**self.states[-1], name.encode(): value, ttl_of(name.encode()): b"%d" % seconds})
        self.store.set(name, value, expire=seconds)

    def limited(self, name: str, value: bytes) -> None:
        """Set a key in a store with a limit of size, which may delete older ones; no commit comes between the two."""
        self.store[name] = value
        self.began(held_by(self.store))

    def began(self, state: State) -> None:
        """Note a state that may be found from now on."""
        self.states.append(state)
        self.disk.note("began", len(self.states) - 1)

    def clear(self) -> None:
        """Clear the store; its sessions stay."""
        self.began({key: value for key, value in self.states[-1].items() if key.startswith(SESSION_KEY)})
        self.store.clear()

    def durable(self) -> None:
        """Note that the present state must be found from now on."""
        self.disk.note("durable", len(self.states) - 1)

    def sync(self) -> None:
        """Make the present state durable."""
        self.store.sync()
        self.durable()

    def close(self) -> None:
        """Close, and open again."""
        self.store.close()
        self.durable()
        self.store = self.open()
        assert held_by(self.store) == self.states[-1]

    def fill(self, count: int, size: int) -> None:
        """Write so much that pages leave memory."""
        self.change(**{f"fill{i}": b"%d" % i * (size // 2) for i in range(count)})


def creation_and_close(w: Writer) -> None:
    """A new store, some changes, clean ends between them."""
    w.change(a=b"1", b=b"2" * 3000)
    w.sync()
    w.change(a=b"11", b=None, c=b"3" * 5000)
    w.close()
    w.close()
    w.change(a=b"111")
    w.close()
    w.change(d=b"4")


def never_synced(w: Writer) -> None:
    """Pages are written, and no commit is ever made."""
    w.change(first=b"larger than a page" * 400)
    w.fill(20, 2000)


def small_commits(w: Writer) -> None:
    """The file is made longer ahead of its data, and cut where a segment ends and when the store is closed."""
    for number in range(4):
        w.change(a=b"%d" % number, b=bytes(8 * number))  # it ends in zeros, as what is behind it
        w.sync()
    log_of(w.store).device.roll()
    w.fill(3, 2500)
    w.sync()
    w.change(a=None, c=b"1")
    w.sync()
    w.close()
    w.change(c=b"2")
    w.sync()
    w.change(c=b"3")
    w.sync()


def blind_updates(w: Writer) -> None:
    """Updates of keys that have left memory, flushed without a commit, then committed."""
    w.fill(12, 3000)
    w.sync()
    w.fill(12, 2000)
    w.change(**{f"fill{i}": None for i in range(4)})
    w.sync()
    w.fill(14, 1000)


def compaction(w: Writer) -> None:
    """Segments are cut, compacted in slices and deleted."""
    for size in (1500, 2500, 900):
        w.fill(8, size)
        w.sync()
        log_of(w.store).device.roll()
    log = log_of(w.store)
    job = begin_compaction(w.store, log.device.segment_end(log.begin))
    while job.slice(2000, False):
        make_room(w.store)
    compactor_of(w.store).finish(job)
    w.durable()
    w.change(fill1=None, after=b"x" * 700)
    w.close()
    w.store.reorganize()
    w.durable()
    w.change(fill2=b"last")
    w.sync()


def clearing(w: Writer) -> None:
    """The store is cleared, alone and with changes, and reorganized."""
    w.fill(6, 1500)
    w.sync()
    w.clear()
    w.sync()
    w.change(a=b"1")
    w.clear()
    w.change(b=b"2" * 2000, c=b"3")
    w.sync()
    w.store.reorganize()
    w.durable()
    w.clear()
    w.close()
    w.change(d=b"4")


def killed_before_the_sync(w: Writer) -> None:
    """The process dies between write and sync; the next one sees the commit and says that it is durable."""
    w.change(a=b"1")
    w.sync()
    w.change(a=b"2", b=b"3" * 1000)
    commits = handle_of(w.store).commits
    assert commits.cut() > 0
    seal_to(commits.log, commits.end)
    flush_to(commits.log, commits.end)
    abandon(w.store)
    w.store = w.open()
    assert held_by(w.store) == w.states[-1]
    w.sync()
    w.change(c=b"4")
    w.close()


def batches(w: Writer) -> None:
    """Batches larger than the memory that is free, over records in memory and on disk, with commits between them."""
    for turn in range(5):
        w.batch(**{f"key{i}": b"%d" % turn * (400 + 300 * (i % 4)) for i in range(8)})
        w.batch(large=b"%d" % turn * 6000, **{f"key{i}": None for i in range(turn)})
        if turn % 2:
            w.sync()
        w.change(**{f"fill{i}": b"%d" % i * 1200 for i in range(4)})
        w.batch(**{f"fill{i}": None for i in range(4)}, large=None, last=b"%d" % turn)
    w.close()
    w.batch(key7=b"after")


def sessions(w: Writer) -> None:
    """Sessions come and go, are compacted, cleared and forgotten; the second one's name takes a run of pages."""
    w.session("one", 2)
    w.session("larger than a page" * 300, 1)
    w.fill(6, 1500)
    w.sync()
    log_of(w.store).device.roll()
    held = w.store.session("held")
    w.use(held, 3)
    w.session("one", 1)
    w.store.reorganize()
    w.durable()
    w.use(held, 1)
    w.clear()
    w.use(held, 1)
    w.sync()
    w.forget("one")
    w.fill(12, 2000)
    w.session("one", 1)
    held.close()
    w.close()
    w.forget("larger than a page" * 300)
    w.forget("held")
    w.store.reorganize()
    w.durable()
    w.session("two", 2)


def expiring(w: Writer) -> None:
    """Keys that expire come, are renewed, lose that and go, in memory and on disk."""
    for turn in range(3):
        for i in range(6):
            w.expiring(f"e{i}", b"%d" % turn * (500 + 300 * i), 100 + turn)
        w.sync()
        w.fill(10, 1500)
        w.expiring("e0", b"renewed %d" % turn, 500 + turn)
        if turn == 1:
            w.close()
            w.store.reorganize()
            w.durable()
    w.sync()


def limited(w: Writer) -> None:
    """A limit of size takes the oldest keys away."""
    w.more = {"size_limit": "12KiB"}
    w.close()
    for turn in range(4):
        for i in range(9):
            w.limited(f"key{i * (turn + 1)}", b"%d" % turn * (900 + 200 * i))
            if i % 4 == 3:
                w.sync()
        w.close()


def in_order(w: Writer) -> None:
    """An ordered store, with everything that changes its keys."""
    w.more = {"ordered": True}
    w.close()
    w.fill(9, 2500)
    w.sync()
    w.change(fill3=None, a=b"1", z=b"2" * 5000)
    w.batch(fill4=None, b=b"3", fill5=b"4" * 100)
    w.sync()
    w.clear()
    w.change(c=b"5")
    w.close()


def runs(w: Writer) -> None:
    """Records larger than a page, updated, copied by a compaction and deleted."""
    for turn in range(3):
        w.change(**{f"run{i}": b"%d" % turn * (4000 + 3000 * i) for i in range(3)})
        w.change(small=b"%d" % turn)
        w.sync()
    w.change(run1=None)
    w.store.reorganize()
    w.durable()
    w.change(run1=b"again" * 2000, run2=b"now small")
    w.close()


SCENARIOS = [
    creation_and_close, never_synced, blind_updates, batches, compaction, clearing, killed_before_the_sync, expiring,
    limited, in_order, runs, sessions, small_commits,
]  # fmt: skip


def record(scenario: Callable[[Writer], None], root: Path) -> tuple[Disk, list[State]]:
    """Run a scenario and return its story and its states."""
    disk = Disk(root)
    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        writer = Writer(disk, root / "store")
        try:
            scenario(writer)
        finally:
            abandon(writer.store)
    return disk, writer.states


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_power_failure_anywhere(scenario: Callable[[Writer], None], tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    disk, states = record(scenario, root)
    platter = Platter(str(root))
    least = most = 0
    for number, event in enumerate(disk.events):
        match event:
            case ("note", "began", index):
                most = index
                continue
            case ("note", "durable", index):
                least = index
        platter.apply(event)
        for variant, (chance, keep) in enumerate(VARIANTS):
            if PURE and (number + variant) % 7:
                continue
            left = tmp_path / "left"
            platter.restore(left, random.Random(number) if chance else None, keep)
            found = contents(left / "store", least)
            shutil.rmtree(left)
            assert found in states[least : most + 1], f"after event {number}, {event[:2]}, keeping {keep} of the rest"
    assert least > 0 or scenario is never_synced


def test_files_are_made_longer_and_cut(tmp_path: Path) -> None:
    """Else no state above would have anything behind its data."""
    root = tmp_path / "disk"
    root.mkdir()
    disk, _ = record(small_commits, root)
    sizes = [event[2] for event in disk.events if event[0] == "write" and event[3] is None]
    assert sizes.count(SURPLUS_BYTES) == 3
    assert sum(0 < size < SURPLUS_BYTES for size in sizes) == 2


def contents(path: Path, least: int) -> State:
    """Open what a failure left, twice: it is sound, can be written, and the second opening sees that."""
    if least == 0 and not path.exists():
        return {}
    with open_store(path, ordered=True) as store:
        found = held_by(store)
        count = len(store)
        assert list(store.range()) == sorted(store.items())
        assert store.check() == []
        store[b"written after"] = b"the failure"
    with open_store(path) as store:
        assert held_by(store) == {**found, b"written after": b"the failure"}
        assert len(store) == count + 1
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [blind_updates, batches, compaction, clearing, runs, sessions, small_commits],
    ids=lambda one: one.__name__,
)
def test_power_failure_during_recovery(scenario: Callable[[Writer], None], tmp_path: Path) -> None:
    """A second failure while the first one's rest is cut off loses nothing more."""
    root = tmp_path / "disk"
    root.mkdir()
    disk, states = record(scenario, root)
    every = max(1, len(disk.events) // soaked(RECOVERIES, RECOVERIES)) * (8 if PURE else 1)
    platter = Platter(str(root))
    for number, event in enumerate(disk.events):
        platter.apply(event)
        if number % every:
            continue
        again = tmp_path / f"again{number}"
        again.mkdir()
        first = Disk(again)
        platter.restore(again, random.Random(number), 0.7)
        if not (again / "store").exists():
            continue
        with pytest.MonkeyPatch.context() as patch:
            second = Platter(str(again))
            adopt(first, second, again)
            first.install(patch)
            store = open_store(again / "store")
            found = held_by(store)
            abandon(store)
        assert found in states
        for step, happened in enumerate(first.events):
            second.apply(happened)
            left = tmp_path / "left"
            second.restore(left, random.Random(step), 0.5)
            assert contents(left / "store", 1) == found
            shutil.rmtree(left)


def adopt(disk: Disk, platter: Platter, root: Path) -> None:
    """Take the files that are there as durable."""
    for directory in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        entries: dict[str, Entry] = {}
        for path in directory.iterdir():
            if path.is_dir():
                entries[path.name] = str(path)
            else:
                disk.count += 1
                disk.files[str(path)] = disk.count
                platter.files[disk.count] = File(path.read_bytes())
                entries[path.name] = disk.count
        platter.directories[str(directory)] = Directory(entries)
