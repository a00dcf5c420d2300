"""What many keys will ask of the disk is told to the device before it is read, and as long as that is of use."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm._core.device import residence
from oxidbm._core.device.residence import ROW_TOLD
from oxidbm._core.table.advice import AHEAD
from oxidbm._core.table.compaction import Compaction
from tests.inside import abandon, disk_of, table_of
from tests.support import make_room
from tests.unit.helpers import disk_store, push_to_disk

pytestmark = pytest.mark.skipif(residence.ADVICE < 0, reason="the system takes no advice")

NUMBER = 300
KEYS = [b"%d" % number for number in range(NUMBER)]
Told = list[tuple[int, int]]


def there(descriptor: int, buffers: list[bytearray], offset: int, _flags: int) -> int:
    """Stand for preadv on a file system that tells what is in memory, and has all of it there."""
    data = os.pread(descriptor, len(buffers[0]), offset)
    buffers[0][: len(data)] = data
    return len(data)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[oxidbm.Store]:
    """A store that is on disk alone, on whatever file system the tests are run."""
    monkeypatch.setattr(os, "preadv", there)
    with disk_store(tmp_path / "store", page_size="4KiB", ordered=True, read_cache=False) as made:
        disk_of(made).stop()
        for key in KEYS:
            made[key] = key * 10
        push_to_disk(made)
        list(made.range())
        yield made


@pytest.fixture
def told(store: oxidbm.Store, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Offset and size of what the system was told that it will be read, while it says that nothing is in memory."""
    calls: Told = []

    def noted(_descriptor: int, offset: int, size: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_WILLNEED
        calls.append((offset, size))

    def missing(*_arguments: object) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "posix_fadvise", noted)
    monkeypatch.setattr(os, "preadv", missing)
    assert store[KEYS[0]] == KEYS[0] * 10  # what was in memory lately is not told
    return calls


def test_get_many(store: oxidbm.Store, told: Told) -> None:
    assert store.get_many([*KEYS, b"absent"]) == [*(key * 10 for key in KEYS), None]
    assert len(told) == NUMBER - 1  # the first one says that they are on disk
    assert len({offset for offset, _ in told}) == NUMBER - 1


def test_keys_in_memory_are_not_looked_up_twice(store: oxidbm.Store, told: Told) -> None:
    """Nor the device asked, however much of the log is on disk; the first one that is not has the others told."""
    for key in KEYS[:100]:
        store[key] = b"new"
    assert len(store) == NUMBER
    told.clear()
    assert store.get_many(KEYS[:100]) == [b"new"] * 100
    assert told == []
    assert store.get_many(KEYS) == [b"new"] * 100 + [key * 10 for key in KEYS[100:]]
    assert len(told) == NUMBER - 101


def test_prefetch(store: oxidbm.Store, told: Told) -> None:
    store.prefetch(iter(KEYS[:100]))
    assert len(told) == 100
    told.clear()
    store.prefetch([b"absent"])
    assert told == []
    one: Any = b"key"
    with pytest.raises(TypeError, match="not one bytes"):
        store.prefetch(one)
    store.close()
    with pytest.raises(oxidbm.ClosedError):
        store.prefetch(KEYS)


def test_delete_many(store: oxidbm.Store, told: Told) -> None:
    assert store.delete_many([*KEYS, *KEYS]) == NUMBER
    assert len(told) == NUMBER - 1
    assert len(store) == 0


@pytest.mark.parametrize("kind", [list, dict])
def test_set_many_where_too_many_writes_are_pending(store: oxidbm.Store, told: Told, kind: type) -> None:
    """A write that may not be left for later reads at once; one that may asks the device for nothing."""
    pairs = dict.fromkeys(KEYS, b"new")
    store.set_many(kind({b"before": b"1"}.items()))
    for key in KEYS[:AHEAD]:
        store[key] = b"blind"
    assert told == []
    table_of(store).pending.most = 0
    store.set_many(kind(pairs.items()))
    assert NUMBER - 3 * AHEAD < len(told) < NUMBER - AHEAD + 1  # those of the group that reads first are not told
    assert dict(store) == pairs | {b"before": b"1"}
    assert len(store) == NUMBER + 1


def test_set_many_takes_nothing_of_what_is_to_come_but_its_key(store: oxidbm.Store, told: Told) -> None:
    """A pair may give its items once; a generator may depend on what was written; a fault is raised in its place."""
    table_of(store).pending.most = 0
    once: list[Any] = [iter((key, b"once")) for key in KEYS[:50]]
    store.set_many(once)
    assert told == []
    store.set_many((key, store[key] + b"!") for key in [b"0", b"0", *KEYS[50:100], b"0"])
    assert store[b"0"] == b"once!!!"
    assert told == []
    wrong: Any = [*((key, b"a") for key in reversed(KEYS)), (5, b"no key"), (b"behind", b"b")]
    with pytest.raises(TypeError, match="int"):
        store.set_many(wrong)
    assert len(told) > 100
    assert dict(store) == dict.fromkeys(KEYS, b"a")


def test_the_items_of_a_range(store: oxidbm.Store, told: Told) -> None:
    assert list(store.range()) == sorted((key, key * 10) for key in KEYS)
    assert len(told) == NUMBER - 1


def test_settling(store: oxidbm.Store, told: Told) -> None:
    """What blind writes replaced, and where they are on disk themselves."""
    for key in KEYS:
        store[key] = b"blind"
    told.clear()
    assert len(store) == NUMBER
    assert len(told) == NUMBER
    push_to_disk(store)
    for key in KEYS:
        store[key] = b"blind again"
    push_to_disk(store)
    told.clear()
    assert len(store) == NUMBER
    assert len(told) == 2 * NUMBER
    assert store.stats()["unverified"] == 0
    assert store.check() == []


