"""What unit tests share: tables with a fixed seed, stores whose pages are pushed to disk, keys that collide."""

import functools
from pathlib import Path
from typing import Unpack, cast

import oxidbm
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.budget import Budget
from oxidbm._core.counters import Counters
from oxidbm._core.device.device import NullDevice
from oxidbm._core.device.directory import Directory
from oxidbm._core.durability.superblock import Superblock, write_superblock
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import TAG_BITS
from oxidbm._core.index.hash_index import FIRST_BITS, HashIndex
from oxidbm._core.life import Life
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.store.maintainers import MemoryMaintainer
from oxidbm._core.store.size_limit import SizeLimit
from oxidbm._core.table.table import Table
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.inside import checkpointer_of, disk_of, handle_of, log_of
from tests.support import MoreOptions

SEED = 0x1234_5678_9ABC_DEF
STORE_ID = b"an id of 16 byte"
PAGE_BITS = 12
PAGE_BYTES = 1 << PAGE_BITS
HEADER = 24
TIME = 1_000_000.0


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = TIME

    def __call__(self) -> float:
        return self.now


def memory_table(*, memory: int = 1 << 20, evict: bool = False) -> Table:
    """Return a table that lives in memory, with small pages and the fixed seed."""
    budget = Budget(memory)
    log = HybridLog(NullDevice(FIRST_ADDRESS), Life(""), budget, PAGE_BITS, True)
    table = Table(log, HashIndex(0, budget), SEED, Clock())
    table.maintainer = MemoryMaintainer(table, SizeLimit(table, Counters(), 0), evict)
    return table


def make_superblock(path: Path, store_id: bytes, seed: int) -> None:
    """Write a superblock with small pages into a directory."""
    directory = Directory(str(path))
    write_superblock(directory, Superblock(store_id, seed, PAGE_BITS), 0o666)
    directory.close()


def disk_store(path: Path, **options: Unpack[MoreOptions]) -> oxidbm.Store:
    """Open a store with small pages and the fixed seed, in which nothing happens in the background; make it first."""
    if not path.exists():
        (path / "log").mkdir(parents=True)
        make_superblock(path, STORE_ID, SEED)
    given: MoreOptions = {"memory": "1MiB", "durability": "manual", "compaction": False, **options}
    return oxidbm.Store(path, **given)


class CountedReads(FaultyDevice):
    """Counts the bytes that are read, but for pieces of up to `least` bytes, such as single records."""

    def __init__(self, device: CrashDevice, least: int = 0) -> None:
        super().__init__(device)
        self.least = least
        self.bytes_read = 0

    def read(self, address: int, size: int) -> bytes:
        """As the device."""
        data = super().read(address, size)
        self.bytes_read += len(data) if size > self.least else 0
        return data


def push_to_disk(store: oxidbm.Store) -> None:
    """Commit, and take every page out of memory, so that what was written so far is read from the device."""
    log = log_of(store)
    store.sync()
    log.close_tail_page()
    while log.evict_page():
        pass
    assert log.head >= handle_of(store).commits.end


def begun(store: oxidbm.Store, kind: str = "fold-over") -> oxidbm.Checkpoint:
    """Return a checkpoint that is being made, by nobody but the caller."""
    disk_of(store).stop()
    return cast(oxidbm.Checkpoint, checkpointer_of(store).request(kind, None))


def steps_until(store: oxidbm.Store, phase: int) -> None:
    """Advance a checkpoint that is being made up to a phase."""
    checkpoints = checkpointer_of(store)
    while checkpoints.making() and checkpoints.phase < phase:
        checkpoints.advance()


def opened_at(path: Path, checkpoint: oxidbm.Checkpoint) -> dict[bytes, bytes]:
    """Return what a store holds at a checkpoint."""
    with disk_store(path, read_only=True, checkpoint=checkpoint.token) as store:
        assert store.recovery.commit == checkpoint.commit
        assert store.check() == []
        items = dict(store.items())
        assert len(store) == len(items)
        return items


def slot_hash(key: bytes) -> int:
    """Return what of a key's hash a small index tells keys apart by: its bucket and its tag."""
    return hash_key(key, SEED) & ((1 << (FIRST_BITS + TAG_BITS)) - 1)


@functools.cache
def colliding_keys() -> tuple[bytes, bytes, bytes, bytes]:
    """Return two pairs of keys, those of a pair with the same bucket and tag under the fixed seed. Found by search."""
    seen: dict[int, bytes] = {}
    found: list[bytes] = []
    number = 0
    while len(found) < 4:
        key = b"collision %d" % number
        other = seen.setdefault(slot_hash(key), key)
        if other != key:
            found += [other, key]
        number += 1
    return found[0], found[1], found[2], found[3]


@functools.cache
def keys_of_a_bucket(count: int) -> tuple[bytes, ...]:
    """Return so many keys of the same bucket of a small index under the fixed seed."""
    mask = (1 << FIRST_BITS) - 1
    wanted = hash_key(b"bucket 0", SEED) & mask
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        key = b"bucket %d" % number
        if hash_key(key, SEED) & mask == wanted:
            found.append(key)
        number += 1
    return tuple(found)


def value_filling(key: bytes, size: int) -> bytes:
    """Return a value that makes the record of a key `size` bytes long, a multiple of eight."""
    room = size - HEADER - ((len(key) + 7) & -8)
    return (b"%d;" % size * room)[:room]


def live_bytes(store: oxidbm.Store) -> int:
    """Return what the records that hold the store's live keys take of the log, by reading it."""
    live = {record.address for record in store.scan()}
    cursor = Cursor(log_of(store), store.stats()["begin"], store.stats()["tail"])
    total = 0
    while cursor.step():
        if cursor.address in live:
            total += log_of(store).footprint(cursor.size())
    return total
