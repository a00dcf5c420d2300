"""Batches: writes that become visible and durable together, or not at all.

A batch holds its operations in memory, the last one for each key. Applying it happens behind the gate: `state` is BUSY,
every operation of another thread that begins meanwhile waits, so nobody sees a part of it; and under the cut lock, so
no commit record falls between its records: one commit decides about all of them. What could fail is done before the
first change: what has to be read from disk is read, and pages for everything are made free. Ctrl-C in between is kept
until the end.
"""

from collections.abc import Mapping
from types import GenericAlias
from typing import Any, Final, cast

from mypy_extensions import i64

from oxidbm._core.errors import behind_its_block, error
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import address_of, is_mixed
from oxidbm._core.log.append import record_bytes
from oxidbm._core.log.room import Room
from oxidbm._core.store.arguments import expiry_at, tell_key, to_key, to_value
from oxidbm._core.store.bulk import check_pairs, of_pair
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.tags import digest_of
from oxidbm._core.table import operations
from oxidbm._core.table.locate import locate_steady
from oxidbm._core.table.retry import make_room
from oxidbm._core.table.table import Table

PAGES_SPARE: Final = 2
ATTEMPTS_MAX: Final = 100
DELETED: Final = b"\0deleted"  # compared by identity


class Batch:
    """The writes of one `with store.batch()` block; documented in oxidbm/__init__.pyi."""

    def __init__(self, handle: Handle, always: bool, owner: object = None) -> None:
        self.owner = owner  # a store with a batch stays open
        self.handle = handle
        self.always = always
        self.values: dict[bytes, bytes] = {}
        self.expiries: dict[bytes, int] = {}
        self.tags: dict[bytes, int] = {}
        self.ended = False  # the block has, and nobody would write what is given from now on

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def __repr__(self) -> str:
        return f"<oxidbm.Batch of {self.handle.life.place()}, keys: {len(self.values)}>"

    def __len__(self) -> int:
        return len(self.values)

    def __setitem__(self, key: object, value: object) -> None:
        self.set(key, value)

    def __delitem__(self, key: object) -> None:
        self.delete(key)

    def set(self, key: object, value: object, expire: object = None, *, tag: object = None) -> None:
        """Store a value under a key when the block ends."""
        name = to_key(self.handle, key)
        data = to_value(self.handle, name, value)
        expiry = expiry_at(self.handle, expire)
        digest = digest_of(tag)
        if self.ended:
            raise behind_its_block()
        self.values[name] = data
        if expiry:
            self.expiries[name] = expiry
        else:
            self.expiries.pop(name, None)
        if digest:
            self.tags[name] = digest
        else:
            self.tags.pop(name, None)

    def delete(self, key: object) -> None:
        """Delete a key when the block ends; one without a value is none to delete."""
        k = to_key(self.handle, key)
        if self.ended:
            raise behind_its_block()
        self.values[k] = DELETED
        self.expiries.pop(k, None)
        self.tags.pop(k, None)

    def update(self, other: object) -> None:
        """Store the pairs of a mapping or of an iterable of pairs when the block ends."""
        check_pairs(other)
        if isinstance(other, Mapping):
            other = other.items()
        elif hasattr(other, "keys"):
            for key in cast(Any, other).keys():  # noqa: SIM118 - a mapping need only have keys()
                set_one(self, key, cast(Any, other)[key])
            return
        for pair in cast(Any, other):
            key, value = of_pair(pair)
            set_one(self, key, value)

    def clear(self) -> None:
        """Forget what the batch holds."""
        self.values = {}
        self.expiries = {}
        self.tags = {}

    def __enter__(self) -> "Batch":  # noqa: PYI034 - Self is not for compiled classes
        self.handle.life.check_writable()
        self.ended = False
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.ended = kind is not None or not self.values
        if not self.ended:
            handle = self.handle
            apply(handle, self)
            self.clear()
            self.ended = True
            if handle.table.log.due:
                handle.table.maintainer.step()
            if self.always:
                handle.commits.commit()


