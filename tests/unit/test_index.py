"""Hash index: tags, overflow buckets, growth; driven by crafted hashes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxidbm._core.address import with_sign
from oxidbm._core.budget import Budget
from oxidbm._core.index.entry import TAG_BITS, TAG_SHIFT
from oxidbm._core.index.faults import faults_of
from oxidbm._core.index.hash_index import (
    BUCKET_ENTRIES,
    CHUNK_LEAD,
    CHUNK_WORDS,
    FIRST_BITS,
    OVERFLOW_SPARE,
    SPLIT_LOAD,
    HashIndex,
)
from tests.support import scaled

BUCKETS = 1 << FIRST_BITS


def crafted(bucket: int, tag: int) -> int:
    """Return a hash that leads to a bucket, of a table not grown yet, with a tag."""
    return tag << FIRST_BITS | bucket


def add(index: HashIndex, key_hash: int, address: int) -> int:
    """Insert an entry and return it."""
    entry: int = index.entry_for(key_hash, address)
    index.insert(key_hash, entry)
    return entry


def entries(index: HashIndex, key_hash: int) -> list[int]:
    """Return the entries with the hash's tag."""
    return list(index.matching(key_hash))


def test_empty() -> None:
    index = HashIndex(0, Budget(1 << 30))
    assert index.buckets() == BUCKETS
    assert index.entries == 0
    assert entries(index, crafted(5, 5)) == []
    assert index.holds(crafted(5, 5), 64, 0) == 0
    assert not index.replace(crafted(5, 5), 1, 2)
    assert faults_of(index) == []
    assert index.size_bytes() == 64 * BUCKETS + 2 * 8 * CHUNK_LEAD


@pytest.mark.parametrize("expected", [0, 1, 5 * BUCKETS - 1, 5 * BUCKETS, 5 * BUCKETS + 5, 100_000, 327_679, 327_690])
def test_sized_for_what_is_expected(expected: int) -> None:
    index = HashIndex(expected, Budget(1 << 30))
    assert index.buckets() * SPLIT_LOAD >= expected
    assert (index.buckets() - 1) * SPLIT_LOAD <= max(expected, 5 * BUCKETS), "no larger than one that has grown"
    before = index.buckets()
    for number in range(scaled(2000)):
        add(index, random.Random(number).getrandbits(62), 8 * number + 64)
    assert expected < 2000 or index.buckets() == before, "what is expected does not make it grow"


def test_a_table_for_nothing_is_small_and_still_a_table() -> None:
    """What stands in a closed store: nothing is looked for there, and yet it answers, and finds what is put there."""
    budget = Budget(1 << 30)
    index = HashIndex(0, budget).given_up()
    assert index.buckets() == 1
    assert index.size_bytes() < 1000
    hashes = [random.Random(number).getrandbits(62) for number in range(scaled(2000))]
    assert all(entries(index, key_hash) == [] for key_hash in hashes)
    found = [add(index, key_hash, 8 * number + 64) for number, key_hash in enumerate(hashes)]
    assert index.buckets() == 1
    assert all(entry in entries(index, key_hash) for key_hash, entry in zip(hashes, found, strict=True))


def test_entries_of_one_tag_are_told_apart_by_address() -> None:
    index = HashIndex(0, Budget(1 << 30))
    key_hash = crafted(7, 99)
    found = [add(index, key_hash, address) for address in (64, 128, 4096)]
    other = add(index, crafted(7, 98), 512)
    assert entries(index, key_hash) == found
    assert entries(index, crafted(7, 98)) == [other]
    assert entries(index, crafted(8, 99)) == []
    assert index.holds(key_hash, 128, 10**9) == found[1]
    assert index.holds(key_hash, 136, 10**9) == 0
    assert index.holds(key_hash, 136, 4096) == found[2], "an entry at or behind `since` is to be followed"


def test_mixed_entries_are_followed() -> None:
    index = HashIndex(0, Budget(1 << 30))
    key_hash = crafted(1, 1)
    plain = add(index, key_hash, 64)
    mixed = with_sign(plain)
    assert mixed < 0
    assert index.replace(key_hash, plain, mixed)
    assert entries(index, key_hash) == [mixed]
    assert index.holds(key_hash, 64, 10**9) == mixed
    assert index.holds(key_hash, 32, 10**9) == mixed
    assert not index.replace(key_hash, plain, 0)
    assert index.replace(key_hash, mixed, 0)
    assert index.entries == 0


def test_largest_address_and_tag() -> None:
    index = HashIndex(0, Budget(1 << 30))
    key_hash = crafted(BUCKETS - 1, 2**TAG_BITS - 1) | 1 << 61
    address = 2**48 - 8
    entry = add(index, key_hash, address)
    assert entry > 0
    assert entry >> TAG_SHIFT == 2**TAG_BITS - 1
    assert entries(index, key_hash) == [entry]
    assert index.holds(key_hash, address, 0) == entry
    assert faults_of(index) == []


