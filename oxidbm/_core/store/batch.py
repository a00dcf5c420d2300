"""Batches: writes that become visible and durable together, or not at all.

A batch holds its operations in memory, the last one for each key. Applying it happens behind the gate: `state` is BUSY,
every operation of another thread that begins meanwhile waits, so nobody sees a part of it; and under the cut lock, so
no commit record falls between its records: one commit decides about all of them. What could fail is done before the
first change: what has to be read from disk is read, and pages for everything are made free. Ctrl-C in between is kept
until the end.
"""

import threading
from collections.abc import Mapping
from typing import Any, Final, cast

from mypy_extensions import i64

from oxidbm._core.durability.commit import commit
from oxidbm._core.errors import error
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.hash_index import ENTRY_ADDRESS
from oxidbm._core.log.hybrid_log import NO_ROOM
from oxidbm._core.log.record import HEADER_BYTES
from oxidbm._core.store.arguments import expiry_at, to_key, to_value
from oxidbm._core.table import operations
from oxidbm._core.table.engine import BUSY, OPEN, WRITABLE, Engine
from oxidbm._core.table.locate import locate_steady

PAGES_SPARE: Final = 2
ATTEMPTS_MAX: Final = 100
DELETED: Final = b"\0deleted"  # compared by identity


class Batch:
    """The writes of one `with store.batch()` block; documented in oxidbm/__init__.pyi."""

    def __init__(self, e: Engine, always: bool) -> None:
        self.e = e
        self.always = always
        self.values: dict[bytes, bytes] = {}
        self.expiries: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.values)

    def __setitem__(self, key: object, value: object) -> None:
        self.set(key, value)

    def __delitem__(self, key: object) -> None:
        self.delete(key)

    def set(self, key: object, value: object, expire: object = None) -> None:
        """Store a value under a key when the block ends."""
        e = self.e
        k = to_key(e, key)
        v = to_value(e, k, value)
        expiry = expiry_at(e, expire)
        self.values[k] = v
        if expiry:
            self.expiries[k] = expiry
        else:
            self.expiries.pop(k, None)

    def delete(self, key: object) -> None:
        """Delete a key when the block ends; one without a value is none to delete."""
        k = to_key(self.e, key)
        self.values[k] = DELETED
        self.expiries.pop(k, None)

    def update(self, other: object) -> None:
        """Store the pairs of a mapping or of an iterable of pairs when the block ends."""
        if isinstance(other, Mapping):
            other = other.items()
        elif hasattr(other, "keys"):
            for key in cast(Any, other).keys():  # noqa: SIM118 - a mapping need only have keys()
                self.set(key, cast(Any, other)[key])
            return
        for key, value in cast(Any, other):
            self.set(key, value)

    def clear(self) -> None:
        """Forget what the batch holds."""
        self.values = {}
        self.expiries = {}

    def __enter__(self) -> "Batch":  # noqa: PYI034 - Self is not for compiled classes
        e = self.e
        if e.writable != WRITABLE or e.state != OPEN:
            e.blocked_write()
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if kind is None and self.values:
            apply(self.e, self.values, self.expiries)
            self.clear()
            if self.e.log.due:
                self.e.maintainer.step()
            if self.always:
                commit(self.e)


def apply(e: Engine, values: dict[bytes, bytes], expiries: dict[bytes, int]) -> None:
    """Do all writes of a batch, unseen until the last one is done."""
    if e.writable != WRITABLE or e.state != OPEN:
        e.blocked_write()
    check_size(e, values, expiries)
    head = read_ahead(e, values, 0)
    with e.gate:
        e.wait_until_open()
        if e.writable != WRITABLE:
            e.blocked_write()
        e.gate_thread = threading.get_ident()
        e.state = BUSY
        try:
            with e.cut_lock:
                make_room(e, values, expiries)
                read_ahead(e, values, head)
                apply_all(e, values, expiries)
        finally:
            if e.state == BUSY:
                e.state = OPEN
            e.log.frames.drop_runs()


def record_size(key: bytes, value: bytes, expires: bool) -> i64:
    """Return the size of the record that a batch may append for a key."""
    size: i64 = HEADER_BYTES + ((i64(len(key)) + 7) & -8) + (8 if expires else 0)
    return size if value is DELETED else size + ((i64(len(value)) + 7) & -8)


def check_size(e: Engine, values: dict[bytes, bytes], expiries: dict[bytes, int]) -> None:
    """Raise ValueError for a batch that takes more than the largest record may."""
    total: i64 = 0
    for key, value in values.items():
        total += record_size(key, value, key in expiries)
    if total > e.value_limit:
        raise ValueError(
            f"a batch of {total} bytes does not fit: half of the memory budget, {e.value_limit} bytes, is the most one "
            "may take. Write it in parts, or open the store with a larger memory="
        )


def read_ahead(e: Engine, values: dict[bytes, bytes], since: i64) -> i64:
    """Read what applying will have to read from disk, so that a damaged record is met before anything has changed.

    Only entries that lead to addresses from `since` on are looked at: the others were before. Returns from where on
    what is in memory now has not been read.
    """
    log = e.log
    head = log.head
    if since == head:
        return head
    settled: bool = e.pending_count() + len(values) < e.pending_max  # else an upsert reads instead of adding to them
    for key, value in values.items():
        key_hash = hash_key(key, e.seed)
        entries = e.index.matching(key_hash)
        for entry in entries:
            address: i64 = (entry & ENTRY_ADDRESS) << 3
            if address >= since and (
                entry < 0 or (address < log.head and (value is DELETED or len(entries) > 1 or not settled))
            ):
                locate_steady(e, key, key_hash)
                break
    return head


def make_room(e: Engine, values: dict[bytes, bytes], expiries: dict[bytes, int]) -> None:
    """Have page frames ready for all that a batch may append."""
    log = e.log
    pages: i64 = PAGES_SPARE
    runs: list[int] = []
    at: i64 = log.tail & log.offset_mask
    for key, value in values.items():
        size = record_size(key, value, key in expiries)
        if size > log.page_bytes:
            runs.append(size)
            at = log.page_bytes  # what follows a run begins a page
        elif at + size > log.page_bytes:
            pages += 1
            at = size
        else:
            at += size
    log.pages_wanted = pages
    log.runs_wanted = runs
    log.for_batch = True
    try:
        while not log.prepare_batch():
            e.maintainer.make_room()
    finally:
        log.for_batch = False
        log.runs_wanted = []


def apply_all(e: Engine, values: dict[bytes, bytes], expiries: dict[bytes, int]) -> None:
    """Do the writes, one after the other, whatever the signal handlers have to say."""
    interrupted: BaseException | None = None
    attempts: i64 = 0
    changed = False
    for key, value in values.items():
        while True:
            try:
                if value is DELETED:
                    status = operations.delete(e, key)
                else:
                    status = operations.upsert(e, key, value, operations.ALWAYS, b"", i64(expiries.get(key, 0)))
                if status != NO_ROOM:
                    break
                e.maintainer.make_room()
            except BaseException as stop:
                attempts += 1
                if isinstance(stop, error) or attempts > ATTEMPTS_MAX:
                    if changed:  # a part of a batch must never become durable
                        e.poison_with(OSError(f"a batch could not be finished ({stop})"))
                    raise
                interrupted = stop
        changed = True
    if interrupted is not None:
        raise interrupted
