"""What makes and gives up memory, many times over, in small stores: for a process whose malloc shows use after free.

`python -m tests.fault.memory_stress DIRECTORY SEED ROUNDS` prints `done` at its end. Each round runs every phase; what
it reads is compared with a dict where one thread writes.
"""

import contextlib
import itertools
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import oxidbm
from tests.support import run

SIZES: Final = ((4096, "1MiB"), (16384, "1MiB"), (65536, "2MiB"), (262144, "4MiB"))


def some_value(chance: random.Random, page: int) -> bytes:
    """Return a value: most are short, some take a page or a run of pages."""
    size = chance.choice((0, 7, 30, 100, 300, 900, page // 3, page + 100 if chance.random() < 0.2 else 50))
    return bytes([chance.randrange(256)]) * size


def batches_beside_a_growing_index(chance: random.Random, path: Path) -> None:
    """Batches make several frames ready at once, and the index takes their memory away again."""
    page, memory = chance.choice(SIZES)
    expected: dict[bytes, bytes] = {}
    with oxidbm.Store(path, memory=memory, page_size=page, durability="manual") as store:
        for turn in range(chance.randrange(2, 8)):
            with store.batch() as batch:
                for number in range(chance.randrange(10, 60)):
                    key = b"%d/%d" % (turn, number)
                    batch[key] = expected[key] = b"w" * chance.choice((900, 3000))
            for number in range(chance.randrange(3000)):
                key = b"s%d/%d" % (turn, number)
                store[key] = expected[key] = b"v" * chance.randrange(60)
        assert all(store[key] == value for key, value in expected.items())
    with oxidbm.Store(path, memory=memory, read_only=True) as store:
        assert len(store) == len(expected)


def open_close_and_read_what_is_closed(chance: random.Random, path: Path) -> None:
    """Iterators, views, sessions and batches outlive their store, and are used."""
    for _ in range(6):
        page, _ = chance.choice(SIZES)
        store = oxidbm.Store(path, memory="4MiB", page_size=page, durability="manual", ordered=chance.random() < 0.5)
        store.update((b"%d" % number, some_value(chance, page)) for number in range(300))
        kept: list[Any] = [iter(store), iter(store.items()), store.scan(live=False), iter(store.values())]
        if store.ordered:
            kept += [store.range(b"1", b"5"), store.prefix(b"1", reverse=True)]
        for iterator in kept:
            list(itertools.islice(iterator, chance.randrange(20)))
        session, batch = store.session("kept"), store.batch()
        session.upsert(b"by session", b"1")
        with contextlib.suppress(oxidbm.error):
            store.check()
        store.close()
        for iterator in kept:
            with contextlib.suppress(oxidbm.ClosedError):
                list(iterator)
        with contextlib.suppress(oxidbm.ClosedError):
            session.upsert(b"a", b"")
        with contextlib.suppress(oxidbm.ClosedError), batch:
            batch[b"a"] = b""
        with contextlib.suppress(oxidbm.ClosedError):
            store[b"1"]


def evict(chance: random.Random, path: Path) -> None:
    """A cache in memory drops its oldest pages while iterators stand in them."""
    page, memory = chance.choice(SIZES[:3])
    store = oxidbm.Store(memory=memory, page_size=page, evict=True)
    iterators = []
    for number in range(4000):
        store[b"%d" % chance.randrange(3000)] = some_value(chance, page)
        if number % 97 == 0:
            iterators.append(iter(store.items()))
            for iterator in iterators:
                next(iterator, None)
            iterators = iterators[-5:]
        if number % 500 == 0:
            store.set(b"expiring", b"1", expire=0.001)
            store.clear()
    store.close()


def compact(chance: random.Random, path: Path) -> None:
    """Overwrite, delete, reorganize and limit the size of a store on disk."""
    page, memory = chance.choice(SIZES)
    with oxidbm.Store(path, memory=memory, page_size=page, durability="manual", size_limit="1MiB") as store:
        for number in range(3000):
            store[b"%d" % chance.randrange(400)] = some_value(chance, page)
            if number % 7 == 0:
                store.pop(b"%d" % chance.randrange(400), None)
            if number % 900 == 899:
                store.sync()
                store.reorganize()
        assert store.check() == []


def threads(chance: random.Random, path: Path) -> None:
    """Threads write, read, iterate, batch and commit one store until the main one closes it under them."""
    page, memory = chance.choice(SIZES)
    store: Any = oxidbm.Store(path, memory=memory, page_size=page, interval=0.01)
    stop = threading.Event()

    def worker(own: random.Random, body: Callable[[random.Random], object]) -> Callable[[], None]:
        def work() -> None:
            with contextlib.suppress(oxidbm.ClosedError):
                while not stop.is_set():
                    body(own)

        return work

    def write(own: random.Random) -> None:
        store[b"%d" % own.randrange(500)] = some_value(own, page)
        store.get(b"%d" % own.randrange(500))

    def walk(own: random.Random) -> None:
        for _ in itertools.islice(store.items(), own.randrange(300)):
            pass

    def together(own: random.Random) -> None:
        with store.batch() as batch:
            for number in range(own.randrange(30)):
                batch[b"batch %d" % number] = some_value(own, page)
        store.sync()

    def close() -> None:
        stop.wait(0.15)
        stop.set()
        store.close()

    bodies = (write, write, walk, together)
    run(*(worker(random.Random(chance.random()), body) for body in bodies), close)


PHASES: Final = (batches_beside_a_growing_index, open_close_and_read_what_is_closed, evict, compact, threads)


def main(directory: Path, seed: int, rounds: int) -> None:
    """Run all phases so many times."""
    chance = random.Random(seed)
    for turn in range(rounds):
        for phase in PHASES:
            phase(chance, directory / f"{phase.__name__} {turn}")
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
