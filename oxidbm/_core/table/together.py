"""Misses of the processor's caches, together: where many keys' records stand in memory is found before one is used.

An operation on a table larger than the caches waits twice for memory, for the key's bucket and then for its record. Of
a group of keys each thing is looked at in turn, first all keys, then their buckets, then their records, so that a
processor, which goes on behind a load that it waits for, has many of them under way at a time (group prefetching: Chen,
Ailamaki, Gibbons, Mowry, "Improving Hash Join Performance through Prefetching", ICDE 2004).

What was found is where an operation on a key may begin, as long as nothing was appended, evicted or cleared meanwhile:
then no key has a newer record than it had, and each record stands where it stood. The operation looks at the record all
the same: whether it is the key's, live, and without flags. In all other cases it finds its way by itself.
"""

from typing import Final, final

from librt.strings import read_i64_le
from librt.vecs import append, vec
from mypy_extensions import i64

from oxidbm._core.hashing import hash_key, tail_word
from oxidbm._core.index.entry import ENTRY_ADDRESS, TAG_FIELD, TAG_SHIFT
from oxidbm._core.index.hash_index import BUCKET_ENTRIES, CHUNK_BITS, CHUNK_LEAD, CHUNK_MASK
from oxidbm._core.log.append import rewrite, same_words
from oxidbm._core.log.record import (
    HEADER_BYTES,
    HEADER_WORDS,
    KEY_LENGTH_SHIFT,
    TOMBSTONE,
    VALUE_LENGTH_MASK,
)
from oxidbm._core.memory import VIEW_WORDS
from oxidbm._core.table.table import Table

GROUP: Final = 32  # keys: more than a processor has loads under way, and what they touch stays in its first cache
WORTH_KEYS: Final = 8
WORTH_BUCKETS: Final = 32768  # of 64 bytes: a table of fewer is in the processor's second cache


def is_worth_it(table: Table, count: int) -> bool:
    """Return whether so many keys, in a table of this size, cost less when they are looked at together."""
    return count >= WORTH_KEYS and table.index.low_mask >= WORTH_BUCKETS


