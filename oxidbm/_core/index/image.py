"""An index's image: what its buckets held at one instant, taken a slice at a time while operations go on, and put back.

A slice is words and pairs: the buckets' own eight words, without their links, and a pair of bucket and entry for each
entry of an overflow bucket. No bucket is split while an image is taken, and what is taken away from a bucket that is
not in the image yet comes behind the last one: so with the chains, which say where an entry led when the image was
begun, the image is exact (the caller follows them; an index knows no log). An index with many more buckets than its
entries need is imaged as a small one, all of it pairs.
"""

from typing import Final, final

from librt.vecs import append, extend, vec
from mypy_extensions import i64

from oxidbm._core.address import bits_for, power_of_two
from oxidbm._core.budget import Budget
from oxidbm._core.index.entry import TAG_FIELD, TAG_SHIFT, address_of
from oxidbm._core.index.faults import belongs
from oxidbm._core.index.hash_index import (
    BUCKET_ENTRIES,
    CHUNK_BITS,
    CHUNK_BUCKETS,
    CHUNK_LEAD,
    CHUNK_MASK,
    FIRST_BITS,
    LINK_BITS,
    LINK_MASK,
    NOTHING,
    SPLIT_LOAD,
    HashIndex,
    reserve_chunk,
)
from oxidbm._core.memory import ZERO_STEP

SLICE_BUCKETS: Final = 4096  # are copied in some tenths of a millisecond; divides a chunk
SLICE_WORDS: Final = SLICE_BUCKETS * 8
STEP_WORDS: Final = 8192  # a chunk grows by so many
EIGHT_WORDS: Final = ZERO_STEP[:8]
EMPTY_BUCKETS: Final = 4096  # of the least table
SPARSE: Final = 16  # so many buckets for an entry are many more than it needs


