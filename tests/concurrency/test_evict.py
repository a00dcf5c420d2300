"""evict(tag) beside writers, compaction, a limit of size and a second one, and where memory is full."""

import functools
import random
import threading
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from tests.inside import table_of
from tests.support import Manual, leave_memory, run, scaled
from tests.unit.helpers import PAGE_BYTES, Clock

SMALL: Manual = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual"}


def test_memory_that_is_full() -> None:
    """Records move with their pages while the budget is kept, and evict=True drops the oldest."""
    with Store(memory="1MiB", page_size=PAGE_BYTES, evict=True) as store:
        for number in range(scaled(20_000, least=6000)):
            store.set(b"%d" % (number % 3000), b"v" * 300, 1000 if number % 2 else None, tag=number % 3)
        held = list(store)
        wanted = [key for key in held if int(key) % 3 == 1]
        assert 0 < len(wanted) < 1000
        assert store.evict(1) == len(wanted)
        assert sorted(store) == sorted(set(held) - set(wanted))
        assert store.check() == []


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_size_limit_and_tags(place: str, tmp_path: Path) -> None:
    options: dict[str, Any] = dict(SMALL) if place == "disk" else {"memory": "4MiB", "page_size": PAGE_BYTES}
    with Store(tmp_path / "s" if place == "disk" else None, size_limit=100_000, **options) as store:
        if place == "disk":
            leave_memory(store, 20 * PAGE_BYTES)
        for number in range(3000):
            store.set(b"%d" % number, b"v" * 50, tag=number % 2)
        held = {int(key) for key in store}
        assert store.evict(0) == sum(number % 2 == 0 for number in held)
        assert {int(key) for key in store} == {number for number in held if number % 2}
        assert store.check() == []


@pytest.mark.parametrize("policy", ["least-recently-stored", "second-chance"])
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_the_limit_is_kept_beside_many_writers(place: str, policy: Any, tmp_path: Path) -> None:
    """Each waits for the one that evicts: else they write faster than it drops, and memory is full in the end."""
    limit = 4 << 20
    with Store(
        tmp_path / "s" if place == "disk" else None,
        memory="4MiB" if place == "disk" else "8MiB", page_size=65_536, size_limit=limit, eviction_policy=policy,
    ) as store:  # fmt: skip
        worst = [0] * 6

        def write(which: int) -> None:
            for number in range(scaled(400, least=60)):
                store[b"%d %d" % (which, number)] = bytes(20_000)
                store.get(b"%d %d" % (which, number // 2))
                worst[which] = max(worst[which], table_of(store).live_bytes)

        run(*(functools.partial(write, which) for which in range(len(worst))))
        assert max(worst) <= limit + 6 * 21_000 + (limit >> 4)
        assert store.stats()["live_bytes"] <= limit
        assert store.check() == []


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_beside_writers_and_compaction(place: str, tmp_path: Path) -> None:
    """Keys that have the tag all the time go, and those that never have it stay, whatever moves meanwhile."""
    options: dict[str, Any] = {"memory": "8MiB", "page_size": PAGE_BYTES}
    with Store(tmp_path / "s" if place == "disk" else None, **options) as store:
        if place == "disk":
            leave_memory(store, 40 * PAGE_BYTES)
        count = scaled(3000, least=500)
        stop = threading.Event()

        def fill(turn: int) -> None:
            for number in range(count):
                store.set(b"stays %d" % number, b"%d" % turn * 20, tag="other")
                store.set(b"goes %d" % number, b"%d" % turn * 20, 1000 if number % 2 else None, tag="a")

        def rewrite() -> None:
            chance = random.Random(3)
            while not stop.is_set():
                number = b"%d" % chance.randrange(count)
                store.set(b"stays " + number, chance.randbytes(chance.randrange(100)), tag="other")
                store.touch(b"goes " + number, chance.choice([None, 1000]))
                store[b"busy " + number] = chance.randbytes(30)
                store.set(b"back and forth " + number, b"x", tag="a")
                store[b"back and forth " + number] = b"y"

        def compact() -> None:
            while not stop.is_set():
                store.reorganize()

        def evict() -> None:
            try:
                for turn in range(4):
                    fill(turn)
                    assert count <= store.evict("a") <= 2 * count
                    assert not any(key.startswith(b"goes") for key in store)
            finally:
                stop.set()

        run(rewrite, compact, evict)
        assert store.check() == []
        store.evict("a")
        assert {key for key in store if key.startswith(b"stays")} == {b"stays %d" % number for number in range(count)}
        assert len(store) == len(list(store))


def test_beside_another_that_evicts() -> None:
    with Store() as store:
        store.set_many({b"%d" % number: b"v" for number in range(20_000)}, tag="a")
        found: list[int] = []
        run(*[lambda: found.append(store.evict("a"))] * 3)
        assert sum(found) == 20_000
        assert len(store) == 0


def test_closed_and_cleared_meanwhile() -> None:
    store = Store()
    store.set_many({b"%d" % number: b"v" for number in range(1000)}, tag="a")
    store.clear()
    assert store.evict("a") == 0
    store.close()
    with pytest.raises(oxidbm.ClosedError):
        store.evict("a")
    with pytest.raises(oxidbm.ClosedError):
        store.set("a", "v", tag="a")


class Stopping(Clock):
    """A clock that a user's Ctrl-C hits, some calls from now."""

    left = -1

    def __call__(self) -> float:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().__call__()


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_one_that_is_interrupted(place: str, tmp_path: Path) -> None:
    """What it deleted stays deleted, another goes on, and nothing holds up the space."""
    clock = Stopping()
    with Store(tmp_path / "s" if place == "disk" else None, page_size=PAGE_BYTES, memory="4MiB", clock=clock) as store:
        store.set_many({b"%d" % number: b"v" for number in range(3000)}, expire=1000, tag="a")
        clock.left = 4  # once for each slice
        with pytest.raises(KeyboardInterrupt):
            store.evict("a")
        assert 0 < len(store) < 3000
        assert table_of(store).walks == []
        left = len(store)
        assert store.evict("a") == left
        store.reorganize()
        assert store.stats()["tail"] - store.stats()["begin"] < 4 * PAGE_BYTES
        assert store.check() == []
