"""compact(): how far a user's compaction goes, what limits it, and that it is no different from all other ones."""

import contextlib
import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import is_mixed
from oxidbm._core.store import compactor
from oxidbm._core.table.extent import to_extent
from tests.inside import abandon, compactor_of, disk_of, log_of, table_of
from tests.support import Free, run
from tests.unit.helpers import disk_store, push_to_disk

KEYS = 40


def in_files(store: oxidbm.Store, turns: int, keys: int = KEYS) -> dict[bytes, bytes]:
    """Write the same keys again and again, each turn in a file of its own, and return what is live."""
    for turn in range(turns):
        for number in range(keys):
            store[b"%d" % number] = b"%d/%d" % (turn, number) * 40
        push_to_disk(store)
        log_of(store).device.roll()
    return {b"%d" % number: b"%d/%d" % (turns - 1, number) * 40 for number in range(keys)}


def dead_share(store: oxidbm.Store) -> float:
    stats = store.stats()
    return float(1 - stats["live_bytes"] / (stats["tail"] - stats["begin"]))


def test_it_goes_on_until_no_more_is_dead_than_asked_for(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        expected = in_files(store, 10)
        begins = [store.stats()["begin"]]
        for asked in (0.8, 0.6, 0.3):
            assert dead_share(store) > asked
            before = store.stats()
            given_back = store.compact(asked)
            after = store.stats()
            assert dead_share(store) <= asked
            assert 0 < given_back <= after["begin"] - before["begin"]
            begins.append(after["begin"])
            assert store.compact(asked) == 0  # no more is dead than that
            assert store.stats()["tail"] == after["tail"]
        assert begins == sorted(set(begins))
        assert dict(store) == expected
        assert store.check() == []


def test_what_is_live_is_copied_and_does_not_count_as_given_back(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        expected = in_files(store, 2)
        before = store.stats()
        given_back = store.compact(0)
        after = store.stats()
        assert after["begin"] >= before["tail"]
        assert given_back == after["begin"] - before["begin"] - before["live_bytes"]
        assert dict(store) == expected
    with disk_store(tmp_path / "store") as store:
        assert dict(store) == expected
        assert store.check() == []


def test_a_small_store_in_one_file(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        for turn in range(50):
            store[b"key"] = b"%d" % turn * turn
            store.sync()
        size = store.stats()["file_bytes"]
        assert store.compact() > 0
        assert store.stats()["file_bytes"] < size
        assert dict(store) == {b"key": b"49" * 49}
        assert store.compact(0.5) == 0


@pytest.mark.parametrize("path", [None, "store"])
def test_nothing_to_do(tmp_path: Path, path: str | None) -> None:
    with oxidbm.Store(tmp_path / path if path else None, memory="4MiB") as store:
        assert store.compact() == 0
        store[b"key"] = b"value"
        assert store.compact(0.9) == 0
        assert store[b"key"] == b"value"


def test_a_limit_of_bytes_ends_it_and_the_next_call_goes_on(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        expected = in_files(store, 3, 400)
        begin = store.stats()["begin"]
        calls = 0
        while store.stats()["begin"] == begin:
            store.compact(0.1, max_bytes=compactor.COMPACT_SLICE_BYTES)
            calls += 1
            assert calls < 100
        assert calls > 1  # none of which had gone over the whole file
        assert dict(store) == expected
        while dead_share(store) > 0.3:
            store.compact(0.3, max_bytes="100KiB")
        assert dict(store) == expected
        assert store.check() == []


def test_a_limit_of_time(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        expected = in_files(store, 3)
        before = store.stats()
        assert store.compact(timeout=0) == 0
        assert store.stats()["begin"] == before["begin"]
        assert store.compact(timeout=1000) > 0
        assert dict(store) == expected


def test_what_a_limit_has_left_is_the_backgrounds(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        expected = in_files(store, 3, 400)
        store.compact(0.1, max_bytes=1)
        left = compactor_of(store).compaction
        assert left is not None
        begin = store.stats()["begin"]
        while compactor_of(store).work(loaded=False):
            assert compactor_of(store).compaction in (left, None)
        assert store.stats()["begin"] > begin
        assert dict(store) == expected


def test_a_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of the test: what it waits for is what its bytes take at the rate."""
    now = [1000.0]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    with disk_store(tmp_path / "store") as store:
        in_files(store, 4, 400)
        disk_of(store).stop()
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        monkeypatch.setattr(time, "sleep", sleep)
        before = store.stats()["begin"]
        settled = store.stats()["unverified"] * 4096
        store.compact(rate="1MiB")
        monkeypatch.undo()
        gone_over = store.stats()["begin"] - before
        assert max(waits) <= compactor.PAUSE_SECONDS
        assert sum(waits) == pytest.approx((gone_over + settled) / 2**20, rel=0.2)
        assert store.check() == []


def test_the_backgrounds_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    with disk_store(tmp_path / "store", compaction=True, compaction_rate="1MiB") as store:
        disk_of(store).stop()
        in_files(store, 3, 1500)
        background = compactor_of(store)
        table_of(store).live_bytes -= 64 << 20  # as though so much more were dead
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        assert background.background.rate == 1 << 20
        store.compact(0.1, max_bytes=1)  # at once, whatever the background's rate is; it leaves a pass in the middle
        assert background.compaction is not None
        at = background.compaction.cursor.following
        assert background.work(loaded=False)
        size = background.compaction.cursor.following - at
        assert background.pause() == pytest.approx(size / 2**20)
        assert not background.work(loaded=False)
        background.help()  # nor do writers
        assert background.compaction.cursor.following == at + size
        assert disk_of(store).seconds_to_sleep() == background.pause()
        now[0] += size / 2**20
        assert background.work(loaded=False)
        monkeypatch.undo()
        table_of(store).live_bytes += 64 << 20


def test_without_a_rate_nobody_waits(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        in_files(store, 2)
        store.compact(0.1, max_bytes=1)
        assert compactor_of(store).pause() == 0
        assert disk_of(store).seconds_to_sleep() == 0


def test_a_disk_without_room_for_the_next_file(tmp_path: Path, free: Free) -> None:
    with disk_store(tmp_path / "store") as store:
        expected = in_files(store, 4)
        before = store.stats()
        free(100)
        with pytest.raises(OSError, match=r"compact\(\) copies what is live.*has 100 bytes free.*Free some") as refused:
            store.compact()
        assert refused.value.errno == errno.ENOSPC
        assert refused.value.filename == str(tmp_path / "store")
        assert store.stats()["begin"] == before["begin"]
        assert store.stats()["tail"] == before["tail"]  # not even a commit was made, for which there may be no room
        store.sync()
        expected[b"more"] = store[b"more"] = b"of it"
        free(1 << 30)
        assert store.compact() > 0
        assert dict(store) == expected
        assert store.stats()["poisoned"] == ""


def test_the_background_begins_nothing_that_the_disk_has_no_room_for(tmp_path: Path, free: Free) -> None:
    """A copy that fails would poison the store, at the very moment when somebody deletes to make room."""
    with disk_store(tmp_path / "store", compaction=True) as store:
        disk_of(store).stop()
        for _ in range(4):  # 26 MB, a quarter of which is live
            for number in range(1600):
                store[b"%d" % number] = bytes(4000)
            push_to_disk(store)
            log_of(store).device.roll()
        background = compactor_of(store)
        free(100)
        assert background.target(loaded=False) == 0
        assert "has 100 bytes free" in store.stats()["maintenance_failure"]
        first = log_of(store).device.segment_end(log_of(store).begin)
        free(first - log_of(store).begin + 2 * 4096)
        assert background.target(loaded=False) == first  # and not half of the log
        assert store.stats()["maintenance_failure"] == ""


def test_what_is_live_is_all_that_needs_room(tmp_path: Path, free: Free) -> None:
    with disk_store(tmp_path / "store") as store:
        in_files(store, 1, 800)
        for number in range(800):
            store.pop(b"%d" % number)
        store[b"key"] = b"value"
        free(200 + 2 * 4096)
        assert store.compact(0) > 0
        assert dict(store) == {b"key": b"value"}


def test_an_iteration_keeps_what_it_reads(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        expected = in_files(store, 4)
        held = store.stats()["file_bytes"]
        walk = iter(store.items())
        seen = dict([next(walk)])
        assert store.compact() > 0  # and does not wait for it
        assert store.stats()["file_bytes"] >= held
        seen.update(walk)
        assert seen == expected
        assert store.compact(0.9) == 0
        assert store.stats()["file_bytes"] < held


def test_close_ends_those_that_wait_too(tmp_path: Path) -> None:
    store = disk_store(tmp_path / "store")
    in_files(store, 3, 400)
    given_back: list[int] = []

    def compact() -> None:
        with contextlib.suppress(oxidbm.ClosedError):  # one that came when it was closed
            given_back.append(store.compact(0.01, rate=1))

    threads = [threading.Thread(target=compact) for _ in range(3)]
    for thread in threads:
        thread.start()
    while compactor_of(store).extent is None:
        time.sleep(0.001)
    store.close()
    for thread in threads:
        thread.join()
    assert given_back == [0] * len(given_back)
    assert len(given_back) >= 1


def test_a_close_that_was_interrupted_lets_it_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with disk_store(tmp_path / "store") as store:
        expected = in_files(store, 3)
        lock = compactor_of(store).lock
        real = lock.lock

        class Interrupted:
            def acquire(self) -> None:
                lock.lock = real
                raise KeyboardInterrupt

        lock.lock = Interrupted()
        with pytest.raises(KeyboardInterrupt):
            store.close()
        assert store.compact() > 0
        assert dict(store) == expected


def test_close_ends_it(tmp_path: Path) -> None:
    store = disk_store(tmp_path / "store")
    expected = in_files(store, 3, 400)
    begun = threading.Event()
    given_back: list[int] = []

    def compact() -> None:
        begun.set()
        given_back.append(store.compact(0.01, rate=1))  # a slice is 65,536 seconds' worth

    thread = threading.Thread(target=compact)
    thread.start()
    begun.wait()
    while compactor_of(store).extent is None:
        time.sleep(0.001)
    store.close()
    thread.join()
    assert given_back == [0]
    with disk_store(tmp_path / "store") as store:
        assert dict(store) == expected
        assert store.check() == []


def test_two_at_a_time_beside_writers(tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "store", memory="2MiB", page_size="4KiB", durability="manual") as store:
        in_files(store, 3)

        def writer(prefix: bytes) -> Callable[[], None]:
            def write() -> None:
                for turn in range(30):
                    for number in range(30):
                        store[prefix + b"%d" % number] = b"%d" % turn * 100
                        if number % 3 == 0:
                            store.pop(prefix + b"%d" % (number - 1), None)

            return write

        def compact() -> None:
            for _ in range(10):
                store.compact(0.05)

        def reorganize() -> None:
            store.reorganize()

        run(compact, compact, reorganize, writer(b"a"), writer(b"b"))
        gone = {prefix + b"%d" % (number - 1) for prefix in (b"a", b"b") for number in range(0, 30, 3)}
        expected = {prefix + b"%d" % number for prefix in (b"a", b"b") for number in range(30)} - gone
        assert {key for key in store if key[:1] in b"ab"} == expected
        assert all(store[key] == b"29" * 100 for key in expected)
        assert store.check() == []


def test_a_crash_in_the_middle(tmp_path: Path) -> None:
    store = disk_store(tmp_path / "store")
    expected = in_files(store, 4, 100)
    store.compact(0.1, max_bytes=100_000)
    store.sync()
    abandon(store)
    with disk_store(tmp_path / "store") as store:
        assert dict(store) == expected
        assert store.check() == []
        store.compact()
        assert dict(store) == expected


def test_in_memory(tmp_path: Path) -> None:
    with oxidbm.Store(memory="8MiB", page_size="4KiB") as store:
        for turn in range(8):
            for number in range(200):
                store[b"%d" % number] = b"x" * (100 + 100 * turn)
        before = store.stats()
        given_back = store.compact(0.3)
        after = store.stats()
        assert given_back == (before["tail"] - before["begin"]) - (after["tail"] - after["begin"])
        assert given_back > 0
        assert dead_share(store) <= 0.3
        assert dict(store) == {b"%d" % number: b"x" * 800 for number in range(200)}
        assert store.check() == []
        for number in range(200):
            store[b"%d" % number] = b"y" * 900
        before = store.stats()
        assert store.compact(0, timeout=0) == 0
        assert store.compact(0, max_bytes=4096, rate="1GiB") <= 8192
        assert 0 < store.stats()["begin"] - before["begin"] <= 8192


def test_what_may_not_be_asked_for(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        for dead in (-0.1, 1, 1.5, float("nan")):
            with pytest.raises(ValueError, match="dead is the share of the log that may stay dead"):
                store.compact(dead)
        with pytest.raises(TypeError, match="dead is the share"):
            store.compact("10%")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="max_bytes must be positive"):
            store.compact(max_bytes=0)
        with pytest.raises(ValueError, match="rate="):
            store.compact(rate="fast")
        with pytest.raises(ValueError, match="timeout"):
            store.compact(timeout=-1)
    with pytest.raises(ValueError, match="compaction_rate"):
        oxidbm.Store(tmp_path / "other", compaction_rate=0)
    with disk_store(tmp_path / "store", read_only=True) as store, pytest.raises(oxidbm.ReadOnlyError):
        store.compact()
    with pytest.raises(oxidbm.ClosedError):
        store.compact()


def test_an_extent_without_limits() -> None:
    extent = to_extent(0.25, None, None, None)
    extent.note(1 << 40)
    assert not extent.used_up()
    assert extent.pause() == 0
    assert extent.wanted(26, 100)
    assert not extent.wanted(25, 100)
    extent.stopped = True
    assert extent.used_up()


def mixed_keys(store: oxidbm.Store, keys: int) -> int:
    """Return for how many keys the index does not say by itself that older records are superseded."""
    table = table_of(store)
    mixed = 0
    for number in range(keys):
        matching = table.index.matching(hash_key(b"%d" % number, table.seed))
        mixed += any(is_mixed(entry) for entry in matching)
    return mixed


def test_keys_that_were_written_twice_before_the_first_was_settled_cost_no_reads(tmp_path: Path) -> None:
    """A blind write leaves an entry mixed until it is settled, and a second one came before that."""
    keys = 200
    with disk_store(tmp_path / "store") as store:
        table_of(store).pending.most = 60
        in_files(store, 1, keys)
        assert mixed_keys(store, keys) == 0
        for turn in range(3):
            for number in range(keys):
                store[b"%d" % number] = b"%d" % turn * 100
            assert 0 < store.stats()["unverified"] <= 60
            push_to_disk(store)
        table_of(store).pending.most = 1000
        for turn in (3, 4):
            for number in range(0, keys, 3):
                store[b"%d" % number] = b"%d" % turn * 100  # blindly, some of them twice, above what is pending
            push_to_disk(store)
        assert mixed_keys(store, keys) > 60
        assert len(store) == keys
        assert mixed_keys(store, keys) <= 2  # whose tags are alike
        assert dict(store) == {b"%d" % n: (b"4" if n % 3 == 0 else b"2") * 100 for n in range(keys)}
        assert store.check() == []
        store.compact(0)
        assert len(store) == keys
        assert store.check() == []
