"""The history of a key: its versions newest first, when each was committed, and how far back they go."""

import random
from pathlib import Path

import pytest

import oxidbm
from oxidbm import KeyVersion
from oxidbm._core.durability.commit_chain import COMMITS_A_TURN, CommitTimes, last_commit
from tests.inside import disk_of, handle_of, log_of
from tests.support import PURE, scaled
from tests.unit.helpers import TIME, Clock, colliding_keys, disk_store, push_to_disk


def values(store: oxidbm.Store, key: bytes, *, scan: bool = False) -> list[bytes | None]:
    """Return the values of a key's versions, newest first; None for a deletion."""
    return [version.value for version in store.history(key, scan=scan)]


def times(store: oxidbm.Store, key: bytes, *, scan: bool = False) -> list[float | None]:
    """Return when a key's versions were committed, in seconds of the test's clock."""
    return [
        None if version.time is None else round(version.time - TIME, 3) for version in store.history(key, scan=scan)
    ]


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("scan", [False, True])
def test_versions_and_the_times_of_their_commits(tmp_path: Path, where: str, scan: bool) -> None:
    clock = Clock()
    with disk_store(tmp_path / "store", clock=clock) as store:
        for number in range(5):
            clock.now = TIME + number
            store[b"a"] = b"not in place %d" % number
            store[b"a"] = b"update of it %d" % number
            store[b"b"] = b"other"
            store.sync()
            clock.now += 0.5
            store[b"c"] = b"a commit without the key"
            store.sync()
        if where == "disk":
            push_to_disk(store)
        assert values(store, b"a", scan=scan) == [b"update of it %d" % number for number in range(4, -1, -1)]
        assert times(store, b"a", scan=scan) == [4, 3, 2, 1, 0]
        store[b"a"] = b"new"
        first = next(store.history(b"a", scan=scan))
        assert first == KeyVersion(log_of(store).tail - 40, None, b"new", False, 0)
        assert repr(first) == f"KeyVersion(address={first.address}, time=None, value=b'new', tombstone=False, expiry=0)"
        store.sync()
        assert times(store, b"a", scan=scan) == [4.5, 4, 3, 2, 1, 0]
        assert values(store, b"missing", scan=scan) == []