@final
class Together:
    """The records of a group of keys: where each stands in memory, 0 where that is not known."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.index = table.index
        self.log = table.log
        self.first: i64 = 0  # the place of the group's first key
        self.tail: i64 = 0
        self.head: i64 = 0
        self.begin: i64 = 0
        self.seen: i64 = 0  # of no meaning, but no compiler leaves out the loads that it depends on
        self.tags = vec[i64](capacity=GROUP)
        self.addresses = vec[i64](capacity=GROUP)
        i: i64 = 0
        while i < GROUP:
            self.tags = append(self.tags, i64(0))
            self.addresses = append(self.addresses, i64(0))
            i += 1

    def find(self, keys: list[object], first: i64) -> i64:
        """Find the records of up to GROUP keys, from keys[first] on, and return the place behind them."""
        self.first = first
        self.index = self.table.index
        log = self.log = self.table.log  # a reader's is another one, once it moved to a newer commit
        self.tail = log.tail
        self.head = log.head
        self.begin = log.begin
        count: i64 = min(i64(len(keys)) - first, i64(GROUP))
        self.seen = self.touch_keys(keys, first, count) ^ self.touch_buckets(keys, first, count) ^ self.follow(count)
        return first + count

    def touch_keys(self, keys: list[object], first: i64, count: i64) -> i64:
        """Have the keys come."""
        seen: i64 = 0
        nth: i64 = 0
        while nth < count:
            key = keys[first + nth]
            if isinstance(key, bytes):
                seen += len(key)
            nth += 1
        return seen

    def touch_buckets(self, keys: list[object], first: i64, count: i64) -> i64:
        """Have the keys' buckets come, and keep which they are, in `addresses`; -1 for what is no bytes."""
        seed = self.table.seed
        low_mask = self.index.low_mask
        split = self.index.split
        tag_base = self.index.tag_base
        chunks = self.index.chunks
        tags = self.tags
        addresses = self.addresses
        seen: i64 = 0
        nth: i64 = 0
        while nth < count:
            key = keys[first + nth]
            bucket: i64 = -1
            if isinstance(key, bytes):
                key_hash: i64 = hash_key(key, seed)
                bucket = key_hash & low_mask
                if bucket < split:
                    bucket = key_hash & ((low_mask << 1) | 1)
                seen ^= chunks[bucket >> CHUNK_BITS][((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD]
                tags[nth] = (key_hash >> tag_base) & TAG_FIELD
            addresses[nth] = bucket
            nth += 1
        return seen

    def follow(self, count: i64) -> i64:
        """Have the records come that the buckets lead to, and keep where they stand."""
        log = self.log
        head = self.head
        page_bits = log.page_bits
        offset_mask = log.offset_mask
        mask = log.frames.mask
        frames = log.frames.words
        chunks = self.index.chunks
        tags = self.tags
        addresses = self.addresses
        seen: i64 = 0
        nth: i64 = 0
        while nth < count:
            bucket = addresses[nth]
            address: i64 = 0
            if bucket >= 0:
                tag = tags[nth]
                at: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
                end: i64 = at + BUCKET_ENTRIES
                words = chunks[bucket >> CHUNK_BITS]
                while at < end:
                    entry = words[at]
                    if (entry >> TAG_SHIFT) & TAG_FIELD == tag or entry == 0:
                        address = (entry & ENTRY_ADDRESS) << 3
                        if address < head or entry < 0:  # on disk, or down a chain, or nowhere
                            address = 0
                        else:
                            seen ^= frames[(address >> page_bits) & mask][((address & offset_mask) >> 3) + VIEW_WORDS]
                        break
                    at += 1
            addresses[nth] = address
            nth += 1
        return seen

    def moved(self) -> bool:
        """Return whether what was found need not be so any more."""
        log = self.log
        if log.tail != self.tail or log.head != self.head or log.begin != self.begin:
            return True
        return self.table.index is not self.index or self.table.log is not log

    def read(self, keys: list[object], place: i64, stop: i64, default: object, found: list[object]) -> i64:
        """Append the values, or `default`, of keys[place:stop] up to one that has to be looked up; return its place.

        Nothing else runs in here.
        """
        log = self.log
        page_bits = log.page_bits
        offset_mask = log.offset_mask
        mask = log.frames.mask
        frames = log.frames.words
        views = log.frames.views
        has_views = log.frames.has_views
        addresses = self.addresses
        first = self.first
        while place < stop:
            key = keys[place]
            address = addresses[place - first]
            if address == 0 or not isinstance(key, bytes):
                break
            length: i64 = len(key)
            slot: i64 = (address >> page_bits) & mask
            offset: i64 = address & offset_mask
            head: i64 = (offset >> 3) + VIEW_WORDS
            shape = frames[slot][head + 1]
            if shape >> KEY_LENGTH_SHIFT != length or not (
                frames[slot][head + 3] == read_i64_le(key, 0) and frames[slot][head + 4] == tail_word(key, 8, length)
                if 8 < length < 16
                else same_words(frames[slot], head + HEADER_WORDS, key, length)
            ):
                break
            if frames[slot][head] & TOMBSTONE:
                found.append(default)
            else:
                offset += HEADER_BYTES + ((length + 7) & -8)
                size = shape & VALUE_LENGTH_MASK
                found.append(
                    views[slot][offset : offset + size] if has_views else log.frames.copy_out(slot, offset, size)
                )
            place += 1
        return place

    def overwrite(self, place: i64, key: bytes, value: bytes) -> bool:
        """Give the key at a place a value of the same length, where its record is found and may be changed in place."""
        address = self.addresses[place - self.first]
        log = self.log
        if address < log.read_only or self.moved():
            return False
        head: i64 = ((address & log.offset_mask) >> 3) + VIEW_WORDS
        length: i64 = len(key)
        frame = log.frames.words[(address >> log.page_bits) & log.frames.mask]
        shape = frame[head + 1]
        if shape >> KEY_LENGTH_SHIFT != length or (shape & VALUE_LENGTH_MASK) != len(value) or frame[head] & TOMBSTONE:
            return False
        if not same_words(frame, head + HEADER_WORDS, key, length):
            return False
        log.rewrites += 1
        rewrite(frame, head + 2, head + HEADER_WORDS + ((length + 7) >> 3), value, len(value))
        return True
