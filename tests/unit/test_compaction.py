"""Compaction: space comes back, nothing live is lost, readers inside keep what they read."""

import errno
import os
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.table.compaction import Compaction
from tests.inside import abandon, disk_of, handle_of, log_of, table_of
from tests.support import Free, make_room, scaled
from tests.unit.helpers import disk_store, push_to_disk


def overwrite(store: oxidbm.Store, turns: int, keys: int = 50) -> dict[bytes, bytes]:
    """Write the same keys again and again, each turn in pages of its own, and return what is live."""
    for turn in range(turns):
        for number in range(keys):
            store[b"%d" % number] = b"%d/%d" % (turn, number) * 10
        push_to_disk(store)
    return {b"%d" % number: b"%d/%d" % (turns - 1, number) * 10 for number in range(keys)}


def test_reorganize_gives_space_back(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        expected = overwrite(store, 6)
        before = store.stats()
        store.reorganize()
        after = store.stats()
        assert after["begin"] >= before["tail"] - 4096
        assert after["file_bytes"] < before["file_bytes"] / 3
        assert dict(store.items()) == expected
        assert store.check() == []
    with disk_store(path) as store:
        assert dict(store.items()) == expected
        assert len(store) == len(expected)
        assert store.check() == []


def test_reorganize_where_the_copies_would_fill_the_disk(tmp_path: Path, free: Free) -> None:
    """It says so before it begins: a write that fails would poison the store."""
    with disk_store(tmp_path / "store") as store:
        expected = overwrite(store, 6)
        live = store.stats()["live_bytes"]
        needed = live + live // 8 + 2 * 4096
        before = store.stats()
        free(needed - 1)
        with pytest.raises(OSError, match=f"some {needed} bytes.*has {needed - 1} bytes free") as refused:
            store.reorganize()
        assert refused.value.errno == errno.ENOSPC
        assert refused.value.filename == str(tmp_path / "store")
        assert store.stats()["file_bytes"] == before["file_bytes"]
        assert dict(store.items()) == expected
        expected[b"more"] = store[b"more"] = b"of it"
        free(1 << 30)
        store.reorganize()
        assert dict(store.items()) == expected
        assert store.stats()["file_bytes"] < before["file_bytes"] / 3
        assert store.check() == []


def test_reorganize_asks_the_disk_that_the_log_is_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may be another one than the directory's."""
    asked: list[os.stat_result] = []
    inside = os.statvfs

    def statvfs(place: str | int) -> os.statvfs_result:
        asked.append(os.stat(place))
        return inside(place)

    with disk_store(tmp_path / "store") as store:
        overwrite(store, 3)
    (tmp_path / "store" / "log").rename(tmp_path / "elsewhere")
    (tmp_path / "store" / "log").symlink_to(tmp_path / "elsewhere")
    with disk_store(tmp_path / "store") as store:
        monkeypatch.setattr(os, "statvfs", statvfs)
        store.reorganize()
        assert [os.path.samestat(one, (tmp_path / "elsewhere").stat()) for one in asked] == [True]
        assert store.check() == []


def test_tombstones_and_dead_keys_go(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        expected = overwrite(store, 2)
        for number in range(0, 50, 2):
            del store[b"%d" % number]
            del expected[b"%d" % number]
        push_to_disk(store)
        store.reorganize()
        assert {record.key: record.value for record in store.scan(live=False)} == expected
        assert len(store) == 25
        for key in expected:
            del store[key]
        store.reorganize()
        assert len(store) == 0
        assert list(store.scan(live=False)) == []
        assert store.check() == []
    with disk_store(tmp_path / "store") as store:
        assert len(store) == 0


def test_crash_in_the_middle(tmp_path: Path) -> None:
    """Copies at the tail and a begin that has not moved: nothing counts twice."""
    path = tmp_path / "store"
    store = disk_store(path)
    expected = overwrite(store, 3)
    compaction = Compaction(table_of(store), log_of(store).tail)
    for _ in range(5):
        assert compaction.slice(2000, False)
        make_room(store)
    store.sync()
    assert compaction.cursor.following < compaction.until
    abandon(store)
    with disk_store(path) as store:
        assert dict(store.items()) == expected
        assert len(store) == 50
        assert store.check() == []


def test_held_segments_stay_until_they_are_released(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        commits = handle_of(store).commits
        expected = overwrite(store, 6)
        held = store.stats()["file_bytes"]
        all_of_it = commits.holds.take(log_of(store).begin)
        nothing = commits.holds.take(log_of(store).tail)
        store.reorganize()
        assert store.stats()["file_bytes"] > held
        commits.release(nothing)
        assert store.stats()["file_bytes"] > held
        assert dict(store.items()) == expected
    with disk_store(path) as store:  # a hold ends with its process
        commits = handle_of(store).commits
        assert dict(store.items()) == expected
        assert store.check() == []
        commits.release(commits.holds.take(0))
        assert store.stats()["file_bytes"] < held / 3
        assert dict(store.items()) == expected
    with disk_store(path) as store:
        assert dict(store.items()) == expected
        commits = handle_of(store).commits
        commits.release(all_of_it)
        commits.release(all_of_it)


def test_readers_keep_their_segments(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        expected = overwrite(store, 4)
        items = iter(store.items())
        seen = dict([next(items)])
        store.reorganize()
        assert store.stats()["readers"] == 1
        assert len(list((path / "log").iterdir())) > 1, "the iterator may still read the old segments"
        seen.update(items)
        assert seen == expected
        log_of(store).epoch.drain()
        assert len(list((path / "log").iterdir())) == 1
        assert dict(store.items()) == expected


def test_updates_between_slices(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        expected = overwrite(store, 2)
        compaction = Compaction(table_of(store), log_of(store).tail)
        turn = 0
        while compaction.slice(1000, False):
            make_room(store)
            key = b"%d" % (turn * 7 % 50)
            if turn % 3 == 0:
                store.pop(key, None)
                expected.pop(key, None)
            else:
                store[key] = expected[key] = b"turn %d" % turn
            turn += 1
        assert turn > 3
        assert len(store) == len(expected)
        handle_of(store).commits.move_begin(compaction.until)
        assert dict(store.items()) == expected
        assert store.check() == []
    with disk_store(tmp_path / "store") as store:
        assert dict(store.items()) == expected


def test_background_compaction_keeps_files_small(tmp_path: Path) -> None:
    count = scaled(40_000, least=1_000)
    with disk_store(tmp_path / "store", compaction=True) as store:
        for turn in range(12):
            for number in range(count):
                store[b"%d" % (number % 2000)] = b"%06d" % turn * 20
        store.sync()
        assert len(store) == min(count, 2000)
        assert store.stats()["maintenance_failure"] == ""
        assert store.check() == []


@pytest.mark.parametrize("evict", [False, True])
def test_in_memory(evict: bool) -> None:
    turns = scaled(40_000, least=20_000)
    with oxidbm.Store(memory="2MiB", page_size=4096, evict=evict) as store:
        for turn in range(turns):
            store[b"%d" % (turn % 1000)] = b"v" * (turn % 90)
        assert store.stats()["memory_bytes"] <= 2 << 20
        assert len(store) == 1000
        last = {b"%d" % (turn % 1000): b"v" * (turn % 90) for turn in range(turns)}
        assert dict(store.items()) == last
        assert store.check() == []


def test_full_memory_raises_and_keeps_everything() -> None:
    with oxidbm.Store(memory="1MiB", page_size=4096) as store:
        count = 0
        with pytest.raises(oxidbm.FullError, match="evict=True"):  # noqa: PT012
            while True:
                store[b"%d" % count] = bytes(1000)
                count += 1
        assert len(store) == count
        assert store.check() == []
        del store[b"0"]
        for number in range(1, 40):
            del store[b"%d" % number]
        store[b"room"] = bytes(1000)
        assert len(store) == count - 39


def test_eviction_drops_the_oldest() -> None:
    with oxidbm.Store(memory="1MiB", page_size=4096, evict=True) as store:
        for number in range(3000):
            store[b"%d" % number] = bytes(1000)
        assert 100 < len(store) < 1000
        assert b"2999" in store
        assert b"0" not in store
        assert store.stats()["memory_bytes"] <= 1 << 20
        assert store.check() == []


@pytest.mark.parametrize("runs", range(4))
def test_a_run_leaves_the_page_that_compaction_needs(runs: int) -> None:
    """A store in memory that is full of dead records has room for others, however runs have divided its budget."""
    with oxidbm.Store(memory="1MiB", page_size=4096) as store:
        for number in range(runs):
            store[b"run %d" % number] = bytes(4100)
        keys = [b"%d" % number for number in range(1000)]
        with pytest.raises(oxidbm.FullError):
            store.update(dict.fromkeys(keys, bytes(3000)))
        for key in keys[1:]:
            store.pop(key, None)
        store[b"another run"] = bytes(4100)
        for key in keys[:20]:
            store[key] = bytes(3500)
        assert len(store) == runs + 21
        assert store.check() == []


def test_an_index_that_grew_into_the_budget_does_not_keep_compaction_from_making_room() -> None:
    with oxidbm.Store(memory="1MiB", page_size=4096) as store:
        keys = [b"%d" % number for number in range(3000)]
        with pytest.raises(oxidbm.FullError):
            store.update(dict.fromkeys(keys, bytes(500)))
        held = list(store)
        for number, key in enumerate(held):
            if number % 100:
                del store[key]
        table_of(store).index.split_one()
        for key in keys[:100]:
            store[key] = bytes(900)
        assert dict(store) == {**dict.fromkeys(held[::100], bytes(500)), **dict.fromkeys(keys[:100], bytes(900))}
        assert store.check() == []


def test_there_is_no_target_before_the_first_flush(tmp_path: Path) -> None:
    """A segment ends where the device holds something; with nothing on it, the search once went on for ever."""
    with oxidbm.Store(tmp_path / "store", durability="manual") as store:
        store[b"key"] = b"value"
        table = table_of(store)
        live = table.live_bytes
        table.live_bytes = -(64 << 20)  # as though so much of the log were dead
        assert table.log.device.size() == 0
        assert disk_of(store).compactor.target(loaded=False) == 0
        table.live_bytes = live
