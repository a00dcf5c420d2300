"""Faults of records and pages, in memory and on disk, each with its sentence."""

from pathlib import Path

import oxidbm
from tests.unit import surgeon
from tests.unit.helpers import PAGE_BYTES, disk_store, push_to_disk
from tests.unit.plants import (
    COMMIT,
    K0,
    K1,
    K2,
    R0,
    R1,
    R2,
    Maker,
    mixed_chain,
    on_disk,
    says,
    sealed,
    three,
    twice_on_disk,
)
from tests.unit.surgeon import INFO, SEAL, SHAPE, VALUE


@says("memory: the page of address 4096 has no frame")
def page_without_a_frame(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.end_page(store)
    store[b"k3"] = b"value"
    surgeon.take_frame(store, PAGE_BYTES)
    return store


@says("memory: the page of address 64 ends at 4104, its frame reaches from 0 to 4096")
def page_ends_behind_its_frame(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.end_page(store)
    surgeon.set_page_end(store, R0, PAGE_BYTES + 8)
    return store


@says("memory: the page of address 4096 ends at 4096, its frame reaches from 4096 to 8192")
def page_ends_where_it_begins(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.end_page(store)
    store[b"k3"] = b"value"
    surgeon.set_page_end(store, PAGE_BYTES, PAGE_BYTES)
    return store


@says("memory: the page of address 64 ends at 0, its frame reaches from 0 to 4096")
def page_that_is_not_ended(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.end_page(store)
    store[b"k3"] = b"value"
    surgeon.set_page_end(store, R0, 0)
    return store


@says("memory: the page of address 64 ends at 4104, its frame reaches from 0 to 4096")
def tail_beyond_the_last_frame(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.set_page_end(store, R0, 4104)
    surgeon.change_log(store, tail=1 << 40)
    return store


@says("memory: the record at address 144 is corrupt: its 40 bytes reach beyond the end of its page")
def tail_inside_a_record(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_log(store, tail=176)
    return store


@says("memory: the record at address 184 is corrupt: its header reaches beyond the end of its page")
def tail_behind_a_record(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_log(store, tail=200)
    return store


HEADERS = {
    "version": (INFO, 2 << 48, "its version is 2, only 1 is known"),
    "no_version": (INFO, 0, "its version is 0, only 1 is known"),
    "invalid": (INFO, 1 << 48 | 1 << 62, "it is marked invalid, which this release never does"),
    "flags": (SHAPE, 32 << 48 | 2 << 32 | 5, "its flags have the unknown bits 0x20"),
    "capacity": (SEAL, 0x7FFFFFFF << 32, "its capacity of 2147483647 words is more than the longest value takes"),
    "value_length": (SHAPE, 2 << 32 | 9, "its value of 9 bytes exceeds its capacity of 1 words"),
}


def bad_header(where: str, name: str) -> Maker:
    """Return what writes a wrong header word into the record of k1."""
    number, value, _ = HEADERS[name]

    def maker(path: Path) -> oxidbm.Store:
        store = {"memory": three, "sealed": sealed, "disk": on_disk}[where](path)
        if where == "disk":
            surgeon.rewrite(store, R1, number, value)
        else:
            surgeon.set_word(store, R1, number, value)
        return store

    maker.__name__ = f"{name}_of_a_record_{where}"
    return maker


for name, (_, _, words) in HEADERS.items():
    says(f"memory: the record at address 104 is corrupt: {words}")(bad_header("memory", name))
    says(f"memory: the sealed record at address 104 is corrupt: {words}")(bad_header("sealed", name))
    if name == "no_version":
        words = "no record begins at address 104, but the rest of its page is not empty"
        says(f"0000000000.seg at offset 104: {words}")(bad_header("disk", name))
    else:
        says(f"0000000000.seg at offset 104: the record at address 104 is corrupt: {words}")(bad_header("disk", name))


@says("memory: the sealed record at address 104 is corrupt: it does not match its checksum")
def sealed_record_changed(path: Path) -> oxidbm.Store:
    store = sealed(path)
    surgeon.set_word(store, R1, VALUE, 0x65756C6157)
    return store


@says("memory: the sealed record at address 104 is corrupt: it does not match its checksum")
def key_of_a_sealed_record_changed(path: Path) -> oxidbm.Store:
    store = sealed(path)
    surgeon.set_word(store, R1, VALUE - 1, 0x316C)
    return store


@says("memory: the sealed record at address 4096 is corrupt: it does not match its checksum")
def first_record_behind_the_disk_changed(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    store[b"k3"] = b"value"
    store.sync()
    surgeon.set_word(store, PAGE_BYTES, VALUE, 0x65756C6157)
    return store


@says("memory: the record at address 4096 is corrupt: its version is 0, only 1 is known")
def first_record_behind_the_disk_lost(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    store[b"k3"] = b"value"
    surgeon.set_word(store, PAGE_BYTES, INFO, 0)
    return store


@says("memory: the record at address 104 is corrupt: its previous address 144 does not lie before it")
def chain_forward_in_memory_only(path: Path) -> oxidbm.Store:
    store = oxidbm.Store()
    store.update({K0: b"value", K1: b"value", K2: b"value"})
    surgeon.chain(store, R1, R2)
    return store


@says(
    "0000000000.seg at offset 104: the record at address 104 is corrupt: "
    "its previous address 104 does not lie before it"
)
def chain_to_itself(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.rechain(store, R1, R1)
    return store


@says(
    "0000000000.seg at offset 64: the record at address 64 is corrupt: its previous address 4096 does not lie before it"
)
def mixed_chain_in_a_ring(path: Path) -> oxidbm.Store:
    store, *_ = mixed_chain(path)
    surgeon.rechain(store, 64, 4096)
    return store


@says("0000000000.seg at offset 104: the chain of address 104 leads to 68, where no record begins")
def chain_between_words(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.rechain(store, R1, 68)
    return store


@says("0000000000.seg at offset 104: the chain of address 104 leads to 56, where no record begins")
def chain_before_the_first_record(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.rechain(store, R1, 56)
    return store


@says("0000000000.seg at offset 104: the chain of address 104 leads to 72, where no record begins")
def chain_into_a_record(path: Path) -> oxidbm.Store:
    store = sealed(path)
    surgeon.chain(store, R1, R0 + 8)
    surgeon.seal_again(store, R1)
    return store


@says("0000000000.seg at offset 72: the record at address 72 is corrupt: its version is 0, only 1 is known")
def mixed_chain_into_a_record_on_disk(path: Path) -> oxidbm.Store:
    store, *_ = mixed_chain(path)
    surgeon.chain(store, 4096, 72)
    return store


@says(
    "0000000000.seg at offset 104: the record at address 104 is corrupt: "
    "its 40 bytes and the flag page_run do not agree about pages of 4096 bytes"
)
def flag_of_a_run(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.rewrite(store, R1, SHAPE, 2 << 48 | 2 << 32 | 5)
    return store


@says(
    "0000000000.seg at offset 4096: the record at address 4096 is corrupt: its 5032 bytes and the flag page_run do not "
    "agree about pages of 4096 bytes"
)
def run_without_its_flag(path: Path) -> oxidbm.Store:
    store = three(path)
    store[b"run"] = b"v" * 5000
    push_to_disk(store)
    surgeon.rewrite(store, PAGE_BYTES, SHAPE, 3 << 32 | 5000)
    return store


@says(
    "0000000000.seg at offset 104: the record at address 104 is corrupt: its 4032 bytes from offset 104 of its page on "
    "reach over the page's end"
)
def capacity_over_the_end_of_its_page(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.rewrite(store, R1, SEAL, 500 << 32)
    return store


@says("0000000000.seg at offset 104: the key of address 104 is not padded with zeros")
def key_padding(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.rewrite(store, R1, VALUE - 1, 0x01000000_0000316B)
    return store


@says("memory: the value of address 104 is not padded with zeros")
def value_padding(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.set_word(store, R1, VALUE, -0x7FFFFF9A_8A939E8A)
    return store


@says("memory: the tag of address 184 is none of 62 bits")
def tag_that_is_none(path: Path) -> oxidbm.Store:
    store = three(path)
    store.set(b"k3", b"value", tag="a tag")
    surgeon.set_word(store, R2 + 40, VALUE - 1, 0)
    return store


@says("0000000000.seg at offset 104: the record at address 104 does not match its checksum")
def record_on_disk_changed(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.damage(store, R1 + 8 * VALUE, b"V")
    return store


@says("0000000000.seg at offset 4096: the record at address 4096 does not match its checksum")
def first_record_of_a_page_changed(path: Path) -> oxidbm.Store:
    store = twice_on_disk(path)
    surgeon.damage(store, PAGE_BYTES + 8 * VALUE, b"V")
    return store


@says("0000000000.seg at offset 4096: the record at address 4096 does not match its checksum")
def run_changed(path: Path) -> oxidbm.Store:
    store = three(path)
    store[b"run"] = b"v" * 10_000
    push_to_disk(store)
    surgeon.damage(store, PAGE_BYTES + 9000, b"V")
    return store


@says("0000000000.seg at offset 184: the record at address 184 is corrupt: its 96 bytes are cut off")
def file_cut_off_inside_a_record(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.cut(store, 250)
    return store


@says("0000000000.seg at offset 280: no record begins at address 280, but the rest of its page is not empty")
def rest_of_a_page(path: Path) -> oxidbm.Store:
    store = twice_on_disk(path)
    surgeon.damage(store, PAGE_BYTES - 1, b"\1")
    return store


@says(
    "0000000000.seg at offset 144: the file has no more than that of the 280 bytes it had; something has cut it since "
    "the store was opened"
)
def file_cut_off_between_records(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.cut(store, R2)
    return store


def entry_to_bytes(path: Path, header: bytes) -> oxidbm.Store:
    """Return a store in which an entry leads to a header that stands, on disk, inside of a value."""
    store = disk_store(path)
    store[K0] = header
    push_to_disk(store)
    surgeon.lead(store, K0, 64 + 8 * VALUE)
    return store


def header(info: int, shape: int, seal: int) -> bytes:
    """Return three words."""
    return b"".join(value.to_bytes(8, "little") for value in (info, shape, seal))


@says("0000000000.seg at offset 96: the record at address 96 is corrupt: its flags have the unknown bits 0x20")
def entry_to_a_bad_header_on_disk(path: Path) -> oxidbm.Store:
    return entry_to_bytes(path, header(1 << 48, 32 << 48, 0))


@says("0000000000.seg at offset 264: the file ends inside a record's header (16 of 24 bytes)")
def entry_to_the_end_of_the_file(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.lead(store, K0, COMMIT + 80)
    return store


@says("0000000000.seg at offset 96: the record of 3024 bytes is cut off after 120")
def entry_to_a_record_that_is_cut_off(path: Path) -> oxidbm.Store:
    return entry_to_bytes(path, header(1 << 48, 3000, 375 << 32))


@says("0000000000.seg at offset 96: the record at address 96 has checksum 0x*, its header says 0x*")
def entry_to_a_record_with_another_checksum(path: Path) -> oxidbm.Store:
    return entry_to_bytes(path, header(1 << 48, 0, 7))


@says("0000000000.seg at offset 72: the record at address 72 is corrupt: its version is 0, only 1 is known")
def chain_of_the_live_into_a_record_on_disk(path: Path) -> oxidbm.Store:
    """The record on disk may be live down the chain, which cannot be followed."""
    store, *_ = mixed_chain(path)
    surgeon.chain(store, 4096, 72)
    return store


@says(
    "memory: the record at address 104 is corrupt: its version is 2, only 1 is known",
    "index: 3 entries stand in the buckets, 4 were counted",
)
def two_faults(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.set_word(store, R1, INFO, 2 << 48)
    surgeon.change_index(store, entries=4)
    return store


@says(
    "0000000000.seg at offset 64: the record at address 64 does not match its checksum",
    "0000000000.seg at offset 144: the record at address 144 has checksum 0x*, its header says 0x*",
)
def two_records_of_a_page(path: Path) -> oxidbm.Store:
    """The second cannot be stepped to, but an entry leads there."""
    store = on_disk(path)
    surgeon.damage(store, R0 + 8 * VALUE, b"V")
    surgeon.damage(store, R2 + 8 * VALUE, b"V")
    return store
