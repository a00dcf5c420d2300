"""What a dict does not have: scan, statistics, sizes as strings, named sessions over a crash, calls that refuse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from tests.inside import abandon
from tests.support import Manual

OPTIONS: Manual = {"memory": "1MiB", "page_size": 4096, "durability": "manual"}


@pytest.fixture(params=["memory", "disk", "larger than memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store with three versions of ten keys, one of them deleted, one larger than a page."""
    opened = Store(None if request.param == "memory" else tmp_path / "store", **(OPTIONS | {"memory": "2MiB"}))
    with opened:
        for version in range(3):
            for i in range(10):
                opened[b"key%d" % i] = b"%d" % version * (10 ** (version + 1) + i)
            opened.sync()
        opened[b"large"] = b"L" * 10_000
        del opened[b"key3"]
        opened.sync()
        if request.param == "larger than memory":
            for i in range(800):
                opened[b"filler"] = bytes(3500 + i)
        yield opened
        assert opened.closed or opened.check() == []


def test_scan_of_live_records_is_the_items(store: Store) -> None:
    records = list(store.scan())
    assert {record.key: record.value for record in records} == dict(store.items())
    assert len(records) == len(store)
    addresses = [record.address for record in records]
    assert addresses == sorted(set(addresses))
    assert not any(record.tombstone for record in records)
    assert all(record.expiry == 0 for record in records)
    assert all(record.previous_address < record.address for record in records)
    assert f"address={addresses[0]}" in repr(records[0])


def test_scan_of_every_version_leads_back_through_the_log(store: Store) -> None:
    records = {record.address: record for record in store.scan(live=False)}
    live = {record.address for record in store.scan()}
    assert live < set(records)
    versions = [record for record in records.values() if record.key == b"key5"]
    assert [record.value[:1] for record in versions] == [b"0", b"1", b"2"]
    assert [record.previous_address for record in versions] == [0, versions[0].address, versions[1].address]


