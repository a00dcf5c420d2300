"""Hash index: buckets of seven entries and a link, grown one bucket at a time without reading a record.

Bucket = low bits of the key's hash; tag = 18 bits of it from bit FIRST_BITS up, however large the table is when it is
made. So the bit that decides where an entry goes when its bucket splits is already in the tag (linear hashing: Litwin,
VLDB 1980; buckets and tags as in FASTER; an entry's bits: entry.py), and two keys that one table does not tell apart,
and chains, are not told apart by the one that replays their records either. Invariants:
1. a bucket's entries stand without gaps, its own words first, then its overflow buckets; the first 0 ends it;
2. a key has at most one entry that leads to it; an entry that is not `mixed` leads, down its chain, to one key only;
3. every entry stands in the bucket its tag's bits say;
4. what the table takes is drawn from the budget;
5. while an image is taken (image.py) no bucket is split, and an entry that goes from a bucket that is not in the image
yet is noted in `removed`.
The walk over a bucket is written out wherever each instruction counts: here in `matching`, `holds` and `replace`, in
table/operations.py in `read` and `upsert`; tests/unit/test_index.py compares them. All else asks `entries_in`.
"""

from typing import Final, final

from librt.vecs import append, extend, vec
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX, bits_for, power_of_two
from oxidbm._core.budget import INDEX, Budget
from oxidbm._core.index.entry import NO_ENTRY, TAG_BITS, TAG_FIELD, TAG_SHIFT, address_of, is_mixed, make_entry, tag_in
from oxidbm._core.memory import ZERO_STEP, reserve_words

BUCKET_ENTRIES: Final = 7
SPLIT_LOAD: Final = 5
CHUNK_BITS: Final = 16
CHUNK_BUCKETS: Final = 65536
CHUNK_MASK: Final = 65535
CHUNK_WORDS: Final = 524288
CHUNK_LEAD: Final = 3  # with the 40 bytes that malloc and the vec have in front, buckets begin with cache lines
LINK_BITS: Final = 20
LINK_MASK: Final = 1048575
OVERFLOW_SPARE: Final = 512
OVERFLOW_LIMIT: Final = CHUNK_WORDS - OVERFLOW_SPARE
EIGHT_BUCKETS: Final = ZERO_STEP[:64]  # made once: making a view in the middle of an operation could run a finalizer
FIRST_BITS: Final = 12
NOTHING: Final = -1  # expected of a table that stands where there is nothing to find


def reserve_chunk(huge: bool) -> vec[i64]:
    """Return the vec of a chunk without a bucket yet, with room for all of them."""
    return reserve_words(ZERO_STEP[:CHUNK_LEAD], CHUNK_WORDS + CHUNK_LEAD, huge)


