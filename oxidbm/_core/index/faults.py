"""Faults of the index: every broken invariant of the table itself as a sentence.

It ends and does not raise, whatever the links say: what cannot be walked is a fault, and is not walked.
"""

from mypy_extensions import i64

from oxidbm._core.address import power_of_two
from oxidbm._core.index.entry import TAG_SHIFT, tag_in
from oxidbm._core.index.hash_index import (
    BUCKET_ENTRIES,
    CHUNK_BITS,
    CHUNK_LEAD,
    CHUNK_MASK,
    CHUNK_WORDS,
    LINK_BITS,
    LINK_MASK,
    HashIndex,
)


def faults_of(index: HashIndex) -> list[str]:
    """Return every broken invariant of the table itself as a sentence. O(buckets); it ends whatever the links say.

    Chains that cannot be walked are said alone.
    """
    seen: set[int] = set()
    found = chain_faults(index, seen)
    if found:
        return found
    if len(seen) != index.overflow_in_use:
        found.append(f"index: {len(seen)} overflow buckets are in use, {index.overflow_in_use} were counted")
    last: i64 = len(index.overflow) - 1
    whole = add_free_faults(index, seen, found)
    known: i64 = 0
    for link in seen:
        known += 1 if i64(link) >> LINK_BITS == last else 0
    made: i64 = (index.overflow_next - CHUNK_LEAD) >> 3
    if whole and known != made:  # of the vecs before the last it is not known how many were made
        found.append(f"index: {made} overflow buckets were made, {known} of them are in use or free")
    add_entry_faults(index, found)
    return found


def chain_faults(index: HashIndex, seen: set[int]) -> list[str]:
    """Return why the buckets cannot be walked, and add the links of their overflow buckets to `seen`."""
    found: list[str] = []
    room: i64 = 0
    for chunk in index.chunks:
        room += (len(chunk) - CHUNK_LEAD) >> 3
    mask = index.low_mask
    narrow = index.tag_base < 0 or index.tag_base >= TAG_SHIFT or power_of_two(index.tag_base) > mask + 1
    if mask < 0 or mask & (mask + 1) or not 0 <= index.split <= mask or index.buckets() > room or narrow:
        found.append(
            f"index: there is room for {room} buckets, not for low_mask {mask:#x}, split {index.split} and tag_base "
            f"{index.tag_base}"
        )
        return found
    bucket: i64 = 0
    while bucket < index.buckets():
        words = index.chunks[bucket >> CHUNK_BITS]
        link: i64 = words[((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD + BUCKET_ENTRIES]
        while link:
            if not is_overflow(index, link):
                found.append(f"index: bucket {bucket} leads to {link:#x}, where no overflow bucket stands")
                break
            if int(link) in seen:
                found.append(f"index: bucket {bucket} leads to overflow bucket {link:#x}, which is in use already")
                break
            seen.add(int(link))
            words = index.overflow[link >> LINK_BITS]
            link = words[(link & LINK_MASK) + BUCKET_ENTRIES]
        bucket += 1
    return found


def is_overflow(index: HashIndex, link: i64) -> bool:
    """Return whether a link, not 0, is the place of an overflow bucket that was made."""
    vector: i64 = link >> LINK_BITS
    position: i64 = (link & LINK_MASK) - CHUNK_LEAD
    if vector < 0 or vector >= len(index.overflow) or position < 0 or position & 7:
        return False
    end: i64 = index.overflow_next if vector == len(index.overflow) - 1 else i64(CHUNK_WORDS)
    return position + CHUNK_LEAD + 8 <= min(end, i64(len(index.overflow[vector])))


def add_free_faults(index: HashIndex, seen: set[int], found: list[str]) -> bool:
    """Add the faults of the free list, and to `seen` what is on it; False where it cannot be walked to its end."""
    link: i64 = index.free_overflow
    while link:
        if not is_overflow(index, link):
            found.append(f"index: the free list leads to {link:#x}, where no overflow bucket stands")
            return False
        if int(link) in seen:
            found.append(f"index: the free list leads to overflow bucket {link:#x}, which is in use or free already")
            return False
        seen.add(int(link))
        words = index.overflow[link >> LINK_BITS]
        position: i64 = link & LINK_MASK
        end: i64 = position + BUCKET_ENTRIES
        while position < end and words[position] == 0:
            position += 1
        if position < end:
            found.append(f"index: the free overflow bucket {link:#x} is not empty")
        link = words[end]
    return True


def add_entry_faults(index: HashIndex, found: list[str]) -> None:
    """Add the faults of the entries: gaps, tags that do not belong, their number."""
    count: i64 = 0
    bucket: i64 = 0
    while bucket < index.buckets():
        entries = index.entries_in(bucket)
        count += len(entries)
        for entry in entries:
            if not belongs(index, bucket, entry):
                tag = tag_in(entry)
                found.append(
                    f"index: an entry with tag {tag:#x} stands in bucket {bucket}, where its tag does not belong"
                )
        if has_gap(index, bucket, len(entries)):
            found.append(f"index: bucket {bucket} has a gap, with something behind it")
        bucket += 1
    if count != index.entries:
        found.append(f"index: {count} entries stand in the buckets, {index.entries} were counted")


def has_gap(index: HashIndex, bucket: i64, count: i64) -> bool:
    """Return whether something stands behind a bucket's `count` entries, in the eight words that hold its end."""
    words = index.chunks[bucket >> CHUNK_BITS]
    position: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
    end: i64 = position + BUCKET_ENTRIES
    while count >= BUCKET_ENTRIES and words[end]:
        link: i64 = words[end]
        words = index.overflow[link >> LINK_BITS]
        position = link & LINK_MASK
        end = position + BUCKET_ENTRIES
        count -= BUCKET_ENTRIES
    position += count
    while position <= end and words[position] == 0:
        position += 1
    return position <= end


def is_in(index: HashIndex, bucket: i64, entry: i64) -> bool:
    """Return whether an entry stands in a bucket."""
    for held in index.entries_in(bucket):
        if held == entry:
            return True
    return False


def belongs(index: HashIndex, bucket: i64, entry: i64) -> bool:
    """Return whether an entry's tag agrees with what it says of its bucket: the bits from `tag_base` up."""
    width: i64 = ((index.low_mask << 1) | 1) if bucket < index.split or bucket > index.low_mask else index.low_mask
    high: i64 = width & ~(power_of_two(index.tag_base) - 1)
    return ((tag_in(entry) << index.tag_base) & high) == (bucket & high)
