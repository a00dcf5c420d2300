"""Keys with the same bucket and tag: chains that lead to more than one key, in memory and on disk."""

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oxidbm
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.hash_index import FIRST_BITS
from oxidbm._core.log.flush import flush_to, seal_to
from oxidbm._core.table.locate import locate
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.collisions import colliding_key
from tests.inside import abandon, begin_compaction, compactor_of, log_of, table_of
from tests.support import scaled
from tests.unit.helpers import (
    PAGE_BYTES,
    SEED,
    colliding_keys,
    disk_store,
    memory_table,
    push_to_disk,
    slot_hash,
)


def entries(store: oxidbm.Store, key: bytes) -> list[int]:
    """Return the index entries with the key's tag."""
    return list(table_of(store).index.matching(hash_key(key, SEED)))


def agree(store: oxidbm.Store, model: dict[bytes, bytes]) -> None:
    """Assert that a store holds what the model does, however it is asked."""
    assert {key: store.get(key) for key in colliding_keys()} == {key: model.get(key) for key in colliding_keys()}
    assert dict(store.items()) == model
    assert len(store) == len(model)
    assert store.check() == []


def test_the_keys_collide() -> None:
    a, b, c, d = colliding_keys()
    assert slot_hash(a) == slot_hash(b) != slot_hash(c) == slot_hash(d)
    table = memory_table()
    assert table.index.bucket_of(hash_key(a, SEED)) == table.index.bucket_of(hash_key(b, SEED))
    assert table.index.tag_of(hash_key(a, SEED)) == table.index.tag_of(hash_key(b, SEED))


def test_in_memory_each_key_has_its_own_entry(tmp_path: Path) -> None:
    a, b, *_ = colliding_keys()
    with disk_store(tmp_path / "store") as store:
        store[a], store[b] = b"1", b"2"
        assert len(entries(store, a)) == 2
        agree(store, {a: b"1", b: b"2"})
        del store[a]
        assert len(entries(store, a)) == 1
        agree(store, {b: b"2"})


def test_blind_update_makes_a_chain_mixed(tmp_path: Path) -> None:
    a, b, *_ = colliding_keys()
    with disk_store(tmp_path / "store") as store:
        store[a] = b"1"
        push_to_disk(store)
        store[b] = b"2"  # blind: the record on disk might be b's
        (entry,) = entries(store, a)
        assert entry < 0
        assert store.stats()["unverified"] == 1
        agree(store, {a: b"1", b: b"2"})
        store[a] = b"one"
        agree(store, {a: b"one", b: b"2"})
        del store[b]
        agree(store, {a: b"one"})
        del store[a]
        agree(store, {})


def test_settling_makes_a_plain_entry_of_one_key_again(tmp_path: Path) -> None:
    a, *_ = colliding_keys()
    with disk_store(tmp_path / "store") as store:
        store[a] = b"1"
        push_to_disk(store)
        store[a] = b"2"
        assert entries(store, a)[0] < 0
        assert len(store) == 1
        assert entries(store, a)[0] > 0


def test_newest_of_a_chain_is_found_at_every_depth(tmp_path: Path) -> None:
    a, b, *_ = colliding_keys()
    with disk_store(tmp_path / "store") as store:
        for turn in range(6):
            store[(a, b)[turn % 2]] = b"%d" % turn
            push_to_disk(store)
        agree(store, {a: b"4", b: b"5"})
        found = locate(table_of(store), a, hash_key(a, SEED))
        assert found is not None
        assert not found.tombstone()
    with disk_store(tmp_path / "store") as store:
        agree(store, {a: b"4", b: b"5"})


@pytest.mark.parametrize("deleted", [True, False])
def test_old_record_in_a_chain_does_not_come_back_after_reopening(tmp_path: Path, deleted: bool) -> None:
    """Replay keeps one entry for a mixed chain, or a blind update of one key would uncover the other's past."""
    a, b, *_ = colliding_keys()
    with disk_store(tmp_path / "store") as store:
        for key, value in [(a, b"old"), (b, b"1")]:
            store[key] = value
            push_to_disk(store)
        if deleted:
            del store[a]
        else:
            store[a] = b"new"
    model = {b: b"1"} if deleted else {a: b"new", b: b"1"}
    with disk_store(tmp_path / "store") as store:
        while log_of(store).head < 2 * PAGE_BYTES:
            assert log_of(store).evict_page()
        agree(store, model)
        assert {record.key: record.value for record in store.scan()} == model
        store[b] = b"2"
        agree(store, {**model, b: b"2"})


