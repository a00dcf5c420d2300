"""An index image's file: one zstandard frame, written and read a slice at a time.

    header   magic, version, then of commit `sequence` that number, `commit`, where its record stands, `begin` and `end`
             of the log; `count` of keys and `live_bytes`, of which more may be known than the commit says; `low_mask`
             and `split` of the index, whose entries lead to [begin, end)
    pending  a count, then as many words: the records whose effect on the number of keys was not known (table/pending)
    slices   see index/image; one without words and pairs is the last
    entries  how many the slices held

The frame is as frame_file has it. Whatever a file says is checked before it is believed or allocated for.
"""

import struct
from typing import Final, final

from librt.vecs import extend, vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import ADDRESS_MASK
from oxidbm._core.budget import Budget
from oxidbm._core.device.directory import Directory
from oxidbm._core.durability.checkpoint import Metadata
from oxidbm._core.durability.frame_file import FrameReader, FrameWriter
from oxidbm._core.errors import CorruptionError, alone
from oxidbm._core.index.entry import NO_ENTRY, address_of, leading_to
from oxidbm._core.index.hash_index import BUCKET_ENTRIES, HashIndex
from oxidbm._core.index.image import SLICE_WORDS, SPARSE, ImageLoader, ImageTaker, wanted_mask
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import record_at
from oxidbm._core.log.record import HEADER_BYTES, previous_address

IMAGE_MAGIC: Final = b"\x89oxiidx\n"
IMAGE_VERSION: Final = 1
IMAGE_HEADER: Final = struct.Struct("<8s9q")
COUNT: Final = struct.Struct("<q")
COUNTS: Final = struct.Struct("<2q")


@final
class ImageHeader:
    """What an image says of itself."""

    def __init__(self, sequence: int, commit: int, begin: int, end: int) -> None:
        self.sequence = sequence
        self.commit = commit
        self.begin = begin
        self.end = end
        self.count = 0
        self.live_bytes = 0
        self.low_mask = 0
        self.split = 0

    def add_counts(self, count: int, live_bytes: int, low_mask: int, split: int) -> None:
        """Say this of keys and of buckets, too."""
        self.count = count
        self.live_bytes = live_bytes
        self.low_mask = low_mask
        self.split = split


def led_before(log: HybridLog, entry: i64, begin: i64, end: i64) -> i64:
    """Return the entry as it was when the log ended at `end`, 0 for none: down its chain."""
    address = address_of(entry)
    while address >= end:
        if address >= log.head:
            info = log.frames.words[log.slot_of(address)][log.word_of(address)]
        else:
            info = record_at(log, address).info
        address = previous_address(info)
    return leading_to(entry, address) if address >= begin else i64(NO_ENTRY)


@final
class ImageWriter:
    """Writes the image that a taker takes. Other threads run in compressing, writing and syncing."""

    def __init__(
        self, directory: Directory, name: str, mode: int, header: ImageHeader, log: HybridLog, level: int
    ) -> None:
        self.log = log
        self.begin: i64 = header.begin
        self.end: i64 = header.end
        self.entries: i64 = 0
        self.file = FrameWriter(directory, name, mode, level)

    def write_header(self, header: ImageHeader, pending: memoryview) -> None:
        """Write what comes before the slices."""
        start = IMAGE_HEADER.pack(
            IMAGE_MAGIC,
            IMAGE_VERSION,
            header.sequence,
            header.commit,
            header.begin,
            header.end,
            header.count,
            header.live_bytes,
            header.low_mask,
            header.split,
        )
        self.file.write(start + COUNT.pack(len(pending)))
        self.file.write(pending)

    def write_slice(self, taker: ImageTaker) -> None:
        """Write the taker's slice, as it was at the image's instant."""
        self.look_back(taker.words)
        pairs = taker.pairs
        kept: i64 = 0
        at: i64 = 0
        while at + 1 < len(pairs):
            bucket = pairs[at]
            entry = led_before(self.log, pairs[at + 1], self.begin, self.end)
            if entry != 0:
                pairs[kept] = bucket
                pairs[kept + 1] = entry
                kept += 2
            at += 2
        self.entries += kept >> 1
        if len(taker.words) > 0:
            self.file.write(COUNTS.pack(len(taker.words), 0))
            self.file.write(memoryview(taker.words))
        at = 0
        while at < kept:
            stop: i64 = min(at + SLICE_WORDS, kept)
            self.file.write(COUNTS.pack(0, stop - at))
            self.file.write(memoryview(pairs)[at:stop])
            at = stop

    def look_back(self, words: vec[i64]) -> None:
        """Make of buckets' words what they were, and count the entries."""
        bucket: i64 = 0
        while bucket < len(words):
            kept: i64 = bucket
            position: i64 = bucket
            while position < bucket + BUCKET_ENTRIES and words[position] != 0:
                entry = words[position]
                words[position] = 0
                if address_of(entry) >= self.end or address_of(entry) < self.begin:
                    entry = led_before(self.log, entry, self.begin, self.end)
                if entry != 0:
                    words[kept] = entry
                    kept += 1
                position += 1
            self.entries += kept - bucket
            bucket += 8

    def finish(self, metadata: Metadata) -> None:
        """End the file and make it durable, though its name is not yet; its checkpoint says what it is."""
        self.file.write(COUNTS.pack(0, 0) + COUNT.pack(self.entries))
        self.file.finish()
        metadata.image_bytes = int(self.file.bytes)
        metadata.raw_bytes = int(self.file.raw_bytes)
        metadata.image_sum = self.file.sum.hex()
        metadata.entries = int(self.entries)