@pytest.mark.parametrize("count", [1, 6, 7, 8, 14, 15, 21, 22, 50])
def test_overflow_buckets(count: int) -> None:
    """A bucket holds seven entries, then each overflow bucket seven more; all are given back in the end."""
    index = HashIndex(0, Budget(1 << 30))
    made = {number: add(index, crafted(3, number), 64 + 8 * number) for number in range(count)}
    overflow = max(0, -(-count // BUCKET_ENTRIES) - 1)
    assert index.overflow_in_use == overflow
    assert index.entries == count
    assert all(entries(index, crafted(3, number)) == [entry] for number, entry in made.items())
    assert faults_of(index) == []
    order = list(made)
    random.Random(count).shuffle(order)
    while order:
        number = order.pop()
        assert index.replace(crafted(3, number), made.pop(number), 0)
        assert index.overflow_in_use == max(0, -(-len(made) // BUCKET_ENTRIES) - 1)
        assert all(entries(index, crafted(3, left)) == [entry] for left, entry in made.items())
    assert index.entries == 0


def test_a_table_made_for_many_keys_adds_overflow_buckets_before_it_splits() -> None:
    """No link runs past its bits, however long the table does without a split."""
    index = HashIndex(1_000_000, Budget(1 << 30))
    index.overflow_next = CHUNK_WORDS - 2 * OVERFLOW_SPARE + CHUNK_LEAD
    count = 4 * OVERFLOW_SPARE
    for tag in range(count):
        add(index, tag << 18 | 7, 64 + 8 * tag)
    assert index.buckets() == 1_000_000 // SPLIT_LOAD + 1
    assert len(index.overflow) == 2
    assert all(len(chunk) <= CHUNK_WORDS + CHUNK_LEAD for chunk in index.overflow)
    assert faults_of(index) == []
    assert all(len(entries(index, tag << 18 | 7)) == 1 for tag in range(0, count, 17))


def test_overflow_buckets_of_a_second_vec() -> None:
    """A chain may lead from one vec to the next, and back to what the first gave back."""
    index = HashIndex(0, Budget(1 << 30))
    index.overflow_next = CHUNK_WORDS - OVERFLOW_SPARE + CHUNK_LEAD
    for tag in range(2 * BUCKET_ENTRIES):
        add(index, crafted(4, tag), 64 + 8 * tag)
    assert len(index.overflow) == 2, "the next vec is there before it is needed"
    for tag in range(2 * BUCKET_ENTRIES, 5 * BUCKET_ENTRIES):
        add(index, crafted(4, tag), 64 + 8 * tag)
    assert index.overflow_next == CHUNK_LEAD + 4 * 8
    assert all(len(entries(index, crafted(4, tag))) == 1 for tag in range(5 * BUCKET_ENTRIES))
    for tag in range(5 * BUCKET_ENTRIES):
        key_hash = crafted(4, tag)
        assert index.replace(key_hash, index.entry_for(key_hash, 64 + 8 * tag), 0)
        assert faults_of(index) == []
    assert index.overflow_in_use == 0
    for tag in range(5 * BUCKET_ENTRIES):
        add(index, crafted(5, tag), 64 + 8 * tag)
    assert index.overflow_next == CHUNK_LEAD + 4 * 8
    assert index.free_overflow == 0
    while index.buckets() < 2 * BUCKETS:
        index.split_one()
    assert faults_of(index) == []
    assert all(len(entries(index, crafted(5, tag))) == 1 for tag in range(5 * BUCKET_ENTRIES))


def test_overflow_buckets_are_used_again() -> None:
    index = HashIndex(0, Budget(1 << 30))
    for bucket in range(4):
        for tag in range(20):
            add(index, crafted(bucket, tag), 64 + 8 * tag)
    size = index.overflow_next
    for tag in range(20):
        assert index.replace(crafted(2, tag), index.entry_for(crafted(2, tag), 64 + 8 * tag), 0)
    for tag in range(20):
        add(index, crafted(9, tag), 64 + 8 * tag)
    assert index.overflow_next == size
    assert all(len(entries(index, crafted(bucket, tag))) == 1 for bucket in (0, 1, 3, 9) for tag in range(20))
    assert faults_of(index) == []


def test_split_divides_a_bucket_by_the_next_bit() -> None:
    index = HashIndex(0, Budget(1 << 30))
    hashes = [crafted(0, tag) for tag in range(40)] + [crafted(1, tag) for tag in range(40)]
    for number, key_hash in enumerate(hashes):
        add(index, key_hash, 64 + 8 * number)
    overflow = index.overflow_in_use
    index.split_one()
    assert (index.buckets(), index.split) == (BUCKETS + 1, 1)
    assert index.bucket_of(crafted(0, 2)) == 0
    assert index.bucket_of(crafted(0, 3)) == BUCKETS
    assert index.bucket_of(crafted(1, 3)) == 1
    index.split_one()
    assert index.bucket_of(crafted(1, 3)) == BUCKETS + 1
    for number, key_hash in enumerate(hashes):
        assert entries(index, key_hash) == [index.entry_for(key_hash, 64 + 8 * number)]
    assert faults_of(index) == []
    assert index.entries == len(hashes)
    assert index.overflow_in_use <= overflow


def test_whole_doublings() -> None:
    index = HashIndex(0, Budget(1 << 30))
    draw = random.Random(5)
    hashes = {draw.getrandbits(62): 64 + 8 * number for number in range(scaled(3000))}
    for key_hash, address in hashes.items():
        add(index, key_hash, address)
    for doubling in range(1, 4):
        while index.buckets() < BUCKETS << doubling:
            index.split_one()
        assert (index.split, index.low_mask) == (0, (BUCKETS << doubling) - 1)
        assert faults_of(index) == []
        assert all(index.holds(key_hash, address, 0) != 0 for key_hash, address in hashes.items())
        assert all(index.bucket_of(key_hash) == key_hash & index.low_mask for key_hash in hashes)


def test_grows_by_itself() -> None:
    """One split for each five entries past the first load, so that no operation does more than one."""
    index = HashIndex(0, Budget(1 << 30))
    draw = random.Random(6)
    hashes = []
    count = SPLIT_LOAD * BUCKETS + scaled(10_000)
    for number in range(count):
        key_hash = draw.getrandbits(62)
        hashes.append(key_hash)
        before = index.buckets()
        add(index, key_hash, 64 + 8 * number)
        assert index.buckets() - before in (0, 1)
    assert abs(int(index.buckets()) - count // SPLIT_LOAD) <= 1
    assert faults_of(index) == []
    assert index.entries == count
    for number in range(0, count, 7):
        assert index.holds(hashes[number], 64 + 8 * number, 10**12) != 0


def test_growth_into_a_second_chunk() -> None:
    """The first chunk starts small and grows until it has 65,536 buckets; then there is another."""
    index = HashIndex(0, Budget(1 << 30))
    hashes = {number << FIRST_BITS | 4095: 64 + 8 * number for number in range(64)}
    for key_hash, address in hashes.items():
        add(index, key_hash, address)
    while index.buckets() <= 65_536:
        assert len(index.chunks) == 1
        assert index.buckets() <= len(index.chunks[0]) >> 3 <= 65_536
        index.split_one()
    assert len(index.chunks) == 2
    assert len(index.chunks[0]) >> 3 == 65_536
    while index.buckets() < 65_536 + 4096:
        index.split_one()
    assert faults_of(index) == []
    assert all(index.holds(key_hash, address, 0) for key_hash, address in hashes.items())


def test_purge_below() -> None:
    index = HashIndex(0, Budget(1 << 30))
    for tag in range(60):
        add(index, crafted(tag % 2, tag), 64 + 8 * tag)
    for tag in (4, 40):
        entry = index.entry_for(crafted(tag % 2, tag), 64 + 8 * tag)
        assert index.replace(crafted(tag % 2, tag), entry, with_sign(entry))
    assert list(index.purge_below(64)) == []
    assert index.entries == 60
    assert list(index.purge_below(64 + 8 * 33)) == [with_sign(index.entry_for(crafted(0, 4), 64 + 8 * 4))]
    assert index.entries == 27
    for tag in range(60):
        assert bool(entries(index, crafted(tag % 2, tag))) == (tag >= 33)
    assert faults_of(index) == []
    assert len(index.purge_below(2**48)) == 1
    assert (index.entries, index.overflow_in_use) == (0, 0)


def test_faults_are_found() -> None:
    index = HashIndex(0, Budget(1 << 30))
    key_hash = crafted(9, 6)
    add(index, key_hash, 64)
    while index.buckets() < BUCKETS + 20:
        index.split_one()
    assert faults_of(index) == []
    index.entries += 1
    assert any("2 were counted" in fault for fault in faults_of(index))
    index.entries -= 1
    index.put(9, index.entry_for(crafted(9, 7), 128))
    index.entries += 1
    assert any("stands in bucket 9" in fault for fault in faults_of(index))


COMMANDS = st.lists(
    st.tuples(st.sampled_from(["insert", "remove", "replace", "split"]), st.integers(0, 3), st.integers(0, 12)),
    max_size=150,
)


@given(commands=COMMANDS)
def test_against_a_model(commands: list[tuple[str, int, int]]) -> None:
    """A few buckets and tags, so that overflow, equal tags and splits meet."""
    index = HashIndex(0, Budget(1 << 30))
    model: dict[tuple[int, int], list[int]] = {}
    address = 64
    for command, bucket, tag in commands:
        key_hash = crafted(bucket, tag)
        held = model.setdefault((bucket, tag), [])
        address += 8
        if command == "insert":
            held.append(add(index, key_hash, address))
        elif command == "split":
            index.split_one()
        elif held and command == "remove":
            assert index.replace(key_hash, held.pop(address % len(held)), 0)
        elif held:
            fresh = index.entry_for(key_hash, address)
            place = address % len(held)
            assert index.replace(key_hash, held[place], fresh)
            held[place] = fresh
        assert sorted(entries(index, key_hash)) == sorted(held)
    assert index.entries == sum(len(held) for held in model.values())
    for (bucket, tag), held in model.items():
        assert sorted(entries(index, crafted(bucket, tag))) == sorted(held)
    assert faults_of(index) == []
