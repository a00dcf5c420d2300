"""Threads: no lost update, no torn value, steady iteration, one sync for many, a cache that stays in its budget."""

import random
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import oxidbm
from oxidbm import Store
from oxidbm.testing import CrashDevice
from tests.inside import abandon
from tests.support import Small, leave_memory, run, scaled

THREADS = 4
PAGE_BYTES = 4096
SMALL: Small = {"memory": "1MiB", "page_size": PAGE_BYTES}


@pytest.fixture(params=["memory", "files", "pread", "own device"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store on each device, with memory for a few pages, and a check at the end."""
    if request.param == "memory":
        opened = Store(memory="16MiB", page_size=PAGE_BYTES)
    else:
        device = CrashDevice(PAGE_BYTES) if request.param == "own device" else None
        opened = Store(
            tmp_path / "store", device=device, mapped=request.param != "pread", interval=0.02, compaction=False, **SMALL
        )
        leave_memory(opened, 16 * PAGE_BYTES)
    with opened:
        yield opened
        assert opened.check() == []


def sealed(number: int) -> bytes:
    """Return a value that carries its own checksum, of a length of its own."""
    body = b"%d;" % number * (1 + number * 7919 % 400)
    return zlib.crc32(body).to_bytes(4, "little") + body


def number_of(value: bytes) -> int:
    """Return the number in a value; a torn one fails."""
    assert zlib.crc32(value[4:]).to_bytes(4, "little") == value[:4], "torn value"
    return int(value[4 : value.index(b";", 4)])


def churn(store: Store, prefix: bytes, count: int) -> None:
    """Write other keys, so that the log moves on."""
    for i in range(count):
        store[prefix + b"%d" % (i % 50)] = bytes(i * 37 % 2000)


def test_no_update_is_lost(store: Store) -> None:
    rounds = scaled(1500, least=60)
    keys = [b"counter%d" % i for i in range(7)]

    def count() -> None:
        with store.session() as session:
            for i in range(rounds):
                session.rmw(keys[i % len(keys)], lambda old: b"%d" % (int(old) + 1), b"1")

    run(*[count] * THREADS, lambda: churn(store, b"churn", rounds))
    assert sum(int(store[key]) for key in keys) == rounds * THREADS
    for i, key in enumerate(keys):
        assert int(store[key]) == THREADS * len(range(i, rounds, len(keys)))


def test_update_is_not_lost_when_the_function_waits(store: Store) -> None:
    store[b"key"] = b"0"

    def slow(old: bytes) -> bytes:
        time.sleep(0.0005)
        return b"%d" % (int(old) + 1)

    def count() -> None:
        with store.session() as session:
            for _ in range(10):
                session.rmw(b"key", slow)

    run(*[count] * THREADS)
    assert store[b"key"] == b"%d" % (10 * THREADS)


def test_no_value_is_torn(store: Store) -> None:
    rounds = scaled(3000, least=100)
    keys = [b"key%d" % i for i in range(40)]
    store.update({key: sealed(0) for key in keys})
    done = threading.Event()

    def write() -> None:
        chance = random.Random(threading.get_ident())
        for i in range(rounds):
            store[chance.choice(keys)] = sealed(i)

    def read() -> None:
        chance = random.Random(threading.get_ident())
        while not done.is_set():
            number_of(store[chance.choice(keys)])
            for value in store.values():
                number_of(value)

    def write_all() -> None:
        try:
            run(*[write] * 2)
        finally:
            done.set()

    run(write_all, read, read)


def test_reader_sees_what_was_written_before(store: Store) -> None:
    """One key is written in rising order; whoever reads it never sees it fall."""
    rounds = scaled(4000, least=150)
    store[b"clock"] = sealed(0)
    done = threading.Event()

    def write() -> None:
        try:
            for i in range(rounds):
                store[b"clock"] = sealed(i)
                store[b"other%d" % (i % 64)] = bytes(500)
        finally:
            done.set()

    def read() -> None:
        last = 0
        while not done.is_set():
            now = number_of(store[b"clock"])
            assert now >= last
            last = now

    run(write, read, read)


def test_iteration_during_writes(store: Store) -> None:
    """Keys that stay are yielded once each, new ones not at all; see oxidbm/_core/store/iterator.py."""
    steady = {b"steady%d" % i: sealed(i) for i in range(60)}
    store.update(steady)
    done = threading.Event()

    def change() -> None:
        try:
            for i in range(scaled(2000, least=100)):
                store[b"steady%d" % (i % 60)] = sealed(i)
                store[b"new%d" % (i % 30)] = sealed(i)
                store.pop(b"new%d" % (i * 7 % 30), None)
        finally:
            done.set()

    def iterate() -> None:
        while not done.is_set():
            seen = [key for key, value in store.items() if number_of(value) >= 0]
            assert len(seen) == len(set(seen))
            assert steady.keys() <= set(seen)

    run(change, iterate)
    assert steady.keys() <= set(store)


def test_compaction_under_load(store: Store) -> None:
    rounds = scaled(1500, least=60)
    done = threading.Event()

    def write(part: int) -> None:
        for i in range(rounds):
            key = b"%d/%d" % (part, i % 40)
            if i % 11 == 5:
                store.pop(key, None)
            else:
                store[key] = sealed(i)

    def compact() -> None:
        while not done.is_set():
            store.reorganize()

    def read() -> None:
        while not done.is_set():
            for part in range(2):
                for i in range(40):
                    value = store.get(b"%d/%d" % (part, i))
                    assert value is None or number_of(value) % 40 == i

    def write_all() -> None:
        try:
            run(lambda: write(0), lambda: write(1))
        finally:
            done.set()

    run(write_all, compact, read)
    expected = {}
    for part in range(2):
        for i in range(rounds):
            expected[b"%d/%d" % (part, i % 40)] = None if i % 11 == 5 else sealed(i)
    assert dict(store.items()) == {key: value for key, value in expected.items() if value is not None}
    assert len(store) == len(dict(store.items()))


@pytest.mark.compiled_only("writes tens of megabytes")
def test_background_compaction_gives_space_back(tmp_path: Path) -> None:
    """Two hundred megabytes are written over ten; the thread keeps the files near that."""
    with Store(tmp_path / "store", memory="8MiB", page_size="256KiB") as store:

        def write(part: int) -> None:
            for i in range(25_000):
                store[b"%d/%d" % (part, i % 1000)] = b"%d;" % i * 800

        run(lambda: write(0), lambda: write(1))
        give_up = time.monotonic() + 300
        while True:
            stats = store.stats()
            done = stats["compactions"] > 0 and stats["file_bytes"] <= 64 << 20
            if done or stats["maintenance_failure"] or time.monotonic() > give_up:
                break
            time.sleep(0.05)
        assert stats["compactions"] > 0
        assert stats["maintenance_failure"] == ""
        assert stats["file_bytes"] <= 64 << 20
        for part in range(2):
            for i in range(24_000, 25_000):
                assert store[b"%d/%d" % (part, i % 1000)].startswith(b"%d;" % i)
        assert len(store) == 2000
        assert store.check() == []


def test_waiting_threads_share_a_sync(tmp_path: Path) -> None:
    """During the first sync the other threads write too; they wait for one more, and not for seven."""
    opened: list[Store] = []

    class CountingDevice(CrashDevice):
        syncs = 0

        def sync(self) -> None:
            self.syncs += 1
            give_up = time.monotonic() + 300
            while self.syncs == 1 and opened[0].stats()["keys"] < 8 and time.monotonic() < give_up:
                time.sleep(0.001)
            super().sync()

    device = CountingDevice(PAGE_BYTES)
    rounds = 20
    with Store(tmp_path / "store", device=device, durability="always", **SMALL) as store:
        opened.append(store)

        def write(part: int) -> None:
            for i in range(rounds):
                store[b"%d/%d" % (part, i)] = b"value"

        run(*[lambda part=part: write(part) for part in range(8)])
        assert device.syncs <= 8 * rounds - 6  # how many more are shared is up to the scheduler
        abandon(store)
    with Store(tmp_path / "store", device=device.crash(), **SMALL) as store:
        assert len(store) == 8 * rounds


def test_a_commit_is_one_instant_of_all_sessions(tmp_path: Path) -> None:
    """A session's number and what its last operation stored fit in what each commit holds, also when room is short."""
    path = tmp_path / "store"
    store = Store(path, interval=0.001, compaction=False, **SMALL)
    leave_memory(store, 16 * PAGE_BYTES)
    done = threading.Event()

    def use(number: int) -> None:
        sessions = [store.session(f"{number}.{i:0200d}") for i in range(30)]
        for turn in range(scaled(60, least=5)):
            for session in sessions:
                session.upsert(str(session.name), b"%d" % (session.serial + 1))
            for session in sessions[turn % 30 : turn % 30 + 3]:
                session.close()
                if turn % 3 == 0:
                    store.forget_session(str(session.name))
                    del store[str(session.name)]
            sessions = [store.session(session.name) if session.closed else session for session in sessions]

    def look() -> None:
        while not done.is_set():
            with Store(path, read_only=True, **SMALL) as reader:
                fits(reader)

    def work() -> None:
        try:
            run(*[lambda number=number: use(number) for number in range(THREADS)], lambda: churn(store, b"c", 1000))
        finally:
            done.set()

    run(work, look)
    assert store.check() == []
    abandon(store)
    with Store(path, **SMALL) as store:
        fits(store)
        assert store.check() == []


def fits(store: Store) -> None:
    """Assert that the last operation of each session stored the session's number under its name."""
    for known in store.sessions():
        assert store[known.name] == b"%d" % known.serial


def test_cache_under_threads() -> None:
    rounds = scaled(6000, least=900)
    with Store(memory="1MiB", page_size=PAGE_BYTES, evict=True) as store:

        def use(part: int) -> None:
            for i in range(rounds):
                store[b"%d/%d" % (part, i)] = sealed(i)
                value = store.get(b"%d/%d" % (part, i * 7919 % (i + 1)))
                assert value is None or number_of(value) == i * 7919 % (i + 1)

        run(*[lambda part=part: use(part) for part in range(THREADS)])
        assert store.stats()["memory_bytes"] <= 1 << 20
        assert 0 < len(store) < rounds * THREADS
        assert len(store) == len(dict(store.items()))
        assert store.check() == []


@pytest.mark.parametrize("attempt", range(scaled(10, least=2)))
def test_close_under_load(attempt: int, tmp_path: Path) -> None:
    """Whoever comes after close() is told so; what had returned before is there."""
    store = Store(tmp_path / "store", **SMALL)
    returned: list[dict[bytes, bytes]] = [{} for _ in range(THREADS)]
    started = threading.Barrier(THREADS + 1)

    def write(part: int) -> None:
        started.wait()
        with pytest.raises(oxidbm.ClosedError):  # noqa: PT012
            for i in range(10**9):
                key, value = b"%d/%d" % (part, i % 500), sealed(i)
                store[key] = value
                returned[part][key] = value

    def close() -> None:
        started.wait()
        time.sleep(0.002 * attempt)
        store.close()

    run(close, *[lambda part=part: write(part) for part in range(THREADS)])
    with Store(tmp_path / "store", **SMALL) as again:
        assert again.check() == []
        for mine in returned:
            for key, value in mine.items():
                assert number_of(again[key]) >= number_of(value)
