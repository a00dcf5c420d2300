"""An index that has outgrown the memory budget is said once, with the numbers, where somebody listens."""

import threading
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.budget import INDEX
from oxidbm._core.store.over_budget import BEYOND
from tests.inside import disk_of, log_of
from tests.unit.helpers import disk_store

LIMIT = 1 << 20


def outgrow(store: oxidbm.Store, size: int) -> None:
    """Have the index say that it takes so many bytes."""
    log_of(store).budget.hold(INDEX, size)


def test_it_is_said_once_by_a_write(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store[b"a"] = b"1"
        outgrow(store, LIMIT + BEYOND)
        disk_of(store).step()
        outgrow(store, LIMIT + BEYOND + 8)
        said = f"takes {LIMIT + BEYOND + 8:,} bytes for 1 keys, and memory= is {LIMIT:,}:.* memory= of {35_651_600:,} "
        with pytest.warns(oxidbm.BudgetWarning, match=said):
            disk_of(store).step()
        disk_of(store).step()  # a second one would be raised
        assert store[b"a"] == b"1"


def test_the_background_says_nothing(tmp_path: Path) -> None:
    """Nobody listens to it; the next write says it."""
    with disk_store(tmp_path / "store") as store:
        disk = disk_of(store)
        outgrow(store, 2 * BEYOND)
        disk.over_budget.say(threading.get_ident())
        with pytest.warns(oxidbm.BudgetWarning):
            disk.over_budget.say(0)


@pytest.mark.compiled_only("over a million keys")
def test_it_is_said_by_an_opening(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with oxidbm.Store(path, memory="64MiB", page_size="4KiB", durability="manual") as store:
        store.update((b"%d" % number, b"value") for number in range(1_300_000))
        assert store.stats()["index_bytes"] > LIMIT + BEYOND
    for read_only in (True, False):
        with pytest.warns(oxidbm.BudgetWarning, match="bytes for 1,.* keys"):
            store = oxidbm.Store(path, memory=LIMIT, read_only=read_only)
        assert len(store) == 1_300_000
        store.close()
        oxidbm.Store(path, memory="64MiB", read_only=read_only).close()
        with pytest.raises(oxidbm.BudgetWarning):  # as the suite's filter has it: the store is not left open
            oxidbm.Store(path, memory=LIMIT, read_only=read_only)
    oxidbm.Store(path, memory="64MiB").close()