@final
class HashIndex:
    """The table.

    `chunks[b >> CHUNK_BITS]` holds bucket b's eight words, behind CHUNK_LEAD words; a link is the place of an overflow
    bucket: which of the vecs in `overflow`, above LINK_BITS of word offset. One for NOTHING has a single bucket, which
    is never split: the least other one has a quarter of a megabyte to touch, most of what opening a small store takes.
    """

    def __init__(self, expected: i64, budget: Budget) -> None:
        bits: i64 = 0
        buckets: i64 = 1
        if expected != NOTHING:
            buckets = max(power_of_two(FIRST_BITS), expected // SPLIT_LOAD + 1)
            bits = bits_for(buckets + 1) - 1
        self.chunks: vec[vec[i64]] = vec[vec[i64]]()
        self.overflow: vec[vec[i64]] = vec[vec[i64]]()
        self.overflow_next: i64 = CHUNK_LEAD
        self.low_mask: i64 = power_of_two(bits) - 1
        self.split: i64 = buckets - power_of_two(bits)  # no more buckets than are needed: a table is what it grew to
        self.tag_base: i64 = FIRST_BITS
        self.free_overflow: i64 = 0
        self.overflow_in_use: i64 = 0
        self.entries: i64 = 0
        self.grow_at: i64 = ADDRESS_MAX if expected == NOTHING else SPLIT_LOAD * buckets
        self.pins: i64 = 0  # who needs it as it is, and what is newer in another one
        self.imaging = False
        self.image_next: i64 = 0  # the first bucket that is not in the image
        self.removed: vec[i64] = vec[i64]()  # pairs of a bucket and an entry
        self.budget = budget
        if expected == NOTHING:
            self.chunks = append(self.chunks, vec[i64](ZERO_STEP[: CHUNK_LEAD + 8]))
            self.overflow = append(self.overflow, vec[i64](ZERO_STEP[:CHUNK_LEAD]))
        else:
            self.make_chunks(buckets)
        self.draw()

    def make_chunks(self, buckets: i64) -> None:
        """Make the chunks of so many buckets, and the first vec of overflow buckets."""
        while buckets > 0:
            size: i64 = min(buckets, i64(CHUNK_BUCKETS))
            chunk = reserve_chunk(size == CHUNK_BUCKETS)
            while len(chunk) < size << 3:
                chunk = extend(chunk, ZERO_STEP)
            self.chunks = append(self.chunks, chunk)
            buckets -= size
        self.overflow = append(self.overflow, reserve_chunk(False))

    def buckets(self) -> i64:
        """Return the number of buckets, overflow buckets not counted."""
        return self.low_mask + 1 + self.split

    def size_bytes(self) -> i64:
        """Return the bytes of memory the table takes."""
        total: i64 = 0
        for chunk in self.chunks:
            total += len(chunk)
        for chunk in self.overflow:
            total += len(chunk)
        return total << 3

    def emptied(self) -> "HashIndex":
        """Return an empty table in place of this one, which draws on the same budget."""
        return HashIndex(0, self.budget)

    def given_up(self) -> "HashIndex":
        """Return what is to stand in place of this one where nothing is to be found or put any more."""
        return HashIndex(NOTHING, self.budget)

    def draw(self) -> None:
        """Tell the budget what the table takes now."""
        self.budget.hold(INDEX, self.size_bytes())

    def bucket_of(self, key_hash: i64) -> i64:
        """Return the bucket of a key's hash."""
        bucket: i64 = key_hash & self.low_mask
        if bucket < self.split:
            bucket = key_hash & ((self.low_mask << 1) | 1)
        return bucket

    def tag_of(self, key_hash: i64) -> i64:
        """Return the tag of a key's hash."""
        return (key_hash >> self.tag_base) & TAG_FIELD

    def entry_for(self, key_hash: i64, address: i64) -> i64:
        """Return the entry, not mixed, that leads from a key's hash to an address."""
        return make_entry((key_hash >> self.tag_base) & TAG_FIELD, address)

    def entries_in(self, bucket: i64) -> vec[i64]:
        """Return a bucket's entries, in order."""
        found = vec[i64]()
        words = self.chunks[bucket >> CHUNK_BITS]
        position: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
        end: i64 = position + BUCKET_ENTRIES
        while True:
            entry = words[position]
            if entry == 0:
                return found
            if position == end:
                words = self.overflow[entry >> LINK_BITS]
                position = entry & LINK_MASK
                end = position + BUCKET_ENTRIES
                continue
            found = append(found, entry)
            position += 1

    def matching(self, key_hash: i64) -> vec[i64]:
        """Return the entries with the hash's tag, in order."""
        found = vec[i64]()
        tag = self.tag_of(key_hash)
        bucket = self.bucket_of(key_hash)
        words = self.chunks[bucket >> CHUNK_BITS]
        position: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
        end: i64 = position + BUCKET_ENTRIES
        while True:
            entry = words[position]
            if entry == 0:
                return found
            if position == end:
                words = self.overflow[entry >> LINK_BITS]
                position = entry & LINK_MASK
                end = position + BUCKET_ENTRIES
                continue
            if tag_in(entry) == tag:
                found = append(found, entry)
            position += 1

    def holds(self, key_hash: i64, address: i64, since: i64) -> i64:
        """Return the entry with the hash's tag that leads to exactly `address`.

        Else one with that tag that is mixed or leads to `since` or behind it, for the caller to follow; else 0: the
        record at `address` is superseded.
        """
        tag = self.tag_of(key_hash)
        suspect: i64 = 0
        bucket = self.bucket_of(key_hash)
        position: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
        bucket >>= CHUNK_BITS  # an index that is a local spares two changes of a reference count
        words = self.chunks[bucket]
        end: i64 = position + BUCKET_ENTRIES
        while True:
            entry = words[position]
            if entry == 0:
                return suspect
            if position == end:
                words = self.overflow[entry >> LINK_BITS]
                position = entry & LINK_MASK
                end = position + BUCKET_ENTRIES
                continue
            if tag_in(entry) == tag:
                leads: i64 = address_of(entry)
                if leads == address:
                    return entry
                if entry < 0 or leads >= since:
                    suspect = entry
            position += 1

    def insert(self, key_hash: i64, entry: i64) -> None:
        """Add an entry; grow by one bucket when the load asks for it."""
        self.put(self.bucket_of(key_hash), entry)
        self.entries += 1
        if self.entries > self.grow_at:
            self.split_one()
        elif self.overflow_next > OVERFLOW_LIMIT:  # a table that was made for many keys splits only when they are there
            self.add_room()

    def replace(self, key_hash: i64, old: i64, new: i64) -> bool:
        """Put `new` where the entry `old` stands, or take it away where `new` is 0; False where `old` is not there."""
        return self.replace_in(self.bucket_of(key_hash), old, new)

    def replace_in(self, bucket: i64, old: i64, new: i64) -> bool:
        """As `replace`, in a bucket."""
        words = self.chunks[bucket >> CHUNK_BITS]
        position: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
        end: i64 = position + BUCKET_ENTRIES
        while True:
            entry = words[position]
            if entry == 0:
                return False
            if position == end:
                words = self.overflow[entry >> LINK_BITS]
                position = entry & LINK_MASK
                end = position + BUCKET_ENTRIES
                continue
            if entry == old:
                if new:
                    words[position] = new
                else:
                    self.remove_at(bucket, words, position)
                return True
            position += 1

    def remove_at(self, bucket: i64, words: vec[i64], position: i64) -> None:
        """Close the gap at `position` with the bucket's last entry; an overflow bucket that is empty then goes back."""
        if self.imaging and bucket >= self.image_next:
            self.removed = append(self.removed, bucket)
            self.removed = append(self.removed, words[position])
        last_words = words
        last: i64 = position
        link_words = words
        link_at: i64 = -1
        link: i64 = 0
        here = self.chunks[bucket >> CHUNK_BITS]
        at: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
        stop: i64 = at + BUCKET_ENTRIES
        while True:
            entry = here[at]
            if entry == 0:
                break
            if at == stop:
                link_words = here
                link_at = stop
                link = entry
                here = self.overflow[entry >> LINK_BITS]
                at = entry & LINK_MASK
                stop = at + BUCKET_ENTRIES
                continue
            last_words = here
            last = at
            at += 1
        words[position] = last_words[last]
        last_words[last] = 0
        self.entries -= 1
        if link and last == link & LINK_MASK:  # the last overflow bucket is empty now
            self.give_back(link)
            link_words[link_at] = 0

    def give_back(self, link: i64) -> None:
        """Put an empty overflow bucket on the free list."""
        self.overflow[link >> LINK_BITS][(link & LINK_MASK) + BUCKET_ENTRIES] = self.free_overflow
        self.free_overflow = link
        self.overflow_in_use -= 1

    def take_overflow(self) -> i64:
        """Return the link to an empty overflow bucket.

        In the middle of an operation: `add_room` has reserved what this touches, or else the last vec moves.
        """
        self.overflow_in_use += 1
        link: i64 = self.free_overflow
        if link:
            end: i64 = (link & LINK_MASK) + BUCKET_ENTRIES
            self.free_overflow = self.overflow[link >> LINK_BITS][end]
            self.overflow[link >> LINK_BITS][end] = 0
            return link
        last: i64 = len(self.overflow) - 1
        position: i64 = self.overflow_next
        while position + 8 > len(self.overflow[last]):
            self.overflow[last] = extend(self.overflow[last], EIGHT_BUCKETS)
            self.budget.add(INDEX, i64(len(EIGHT_BUCKETS)) << 3)
        self.overflow_next = position + 8
        return (last << LINK_BITS) | position

    def put(self, bucket: i64, entry: i64) -> None:
        """Write an entry into the first free word of a bucket."""
        words = self.chunks[bucket >> CHUNK_BITS]
        position: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
        end: i64 = position + BUCKET_ENTRIES
        here: i64 = 0
        while True:
            if position == end:
                link: i64 = words[position]
                if link == 0:
                    link = self.take_overflow()
                    if here:
                        self.overflow[here >> LINK_BITS][end] = link  # taking one may have moved the vec
                    else:
                        words[position] = link
                here = link
                words = self.overflow[link >> LINK_BITS]
                position = link & LINK_MASK
                end = position + BUCKET_ENTRIES
                continue
            if words[position] == 0:
                words[position] = entry
                return
            position += 1

    def has_room(self, bucket: i64) -> bool:
        """Return whether there is room for a bucket."""
        i: i64 = bucket >> CHUNK_BITS
        return (
            i < len(self.chunks)
            and ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD < len(self.chunks[i])
            and self.overflow_next <= OVERFLOW_LIMIT
        )

    def add_room(self) -> None:
        """Make room for the next buckets, a step of a chunk, whose memory is reserved whole and touched as it is used.

        Reserving may run a finalizer that grows the index, so what is needed is asked for anew.
        """
        if self.overflow_next > OVERFLOW_LIMIT:
            chunk = reserve_chunk(True)
            if self.overflow_next > OVERFLOW_LIMIT:
                grown = append(self.overflow, chunk)  # the collector may come by here, too
                if self.overflow_next > OVERFLOW_LIMIT and len(grown) == len(self.overflow) + 1:
                    self.overflow = grown
                    self.overflow_next = CHUNK_LEAD
                    self.draw()
            return
        last: i64 = len(self.chunks) - 1
        if len(self.chunks[last]) < CHUNK_WORDS:
            self.chunks[last] = extend(self.chunks[last], ZERO_STEP)
            self.draw()
            return
        chunk = reserve_chunk(True)
        if not self.has_room(self.split + self.low_mask + 1):
            grown = append(self.chunks, chunk)
            if len(grown) == len(self.chunks) + 1:
                self.chunks = grown
                self.draw()

    def split_one(self) -> None:
        """Split the next bucket in two by one more bit of its entries' hashes; not while an image is taken."""
        if self.imaging:
            if self.overflow_next > OVERFLOW_LIMIT:
                self.add_room()
            return
        while not self.has_room(self.split + self.low_mask + 1):
            self.add_room()
        if self.low_mask + 1 > power_of_two(self.tag_base + TAG_BITS - 1):
            self.grow_at += SPLIT_LOAD
            return  # no bit of the tag is left: overflow buckets take what comes
        source: i64 = self.split
        bit: i64 = self.low_mask + 1
        target: i64 = source + bit
        self.grow_at += SPLIT_LOAD
        in_tag: i64 = (bit >> self.tag_base) << TAG_SHIFT
        self.split = source + 1
        if self.split > self.low_mask:
            self.low_mask = (self.low_mask << 1) | 1
            self.split = 0
        words = self.chunks[source >> CHUNK_BITS]
        position: i64 = ((source & CHUNK_MASK) << 3) + CHUNK_LEAD
        fresh = self.chunks[target >> CHUNK_BITS]
        out: i64 = ((target & CHUNK_MASK) << 3) + CHUNK_LEAD
        link: i64 = words[position + BUCKET_ENTRIES]
        words[position + BUCKET_ENTRIES] = 0
        kept: i64 = position
        end: i64 = position + BUCKET_ENTRIES
        while position < end:
            entry = words[position]
            if entry != 0:
                words[position] = 0
                if entry & in_tag:
                    fresh[out] = entry
                    out += 1
                else:
                    words[kept] = entry
                    kept += 1
            position += 1
        while link:
            words = self.overflow[link >> LINK_BITS]
            position = link & LINK_MASK
            end = position + BUCKET_ENTRIES
            while position < end:
                entry = words[position]
                if entry != 0:
                    words[position] = 0
                    self.put(target if entry & in_tag else source, entry)
                position += 1
            following: i64 = words[end]
            self.give_back(link)
            link = following

    def purge_below(self, address: i64) -> vec[i64]:
        """Remove the entries that lead below `address`, and return the mixed ones among them. O(buckets)."""
        mixed = vec[i64]()
        bucket: i64 = 0
        while bucket < self.buckets():
            for entry in self.entries_in(bucket):
                if address_of(entry) < address:
                    if is_mixed(entry):
                        mixed = append(mixed, entry)
                    self.replace_in(bucket, entry, NO_ENTRY)
            bucket += 1
        return mixed
