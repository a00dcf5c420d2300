"""Tags: a word of a record by which it is deleted together with all others that were stored with the same one.

What a record holds is a digest, so no table of names is kept, and dumps, copies and salvaged stores keep the tags. It
is a cryptographic one, without a key: two tags of one digest, whose records would go together, are not to be expected
among fewer than some hundred millions of tags, and not to be found for a given one by who chooses the other.

`evict` goes over the log once, from begin to what was the tail when it began. A key that has the tag then has its
newest record there; compaction may move it meanwhile, so it is asked of each record with the tag, whose newest it need
not be, what its key has now. A walk is a reader: on disk the segments before it stay, in memory it keeps the keys of
the pages that go (MemoryWalk).
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.hashing import MASK_62, hash_key
from oxidbm._core.index.entry import address_of
from oxidbm._core.life import OPEN, WRITABLE
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.reader import Record, key_of
from oxidbm._core.log.record import SHAPE_TAG, TOMBSTONE
from oxidbm._core.store.handle import Handle
from oxidbm._core.table.iterate import MemoryWalk, leave, pinned_inside
from oxidbm._core.table.operations import DONE, bury
from oxidbm._core.table.retry import make_room, remove_tagged
from oxidbm._core.table.table import Table

DIGEST_BYTES: Final = 8
KNOWN: Final[dict[str, int]] = {}  # digests of texts: the same few come again and again, and one takes microseconds
KNOWN_MOST: Final = 512
KNOWN_LENGTH: Final = 64
SLICE_RECORDS: Final = 512  # between two breaths


def digest_of(tag: object) -> i64:
    """Return what a record holds of a tag, never 0; 0 for None, TypeError for what is no str, bytes or int."""
    if tag is None:
        return 0
    if isinstance(tag, str):
        exact = type(tag) is str  # else to compare it may call what its class says
        known = KNOWN.get(tag) if exact else None
        if known is not None:
            return known
        found = digest_in(b"s" + tag.encode("utf-8", "surrogatepass"))
        if exact and len(tag) <= KNOWN_LENGTH:
            if len(KNOWN) >= KNOWN_MOST:
                KNOWN.clear()
            KNOWN[tag] = int(found)
        return found
    if isinstance(tag, bytes):
        return digest_in(b"b" + tag)
    if isinstance(tag, int):
        return digest_in(b"i" + tag.to_bytes(tag.bit_length() // 8 + 1, "little", signed=True))
    raise TypeError(f"tag is a str, bytes, an int or None, not {type(tag).__name__}")


def digest_in(data: bytes) -> i64:
    """Return the digest of a tag's bytes."""
    from hashlib import blake2b  # not with oxidbm: it takes longer to come than a store to open

    digest = blake2b(data, digest_size=DIGEST_BYTES, usedforsecurity=False).digest()
    return i64(int.from_bytes(digest, "little") & MASK_62) or i64(1)


def evict(handle: Handle, tag: object) -> int:
    """Delete every key that has this tag, and return how many they were."""
    digest = digest_of(tag)
    if digest == 0:
        raise TypeError("evict() takes a tag: a str, bytes or an int")
    walk = TagWalk(handle.table, digest)
    try:
        while walk.slice():
            _breath.breathe()
    finally:
        walk.close()
    return walk.deleted


@final
class TagWalk:
    """One walk over the log that deletes what has a tag."""

    def __init__(self, table: Table, tag: i64) -> None:
        self.tag: i64 = tag
        self.deleted = 0
        table, slot = pinned_inside(table)
        self.table = table
        self.slot: i64 = slot
        self.walk: MemoryWalk | None = None
        self.cursor = Cursor(table.log, max(table.log.begin, i64(FIRST_ADDRESS)), table.log.tail)
        if table.log.memory_only:
            self.walk = MemoryWalk(table, self.cursor, 0)
            self.walk.tag = tag

    def slice(self) -> bool:
        """Go over some records; False at the end of the log."""
        table = self.table
        life = table.life
        cursor = self.cursor
        walk = self.walk
        now = table.now_if_expiring()
        left: i64 = SLICE_RECORDS
        while left > 0:
            left -= 1
            if life.state != OPEN or life.writable != WRITABLE:
                life.check_writable()
            if walk is not None and walk.kept:
                kept = walk.next_kept(now)
                if kept is not None:
                    key = key_of(table.log, kept)
                    self.delete(key, hash_key(key, table.seed))
                    continue
            if not cursor.step():
                return False
            if cursor.shape & SHAPE_TAG and not cursor.info & TOMBSTONE and cursor.tag() == self.tag:
                self.treat(now)
        return True

    def treat(self, now: i64) -> None:
        """Delete the current record's key, if it has the tag still."""
        table = self.table
        cursor = self.cursor
        key = cursor.key()
        key_hash = hash_key(key, table.seed)
        entry = table.index.holds(key_hash, cursor.address, cursor.stop)
        if entry == 0:
            return
        if address_of(entry) == cursor.address:  # the newest, as the index says by itself
            expiry = cursor.expiry()
            if expiry != 0 and expiry <= now:
                return
            found = Record(cursor.address, cursor.info, cursor.shape, cursor.seal, b"")
            found.entry = entry
            status = bury(table, key, key_hash, found, DONE)
            if status >= 0:
                self.done()
                return
            make_room(table, status)
        self.delete(key, key_hash)

    def delete(self, key: bytes, key_hash: i64) -> None:
        """Delete a key, if it has the tag."""
        if remove_tagged(self.table, key, key_hash, self.tag):
            self.done()

    def done(self) -> None:
        """Count a key that was deleted, and do what is due after that."""
        self.deleted += 1
        if self.table.log.due:
            self.table.maintainer.step()

    def close(self) -> None:
        """End the walk."""
        leave(self.table, self.walk, self.slot)
