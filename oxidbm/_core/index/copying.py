"""A copy of an index, and what it has of records that the log has passed by; in slices, since nobody waits for either.

The index must not change meanwhile: both are for stores that were opened to read only.
"""

from typing import Final

from librt.vecs import append, extend, vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.index.entry import address_of
from oxidbm._core.index.hash_index import CHUNK_LEAD, HashIndex, reserve_chunk

HUGE_WORDS: Final = 262144
SLICE_BUCKETS: Final = 4096


def copy_chunk(chunk: vec[i64]) -> vec[i64]:
    """Return a copy of a chunk that has room to grow, as every chunk."""
    fresh = extend(reserve_chunk(len(chunk) > HUGE_WORDS), memoryview(chunk)[CHUNK_LEAD:])
    _breath.breathe()
    return fresh


def copy_of(index: HashIndex) -> HashIndex:
    """Return a copy, which draws on the same budget, in its place. O(index)."""
    fresh = HashIndex(0, index.budget)
    chunks: vec[vec[i64]] = vec[vec[i64]]()
    for chunk in index.chunks:
        chunks = append(chunks, copy_chunk(chunk))
    overflow: vec[vec[i64]] = vec[vec[i64]]()
    for chunk in index.overflow:
        overflow = append(overflow, copy_chunk(chunk))
    fresh.chunks = chunks
    fresh.overflow = overflow
    fresh.overflow_next = index.overflow_next
    fresh.low_mask = index.low_mask
    fresh.split = index.split
    fresh.tag_base = index.tag_base
    fresh.free_overflow = index.free_overflow
    fresh.overflow_in_use = index.overflow_in_use
    fresh.entries = index.entries
    fresh.grow_at = index.grow_at
    fresh.draw()
    return fresh


def entries_below(index: HashIndex, address: i64) -> vec[i64]:
    """Return the entries that lead below an address, each behind its bucket. O(buckets)."""
    found = vec[i64]()
    bucket: i64 = 0
    while bucket < index.buckets():
        for entry in index.entries_in(bucket):
            if address_of(entry) < address:
                found = append(found, bucket)
                found = append(found, entry)
        bucket += 1
        if bucket & (SLICE_BUCKETS - 1) == 0:
            _breath.breathe()
    return found
