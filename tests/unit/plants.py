"""Sound stores to plant a fault into, and the table of faults that test_check goes through.

A fault is a function that makes a store with it; `says` notes what check() must say of it, to the letter, the directory
of segments left out. The faults themselves: plants_index, plants_log, plants_counters.
"""

from collections.abc import Callable
from pathlib import Path

import oxidbm
from tests.unit import surgeon
from tests.unit.helpers import colliding_keys, disk_store, keys_of_a_bucket, push_to_disk
from tests.unit.surgeon import LINK

K0, K1, K2 = b"k0", b"k1", b"k2"
R0, R1, R2, COMMIT = 64, 104, 144, 184  # where the records of `three` and its commit record stand

Maker = Callable[[Path], oxidbm.Store]
FAULTS: list[tuple[Maker, list[str]]] = []


def says(*sentences: str) -> Callable[[Maker], Maker]:
    """Note a function that makes a store with a fault, and what check() says of it."""

    def note(maker: Maker) -> Maker:
        FAULTS.append((maker, list(sentences)))
        return maker

    return note


def three(path: Path) -> oxidbm.Store:
    """Return a store with three records of forty bytes in memory, not sealed."""
    store = disk_store(path)
    store.update({K0: b"value", K1: b"value", K2: b"value"})
    return store


def sealed(path: Path) -> oxidbm.Store:
    """As `three`, committed: sealed in memory, with a commit record behind them."""
    store = three(path)
    store.sync()
    return store


def on_disk(path: Path) -> oxidbm.Store:
    """As `sealed`, and read from the device."""
    store = three(path)
    push_to_disk(store)
    return store


def twice_on_disk(path: Path) -> oxidbm.Store:
    """As `on_disk`, with the same again on a second page; the keys are others."""
    store = on_disk(path)
    store.update({b"k3": b"value", b"k4": b"value", b"k5": b"value"})
    push_to_disk(store)
    return store


def overflowing(path: Path, count: int = 22) -> oxidbm.Store:
    """Return a store with a bucket of that many entries: three overflow buckets for 22."""
    store = disk_store(path)
    store.update(dict.fromkeys(keys_of_a_bucket(count), b""))
    return store


def the_bucket(store: oxidbm.Store) -> int:
    """Return the bucket of `overflowing`."""
    return surgeon.bucket_of(store, keys_of_a_bucket(1)[0])


def first_link(store: oxidbm.Store) -> int:
    """Return where the first overflow bucket of `overflowing` stands."""
    return surgeon.bucket_word(store, the_bucket(store), LINK)


def with_free(path: Path) -> oxidbm.Store:
    """Return a store with three overflow buckets, two of them free again."""
    store = overflowing(path)
    for key in keys_of_a_bucket(22)[8:]:
        del store[key]
    return store


def mixed_chain(path: Path) -> tuple[oxidbm.Store, bytes, bytes]:
    """Return a store with a record of one key on disk at 64, and, in front of it, one of a key with the same tag."""
    a, b, *_ = colliding_keys()
    store = disk_store(path)
    store[a] = b"1"
    push_to_disk(store)
    store[b] = b"2"
    assert len(store) == 2
    return store, a, b