def test_clearing_a_mixed_chain_counts_its_keys(tmp_path: Path) -> None:
    a, b, *_ = colliding_keys()
    with disk_store(tmp_path / "store") as store:
        store[a] = b"1"
        push_to_disk(store)
        store[b] = b"2"
        store.sync()
        store.clear()
        store[a] = b"3"
    with disk_store(tmp_path / "store") as store:
        agree(store, {a: b"3"})


def evict(store: oxidbm.Store, keep: int = 0) -> None:
    """Write everything to the device, without a commit, and take all pages but the newest `keep` out of memory."""
    log = log_of(store)
    log.close_tail_page()
    seal_to(log, log.tail)
    flush_to(log, log.tail)
    while log.head < log.tail - keep * PAGE_BYTES and log.evict_page():
        pass


def compact_some(store: oxidbm.Store, size: int) -> bool:
    """Let a compaction go on over so many bytes, or begin one of all that is written; True when it ended."""
    compactor = compactor_of(store)
    log = log_of(store)
    if compactor.compaction is None:
        until = log.flushed & ~log.offset_mask
        if until <= log.begin:
            return False
        begin_compaction(store, until)
    current = compactor.compaction
    assert current is not None
    if current.slice(size, False):
        return False
    compactor.finish(current)
    return True


def test_a_chain_whose_keys_are_all_dead_is_still_one(tmp_path: Path) -> None:
    """Replay must not forget it: the tombstone of a key would come up again under another key's entry."""
    a, b, *_ = colliding_keys()
    with disk_store(tmp_path / "store") as store:
        for key in (a, b):
            store[key] = b"1"
            push_to_disk(store)
        for key in (a, b):
            del store[key]
            push_to_disk(store)
        store[b] = b"2"
    with disk_store(tmp_path / "store") as store:
        log_of(store).close_tail_page()
        store[a] = b"3"
        evict(store, keep=1)
        store[b] = b"4"
        agree(store, {a: b"3", b: b"4"})


def test_compaction_that_is_not_at_its_end_leaves_a_chain_whole(tmp_path: Path) -> None:
    """It copies the last live key of a chain; a dead one below it, set again, must not be found there."""
    a, b, *_ = colliding_keys()
    with disk_store(tmp_path / "store") as store:
        store[a] = b"1"
        push_to_disk(store)
        store[b] = b"2"
        push_to_disk(store)
        del store[a]
        push_to_disk(store)
        store[b] = b"3"
        push_to_disk(store)
        store[b"later"] = b"x"
        push_to_disk(store)
        assert not compact_some(store, 4 * PAGE_BYTES)
        log_of(store).close_tail_page()
        store[a] = b"4"
        evict(store, keep=1)
        store[b] = b"5"
        agree(store, {a: b"4", b: b"5", b"later": b"x"})


STEPS = ("set a", "set b", "delete a", "delete b", "push", "sync", "length", "reopen", "crash")


def run(path: Path, steps: tuple[str, ...], *, compact: bool = False) -> None:
    """Do the steps beside a dict; a crash brings back what the last commit held."""
    a, b, c, d = colliding_keys()
    names = {"a": a, "b": b, "c": c, "d": d}
    model: dict[bytes, bytes] = {}
    durable: dict[bytes, bytes] = {}
    store = disk_store(path)
    try:
        for number, step in enumerate(steps):
            verb, _, name = step.partition(" ")
            if verb == "set":
                store[names[name]] = model[names[name]] = b"%d" % number + b"." * (number % 3 * 8)
            elif verb == "delete":
                assert store.pop(names[name], None) == model.pop(names[name], None)
            elif verb == "push":
                push_to_disk(store)
                durable = dict(model)
            elif verb == "sync":
                store.sync()
                durable = dict(model)
            elif verb == "length":
                assert len(store) == len(model)
            elif verb == "compact":
                store.reorganize()
                durable = dict(model)
            elif verb == "part":
                if compact_some(store, int(name)):
                    durable = dict(model)
            elif verb == "evict":
                evict(store, keep=int(name))
            elif verb == "page":
                log_of(store).close_tail_page()
            elif verb == "clear":
                store.clear()
                model.clear()
            elif verb == "grow":
                store.grow_index()
            elif verb == "reopen":
                store.close()
                store = disk_store(path)
                durable = dict(model)
            elif verb == "crash":
                abandon(store)
                store = disk_store(path)
                model = dict(durable)
            assert {key: store.get(key) for key in names.values()} == {key: model.get(key) for key in names.values()}
        agree(store, model)
        if compact:
            store.reorganize()
            agree(store, model)
    finally:
        store.close()
    with disk_store(path) as again:
        agree(again, model)


