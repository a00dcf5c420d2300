"""Batches: all of their writes or none, whatever comes in between; threads: tests/concurrency/test_batches.py."""

import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Batch, Store
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.inside import abandon, log_of, table_of
from tests.support import PURE, ROOT, Manual, shrink

PAGE_BYTES = 4096
SMALL: Manual = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual"}


@pytest.fixture(params=["memory", "disk", "few pages", "own device"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store on each device; sound at the end, and on disk the same when it is opened again."""
    if request.param == "memory":
        opened = Store(memory="4MiB", page_size=PAGE_BYTES)
    else:
        device = CrashDevice(PAGE_BYTES) if request.param == "own device" else None
        opened = Store(tmp_path / "s", device=device, compaction=False, **SMALL)
        if request.param != "disk":
            shrink(opened, 16)
    with opened:
        yield opened
        assert opened.check() == []
        expected = dict(opened.items())
        assert len(opened) == len(expected)
    if request.param != "memory":
        with Store(tmp_path / "s", device=device, **SMALL) as again:
            assert dict(again.items()) == expected
            assert again.check() == []


def push_to_disk(store: Store) -> None:
    """Write so much that what was there has left the memory of a store of few pages."""
    for i in range(60):
        store[b"filler%d" % i] = bytes(2000)


def test_writes_come_when_the_block_ends(store: Store) -> None:
    store.update(a="1", b="2", c="3")
    with store.batch() as batch:
        batch["a"] = "one"
        del batch[b"b"]
        batch.set("d", bytearray(b"4"))
        batch.delete("missing")
        assert len(batch) == 4
        assert dict(store.items()) == {b"a": b"1", b"b": b"2", b"c": b"3"}
    assert dict(store.items()) == {b"a": b"one", b"c": b"3", b"d": b"4"}
    assert len(batch) == 0


def test_nothing_is_written_where_the_block_fails(store: Store) -> None:
    store["a"] = "1"

    def fail() -> None:
        with store.batch() as batch:
            batch["a"] = "2"
            batch["b"] = "2"
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail()
    assert dict(store.items()) == {b"a": b"1"}


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [(1, b"", TypeError), (b"k", 1.5, TypeError), (b"k" * 65_536, b"", ValueError), (b"k", bytes(3 << 20), ValueError)],
)
def test_wrong_arguments_raise_at_once_and_leave_the_batch(
    store: Store, key: Any, value: Any, error: type[Exception]
) -> None:
    with store.batch() as batch:
        batch["a"] = "1"
        with pytest.raises(error):
            batch[key] = value
        with pytest.raises(ValueError, match="expire is a number of seconds above 0"):
            batch.set("a", "2", expire=0)
    assert dict(store.items()) == {b"a": b"1"}


def test_the_last_write_of_a_key_counts(store: Store) -> None:
    store.update(a="0", b="0", c="0")
    with store.batch() as batch:
        batch["a"] = "1"
        batch["a"] = "2"
        batch["b"] = "1"
        batch.delete("b")
        batch.delete("c")
        batch["c"] = "3"
        batch.set("d", "4", expire=100)
        batch["d"] = "5"
        assert len(batch) == 4
    assert dict(store.items()) == {b"a": b"2", b"c": b"3", b"d": b"5"}
    assert store.ttl("d") is None


def test_clear_forgets_the_writes_so_far(store: Store) -> None:
    store["a"] = "1"
    with store.batch() as batch:
        batch.delete("a")
        batch.set("b", "2", expire=1)
        batch.clear()
        batch["c"] = "3"
    assert dict(store.items()) == {b"a": b"1", b"c": b"3"}


class Pairs:
    """What has keys() and no more of a mapping."""

    def keys(self) -> list[str]:
        """Return the keys."""
        return ["x", "y"]

    def __getitem__(self, key: str) -> str:
        return key * 2


@pytest.mark.parametrize(
    "other",
    [
        lambda: {"x": "xx", "y": "yy"},
        lambda: [("x", "xx"), ["y", "yy"]],
        lambda: iter([("x", "xx"), ("y", "yy")]),
        Pairs,
    ],
    ids=["dict", "pairs", "iterator", "object with keys"],
)
def test_update_takes_what_a_store_takes(store: Store, other: Callable[[], Any]) -> None:
    with store.batch() as batch:
        batch.update(other())
    assert dict(store.items()) == {b"x": b"xx", b"y": b"yy"}
    with store.batch() as batch:
        batch.update(store)
        with pytest.raises(ValueError, match="a pair of key and value belongs"):
            batch.update([("only one",)])  # type: ignore[list-item]
    assert dict(store.items()) == {b"x": b"xx", b"y": b"yy"}


def test_batch_over_records_on_disk(store: Store) -> None:
    """Updates, deletions, and both again, of records that have left memory."""
    for i in range(30):
        store[b"key%d" % i] = b"old%d" % i * 100
    if store.path is not None:
        store.sync()
    push_to_disk(store)
    with store.batch() as batch:
        for i in range(20):
            batch[b"key%d" % i] = b"new%d" % i
        for i in range(20, 26):
            batch.delete(b"key%d" % i)
    assert len(store) == 60 + 24
    for i in range(30):
        expected = b"new%d" % i if i < 20 else None if i < 26 else b"old%d" % i * 100
        assert store.get(b"key%d" % i) == expected


def test_several_values_larger_than_a_page(store: Store) -> None:
    push_to_disk(store)
    with store.batch() as batch:
        for i in range(3):
            batch[b"large%d" % i] = b"%d" % i * (5000 + 1000 * i)
            batch[b"small%d" % i] = b"%d" % i
    for i in range(3):
        assert store[b"large%d" % i] == b"%d" % i * (5000 + 1000 * i)
        assert store[b"small%d" % i] == b"%d" % i
    assert len(store) == 66


def test_too_large_a_batch_changes_nothing_and_can_be_repaired(store: Store) -> None:
    store["a"] = "1"
    size = table_of(store).value_limit // 10
    batch = store.batch()
    batch["a"] = "2"
    batch.update((b"%d" % i, bytes(size)) for i in range(11))
    with pytest.raises(ValueError, match=r"a batch of \d+ bytes does not fit"):
        batch.__exit__(None, None, None)
    assert dict(store.items()) == {b"a": b"1"}
    with batch:
        for i in range(8):
            batch.delete(b"%d" % i)
    assert sorted(store.keys()) == [b"10", b"8", b"9", b"a"]


@pytest.mark.parametrize("pages", [6, 8, 12, 40])
def test_batch_with_little_memory(pages: int, tmp_path: Path) -> None:
    """As large as a batch may be, of records of one size, over a full memory."""
    with Store(tmp_path / "s", compaction=False, **SMALL) as store:
        shrink(store, pages)
        expected = {}
        for size in (1, 500, 2100, 3900, 4100, 6000):
            push_to_disk(store)
            count = table_of(store).value_limit // (size + 64)
            pairs = {b"%d.%d" % (size, i): b"%d" % (i % 10) * size for i in range(count)}
            with store.batch() as batch:
                batch.update(pairs)
            expected.update(pairs)
            for key, value in expected.items():
                assert store[key] == value
        assert store.check() == []


def test_batch_where_the_index_takes_most_of_the_memory(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **SMALL) as store:
        while store.stats()["index_bytes"] < 900_000:
            store.grow_index()
        with store.batch() as batch:
            for i in range(100):
                batch[b"%d" % i] = bytes(4000)
        assert len(store) == 100


@pytest.mark.parametrize("shape", ["pages", "runs", "runs and pages"])
def test_full_memory_store_takes_all_or_nothing(shape: str) -> None:
    """At each filling, of live and dead records, a batch fits or leaves everything as it was."""
    outcomes = set()
    for count in range(0, 216, 40 if PURE else 4):
        store = Store(memory="1MiB", page_size=PAGE_BYTES)
        for i in range(count):
            store[b"key%d" % (i * 5 // 6)] = bytes(3000 + i % 7 * 8)
        before = dict(store.items())
        pairs = {}
        for i in range(25):
            if shape != "pages":
                pairs[b"run%d" % i] = bytes(5000 + 8 * i)
            if shape != "runs":
                pairs[b"page%d" % i] = bytes(2500)
        try:
            with store.batch() as batch:
                batch.update(pairs)
                batch.delete(b"key0")
        except oxidbm.FullError:
            assert dict(store.items()) == before
            outcomes.add("full")
        else:
            before.pop(b"key0", None)
            assert dict(store.items()) == {**before, **pairs}
            outcomes.add("done")
        assert store.check() == []
        assert len(store) == len(dict(store.items()))
        log_of(store).check_order()
    assert outcomes == {"full", "done"}


def test_evicting_store_makes_room_for_a_batch() -> None:
    store = Store(memory="1MiB", page_size=PAGE_BYTES, evict=True)
    for turn in range(20):
        pairs = {b"%d.%d" % (turn, i): bytes(3000 if i % 5 else 9000) for i in range(60)}
        with store.batch() as batch:
            batch.update(pairs)
        for key, value in pairs.items():
            assert store[key] == value
    assert store.stats()["memory_bytes"] <= 1 << 20
    assert store.check() == []


def test_nested_batches_are_applied_from_the_inside(store: Store) -> None:
    with store.batch() as outer:
        outer["a"] = "outer"
        with store.batch() as inner:
            inner["a"] = "inner"
            inner["b"] = "inner"
        assert store["a"] == b"inner"
    assert dict(store.items()) == {b"a": b"outer", b"b": b"inner"}


def test_nothing_is_written_behind_the_block(store: Store) -> None:
    """It would be lost without a word, or come with what the batch is entered for next."""
    with store.batch() as batch:
        batch["a"] = "1"
    late: list[Callable[[], object]] = [
        lambda: batch.set("b", "2"),
        lambda: batch.delete("a"),
        lambda: batch.update({"b": "2"}),
        lambda: batch.__setitem__("b", "2"),
        lambda: batch.__delitem__("a"),
    ]
    for write in late:
        with pytest.raises(RuntimeError, match="this one's has ended"):
            write()
    with pytest.raises(ZeroDivisionError), batch:  # noqa: PT012 - both belong to the block
        batch["c"] = "3"
        raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="this one's has ended"):
        batch["b"] = "2"
    batch.clear()
    with batch:
        batch["d"] = "4"
    assert dict(store.items()) == {b"a": b"1", b"d": b"4"}


def refused(operation: Callable[[Batch], object], store: Store, error: type[Exception]) -> None:
    """Do something in a batch, which must raise when the block ends."""
    batch = store.batch()
    batch["a"] = "2"
    operation(batch)
    with pytest.raises(error):
        batch.__exit__(None, None, None)


def test_closed_and_read_only_stores(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", **SMALL)
    store["a"] = "1"
    late = store.batch()
    refused(lambda batch: store.close(), store, oxidbm.ClosedError)
    with pytest.raises(oxidbm.ClosedError):
        store.batch()
    with pytest.raises(oxidbm.ClosedError):
        late.__enter__()
    with Store(tmp_path / "s", read_only=True, memory="1MiB") as reader:
        with pytest.raises(oxidbm.ReadOnlyError):
            reader.batch()
        assert dict(reader.items()) == {b"a": b"1"}


def test_poisoned_store(tmp_path: Path) -> None:
    device = FaultyDevice(CrashDevice(PAGE_BYTES))
    store = Store(tmp_path / "s", device=device, **SMALL)
    store["a"] = "1"
    store.sync()
    store["b"] = "2"
    device.fail("write", errno.ENOSPC)
    with pytest.raises(oxidbm.PoisonedError):
        store.sync()
    with pytest.raises(oxidbm.PoisonedError):
        store.batch()
    with pytest.raises(oxidbm.PoisonedError):
        store.close()


def test_write_that_fails_while_room_is_made(tmp_path: Path) -> None:
    """Each write of a batch that has to flush fails once: reopened, there is all of the batch or nothing."""
    found = set()
    for left in itertools.count():
        memory = CrashDevice(PAGE_BYTES)
        device = FaultyDevice(memory)
        store = Store(tmp_path / f"s{left}", device=device, compaction=False, **SMALL)
        shrink(store, 6)
        store.update({b"%d" % i: b"before" for i in range(40)})
        store.sync()
        push_to_disk(store)
        store.sync()
        written = device.calls["write"]
        device.fail("write", errno.ENOSPC, after=left)
        try:
            with store.batch() as batch:
                for i in range(40):
                    batch[b"%d" % i] = b"after" * 50
            store.sync()
        except oxidbm.PoisonedError:
            with pytest.raises(oxidbm.PoisonedError):
                store["later"] = "none"
        failed = device.calls["write"] > written + left
        abandon(store)
        with Store(tmp_path / f"s{left}", device=memory.crash(), **SMALL) as again:
            values = {again[b"%d" % i] for i in range(40)}
            assert len(values) == 1
            assert again.check() == []
            found |= values
        if not failed:
            break
    assert left > 0
    assert found == {b"before", b"after" * 50}


@pytest.mark.parametrize("kind", ["delete", "many pending"])
def test_damaged_record_is_met_before_anything_changes(kind: str, tmp_path: Path) -> None:
    device = CrashDevice(PAGE_BYTES)
    store = Store(tmp_path / "s", device=device, compaction=False, **SMALL)
    shrink(store, 16)
    store.update({b"%d" % i: b"sound" * 20 for i in range(20)})
    store.sync()
    push_to_disk(store)
    data = device.segments[0][1]
    at = data.index(b"sound")
    data[at : at + 5] = b"other"
    if kind == "many pending":
        table_of(store).pending.most = 10
    batch = store.batch()
    for i in range(19, -1, -1):
        batch[b"%d" % i] = b"new"
        if kind == "delete":
            batch.delete(b"%d" % i)
    with pytest.raises(oxidbm.CorruptionError):
        batch.__exit__(None, None, None)
    for i in range(1, 20):
        assert store[b"%d" % i] == b"sound" * 20
    assert store.stats()["poisoned"] == ""
    abandon(store)


def test_forked_child(tmp_path: Path) -> None:
    code = f"""
import os, sys
import oxidbm
store = oxidbm.Store({str(tmp_path / "s")!r}, memory="1MiB")
batch = store.batch()
batch["a"] = "1"
if os.fork() == 0:
    try:
        batch.__exit__(None, None, None)
    except oxidbm.ClosedError as failure:
        os._exit(7 if "forked" in str(failure) else 1)
    os._exit(2)
status = os.waitstatus_to_exitcode(os.wait()[1])
batch.__exit__(None, None, None)
assert store["a"] == b"1"
sys.exit(status)
"""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 7


def test_always_durable(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", **(SMALL | {"durability": "always"}))
    before = store.stats()["commit_sequence"]
    with store.batch() as batch:
        batch.update({b"%d" % i: b"v" for i in range(50)})
    assert store.stats()["commit_sequence"] == before + 1
    abandon(store)
    with Store(tmp_path / "s", **SMALL) as again:
        assert len(again) == 50


def test_batches_beside_sessions(tmp_path: Path) -> None:
    """A batch is no session's: the serial number of one is as it was, and one commit holds both."""
    store = Store(tmp_path / "s", **SMALL)
    session = store.session("worker")
    session.upsert("a", "1")
    with store.batch() as batch:
        batch["a"] = "2"
        batch["b"] = "2"
    assert session.serial == 1
    assert session.commit() == 1
    with store.batch() as batch:
        batch["c"] = "3"
    abandon(store)
    with Store(tmp_path / "s", **SMALL) as again:
        assert dict(again.items()) == {b"a": b"2", b"b": b"2"}
        assert again.session("worker").serial == 1


def test_ordered_store_and_size_limit(tmp_path: Path) -> None:
    with Store(tmp_path / "s", ordered=True, size_limit=100_000, **SMALL) as store:
        for turn in range(30):
            with store.batch() as batch:
                for i in range(20):
                    batch[b"%03d.%03d" % (turn, i)] = bytes(400)
                batch.delete(b"%03d.000" % (turn - 1))
            assert store.stats()["live_bytes"] <= 100_000
            assert [key for key, _ in store.range()] == sorted(store.keys())
            assert len(list(store.prefix(b"%03d." % turn))) == 20
        assert store.stats()["evicted_keys"] > 0
        assert store.check() == []