def test_scan_starts_and_stops_and_goes_on(store: Store) -> None:
    whole = [record.address for record in store.scan(live=False)]
    middle = whole[len(whole) // 2]
    assert [record.address for record in store.scan(stop=middle, live=False)] == [a for a in whole if a < middle]
    assert [record.address for record in store.scan(middle, live=False)] == [a for a in whole if a >= middle]
    assert list(store.scan(store.stats()["tail"] + 4096)) == []
    position: int | None = None
    found: list[int] = []
    while len(found) < len(whole):
        scan = store.scan(position, live=False)
        found += [next(scan).address for _ in range(min(7, len(whole) - len(found)))]
        position = scan.position
        scan.close()
        assert list(scan) == []
    assert found == whole


def test_scan_goes_on_while_the_store_changes(store: Store) -> None:
    scan = store.scan(live=False)
    first = next(scan)
    expected = [record.address for record in store.scan(live=False)]
    store[b"new"] = b"after the start"
    if store.path is not None:
        store.reorganize()
    assert [first.address, *(record.address for record in scan)] == expected


def test_statistics_agree_with_the_store(store: Store) -> None:
    stats = store.stats()
    assert len(store) == len(dict(store.items())) == store.stats()["keys"]
    assert store.stats()["unverified"] == 0
    assert stats["begin"] <= stats["head"] <= stats["flushed"] <= stats["read_only"] <= stats["tail"]
    assert stats["log_bytes"] == stats["tail"] - stats["begin"]
    assert 0 < stats["live_bytes"] <= stats["log_bytes"]
    assert stats["memory_bytes"] <= stats["memory_budget"] == 2 << 20
    assert stats["page_bytes"] == 4096
    assert stats["index_buckets"] >= 4096
    assert stats["readers"] == 0
    assert stats["poisoned"] == stats["maintenance_failure"] == ""
    assert stats["path"] == store.path
    if store.path is not None:
        store.sync()  # else the background thread may be writing
        stats = store.stats()
        ahead = sum(path.stat().st_size for path in Path(store.path, "log").iterdir()) - stats["file_bytes"]
        assert 0 <= ahead <= 1 << 20  # a file that is written is longer than its data, by a hole


def test_reorganize_gives_space_back(store: Store) -> None:
    expected = dict(store.items())
    store.sync()  # else some of it may not be in the files yet
    before = store.stats()
    store.reorganize()
    after = store.stats()
    assert dict(store.items()) == expected
    # the background compaction may have been there first; then a page's end and a commit record are added
    assert after["log_bytes"] <= before["log_bytes"] + 2 * after["page_bytes"]
    if store.path is not None:
        assert after["file_bytes"] <= before["file_bytes"]
        assert after["dead_bytes"] < 10 * 4096


def test_growing_the_index_changes_no_answer(store: Store) -> None:
    expected = dict(store.items())
    buckets = store.stats()["index_buckets"]
    store.grow_index()
    assert store.stats()["index_buckets"] == 2 * buckets
    assert dict(store.items()) == expected
    assert {key: store[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        ("1MiB", 1 << 20),
        ("2mib", 2 << 20),
        (" 3 MiB ", 3 << 20),
        ("4M", 4 << 20),
        ("5MB", 5_000_000),
        ("1.5MiB", 3 << 19),
        ("2_000_000", 2_000_000),
        (3_000_000, 3_000_000),
    ],
)
def test_memory_as_users_write_it(memory: int | str, size: int) -> None:
    with Store(memory=memory) as store:
        assert store.stats()["memory_budget"] == size


@pytest.mark.parametrize("memory", ["", "MiB", "-1MiB", "1XiB", "1e99999MiB", "nan", 0, -5, "1 000 000 MiB x"])
def test_memory_as_nobody_means_it(memory: int | str) -> None:
    with pytest.raises(ValueError, match="memory"):
        Store(memory=memory)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"interval": 0}, "interval"),
        ({"interval": -1.0}, "interval"),
        ({"page_size": 1024}, "page_size"),
        ({"page_size": "128MiB"}, "page_size"),
        ({"read_only": True, "path": None}, "read_only"),
        ({"evict": True}, "evict"),
        ({"durability": "Always"}, "Always"),
    ],
)
def test_options_are_checked_before_anything_is_made(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = options.pop("path", tmp_path / "store")
    with pytest.raises(ValueError, match=words):
        Store(path, **options)
    assert not (tmp_path / "store").exists()


def test_store_that_may_not_be_made(tmp_path: Path) -> None:
    with pytest.raises(oxidbm.MissingError):
        Store(tmp_path / "store", create=False)
    with pytest.raises(FileNotFoundError):
        Store(tmp_path / "store", read_only=True)
    (tmp_path / "file").write_bytes(b"not a directory")
    with pytest.raises(oxidbm.FormatError, match="file"):
        Store(tmp_path / "file")


def test_named_session_goes_on_after_a_crash(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", **OPTIONS)
    with store.session("first") as first:
        first.upsert(b"a", b"1")
        first.delete(b"nothing")
    second = store.session("second")
    second.upsert(b"b", b"2")
    assert second.commit() == 1
    second.upsert(b"b", b"lost")
    assert (second.serial, second.durable_serial) == (2, 1)
    abandon(store)
    for name, serial in (("second", 1), ("first", 2), ("third", 0)):
        store = Store(tmp_path / "store", **OPTIONS)
        assert dict(store) == {b"a": b"1", b"b": b"2"}
        session = store.session(name)
        assert (session.name, session.serial, session.durable_serial) == (name, serial, serial)
        store.sync()
        store.close()  # the sessions that were not opened keep their numbers


def test_a_name_is_one_session(tmp_path: Path) -> None:
    with Store(tmp_path / "store", **OPTIONS) as store:
        session = store.session("worker")
        with pytest.raises(oxidbm.ClosedError, match="worker"):
            store.session("worker")
        session.upsert(b"a", b"1")
        session.close()
        session.close()
        assert store.session("worker").serial == 1
        with pytest.raises(oxidbm.ClosedError, match="session is closed"):
            session.read(b"a")
        with pytest.raises(ValueError, match="name"):
            store.session("")
        unnamed = [store.session() for _ in range(3)]
        assert [one.name for one in unnamed] == [None] * 3


def test_a_function_that_changes_the_store_loses_nothing(store: Store) -> None:
    """The function of an rmw may do anything with the store; it is asked again when its key changed."""
    store[b"counter"] = b"1"
    calls = []

    def function(old: bytes) -> bytes:
        calls.append(old)
        if len(calls) == 1:
            store[b"counter"] = b"10"
            store[b"side"] = bytes(5000)
        return b"%d" % (int(old) + 1)

    with store.session() as session:
        assert session.rmw(b"counter", function) == b"11"
    assert calls == [b"1", b"10"]
    assert store[b"counter"] == b"11"

    def deletes(old: bytes) -> bytes:
        store.pop(b"counter", None)
        return b"not stored"

    with store.session() as session:
        assert session.rmw(b"counter", deletes) is None
        assert session.rmw(b"counter", deletes, b"initial") == b"initial"

    def fails(old: bytes) -> bytes:
        raise RuntimeError(old)

    with pytest.raises(RuntimeError, match="initial"), store.session() as session:
        session.rmw(b"counter", fails)
    assert store[b"counter"] == b"initial"


def test_iterator_of_a_closed_store_says_so_and_then_ends(store: Store) -> None:
    iterators: list[Any] = [iter(store), iter(store.values()), iter(store.items()), store.scan()]
    for iterator in iterators:
        next(iterator)
    exhausted = iter(store.keys())
    list(exhausted)
    abandon(store)
    for iterator in iterators:
        with pytest.raises(oxidbm.ClosedError):
            next(iterator)
    assert list(exhausted) == []


CLOSED: dict[str, Callable[[Store], object]] = {
    "pop": lambda store: store.pop(b"key0"),
    "popitem": lambda store: store.popitem(),
    "setdefault": lambda store: store.setdefault(b"key0", b"v"),
    "insert": lambda store: store.add(b"key0", b"v"),
    "update": lambda store: store.update(a=b"v"),
    "delitem": lambda store: store.__delitem__(b"key0"),
    "get": lambda store: store.get(b"key0"),
    "values": lambda store: list(store.values()),
    "items": lambda store: list(store.items()),
    "equality": lambda store: store == {},
    "scan": lambda store: store.scan(),
    "grow_index": lambda store: store.grow_index(),
    "reorganize": lambda store: store.reorganize(),
}


@pytest.mark.parametrize("name", CLOSED)
def test_use_after_close(name: str, tmp_path: Path) -> None:
    for path in (None, tmp_path / "store"):
        with Store(path, **OPTIONS) as store:
            store[b"key0"] = b"v"
        with pytest.raises(oxidbm.ClosedError, match="closed"):
            CLOSED[name](store)


def test_equality_with_mappings_and_stores() -> None:
    with Store() as a, Store() as b:
        a.update({b"x": b"1", b"y": b"2"})
        b.update({b"y": b"2", b"x": b"1"})
        assert a == b
        b[b"x"] = b"3"
        assert a != b
        assert a == {b"x": b"1", b"y": b"2"}
        assert a != 5
        assert (a.keys() | {b"z"}) == {b"x", b"y", b"z"}
        assert (a.keys() ^ b.keys()) == set()
        assert (a.items() & b.items()) == {(b"y", b"2")}
        assert a.keys() <= {b"x", b"y"}
        assert a.keys().isdisjoint({b"q"})
        assert sorted(a.values()) == [b"1", b"2"]
