"""Warming: after an opening with a checkpoint, pages come back into memory as they are read."""

from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.log.warm import WARM_READS, warm
from tests.inside import checkpointer_of, disk_of, log_of
from tests.unit.helpers import PAGE_BYTES, disk_store

KEYS = 400


def filled(path: Path, size: int = 40) -> dict[bytes, bytes]:
    """Make a store of many pages, with a checkpoint at its end, and return what is in it."""
    model = {b"%d" % number: b"%d" % number * size for number in range(KEYS)}
    with disk_store(path) as store:
        store.update(model)
        store.checkpoint()
    return model


def warm_all(store: oxidbm.Store) -> int:
    """Bring back all that can be, and return how many pages that were."""
    disk_of(store).stop()
    pages = 0
    while warm(log_of(store)):
        pages += 1
    return pages


@pytest.mark.parametrize("read_only", [False, True])
def test_all_comes_back_where_there_is_room(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "store"
    model = filled(path)
    with disk_store(path, memory="8MiB", read_only=read_only, read_cache=False) as store:
        log = log_of(store)
        assert log.head == log.tail
        assert store[b"5"] == model[b"5"]
        while log.head > log.begin:
            before = log.head
            log.cold_reads = WARM_READS
            first = next(iter(store))
            assert store[first] == model[first]
            assert log.head < before
            assert dict(store.items()) == model
            assert store.check() == []
        assert not warm(log)
        assert {key: store[key] for key in model} == model


def test_writing_goes_on_in_the_page_that_came_back(tmp_path: Path) -> None:
    path = tmp_path / "store"
    model = filled(path)
    for turn in range(4):
        with disk_store(path, memory="8MiB") as store:
            if turn % 2:
                store[b"before"] = model[b"before"] = b"%d" % turn
            assert warm_all(store) > 10
            store[b"after"] = model[b"after"] = b"%d" % turn
            store.update({b"%d" % number: b"new" for number in range(0, KEYS, 7)})
            model.update({b"%d" % number: b"new" for number in range(0, KEYS, 7)})
            assert dict(store.items()) == model
            assert store.check() == []
            store.checkpoint()
        with disk_store(path) as store:
            assert dict(store.items()) == model


def test_no_more_than_the_budget_has(tmp_path: Path) -> None:
    path = tmp_path / "store"
    model = filled(path, 800)
    with disk_store(path) as store:  # of one MiB, a quarter of which is the index
        log = log_of(store)
        assert 10 < warm_all(store) < len(model) * 2000 // PAGE_BYTES
        assert log.head > log.begin
        assert log.frames.in_use() << log.page_bits <= log.mutable_bytes()
        store.update(model)
        assert dict(store.items()) == model
        assert store.check() == []


def test_a_damaged_page_stays_out(tmp_path: Path) -> None:
    path = tmp_path / "store"
    filled(path)
    (segment,) = (path / "log").iterdir()
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    with disk_store(path, memory="8MiB") as store:
        pages = warm_all(store)
        assert 0 < pages < len(data) // PAGE_BYTES
        assert not warm(log_of(store))
        assert len(store.check()) == 1
        with pytest.raises(oxidbm.CorruptionError, match="checksum"):
            list(store.items())


def test_records_larger_than_a_page_stay_out(tmp_path: Path) -> None:
    path = tmp_path / "store"
    model = filled(path)
    with disk_store(path, memory="8MiB") as store:
        store[b"large"] = model[b"large"] = bytes(3 * PAGE_BYTES)
        store[b"small"] = model[b"small"] = b"value"
        store.checkpoint()
    with disk_store(path, memory="8MiB") as store:
        assert warm_all(store) == 1
        assert dict(store.items()) == model
        assert store.check() == []


def test_beside_a_checkpoint_that_is_being_made(tmp_path: Path) -> None:
    path = tmp_path / "store"
    model = filled(path)
    with disk_store(path, memory="8MiB") as store:
        disk_of(store).stop()
        store[b"new"] = model[b"new"] = b"value"
        made = checkpointer_of(store).request("fold-over", None)
        checkpointer_of(store).advance()
        assert warm_all(store) > 10
        checkpointer_of(store).finish()
    with disk_store(path, read_only=True, checkpoint=made.token) as store:
        assert dict(store.items()) == model


def test_the_background_does_it_for_writers(tmp_path: Path) -> None:
    path = tmp_path / "store"
    model = filled(path)
    with disk_store(path, memory="8MiB", durability="interval", interval=0.01) as store:
        log = log_of(store)
        store.update(dict.fromkeys(model, b"new"))
        disk_of(store).call()
        while log.head > log.begin:
            log.cold_reads = max(log.cold_reads, 256)
            store[b"0"]
        assert dict(store.items()) == dict.fromkeys(model, b"new")
        assert store.check() == []
