"""Faults of the index, and of what its entries lead to, each with its sentence."""

from pathlib import Path

import oxidbm
from tests.unit import surgeon
from tests.unit.plants import (
    COMMIT,
    K0,
    K1,
    LINK,
    R0,
    Maker,
    first_link,
    mixed_chain,
    on_disk,
    overflowing,
    says,
    sealed,
    the_bucket,
    three,
    with_free,
)


@says("log: the addresses are out of order: begin 64, head 64, flushed 64, sealed 64, read_only 64, tail 56")
def tail_below(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_log(store, tail=56)
    return store


@says("log: the addresses are out of order: begin 64, head 64, flushed 288, sealed 280, read_only 280, tail 280")
def flushed_above_sealed(path: Path) -> oxidbm.Store:
    store = sealed(path)
    surgeon.change_log(store, flushed=288)
    return store


@says(
    "log: the addresses are out of order: begin 8192, head 4096, flushed 4096, sealed 4096, read_only 4096, tail 4096"
)
def begin_above_head(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.change_log(store, begin=8192)
    return store


@says("log: the addresses are out of order: begin 64, head 288, flushed 280, sealed 280, read_only 280, tail 280")
def head_above_flushed(path: Path) -> oxidbm.Store:
    store = sealed(path)
    surgeon.change_log(store, head=288)
    return store


@says("log: the addresses are out of order: begin 64, head 64, flushed 280, sealed 280, read_only 272, tail 280")
def sealed_above_read_only(path: Path) -> oxidbm.Store:
    store = sealed(path)
    surgeon.change_log(store, read_only=272)
    return store


@says("log: it begins at address 64, but in memory nothing is kept below 20480")
def begin_of_a_log_in_memory(path: Path) -> oxidbm.Store:
    store = oxidbm.Store(memory="1MiB", page_size="4KiB")
    for number in range(40):
        store[b"a"] = b"x" * (200 + 8 * number)
    store.reorganize()
    return moved_back(store)


def moved_back(store: oxidbm.Store) -> oxidbm.Store:
    """Let the log begin at its very begin, though head is elsewhere."""
    surgeon.change_log(store, begin=64)
    return store


@says("index: there is room for 4096 buckets, not for low_mask 0x1fff, split 0 and tag_base 12")
def mask_too_wide(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_index(store, low_mask=0x1FFF)
    return store


@says("index: there is room for 4096 buckets, not for low_mask 0xffe, split 0 and tag_base 12")
def mask_with_a_hole(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_index(store, low_mask=0xFFE)
    return store


@says("index: there is room for 5120 buckets, not for low_mask 0xfff, split 4096 and tag_base 12")
def split_beyond_mask(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.split(store)
    surgeon.change_index(store, split=4096)
    return store


@says("index: there is room for 4096 buckets, not for low_mask 0xfff, split 0 and tag_base 13")
def tag_beyond_the_bucket(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_index(store, tag_base=13)
    return store


def bad_link(link: int) -> Maker:
    """Return what lets an empty bucket lead to a link."""

    def maker(path: Path) -> oxidbm.Store:
        store = overflowing(path)
        surgeon.set_bucket_word(store, 5, LINK, link)
        return store

    maker.__name__ = f"bucket_leads_to_{link:#x}"
    return maker


for place in (0x100003, 0x4, 0x1B, -1 << 20 | 3, 1 << 60 | 3, 1 << 20 - 1):
    says(f"index: bucket 5 leads to {place:#x}, where no overflow bucket stands")(bad_link(place))


@says("index: bucket 444 leads to overflow bucket 0x3, which is in use already")
def overflow_bucket_shared(path: Path) -> oxidbm.Store:
    store = overflowing(path)
    surgeon.set_bucket_word(store, 5, LINK, first_link(store))
    return store


@says("index: bucket 444 leads to overflow bucket 0x3, which is in use already")
def overflow_buckets_in_a_ring(path: Path) -> oxidbm.Store:
    store = overflowing(path)
    second = surgeon.overflow_word(store, first_link(store), LINK)
    surgeon.set_overflow_word(store, second, LINK, first_link(store))
    return store


@says("index: 3 overflow buckets are in use, 4 were counted")
def overflow_counter(path: Path) -> oxidbm.Store:
    store = overflowing(path)
    surgeon.change_index(store, overflow_in_use=4)
    return store


@says("index: 3 overflow buckets were made, 1 of them are in use or free")
def free_list_forgotten(path: Path) -> oxidbm.Store:
    store = with_free(path)
    surgeon.change_index(store, free_overflow=0)
    return store


@says("index: the free list leads to 0x1b, where no overflow bucket stands")
def free_list_leads_nowhere(path: Path) -> oxidbm.Store:
    store = with_free(path)
    surgeon.change_index(store, free_overflow=0x1B)
    return store


@says("index: the free list leads to overflow bucket 0xb, which is in use or free already")
def free_list_in_a_ring(path: Path) -> oxidbm.Store:
    store = with_free(path)
    first = surgeon.index_field(store, "free_overflow")
    second = surgeon.overflow_word(store, first, LINK)
    surgeon.set_overflow_word(store, second, LINK, first)
    return store


@says("index: the free list leads to overflow bucket 0x3, which is in use or free already")
def free_list_leads_to_one_in_use(path: Path) -> oxidbm.Store:
    store = with_free(path)
    surgeon.change_index(store, free_overflow=first_link(store))
    return store


@says("index: the free overflow bucket 0x13 is not empty")
def free_overflow_bucket_with_an_entry(path: Path) -> oxidbm.Store:
    store = with_free(path)
    surgeon.set_overflow_word(
        store, surgeon.overflow_word(store, surgeon.index_field(store, "free_overflow"), LINK), 6, 9
    )
    return store


@says("index: an entry with tag 0x1783a stands in bucket 7916, where its tag does not belong")
def entry_in_another_half(path: Path) -> oxidbm.Store:
    store = three(path)
    for _ in range(4096):
        surgeon.split(store)
    surgeon.misplace_entry(store, K0, surgeon.bucket_of(store, K0) ^ 4096)
    return store


@says("index: bucket 444 has a gap, with something behind it")
def gap_in_a_bucket(path: Path) -> oxidbm.Store:
    store = overflowing(path, 4)
    surgeon.set_bucket_word(store, the_bucket(store), 5, surgeon.bucket_word(store, the_bucket(store), 3))
    return store


@says("index: bucket 444 has a gap, with something behind it")
def gap_before_a_link(path: Path) -> oxidbm.Store:
    store = overflowing(path, 15)
    for number in range(7):
        surgeon.set_overflow_word(store, first_link(store), number, 0)
    surgeon.change_index(store, entries=8 - 1)
    return store


@says("index: 3 entries stand in the buckets, 4 were counted")
def entry_counter(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_index(store, entries=4)
    return store


@says(
    "index: 3 entries stand in the buckets, 4 were counted",
    "index: an entry leads to address 56, outside of the log [64, 184)",
)
def entry_counter_and_an_entry(path: Path) -> oxidbm.Store:
    """A wrong counter of the index does not hide where its entries lead."""
    store = three(path)
    surgeon.lead(store, K0, 56)
    surgeon.change_index(store, entries=4)
    return store


@says("index: an entry leads to address 56, outside of the log [64, 184)")
def entry_below_begin(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.lead(store, K0, 56)
    return store


@says("index: an entry leads to address 184, outside of the log [64, 184)")
def entry_at_the_tail(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.lead(store, K0, COMMIT)
    return store


@says("index: an entry leads to address 72, where no record begins")
def entry_into_a_record(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.lead(store, K0, R0 + 8)
    return store


@says("index: an entry leads to the commit record at address 184")
def entry_to_a_commit(path: Path) -> oxidbm.Store:
    store = sealed(path)
    surgeon.lead(store, K0, COMMIT)
    return store


@says("index: the entry for address 64 stands where its record's key does not lead")
def entry_of_another_key(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.lead(store, K1, R0)
    return store


@says("index: the entry for address 64 stands where its record's key does not lead")
def entry_in_another_bucket(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.misplace_entry(store, K0, surgeon.bucket_of(store, K0) ^ 1)
    return store


@says("index: 2 entries lead to address 64")
def entry_twice(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.add_entry(store, K0, R0)
    return store


@says("index: the entries for addresses 64 and 280 lead to the same key b'k0'")
def two_entries_of_a_key(path: Path) -> oxidbm.Store:
    store = sealed(path)
    store[K0] = b"longer than before"
    surgeon.add_entry(store, K0, R0)
    return store


@says("index: the entries for addresses 64 and 4096 lead to the same key b'collision 12083'")
def two_entries_of_a_key_down_a_mixed_chain(path: Path) -> oxidbm.Store:
    store, a, _ = mixed_chain(path)
    store[b"other"] = b""
    surgeon.add_entry(store, a, 64)
    return store
