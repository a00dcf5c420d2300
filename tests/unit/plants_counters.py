"""Faults of commit records and of what a store has counted, each with its sentence."""

from pathlib import Path

import oxidbm
from tests.unit import surgeon
from tests.unit.helpers import PAGE_BYTES, disk_store, push_to_disk
from tests.unit.plants import COMMIT, K0, K1, K2, R0, R2, Maker, on_disk, says, sealed, three, twice_on_disk
from tests.unit.surgeon import INFO, SEAL, SHAPE


def bad_commit(field: str, value: int) -> Maker:
    """Return what writes a word of the first commit record."""

    def maker(path: Path) -> oxidbm.Store:
        store = on_disk(path)
        surgeon.change_commit(store, COMMIT, field, value)
        return store

    maker.__name__ = f"commit_with_{field}_{value}"
    return maker


for field, value, words in [
    ("records", 4, "3 records stand before commit 1, which counted 4"),
    ("durable_sequence", 1, "commit 1 knew commit 1 to be durable"),
    ("durable_sequence", -1, "commit 1 knew commit -1 to be durable"),
    ("begin", 4096, "commit 1 says that the log begins behind it, at 4096"),
    ("sessions", 1, "0 sessions have records, the last commit counted 1"),
    ("sessions", -1, "0 sessions have records, the last commit counted -1"),
    ("count", 4, "3 keys are live, the last commit counted 4 and 0 it had not verified"),
    ("count", 2, "3 keys are live, the last commit counted 2 and 0 it had not verified"),
    ("live_bytes", 128, "the live records take 120 bytes, the last commit counted 128"),
    ("live_bytes", 112, "the live records take 120 bytes, the last commit counted 112"),
]:
    says(f"0000000000.seg at offset 184: {words}")(bad_commit(field, value))
says("store: the last commit in the log is 2 at address 184, 1 at 184 was noted")(bad_commit("sequence", 2))
says("log: it begins at address 64, the last commit says at 56")(bad_commit("begin", 56))


def named(path: Path) -> oxidbm.Store:
    """Return a store on disk with four records, that of a session, and a commit record."""
    store = three(path)
    store.session("name").upsert(b"k3", b"value")
    push_to_disk(store)
    return store


SESSION, NAMED_COMMIT = 224, 272  # where these two stand
SESSION_SHAPE = 8 << 48 | 4 << 32 | 16


def bad_session(number: int, value: int) -> Maker:
    """Return what writes a word of a session's record."""

    def maker(path: Path) -> oxidbm.Store:
        store = named(path)
        surgeon.rewrite(store, SESSION, number, value)
        return store

    maker.__name__ = f"session_word_{number}_{value}"
    return maker


for number, value, words in [
    (INFO, 1 << 48 | 64, "a session record that leads to another record"),
    (INFO, 1 << 63 | 1 << 48, "a session record that leads to another record"),
    (INFO, 1 << 61 | 1 << 48, "a session record with a value of 16 bytes, 0 are needed"),
    (SHAPE, SESSION_SHAPE - 8, "a session record with a value of 8 bytes, 16 are needed"),
    (3, 0xFF, "a session record whose name is not UTF-8"),
    (4, -1, "a session record with the serial number -1"),
    (4, 1 << 62, "a session record with the serial number 4611686018427387904"),
]:
    says(f"0000000000.seg at offset 224: {words}")(bad_session(number, value))
says("store: session 'name' is at 1, its record says 2")(bad_session(4, 2))


@says("0000000000.seg at offset 224: a session record with the flags 0x9")
def session_that_expires(path: Path) -> oxidbm.Store:
    store = named(path)
    surgeon.rewrite(store, SESSION, SEAL, 1 << 32)
    surgeon.rewrite(store, SESSION, SHAPE, (SESSION_SHAPE | 1 << 48) - 8)
    return store


@says("store: the newest record of session 'name' stands at address 0, 224 was noted")
def session_forgotten_in_the_log(path: Path) -> oxidbm.Store:
    store = named(path)
    surgeon.rewrite(store, SESSION, SHAPE, SESSION_SHAPE - 16)
    surgeon.rewrite(store, SESSION, INFO, 1 << 61 | 1 << 48)
    return store


@says("store: the newest record of session 'name' stands at address 224, 64 was noted")
def session_noted_elsewhere(path: Path) -> oxidbm.Store:
    store = named(path)
    surgeon.change_session(store, "name", address=R0)
    return store


@says("store: 1 sessions have records, 2 were counted")
def sessions_counted(path: Path) -> oxidbm.Store:
    store = named(path)
    surgeon.change_counters(store, sessions_stated=2)
    return store