def wanted_mask(entries: i64) -> i64:
    """Return the mask of the least table for so many entries."""
    return power_of_two(max(i64(FIRST_BITS), bits_for(entries // SPLIT_LOAD + 1))) - 1


@final
class ImageTaker:
    """Takes the image of an index. `words` and `pairs` are the slice that `step` took last."""

    def __init__(self) -> None:
        self.index: HashIndex | None = None
        self.words: vec[i64] = vec[i64]()
        self.pairs: vec[i64] = vec[i64]()
        self.buckets: i64 = 0
        self.low_mask: i64 = 0  # of the image
        self.split: i64 = 0
        self.sparse = False
        self.emptied: i64 = 0  # buckets of a sparse image that were written

    def begin(self, index: HashIndex) -> None:
        """Begin, in the instant whose state is wanted; nothing but compiled code runs in here."""
        index.imaging = True
        index.image_next = 0
        self.index = index
        self.buckets = index.buckets()
        self.sparse = self.buckets > wanted_mask(index.entries * SPARSE) + 1
        self.low_mask = wanted_mask(index.entries) if self.sparse else index.low_mask
        self.split = 0 if self.sparse else index.split
        self.emptied = 0

    def step(self) -> bool:
        """Take the next slice; False behind the last one."""
        index = self.index
        if index is None:
            return False
        self.words = vec[i64](capacity=SLICE_WORDS)
        self.pairs = vec[i64]()
        if self.sparse and self.emptied <= self.low_mask:
            self.empty_step()
            return True
        first = index.image_next
        if first >= self.buckets:
            self.take_removed(index)
            return len(self.pairs) > 0
        stop: i64 = min(first + SLICE_BUCKETS, self.buckets)
        chunk = index.chunks[first >> CHUNK_BITS]
        start: i64 = ((first & CHUNK_MASK) << 3) + CHUNK_LEAD
        view = memoryview(chunk)[start : start + ((stop - first) << 3)]  # may run a finalizer: nothing is taken yet
        self.words = extend(self.words, view)
        self.take_pairs(index, first, stop)
        index.image_next = stop
        if self.sparse:
            self.words = vec[i64]()
        return True

    def take_removed(self, index: HashIndex) -> None:
        """Make a slice of what went from buckets before the image came to them."""
        removed = index.removed
        self.end()
        at: i64 = 0
        while at + 1 < len(removed):
            self.add_pair(removed[at], removed[at + 1])
            at += 2

    def empty_step(self) -> None:
        """Take the next empty buckets of a sparse image."""
        stop: i64 = min(self.emptied + SLICE_BUCKETS, self.low_mask + 1)
        while self.emptied < stop:
            self.words = extend(self.words, EIGHT_WORDS)
            self.emptied += 1

    def take_pairs(self, index: HashIndex, first: i64, stop: i64) -> None:
        """Make pairs of what the copied words lead to, and of a sparse image's own entries too."""
        at: i64 = 0
        while first < stop:
            link: i64 = self.words[at + BUCKET_ENTRIES]
            if self.sparse:
                for entry in index.entries_in(first):
                    self.add_pair(first, entry)
            elif link:
                self.words[at + BUCKET_ENTRIES] = 0
                self.take_overflow(index, first, link)
            at += 8
            first += 1

    def take_overflow(self, index: HashIndex, bucket: i64, link: i64) -> None:
        """Make pairs of a bucket's overflow buckets."""
        while link:
            words = index.overflow[link >> LINK_BITS]
            position: i64 = link & LINK_MASK
            end: i64 = position + BUCKET_ENTRIES
            while position < end and words[position]:
                self.add_pair(bucket, words[position])
                position += 1
            link = words[end]

    def add_pair(self, bucket: i64, entry: i64) -> None:
        """Add a pair to the slice."""
        self.pairs = append(self.pairs, bucket & self.low_mask if self.sparse else bucket)
        self.pairs = append(self.pairs, entry)

    def end(self) -> None:
        """Let the index be as before, whether the image is whole or not; a second time does nothing."""
        index = self.index
        self.index = None
        if index is not None:
            index.imaging = False
            index.removed = vec[i64]()


@final
class ImageLoader:
    """Makes an index from the slices of an image; ValueError, in words, for what cannot be one.

    Each entry has to lead to an address in [begin, end).
    """

    def __init__(self, budget: Budget, low_mask: i64, split: i64, begin: i64, end: i64) -> None:
        if (
            low_mask < 0
            or low_mask & (low_mask + 1)
            or not 0 <= split <= low_mask
            or low_mask >= max(end, EMPTY_BUCKETS)
        ):
            raise ValueError(f"a table of low_mask {low_mask} and split {split} cannot be")
        self.index = HashIndex(NOTHING, budget)
        self.begin: i64 = begin
        self.end: i64 = end
        self.buckets: i64 = low_mask + 1 + split
        self.filled: i64 = 0
        index = self.index
        index.low_mask = low_mask
        index.split = split
        index.grow_at = SPLIT_LOAD * self.buckets
        index.chunks = vec[vec[i64]]()
        index.overflow[0] = reserve_chunk(False)

    def take_words(self, words: memoryview) -> None:
        """Add a slice's buckets; those of one slice lie in one chunk."""
        count: i64 = len(words) >> 3
        if len(words) == 0:
            return
        index = self.index
        chunk: i64 = self.filled >> CHUNK_BITS
        inside: i64 = self.filled & CHUNK_MASK
        if len(words) & 7 or self.filled + count > self.buckets or inside + count > CHUNK_BUCKETS:
            raise ValueError(f"{len(words)} words behind bucket {self.filled} of {self.buckets}")
        if inside == 0:
            index.chunks = append(index.chunks, reserve_chunk(self.buckets - self.filled >= CHUNK_BUCKETS))
        elif (inside << 3) + CHUNK_LEAD != len(index.chunks[chunk]):
            raise ValueError(f"a slice behind bucket {self.filled}, which ended the table")
        filled = extend(index.chunks[chunk], words)
        rest: i64 = -len(words) & (STEP_WORDS - 1)  # the table grows by whole steps
        if rest:
            filled = extend(filled, ZERO_STEP[:rest])
        index.chunks[chunk] = filled
        self.filled += count
        self.check_buckets(self.filled - count)

    def check_buckets(self, first: i64) -> None:
        """Check and count the entries of the buckets that were added last; `belongs` is written out."""
        index = self.index
        words = index.chunks[first >> CHUNK_BITS]
        count: i64 = 0
        while first < self.filled:
            position: i64 = ((first & CHUNK_MASK) << 3) + CHUNK_LEAD
            end: i64 = position + BUCKET_ENTRIES
            wide: bool = first < index.split or first > index.low_mask
            tag_bits: i64 = ((index.low_mask << 1) | 1 if wide else index.low_mask) >> index.tag_base & TAG_FIELD
            tag: i64 = (first >> index.tag_base) & tag_bits
            while position < end:
                entry = words[position]
                if entry == 0:
                    break
                address = address_of(entry)
                if address < self.begin or address >= self.end or (entry >> TAG_SHIFT) & tag_bits != tag:
                    raise ValueError(f"bucket {first} holds {entry:#x}, which cannot stand there")
                count += 1
                position += 1
            while position <= end:
                if words[position] != 0:
                    raise ValueError(f"bucket {first} has something behind its last entry")
                position += 1
            first += 1
        index.entries += count

    def take_pairs(self, pairs: memoryview) -> None:
        """Put a slice's pairs where they belong."""
        index = self.index
        data = extend(vec[i64](), pairs)
        at: i64 = 0
        while at + 1 < len(data):
            bucket = data[at]
            entry = data[at + 1]
            if (
                not 0 <= bucket < self.filled
                or not self.begin <= address_of(entry) < self.end
                or not belongs(index, bucket, entry)
            ):
                raise ValueError(f"{entry:#x} cannot stand in bucket {bucket}")
            if not index.has_room(0):
                index.add_room()
            index.put(bucket, entry)
            index.entries += 1
            at += 2

    def finish(self) -> HashIndex:
        """Return the index, whole."""
        if self.filled != self.buckets:
            raise ValueError(f"{self.filled} buckets are there, {self.buckets} were announced")
        self.index.draw()
        return self.index