@final
class ImageReader:
    """Reads an image's file; CorruptionError, with the file and what is wrong, for one that cannot be believed."""

    def __init__(self, directory: Directory, name: str, size: int, end: str) -> None:
        self.file = FrameReader(directory, name, size, end)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def fault(self, why: str) -> CorruptionError:
        """Return the error for what stands at the offset that was read up to."""
        return self.file.fault(why)

    def read_header(self) -> ImageHeader:
        """Return what stands at the start."""
        values = IMAGE_HEADER.unpack(self.file.take(IMAGE_HEADER.size))
        if values[0] != IMAGE_MAGIC or values[1] != IMAGE_VERSION:
            raise self.fault("it does not begin as an index image does that this release knows")
        header = ImageHeader(values[2], values[3], values[4], values[5])
        header.add_counts(values[6], values[7], values[8], values[9])
        if (
            not header.count + header.end // HEADER_BYTES >= 0
            or header.count > header.end
            or header.live_bytes > header.end
        ):
            raise self.fault(f"it counts {header.count} keys of {header.live_bytes} bytes in a log of {header.end}")
        return header

    def read_pending(self, begin: i64, end: i64) -> vec[i64]:
        """Return the pending records' words, each with the address of one."""
        (count,) = COUNT.unpack(self.file.take(COUNT.size))
        if not 0 <= count <= end // HEADER_BYTES:
            raise self.fault(f"it counts {count} pending records in a log of {end} bytes")
        words = vec[i64]()
        left: i64 = count
        while left > 0:
            size: i64 = min(left, i64(SLICE_WORDS))
            words = extend(words, self.file.words(size))
            left -= size
        for word in words:
            if not begin <= word & ADDRESS_MASK < end:
                raise self.fault(f"it has address {word & ADDRESS_MASK} as that of a pending record")
        return words

    def read_index(self, header: ImageHeader, budget: Budget) -> HashIndex:
        """Return the index; each of its entries leads to a record of its own."""
        records = header.end // HEADER_BYTES
        if header.low_mask > wanted_mask(max(i64(records), i64(0)) * SPARSE):
            raise self.fault(f"a table of low_mask {header.low_mask} for at most {records} records")
        try:
            loader = ImageLoader(budget, i64(header.low_mask), i64(header.split), i64(header.begin), i64(header.end))
            while True:
                size, pairs = COUNTS.unpack(self.file.take(COUNTS.size))
                if not 0 <= size <= SLICE_WORDS or not 0 <= pairs <= SLICE_WORDS:
                    raise self.fault(f"a slice of {size} words and {pairs} of pairs")
                if size + pairs == 0:
                    break
                loader.take_words(self.file.words(i64(size)))
                loader.take_pairs(self.file.words(i64(pairs)))
                if loader.index.entries > records:
                    raise self.fault(f"{loader.index.entries} entries for at most {records} records")
                _breath.breathe()
            index = loader.finish()
        except ValueError as failure:
            raise alone(self.fault(str(failure))) from None
        (entries,) = COUNT.unpack(self.file.take(COUNT.size))
        if entries != index.entries:
            raise self.fault(f"it has {index.entries} entries, and says {entries}")
        if self.file.some(1):
            raise self.fault("something stands behind its end")
        return index
