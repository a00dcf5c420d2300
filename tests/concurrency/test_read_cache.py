"""The read cache beside everything: readers and writers of colliding keys, growth, compaction, eviction, close."""

import random
import threading
from pathlib import Path

import pytest

import oxidbm
from oxidbm import Store
from tests.collisions import colliding_key
from tests.inside import table_of
from tests.support import run, scaled

PAGE_BYTES = 4096
KEYS = 40


def opened(path: Path) -> Store:
    """Open a store with small pages and little memory."""
    return Store(path, memory="1MiB", page_size=PAGE_BYTES, interval=0.01)


def value_of(number: int, version: int) -> bytes:
    """Return a value that says whose it is, of which version, in a length of its own."""
    return b"%d %d " % (number, version) + bytes((number * 31 + version * 7) % 300)


def version_in(value: bytes, number: int) -> int:
    """Return which version a value is; one of another key, or a torn one, fails."""
    whose, version, _ = value.split(b" ", 2)
    assert int(whose) == number
    assert value == value_of(number, int(version))
    return int(version)


@pytest.mark.parametrize(("readers", "writers"), [(1, 1), (2, 2), (6, 2), (3, 0), (2, 1)])
def test_no_reader_ever_sees_an_older_value_again(tmp_path: Path, readers: int, writers: int) -> None:
    """Nor a torn one, nor another key's: chains of keys of one bucket and tag, on disk, copied, replaced, deleted."""
    with opened(tmp_path / "store") as store:
        seed = table_of(store).seed
        keys = [colliding_key(seed, number % 4, number // 4) for number in range(KEYS)]
        versions = [0] * KEYS  # of what was written for certain
        store.update({key: value_of(number, 0) for number, key in enumerate(keys)})
        store.update({b"other %d" % number: bytes(300) for number in range(5000)})
        store.sync()
        over = threading.Event()

        def read(first: int) -> None:
            chance = random.Random(first)
            seen = [0] * KEYS
            for _ in range(scaled(6_000, 300)):
                number = int(chance.random() ** 2 * KEYS)
                least = max(versions[number], seen[number])
                value = store.get(keys[number])
                assert value is not None
                seen[number] = version_in(value, number)
                assert seen[number] >= least

        def write(nth: int) -> None:
            chance = random.Random(-nth)
            while not over.is_set():
                number = chance.randrange(nth, KEYS, writers)
                version = versions[number] + 1
                store[keys[number]] = value_of(number, version)
                versions[number] = version
                store[b"filler %d" % chance.randrange(400)] = bytes(chance.randrange(2000))

        def disturb() -> None:
            chance = random.Random(99)
            while not over.is_set():
                what = chance.randrange(6)
                if what == 0:
                    store.reorganize()
                elif what == 1 and table_of(store).index.low_mask < 1 << 12:
                    store.grow_index()
                elif what == 2:
                    cache = table_of(store).read_cache
                    if cache is not None:
                        cache.drop_page()
                elif what == 3:
                    assert len(dict(store.items())) >= KEYS
                else:
                    store.sync()
                over.wait(0.005)

        def reading() -> None:
            try:
                run(*[lambda first=first: read(first) for first in range(readers)])
            finally:
                over.set()

        run(reading, disturb, *[lambda nth=nth: write(nth) for nth in range(writers)])
        for number, key in enumerate(keys):
            assert version_in(store[key], number) == versions[number]
        assert store.check() == []


def test_clear_and_close_beside_readers(tmp_path: Path) -> None:
    for _ in range(scaled(20, 3)):
        store = opened(tmp_path / "store")
        store.clear()
        store.update({b"%d" % number: b"%d" % number * 40 for number in range(5000)})
        store.sync()
        reading = threading.Barrier(4)

        def read(first: int, store: Store = store, reading: threading.Barrier = reading) -> None:
            chance = random.Random(first)
            try:
                for number in range(10**6):
                    key = b"%d" % (int(chance.random() ** 3 * 5000))
                    value = store.get(key)
                    assert value is None or value == key * 40
                    if number == 400:
                        reading.wait()
            except oxidbm.ClosedError:
                pass

        def end(store: Store = store, reading: threading.Barrier = reading) -> None:
            reading.wait()
            store.clear()
            store.update({b"%d" % number: b"%d" % number * 40 for number in range(3000)})
            store.close()

        run(end, *[lambda first=first: read(first) for first in range(3)])


@pytest.mark.parametrize("follow", [None, 0.002])
def test_a_reader_that_moves_on_never_goes_back(tmp_path: Path, follow: float | None) -> None:
    """Its copies are of the log that it stood on, also where the writer has begun that anew."""
    path = tmp_path / "store"
    with opened(path) as store:
        store.update({b"filler %d" % number: bytes(300) for number in range(3000)})
        store.update({b"%d" % number: value_of(number, 0) for number in range(KEYS)})
        store.sync()
        with Store(path, read_only=True, memory="1MiB", follow=follow) as reader:
            over = threading.Event()

            def write() -> None:
                for version in range(1, scaled(60, 8)):
                    store.update({b"%d" % number: value_of(number, version) for number in range(KEYS)})
                    store.sync()
                    if version % 20 == 0:
                        store.reorganize()
                over.set()

            def read() -> None:
                seen = [0] * KEYS
                while not over.is_set():
                    for number in range(KEYS):
                        version = version_in(reader[b"%d" % number], number)
                        assert version >= seen[number]
                        seen[number] = version
                    if follow is None:
                        reader.refresh()

            run(write, read, read)
