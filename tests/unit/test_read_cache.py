"""The read cache: copies of records on disk, made by a second read, right whatever becomes of their keys."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import oxidbm
from oxidbm import Store
from oxidbm._core.budget import READ_CACHE
from oxidbm._core.hashing import hash_address
from oxidbm._core.index.entry import ENTRY_ADDRESS
from oxidbm._core.log.reader import read_disk
from oxidbm._core.log.record import content_words
from oxidbm._core.log.warm import WARM_READS
from oxidbm._core.memory import VIEW_WORDS
from oxidbm._core.store.options import Options
from oxidbm._core.table import caching
from oxidbm._core.table.read_cache import SET_WORDS, TOUCHED, ReadCache
from tests.inside import abandon, disk_of, log_of, table_of
from tests.support import scaled
from tests.unit.helpers import PAGE_BYTES, Clock, colliding_keys, disk_store, push_to_disk

KEYS = 60


def cache_of(store: Store) -> ReadCache:
    """Return the store's read cache, which has been used."""
    cache = table_of(store).read_cache
    assert cache is not None
    return cache


def copies_in(cache: ReadCache) -> dict[int, int]:
    """Return where each copy of the ring stands, by its address; the record behind it is the one on disk."""
    found: dict[int, int] = {}
    at = cache.begin
    while at < cache.tail:
        slot = (at >> cache.page_bits) & cache.frames.mask
        if at == cache.frames.ends[slot]:
            at = ((at >> cache.page_bits) + 1) << cache.page_bits
            continue
        frame = cache.frames.words[slot]
        word = ((at & cache.offset_mask) >> 3) + VIEW_WORDS
        address = frame[word] & ~TOUCHED
        size = content_words(frame[word + 2]) << 3
        offset = (at & cache.offset_mask) + 8
        if address >= cache.log.begin:
            assert cache.frames.copy_out(slot, offset, size) == read_disk(cache.log, address).data[:size]
        found[address] = at
        at += 8 + size
    assert at == cache.tail or not cache.is_open
    return found


def check_cache(cache: ReadCache) -> None:
    """Every copy is whole, every word of a set leads to a copy of its own set, and the budget has it all."""
    ring = copies_in(cache)
    places = set(ring.values())
    sets = (cache.low_mask + 1 + cache.split) * SET_WORDS
    assert len(cache.sets) == sets
    for place in range(sets):
        entry = cache.sets[place]
        at = (entry & ENTRY_ADDRESS) << 3
        if entry > 0 and at >= cache.begin:
            assert at in places
            assert cache.place_of(at) == place
        elif entry < 0:
            assert cache.set_of(hash_address(at)) == place & -SET_WORDS
    held = cache.frames.page_frames * cache.page_bytes + sets * 8
    assert cache.size() == cache.log.budget.held[READ_CACHE] == held


def read_again(store: Store, keys: list[bytes], times: int = 3) -> None:
    """Read keys so often that there is a copy of each."""
    for _ in range(times):
        for key in keys:
            store.get(key)


def filled(store: Store, keys: int = KEYS, size: int = 50) -> dict[bytes, bytes]:
    """Write records, and have them on disk alone."""
    model = {b"%d" % number: b"%d;" % number * size for number in range(keys)}
    store.update(model)
    push_to_disk(store)
    return model