def test_a_deletion_ends_the_chain_and_a_scan_goes_on(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        for value in (b"1", b"2"):
            store[b"a"] = value
            store.sync()
        del store[b"a"]
        assert values(store, b"a") == []
        assert values(store, b"a", scan=True) == [None, b"2", b"1"]
        store[b"a"] = b"3"
        assert values(store, b"a") == [b"3"]
        assert [version.tombstone for version in store.history(b"a", scan=True)] == [False, True, False, False]
        store.sync()
    with disk_store(tmp_path / "store", read_only=True) as reader:
        assert values(reader, b"a", scan=True) == [b"3", None, b"2", b"1"]
        assert None not in times(reader, b"a", scan=True)


def test_a_deletion_that_the_index_leads_to_ends_the_chain_too(tmp_path: Path) -> None:
    """Where a key is written blindly its entry stays when it is deleted, and leads to what comes next."""
    with disk_store(tmp_path / "store") as store:
        store[b"a"] = b"1"
        push_to_disk(store)
        store[b"a"] = b"2"  # blindly
        store.sync()
        del store[b"a"]
        assert values(store, b"a") == []
        push_to_disk(store)
        store[b"a"] = b"3"
        assert values(store, b"a") == [b"3"]
        assert values(store, b"a", scan=True) == [b"3", None, b"2", b"1"]


def test_what_was_cleared_is_not_shown(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store[b"a"] = b"1"
        store.sync()
        store.clear()
        assert values(store, b"a", scan=True) == []
        store[b"a"] = b"2"
        store.sync()
        assert values(store, b"a", scan=True) == [b"2"]
    with disk_store(tmp_path / "store", read_only=True) as store:
        assert values(store, b"a", scan=True) == [b"2"]


def test_keys_that_share_a_chain_keep_their_versions_apart(tmp_path: Path) -> None:
    one, other, _, _ = colliding_keys()
    with disk_store(tmp_path / "store") as store:
        for number in range(4):
            store[one] = b"one %d" % number
            push_to_disk(store)
            store[other] = b"other %d" % number
            push_to_disk(store)
        expected = {
            key: [b"%s %d" % (name, number) for number in (3, 2, 1, 0)]
            for key, name in ((one, b"one"), (other, b"other"))
        }
        for key, wanted in expected.items():
            assert values(store, key) == wanted
            assert values(store, key, scan=True) == wanted


def test_sessions_and_commits_are_no_versions(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store, store.session("a") as session:
        session.upsert(b"a", b"1")
        session.commit()
        assert values(store, b"a", scan=True) == [b"1"]
        assert values(store, b"", scan=True) == []


def test_a_reader_of_a_history_keeps_its_files(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        for number in range(20):
            store[b"a"] = b"%d" % number * 300
            push_to_disk(store)
        history = store.history(b"a")
        assert next(history).value == b"19" * 300
        store.reorganize()
        assert [version.value for version in history] == [b"%d" % number * 300 for number in range(18, -1, -1)]
        assert values(store, b"a") == [b"19" * 300]
        assert handle_of(store).commits.log.epoch.readers() == 0


def test_a_history_that_is_left_is_no_reader_any_more(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store[b"a"] = b"1"
        history = store.history(b"a")
        assert log_of(store).epoch.readers() == 1
        history.close()
        assert log_of(store).epoch.readers() == 0
        assert list(history) == []
        history = store.history(b"a", scan=True)
        next(history)
        del history
        assert log_of(store).epoch.readers() == 0
    with pytest.raises(oxidbm.ClosedError):
        store.history(b"a")


def test_the_two_ways_to_a_commit_agree(tmp_path: Path) -> None:
    """Many commits behind a version, and many records between a version and its commit."""
    clock = Clock()
    chance = random.Random(8)
    with disk_store(tmp_path / "store", clock=clock) as store:
        written: list[tuple[int, float]] = []
        for number in range(scaled(600)):
            clock.now = TIME + number
            for _ in range(chance.choice((1, 2, 900 if number % 50 == 0 else 3))):
                store[b"%d" % chance.randrange(10**9)] = b"v"
            written.append((int(log_of(store).tail), clock.now))
            store[b"key"] = b"%d" % number
            if chance.random() < 0.05:
                store[b"filling"] = b"v" * 2000
            store.sync()
        push_to_disk(store)
        assert times(store, b"key") == [round(now - TIME, 3) for _, now in reversed(written)]
        for address, now in chance.sample(written, min(len(written), 40)):
            asked = CommitTimes(handle_of(store).commits)
            assert asked.time_ns(address) == int(now * 1e9)
        last = last_commit(handle_of(store).commits)
        assert last is not None
        assert last.end() == handle_of(store).commits.durable_tail
    assert len(written) > COMMITS_A_TURN or PURE


def test_a_store_in_memory_has_versions_without_times() -> None:
    with oxidbm.Store(key=str, value=int, memory="1MiB", page_size="4KiB") as store:
        store["a"] = 1
        store["a"] = 2**70
        store["b"] = 0
        for scan in (False, True):
            assert [(version.value, version.time) for version in store.history("a", scan=scan)] == [
                (2**70, None),
                (1, None),
            ]
        del store["a"]
        assert [version.value for version in store.history("a")] == []
        assert [version.value for version in store.history("a", scan=True)] == [None, 1]


def test_a_history_in_memory_ends_where_compaction_has_overtaken_it() -> None:
    with oxidbm.Store(memory="1MiB", page_size="4KiB") as store:
        for number in range(50):
            store[b"a"] = b"%d" % number * (number + 1)
        history = store.history(b"a")
        assert next(history).value == b"49" * 50
        store.reorganize()
        assert list(history) == []
        assert values(store, b"a") == [b"49" * 50]


def test_typed_values_expiry_and_a_value_that_no_codec_wrote(tmp_path: Path) -> None:
    clock = Clock()
    with oxidbm.Store(tmp_path / "s", key=str, value="json", clock=clock, durability="manual") as store:
        store.set("a", {"n": 1}, expire=1)
        store.sync()
        store.set("a", [2])
        clock.now += 10
        assert [(version.value, version.expiry) for version in store.history("a")] == [
            ([2], 0),
            ({"n": 1}, int((TIME + 1) * 1000)),
        ]
        with pytest.raises(TypeError):
            store.history(b"a")  # type: ignore[arg-type]
    with oxidbm.Store(tmp_path / "s", key=oxidbm.codecs.RAW, value=oxidbm.codecs.RAW, durability="manual") as raw:
        raw[b"a"] = b"{"
        raw.sync()
        raw[b"a"] = b"3"
    with oxidbm.Store(tmp_path / "s", key=str, value="json", durability="manual") as store:
        history = store.history("a")
        assert next(history).value == 3
        with pytest.raises(oxidbm.codecs.DecodeError):
            next(history)
        assert [version.value for version in history] == [[2], {"n": 1}]


def test_ordered_stores_and_their_compaction(tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "s", ordered=True, durability="manual", memory="1MiB", page_size="4KiB") as store:
        for number in range(100):
            store.update((b"%d" % key, b"%d" % number * 10) for key in range(30))
            store.sync()
        store.reorganize()
        assert disk_of(store).failure == ""
        assert values(store, b"7") == values(store, b"7", scan=True) == [b"99" * 10]
        assert store.check() == []