@pytest.mark.parametrize("at", [1, 10, AHEAD + 1, AHEAD + 10])
def test_another_thread_settles_while_the_device_is_told(
    store: oxidbm.Store, told: Told, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    for key in KEYS:
        store[key] = b"blind"
    push_to_disk(store)
    counted: list[int] = []
    calls: list[int] = []

    def meanwhile(*_arguments: object) -> None:
        calls.append(1)
        if len(calls) == at:
            other = threading.Thread(target=lambda: counted.append(len(store)))
            other.start()
            other.join(60)

    monkeypatch.setattr(os, "posix_fadvise", meanwhile)
    assert len(store) == NUMBER
    assert counted == [NUMBER]
    assert store.check() == []


def test_what_is_in_memory_is_not_told(store: oxidbm.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    assert store.get_many(KEYS[: ROW_TOLD + 1]) == [key * 10 for key in KEYS[: ROW_TOLD + 1]]
    monkeypatch.setattr(os, "posix_fadvise", lambda *arguments: calls.append(arguments))
    assert store.get_many(KEYS) == [key * 10 for key in KEYS]
    assert calls == []


def test_advice_that_is_refused(store: oxidbm.Store, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read says better what is wrong."""
    tried: list[int] = []

    def refused(*_arguments: object) -> None:
        tried.append(1)
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "posix_fadvise", refused)
    assert store.get_many(KEYS) == [key * 10 for key in KEYS]
    assert len(tried) == -(-NUMBER // AHEAD)


@pytest.mark.parametrize("bad", [3, b"x" * 70_000])
@pytest.mark.parametrize("place", [0, 10, AHEAD, AHEAD + 5])
def test_what_comes_before_a_bad_key_is_done(store: oxidbm.Store, told: Told, place: int, bad: Any) -> None:
    keys: list[Any] = [*KEYS[:place], bad, *KEYS[place:]]
    with pytest.raises((TypeError, ValueError)):
        store.delete_many(keys)
    assert len(store) == NUMBER - place
    with pytest.raises((TypeError, ValueError)):
        store.get_many(keys)


def test_an_iterable_that_fails(store: oxidbm.Store, told: Told) -> None:
    def failing() -> Iterator[bytes]:
        yield from KEYS[:5]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        store.delete_many(failing())
    assert len(store) == NUMBER - 5


def test_keys_and_values_with_codecs(tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "typed", key=str, value=int, memory="1MiB", page_size="4KiB") as typed:
        typed.update({f"{number}": number for number in range(200)})
        push_to_disk(typed)  # type: ignore[arg-type]
        assert typed.get_many([f"{number}" for number in range(201)], -1) == [*range(200), -1]
        assert typed.delete_many(["7", "no"]) == 1
        typed.prefetch(["8"])


def test_a_file_system_that_does_not_tell(store: oxidbm.Store, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """There advice may always be of use."""

    def refused(*_arguments: object) -> int:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "preadv", refused)
    for _ in range(2):
        told.clear()
        assert store.get_many(KEYS) == [key * 10 for key in KEYS]
        assert len(told) == NUMBER - 1


def test_compaction_of_chains_that_are_not_plain(store: oxidbm.Store, told: Told, tmp_path: Path) -> None:
    """Whether a record is live there only a read says: of the piece behind one with many, the device is told."""
    for turn in range(3):
        for key in KEYS:
            store[key] = b"%d" % turn * 1500  # blindly: each chain is mixed, as long as nothing is settled
        push_to_disk(store)
    table = table_of(store)
    assert table.pending.count() == 3 * NUMBER
    told.clear()
    current = Compaction(table, table.log.tail)
    while current.slice(1 << 16, False):
        make_room(store)
    assert len(told) > NUMBER
    assert dict(store) == dict.fromkeys(KEYS, b"2" * 1500)
    assert len(store) == NUMBER
    push_to_disk(store)
    told.clear()
    store.compact(0)  # all are settled now, and plain
    assert told == []
    assert store.check() == []


def test_replay_of_blind_writes(store: oxidbm.Store, told: Told) -> None:
    """Each is compared with what it replaced, which stands anywhere; what was written with a look is not."""
    for key in KEYS[:200]:
        store[key] = b"blind" * 10
    push_to_disk(store)
    path = Path(str(store.path))
    abandon(store)
    told.clear()
    with disk_store(path, page_size="4KiB") as opened:
        assert AHEAD < len({offset for offset, _ in told}) <= 200
        assert opened.recovery.records >= NUMBER + 200
        assert dict(opened) == {key: b"blind" * 10 if key in KEYS[:200] else key * 10 for key in KEYS}
        assert opened.check() == []


def test_the_chains_of_an_iteration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that may lead to several keys has to be read down to the record that is looked at."""
    monkeypatch.setattr(os, "preadv", there)
    with disk_store(tmp_path / "store", page_size="4KiB", read_cache=False, memory="2MiB") as store:
        disk_of(store).stop()
        for turn in range(2):
            for number in range(600):
                store[b"%d" % number] = b"%d" % turn * 1500
            push_to_disk(store)
        assert store.stats()["unverified"] > 500
        calls: Told = []

        def missing(*_arguments: object) -> int:
            raise BlockingIOError(11, "Resource temporarily unavailable")

        monkeypatch.setattr(
            os, "posix_fadvise", lambda _descriptor, offset, size, _advice: calls.append((offset, size))
        )
        monkeypatch.setattr(os, "preadv", missing)
        assert dict(store) == dict.fromkeys((b"%d" % number for number in range(600)), b"1" * 1500)
        assert len(calls) > 300


def test_what_the_index_leads_to_is_told_before_it_is_checked(store: oxidbm.Store, told: Told) -> None:
    assert store.check() == []
    assert len(told) >= NUMBER