def test_the_second_read_makes_a_copy(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        model = filled(store)
        figures = []
        for _ in range(4):
            assert {key: store[key] for key in model} == model
            stats = store.stats()
            figures.append((stats["read_cache_hits"], stats["read_cache_misses"], stats["read_cache_records"]))
        assert figures == [(0, KEYS, 0), (0, 2 * KEYS, KEYS), (KEYS, 2 * KEYS, KEYS), (2 * KEYS, 2 * KEYS, KEYS)]
        assert stats["read_cache_bytes"] == cache_of(store).size() > 0
        check_cache(cache_of(store))


def test_one_of_a_session_a_batch_of_keys_or_an_ordered_view_is_read_through_it(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store", ordered=True) as store:
        model = filled(store)
        keys = list(model)
        for _ in range(3):
            assert store.get_many(keys) == list(model.values())
        hits = store.stats()["read_cache_hits"]
        assert hits >= KEYS
        with store.session("one") as session:
            assert session.read(keys[0]) == model[keys[0]]
        assert dict(store.range(b"1", b"2")) == {key: value for key, value in model.items() if b"1" <= key < b"2"}
        assert store.stats()["read_cache_hits"] > hits + 1


def set_it(store: Store, key: bytes) -> bytes | None:
    """Give the key another value."""
    store[key] = b"new"
    return b"new"


def delete_it(store: Store, key: bytes) -> bytes | None:
    """Delete the key."""
    assert store.delete_many([key]) == 1
    return None


def pop_it(store: Store, key: bytes) -> bytes | None:
    """Take the key away."""
    assert store.pop(key).startswith(key)
    return None


def modify_it(store: Store, key: bytes) -> bytes | None:
    """Make the new value of the old one."""
    with store.session() as session:
        session.rmw(key, lambda old: (old or b"") + b"+")
    return store[key]


def add_it(store: Store, key: bytes) -> bytes | None:
    """Add a key that is there, which changes nothing."""
    assert not store.add(key, b"no")
    return store[key]


def touch_it(store: Store, key: bytes) -> bytes | None:
    """Say that the key does not expire."""
    assert store.touch(key, 1e6)
    return store[key]


CHANGES: dict[str, Callable[[Store, bytes], bytes | None]] = {
    function.__name__: function for function in (set_it, delete_it, pop_it, modify_it, add_it, touch_it)
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("nth", range(3))
@pytest.mark.parametrize("evicted", [False, True])
def test_a_key_whose_record_has_a_copy_is_changed(tmp_path: Path, change: str, nth: int, evicted: bool) -> None:
    """The lowest, the middle and the highest record of a chain that leads to several keys; with and without copies."""
    first, second, third, fourth = colliding_keys()
    keys = [first, second, third, fourth]
    with disk_store(tmp_path / "store") as store:
        for turn in (b"old", b"older"):
            for key in keys:
                store[key] = key + turn
            push_to_disk(store)
        model = dict(store.items())
        read_again(store, keys)
        assert store.stats()["read_cache_hits"] >= len(keys)
        if evicted:
            assert cache_of(store).drop_page()
        new = CHANGES[change](store, keys[nth])
        if new is None:
            del model[keys[nth]]
        else:
            model[keys[nth]] = new
        for _ in range(4):
            assert {key: store[key] for key in keys if key in store} == model
            push_to_disk(store)
        assert len(store) == len(model)
        assert store.check() == []
        check_cache(cache_of(store))
    with disk_store(tmp_path / "store") as store:
        assert dict(store.items()) == model


def test_what_has_expired_is_not_there(tmp_path: Path) -> None:
    clock = Clock()
    with disk_store(tmp_path / "store", clock=clock) as store:
        store.set(b"key", b"value", expire=10)
        push_to_disk(store)
        read_again(store, [b"key"])
        assert store.stats()["read_cache_hits"] == 1
        assert store[b"key"] == b"value"
        clock.now += 11
        assert store.get(b"key") is None
        assert b"key" not in store


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 500, 900, 990, 1100, 4000, 5000])
def test_values_of_each_size(tmp_path: Path, size: int) -> None:
    with disk_store(tmp_path / "store") as store:
        model = {b"%d" % number: random.Random(number).randbytes(size) for number in range(9)} | {b"": b"e" * size}
        store.update(model)
        push_to_disk(store)
        for _ in range(4):
            assert {key: store[key] for key in model} == model
        assert (store.stats()["read_cache_hits"] > 0) == (size <= 992)
        check_cache(cache_of(store))


def test_the_ring_turns(tmp_path: Path) -> None:
    """Far more than it holds, some keys much more often: each value is right, and the frequent ones stay."""
    chance = random.Random(3)
    with disk_store(tmp_path / "store", read_cache=8 * PAGE_BYTES) as store:
        model = filled(store, 2000)
        keys = list(model)
        for _ in range(scaled(30_000, 6_000)):
            key = keys[int(chance.random() ** 4 * len(keys))]
            assert store[key] == model[key]
        cache = cache_of(store)
        assert cache.frames.page_frames <= 8
        assert cache.begin > 3 * PAGE_BYTES
        check_cache(cache)
        hits = cache.hits
        read_again(store, keys[:30], 1)
        assert cache.hits >= hits + 15


def test_sets_that_split_lead_to_what_they_led_to(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store", memory="4MiB") as store:
        model = filled(store, scaled(6000, 1200), 8)
        read_again(store, list(model), 2)
        cache = cache_of(store)
        assert cache.sets_in_use() > 100
        check_cache(cache)
        hits = cache.hits
        assert {key: store[key] for key in model} == model
        assert int(cache.hits - hits) > len(model) * 0.8


def test_a_pass_over_everything_leaves_it_as_it_was(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store", read_cache=8 * PAGE_BYTES) as store:
        model = filled(store, 3000)
        often = list(model)[:80]
        read_again(store, often)
        before = copies_in(cache_of(store))
        assert len(before) == 80
        assert dict(store.items()) == model
        for key in model:
            if key not in often:
                assert store[key] == model[key]
        assert store.get_many(list(model)) == list(model.values())
        assert before.keys() <= copies_in(cache_of(store)).keys()
        hits = cache_of(store).hits
        read_again(store, often, 1)
        assert cache_of(store).hits == hits + 80


def test_compaction_and_clear(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        model = filled(store)
        read_again(store, list(model))
        for key in list(model)[::2]:
            store[key] = model[key] = b"new"
        store.reorganize()
        push_to_disk(store)
        for _ in range(3):
            assert {key: store[key] for key in model} == model
        check_cache(cache_of(store))
        store.clear()
        assert store.stats()["read_cache_bytes"] == 0
        assert store.get(b"1") is None
        model = filled(store, 5)
        read_again(store, list(model))
        assert {key: store[key] for key in model} == model


def test_what_the_log_begins_behind_is_not_there_though_there_is_a_copy(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        model = filled(store)
        read_again(store, list(model))
        log = log_of(store)
        log.move_begin(log.head)
        assert store.stats()["read_cache_records"] == KEYS
        assert [store.get(key) for key in model] == [None] * KEYS
        assert store.get_many(list(model)) == [None] * KEYS
        assert not any(key in store for key in model)
        abandon(store)


def test_a_reader_has_its_own_and_moves_on(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        model = filled(store)
        with disk_store(path, read_only=True) as reader:
            log_of(reader).start_at(log_of(reader).begin, log_of(reader).tail, log_of(reader).tail)
            read_again(reader, list(model))
            assert reader.stats()["read_cache_hits"] > 0
            for number in range(20):
                key = b"%d" % number
                store[key] = model[key] = b"newer"
            del store[b"30"]
            store.sync()
            reader.refresh()
            assert {key: reader.get(key) for key in model} == {key: store.get(key) for key in model}
            assert reader.get(b"30") is None
            store.reorganize()
            store.sync()
            reader.refresh()
            for _ in range(3):
                assert {key: reader.get(key) for key in model} == {key: store.get(key) for key in model}


def test_nothing_of_it_is_written_or_recovered(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        model = filled(store)
        read_again(store, list(model))
        store.sync()
        tail = store.stats()["tail"]
        read_again(store, list(model))
        store.sync()
        assert store.stats()["tail"] == tail
        assert store.stats()["read_cache_hits"] > KEYS
        store.checkpoint()
    with disk_store(path) as store:
        assert store.stats()["read_cache_records"] == 0
        assert dict(store.items()) == model
        assert store.check() == []


def test_it_takes_no_more_than_the_budget_has(tmp_path: Path) -> None:
    """Frames give way to copies, up to what there may be, and copies to what is written."""
    with disk_store(tmp_path / "store") as store:
        model = filled(store, 6000)
        keys = list(model)
        store.update({b"in memory %d" % number: bytes(200) for number in range(6000)})
        store.sync()
        full = store.stats()
        assert full["frame_bytes"] > full["memory_budget"] * 0.6
        read_again(store, keys[:2500])
        stats = store.stats()
        assert stats["memory_bytes"] <= stats["memory_budget"]
        assert stats["read_cache_bytes"] > full["memory_budget"] * 0.4
        check_cache(cache_of(store))
        assert stats["frame_bytes"] < full["frame_bytes"]
        for number in range(20_000):  # nobody reads copies now
            store[b"more %d" % number] = bytes(200)
        assert store.stats()["read_cache_bytes"] < stats["read_cache_bytes"] // 4
        assert store.stats()["memory_bytes"] <= stats["memory_budget"] * 1.05
        assert [store[key] for key in keys] == list(model.values())


@pytest.mark.parametrize(("keys", "given"), [(1800, True), (5000, False)])
def test_copies_give_way_to_pages_that_come_back_where_all_have_room(tmp_path: Path, keys: int, given: bool) -> None:
    with disk_store(tmp_path / "store") as store:
        model = filled(store, keys)
        store.checkpoint()
    with disk_store(tmp_path / "store") as store:
        log = log_of(store)
        disk_of(store).stop()
        assert log.head == log.tail
        read_again(store, list(model)[:900])
        held = store.stats()["read_cache_bytes"]
        head = log.head
        log.cold_reads = WARM_READS
        assert store[b"1500"] == model[b"1500"]
        assert log.head < head
        assert (store.stats()["read_cache_bytes"] < held) == given
        assert {key: store[key] for key in model} == model


def test_a_load_that_hits_nothing_leaves_it_small(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        model = filled(store, 6000)
        for key in model:
            assert store[key] == model[key]
        assert store.stats()["read_cache_records"] < 20  # of keys that others of their bucket and tag lead to
        assert store.stats()["read_cache_bytes"] < store.stats()["memory_budget"] // 4


def test_the_largest_value_finds_room_beside_it(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        model = filled(store, 6000)
        read_again(store, list(model)[:2500])
        assert store.stats()["read_cache_bytes"] > store.stats()["memory_budget"] * 0.4
        large = bytes(table_of(store).value_limit)
        store[b"large"] = large
        assert store[b"large"] == large
        assert [store[key] for key in model] == list(model.values())


def test_a_batch_as_large_as_it_may_be_finds_room_beside_it(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        model = filled(store, 6000)
        read_again(store, list(model)[:2500])
        with store.batch() as batch:
            for number in range(100):
                batch[b"batched %d" % number] = bytes(4000)
        assert [store[b"batched %d" % number] for number in range(100)] == [bytes(4000)] * 100


WITH_LITTLE_MEMORY = """
import resource, sys
from oxidbm import Store
with Store(sys.argv[1], memory="2GiB", durability="manual", compaction=False) as store:
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), used + (100 << 20)))
    for turn in range(3):
        for number in range(1000):
            assert store[b"%d" % number].startswith(b"%d;" % number)
    print(store.stats()["head"] == store.stats()["tail"], store.stats()["read_cache_bytes"])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a limit of address space counts maps as Linux does")
def test_a_read_needs_no_memory_for_copies(tmp_path: Path) -> None:
    """Where the system has none for a cache as large as it may become, values come all the same."""
    with disk_store(tmp_path / "store") as store:
        filled(store, 1000)
        store.checkpoint()
    command = [sys.executable, "-c", WITH_LITTLE_MEMORY, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True 0\n", "")


def test_the_size_that_is_given(tmp_path: Path) -> None:
    for given, wanted in ((False, 0), ("64KiB", 65536), (100_000, 100_000)):
        with disk_store(tmp_path / "store", read_cache=given) as store:
            model = filled(store, 3000)
            for first in range(0, 3000, 300):
                read_again(store, list(model)[first : first + 300])
            size = store.stats()["read_cache_bytes"]
            assert size <= wanted
            assert size > wanted - 2 * PAGE_BYTES or not wanted
            assert (table_of(store).read_cache is None) == (given is False)


def test_arguments(tmp_path: Path) -> None:
    for wrong, error in (("much", ValueError), (0, ValueError), (-1, ValueError), (1.5, TypeError), (b"1", TypeError)):
        with pytest.raises(error, match="read_cache"):
            Store(tmp_path / "store", read_cache=wrong)  # type: ignore[arg-type]
    for right in (None, True, False, "1MiB", 4096, "1000GiB"):
        with Store(tmp_path / "store", read_cache=right) as store:
            store[b"key"] = b"value"
    options = Options(1 << 20, 4096, "manual", 1.0)
    options.cache_as(True)
    assert options.read_cache == caching.AS_IT_EARNS
    options.cache_as("4MiB")
    assert options.read_cache == 1 << 20


def test_a_store_in_memory_has_none() -> None:
    with oxidbm.Store(read_cache="1MiB") as store:
        store[b"key"] = b"value"
        assert [store[b"key"] for _ in range(3)] == [b"value"] * 3
        assert store.stats()["read_cache_bytes"] == 0


def test_any_order_of_what_happens_to_it(tmp_path: Path) -> None:
    """The ring by itself: copies come, are read and go, pages come and go; a copy is right or is not there."""
    for seed in range(scaled(60, 6)):
        chance = random.Random(seed)
        with disk_store(tmp_path / f"store{seed}") as store:
            model = {b"%d" % number: chance.randbytes(chance.choice([0, 3, 30, 300, 900])) for number in range(150)}
            store.update(model)
            push_to_disk(store)
            log = log_of(store)
            cache = ReadCache(log)
            cache.most = chance.choice([0, 4, 12]) * PAGE_BYTES
            records = {record.address: read_disk(log, record.address) for record in store.scan()}
            addresses = list(records)
            for _ in range(600):
                what = chance.randrange(20)
                address = addresses[int(chance.random() ** 2 * len(addresses))]
                size = content_words(records[address].shape) << 3
                if what < 8:
                    assert cache.record_of(address) in (b"", records[address].data[:size])
                elif what < 18:
                    if cache.note(address, size):
                        cache.keep(address, records[address].data, size)
                        assert cache.record_of(address) or not cache.frames.page_frames
                elif what == 18 and cache.frames.page_frames < 6:
                    cache.turning = chance.random() < 0.7
                    cache.prepare()
                else:
                    cache.drop_page()
            check_cache(cache)
            cache.let_go()
            assert log.budget.held[READ_CACHE] == 0