@pytest.mark.parametrize("first", ["push", "sync", "length", "crash"])
def test_every_short_sequence(tmp_path: Path, first: str) -> None:
    """Both keys are set with a step between; then every sequence of three steps."""
    sequences = list(itertools.product(STEPS, repeat=3))
    if len(sequences) > scaled(100, least=20):
        sequences = random.Random(first).sample(sequences, scaled(100, least=20))
    for number, sequence in enumerate(sequences):
        run(tmp_path / str(number), ("set a", first, "set b", *sequence))


@pytest.mark.slow
@settings(max_examples=scaled(100, least=15))
@given(
    steps=st.lists(
        st.sampled_from([f"{verb} {name}" for verb in ("set", "delete") for name in "abcd"] + ["push", "push", "sync"])
        | st.sampled_from(["length", "compact", "grow", "reopen", "crash", "clear", "evict 0", "evict 1", "evict 2"])
        | st.sampled_from(["part 1", "part 4096", "part 9000", "page", "page"]),
        max_size=40,
    )
)
def test_long_sequences(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    run(tmp_path_factory.mktemp("mixed") / "store", tuple(steps), compact=True)


@pytest.mark.compiled_only("takes a table of more than the least size")
def test_replay_into_a_larger_table_tells_no_more_keys_apart(tmp_path: Path) -> None:
    """A store that grew from empty chains keys that share 30 bits of hash; the table of its replay does as well."""
    a, b, c, d = colliding_keys()
    expected = {b"filler %d" % number: b"%d" % number for number in range(6 << FIRST_BITS)}
    for end in ("close", "count and close", "crash"):
        path = tmp_path / end
        store = disk_store(path)
        store.update(expected)
        chained = {}
        for turn, key in enumerate((a, b, a, c, d, c, d, a)):
            store[key] = chained[key] = b"%d of the chain" % turn
            push_to_disk(store)
        del store[b]
        del chained[b]
        push_to_disk(store)
        if end == "count and close":
            assert len(store) == len(expected) + 3
        if end == "crash":
            abandon(store)
        else:
            store.close()
        with disk_store(path) as store:
            assert table_of(store).index.buckets() > 1 << FIRST_BITS
            assert dict(store.items()) == {**expected, **chained}
            assert {key: store.get(key) for key in (a, b, c, d)} == {**chained, b: None}
            assert len(store) == len(expected) + 3
            assert store.check() == []


@pytest.mark.parametrize("blind", [1, 10])
def test_replay_reads_a_chain_once_however_long_it_is(blind: int, tmp_path: Path) -> None:
    """One key is updated many times above the record of another one, which the replay of each update asks for."""

    def open_on(device: CrashDevice | FaultyDevice) -> oxidbm.Store:
        return oxidbm.Store(
            tmp_path, memory="1MiB", page_size=PAGE_BYTES, durability="manual", compaction=False, device=device
        )

    device = CrashDevice(PAGE_BYTES)
    updates = 300
    store = open_on(device)
    hot, cold = (colliding_key(table_of(store).seed, 0, number) for number in range(2))
    store[cold] = b"cold"
    push_to_disk(store)
    for number in range(updates):
        store[hot] = b"%d" % number
        store.sync()
        if number % (updates // blind) == 0:
            push_to_disk(store)
    abandon(store)
    left = FaultyDevice(device.crash())
    with open_on(left) as store:
        assert left.calls["read"] < 2 * updates  # once for what is live, and the log in chunks
        assert dict(store) == {cold: b"cold", hot: b"%d" % (updates - 1)}
        assert store.check() == []
