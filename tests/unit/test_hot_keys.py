"""Iterating and scanning beside keys that change thousands of times: no record is read once for each other."""

from pathlib import Path

import pytest

import oxidbm
from tests.inside import log_of
from tests.support import scaled
from tests.unit.helpers import colliding_keys, disk_store, push_to_disk


def hot(store: oxidbm.Store, keys: list[bytes], turns: int, word: bytes) -> None:
    """Write keys again and again, each time in a record of its own on disk."""
    for turn in range(turns):
        for key in keys:
            store[key] = word + b"%d" % turn * 20
        push_to_disk(store)
    len(store)
    push_to_disk(store)


@pytest.mark.parametrize("alike", [False, True])
def test_an_iteration(tmp_path: Path, alike: bool) -> None:
    turns = scaled(400, 60)
    keys = list(colliding_keys())[:3] if alike else [b"a", b"b", b"c"]
    with disk_store(tmp_path / "store", read_cache=False) as store:
        store[b"first"] = b"value"
        hot(store, keys, turns, b"before")
        walk = iter(store.items())
        found = dict([next(walk)])
        hot(store, keys, turns, b"after")
        reads = log_of(store).cold_reads
        found.update(walk)
        assert log_of(store).cold_reads - reads < 40 * turns  # some of each chain for each key, and not for each record
        assert found == dict(store)
        assert found == {b"first": b"value"} | dict.fromkeys(keys, b"after" + b"%d" % (turns - 1) * 20)


def test_a_key_that_is_deleted_and_set_again_meanwhile(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store", read_cache=False) as store:
        hot(store, [b"hot", b"gone", b"back"], 40, b"before")
        walk = iter(store)
        first = next(walk)
        hot(store, [b"hot", b"gone", b"back"], 40, b"after")
        del store[b"gone"]
        del store[b"back"]
        push_to_disk(store)
        store[b"back"] = b"again"
        rest = [first, *walk]
        assert len(rest) == len(set(rest))
        assert b"hot" in rest
        assert b"gone" not in rest or first == b"gone"
        assert set(rest) <= {b"hot", b"gone", b"back"}


def test_a_scan_of_what_is_live(tmp_path: Path) -> None:
    turns = scaled(400, 60)
    with disk_store(tmp_path / "store", read_cache=False) as store:
        hot(store, [b"a", b"b"], turns, b"word")
        reads = log_of(store).cold_reads
        last = b"word" + b"%d" % (turns - 1) * 20
        assert [(record.key, record.value) for record in store.scan()] == [(b"a", last), (b"b", last)]
        assert log_of(store).cold_reads - reads < 10