def set_one(batch: Batch, key: object, value: object) -> None:
    """Do one of many `set`s, which is refused with its key."""
    try:
        batch.set(key, value)
    except (TypeError, ValueError, OverflowError) as failure:
        tell_key(failure, key)
        raise


def apply(handle: Handle, batch: Batch) -> None:
    """Do all writes of a batch, unseen until the last one is done."""
    table = handle.table
    life = handle.life
    life.check_writable()
    values = batch.values
    check_size(table, batch)
    head = read_ahead(table, values, 0)
    with life.gate:
        life.shut_gate()
        try:
            with handle.commits.cut_lock:
                reserve(table, batch)
                read_ahead(table, values, head)
                apply_all(table, batch)
        finally:
            life.open_gate()
            table.log.frames.drop_runs()


def record_size(batch: Batch, key: bytes, value: bytes) -> i64:
    """Return the size of the record that a batch may append for a key."""
    size: i64 = 0 if value is DELETED else i64(len(value))
    return record_bytes(i64(len(key)), size, key in batch.expiries, key in batch.tags)


def check_size(table: Table, batch: Batch) -> None:
    """Raise ValueError for a batch that takes more than the largest record may."""
    total: i64 = 0
    for key, value in batch.values.items():
        total += record_size(batch, key, value)
    if total > table.value_limit:
        raise ValueError(
            f"a batch of {total} bytes does not fit: half of the memory budget, {table.value_limit} bytes, is the most "
            "one may take. Write it in parts, or open the store with a larger memory="
        )


def read_ahead(table: Table, values: dict[bytes, bytes], since: i64) -> i64:
    """Read what applying will have to read from disk, so that a damaged record is met before anything has changed.

    Only entries that lead to addresses from `since` on are looked at: the others were before. Returns from where on
    what is in memory now has not been read.
    """
    log = table.log
    head = log.head
    if since == head:
        return head
    pending = table.pending
    settled: bool = pending.count() + len(values) < pending.most  # else an upsert reads instead of adding to them
    for key, value in values.items():
        key_hash = hash_key(key, table.seed)
        entries = table.index.matching(key_hash)
        for entry in entries:
            address: i64 = address_of(entry)
            if address >= since and (
                is_mixed(entry) or (address < log.head and (value is DELETED or len(entries) > 1 or not settled))
            ):
                locate_steady(table, key, key_hash)
                break
    return head


def reserve(table: Table, batch: Batch) -> None:
    """Have page frames ready for all that a batch may append."""
    log = table.log
    room = Room(PAGES_SPARE, [])
    at: i64 = log.tail & log.offset_mask
    for key, value in batch.values.items():
        at = room.add(record_size(batch, key, value), at, log.page_bytes)
    while not log.prepare(room):
        table.maintainer.make_room(room)


def apply_all(table: Table, batch: Batch) -> None:
    """Do the writes, one after the other, whatever the signal handlers have to say."""
    expiries = batch.expiries
    tags = batch.tags
    interrupted: BaseException | None = None
    attempts: i64 = 0
    changed = False
    for key, value in batch.values.items():
        while True:
            try:
                if value is DELETED:
                    status = operations.delete(table, key)
                elif tag := tags.get(key, 0):
                    status = operations.upsert_tagged(
                        table, key, value, operations.ALWAYS, b"", i64(expiries.get(key, 0)), i64(tag)
                    )
                else:
                    status = operations.upsert(table, key, value, operations.ALWAYS, b"", i64(expiries.get(key, 0)))
                if status >= 0:
                    break
                make_room(table, status)
            except BaseException as stop:
                attempts += 1
                ours = isinstance(stop, error) and not came_from_handler(stop)
                if ours or attempts > ATTEMPTS_MAX:
                    if changed:  # a part of a batch must never become durable
                        table.life.poison_with(OSError(f"a batch could not be finished ({stop})"))
                    raise
                interrupted = stop
        changed = True
    if interrupted is not None:
        raise interrupted