@says("0000000000.seg at offset 272: 1 sessions have records, the last commit counted 3")
def sessions_counted_by_the_commit(path: Path) -> oxidbm.Store:
    store = named(path)
    surgeon.change_commit(store, NAMED_COMMIT, "sessions", 3)
    return store


@says("index: an entry leads to the session record at address 224")
def entry_to_a_session_record(path: Path) -> oxidbm.Store:
    store = named(path)
    surgeon.add_entry(store, b"name", SESSION)
    return store


@says("0000000000.seg at offset 4216: commit 2 follows the one at address 64, not commit 1 at 184")
def commit_behind_another(path: Path) -> oxidbm.Store:
    store = twice_on_disk(path)
    surgeon.rechain(store, PAGE_BYTES + 120, R0)
    return store


@says("0000000000.seg at offset 4216: 3 records stand before commit 2, which counted 2")
def second_commit_counts_wrong(path: Path) -> oxidbm.Store:
    store = twice_on_disk(path)
    surgeon.change_commit(store, PAGE_BYTES + 120, "records", 2)
    return store


@says("0000000000.seg at offset 184: a commit record whose header is not that of one")
def short_commit(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.rewrite(store, COMMIT, SHAPE, 4 << 48 | 64)
    return store


@says("0000000002.seg at offset 120: the records before commit 3 are not all there")
def first_commit_of_a_compacted_log(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    store.reorganize()
    push_to_disk(store)
    begin = surgeon.log_address(store, "begin")
    assert begin > 64
    surgeon.rechain(store, begin + 120, begin)
    return store


@says("store: the last commit in the log is 1 at address 184, 2 at 184 was noted")
def commit_sequence_noted(path: Path) -> oxidbm.Store:
    store = sealed(path)
    surgeon.change_counters(store, commit_sequence=2)
    return store


@says("store: the last commit in the log is 1 at address 184, 1 at 144 was noted")
def commit_address_noted(path: Path) -> oxidbm.Store:
    store = sealed(path)
    surgeon.change_counters(store, commit_address=R2)
    return store


@says("store: 3 records stand behind the last commit, 2 were counted")
def records_since_commit(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_counters(store, records_since_commit=2)
    return store


@says("store: the record at address 104 has an expiry, but the clock is never asked")
def clock_forgotten(path: Path) -> oxidbm.Store:
    store = disk_store(path)
    store[K0] = b"value"
    for key in (K1, K2):
        store.set(key, b"value", expire=60)
    surgeon.change_counters(store, expiring=False)
    return store


@says("store: no unverified record stands at address 64, which is to be settled")
def verified_record_to_settle(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.add_pending(store, R0)
    return store


@says("store: no unverified record stands at address 72, which is to be settled")
def no_record_to_settle(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.add_pending(store, R0 + 8)
    return store


@says("store: no unverified record stands at address 8, which is to be settled")
def record_to_settle_below_begin(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.add_pending(store, 8)
    return store


@says("0000000000.seg at offset 72: the record at address 72 is corrupt: its version is 0, only 1 is known")
def no_record_to_settle_on_disk(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    surgeon.add_pending(store, R0 + 8)
    return store


@says("0000000000.seg at offset 72: the record at address 72 is corrupt: its version is 0, only 1 is known")
def record_to_settle_that_leads_into_another(path: Path) -> oxidbm.Store:
    store = on_disk(path)
    store[K0] = b"new"
    surgeon.chain(store, PAGE_BYTES, R0 + 8)
    surgeon.lose_entry(store, K0)
    return store


@says("store: 1 of 0 records to be settled are noted to be settled")
def more_settled_than_there_are(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_counters(store, pending_first=1)
    return store


@says("store: -1 of 0 records to be settled are noted to be settled")
def fewer_settled_than_none(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_counters(store, pending_first=-1)
    return store


@says("store: 3 keys are live in the log, 4 were counted")
def key_counter(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_counters(store, count=4)
    return store


@says("store: 2 keys are live in the log, 3 were counted")
def entry_lost(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.lose_entry(store, K2)
    surgeon.change_counters(store, live_bytes=80)
    return store


@says("store: the live records take 120 bytes, 128 were counted")
def live_bytes_too_many(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_counters(store, live_bytes=128)
    return store


@says("store: the live records take 120 bytes, 112 were counted")
def live_bytes_too_few(path: Path) -> oxidbm.Store:
    store = three(path)
    surgeon.change_counters(store, live_bytes=112)
    return store


@says("store: the live records take 120 bytes, 112 were counted")
def live_bytes_too_few_in_memory_only(path: Path) -> oxidbm.Store:
    store = oxidbm.Store()
    store.update({K0: b"value", K1: b"value", K2: b"value"})
    surgeon.change_counters(store, live_bytes=112)
    return store
