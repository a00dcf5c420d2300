"""What remains of a damaged store, or log: its files, opened to be read and nothing else, and what STORE said.

`Remains` opens whatever is there and notes in `faults` what is missing or wrong with it. No file is written, made or
locked. Where the superblock is lost, what it said is found again: the key of the checksums from the mark of a clean
end, which repeats the store's id, or from the first records of the segments, whose checksums all agree on it under one
page size only. Codecs cannot be found; they are the caller's to name. A segment under a wrong name is known by its
records, since their checksums cover their addresses.
"""

import os
import zlib
from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from typing import Final

from oxidbm._core.address import ADDRESS_MAX, FIRST_ADDRESS, PAGE_BITS_MAX, PAGE_BITS_MIN
from oxidbm._core.device.directory import CHECKPOINTS, CLEAN, LOG, SEGMENT_SUFFIX, STORE, Directory
from oxidbm._core.device.open_file import OpenFile
from oxidbm._core.device.segments import segment_name
from oxidbm._core.device.system import read_at
from oxidbm._core.durability.carve import Carver, could_begin, page_of, sum_without_key
from oxidbm._core.durability.checkpoint import Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.source import age
from oxidbm._core.durability.superblock import (
    A_STORE,
    CLEAN_MAGIC,
    CLEAN_MARK,
    KINDS,
    SUM,
    SUPERBLOCK,
    CleanMark,
    Kind,
    Superblock,
    read_mark,
    read_small,
    read_superblock,
    unpack_superblock,
)
from oxidbm._core.errors import CorruptionError, FormatError, MissingError
from oxidbm._core.log.record import CHECKSUM_MASK, HEADER_BYTES, record_words

MAGICS: Final = tuple(kind.magic for kind in KINDS)
DEFAULT_PAGE_BITS: Final = 22
PROBE_BYTES: Final = 1 << 20  # of a segment, to find out what it is
AGREEING_MIN: Final = 2  # records that must say the same before it is believed
AGREEING_MAX: Final = 64
PAGES_TRIED: Final = 1 << 21  # as the first one of a segment whose name does not say it
FILES_TRIED: Final = 8  # for the page size
BYTES_TRIED: Final = 1 << 28  # what that may cost in bytes summed


class SegmentFile:
    """One file of the log: opened, and where it belongs."""

    def __init__(self, name: str, directory: Directory) -> None:
        self.name = name
        self.path = directory.place(name)
        self.file = OpenFile(directory, name, os.O_RDONLY)
        self.descriptor = self.file.descriptor
        self.size = os.fstat(self.descriptor).st_size
        self.start = -1
        self.stop = -1

    def head(self) -> bytes:
        """Return the file's first bytes."""
        return read_at(self.descriptor, PROBE_BYTES, 0)

    def named_page(self) -> int:
        """Return the page number that the name says, -1 for none."""
        digits = self.name.removesuffix(SEGMENT_SUFFIX)
        right = len(digits) < len(self.name) <= 24 and digits.isascii() and digits.isdigit()
        return int(digits) if right and int(digits) <= ADDRESS_MAX >> PAGE_BITS_MIN else -1

    def place(self, address: int) -> str:
        """Return where an address stands, in words."""
        return f"{self.path} at offset {address - self.start}"


def signed(data: bytes, offset: int) -> int:
    """Return a word as the core takes it."""
    return int.from_bytes(data[offset : offset + 8], "little", signed=True)


def record_bytes(data: bytes, offset: int) -> int:
    """Return the size of what may be a record at an offset, 0 where none can be."""
    if len(data) < offset + HEADER_BYTES or not could_begin(signed(data, offset), signed(data, offset + 8)):
        return 0
    return record_words(signed(data, offset + 8), signed(data, offset + 16)) * 8


def row(data: bytes, offset: int) -> Iterator[tuple[int, int]]:
    """Yield offset and size of each of what may be records, one behind the other from an offset of a file on."""
    for _ in range(AGREEING_MAX):
        size = record_bytes(data, offset)
        if size == 0 or offset + size > len(data):
            return
        yield offset, size
        offset += size


def keys_said(data: bytes, offset: int, start: int) -> Iterator[int]:
    """Yield the key that the checksum of each record says, in the row of records from an offset of a file on."""
    for at, _ in row(data, offset):
        base = sum_without_key(data, at, start + at)
        if base >= 0:
            yield base ^ (signed(data, at + 16) & CHECKSUM_MASK)


def mended(data: bytes) -> bytes | None:
    """Return a superblock with its one wrong byte put right by its checksum; None where more than one is wrong."""
    if len(data) != SUPERBLOCK.size + SUM.size:
        return None
    (wanted,) = SUM.unpack_from(data, SUPERBLOCK.size)
    body = bytearray(data[: SUPERBLOCK.size])
    wrong = zlib.crc32(body) ^ wanted
    if any(wrong & ~(0xFF << shift) == 0 for shift in (0, 8, 16, 24)):
        return bytes(body)  # the wrong byte is the checksum's own
    for offset in range(len(body)):
        sound = body[offset]
        for byte in range(256):
            body[offset] = byte
            if zlib.crc32(body) == wanted:
                return bytes(body)
        body[offset] = sound
    return None


class Remains:
    """The opened files of what was a store."""

    def __init__(self, path: str, kind: Kind = A_STORE) -> None:
        self.path = path
        self.kind = kind
        self.faults: list[str] = []
        self.block: Superblock | None = None
        self.superblock_sound = True  # False where it is lost, also where it could be put right
        self.mark: CleanMark | None = None
        self.checksum_key: int | None = None
        self.page_bits: int | None = None
        self.segments: list[SegmentFile] = []  # in the order of the log
        self.files: list[SegmentFile] = []
        if not os.path.isdir(path):
            if os.path.exists(path):
                raise FormatError(f"{path} is a file; a {kind.what} is a directory. Choose another path")
            raise MissingError(2, f"there is no {kind.what}", path)
        self.directory = Directory(path)
        try:
            self.read_small_files()
            self.open_files()
            self.find_pages_and_key()
            self.place_segments()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every file."""
        for file in self.files:
            file.file.close()
        self.files = []
        self.directory.close()

    def read_small_files(self) -> None:
        """Read the superblock and the mark of a clean end, as far as they can be read."""
        names = self.directory.names()
        if STORE not in names and LOG not in names:
            raise MissingError(
                2, f"the directory has neither {STORE} nor {LOG}, and holds no {self.kind.what}", self.path
            )
        try:
            self.block = read_superblock(self.directory, self.kind)
        except (CorruptionError, FormatError, OSError) as failure:
            self.superblock_sound = False
            self.block = self.mended_block(failure)
            self.faults.append(said(failure, f"{self.directory.place(STORE)} is missing"))
        if self.block is not None:
            self.checksum_key = self.block.checksum_key()
            self.page_bits = self.block.page_bits
        try:
            self.mark = self.read_clean_mark()
        except OSError as failure:
            self.faults.append(said(failure, f"{self.directory.place(CLEAN)} is missing"))

    def mended_block(self, failure: OSError) -> Superblock | None:
        """Return the superblock with one wrong byte put right, None where that cannot be done.

        What is no damage, but of another format version, or of another kind, raises what reading it did.
        """
        try:
            data = self.directory.read_start(STORE, SUPERBLOCK.size + SUM.size + 1)
        except OSError:
            return None
        body = mended(data)
        if body is not None and body.startswith(self.kind.magic):
            try:
                return unpack_superblock(self.directory.place(STORE), body, self.kind)
            except CorruptionError:
                return None
        if isinstance(failure, FormatError) and data.startswith(MAGICS) and len(data) >= SUPERBLOCK.size:
            raise failure
        return None

    def read_checkpoints(self) -> tuple[list[Metadata], list[str]]:
        """Return what the log's checkpoints say, the oldest first, and what is wrong with others.

        That a checkpoint is of this store is known by the key of the checksums, also where the superblock is lost.
        """
        known: list[Metadata] = []
        faults: list[str] = []
        files = CheckpointFiles(self.directory, b"", 0)
        place = self.directory.place(CHECKPOINTS)
        try:
            for token in files.tokens():
                try:
                    metadata = files.read_of_any(token)
                except OSError as failure:
                    faults.append(said(failure, f"{place}: what the checkpoint {token} says is missing"))
                    continue
                if checksum_key_of(metadata.store_id) == self.checksum_key:
                    known.append(metadata)
                else:
                    faults.append(f"{place}: the checkpoint {token} is of another store, {metadata.store_id}")
        except OSError as failure:
            faults.append(said(failure, f"{place} is missing"))
        finally:
            files.close()
        return sorted(known, key=age), faults

    def read_clean_mark(self) -> CleanMark | None:
        """Return the mark of a clean end, None where there is none; without a superblock it tells the store's id."""
        if self.block is not None:
            return read_mark(self.directory, self.block)
        if self.directory.status(CLEAN) is None:
            return None
        magic, store_id, *numbers = CLEAN_MARK.unpack(read_small(self.directory, CLEAN, CLEAN_MARK.size))
        if magic != CLEAN_MAGIC:
            raise CorruptionError(f"{self.directory.place(CLEAN)} does not begin as the mark of a clean end does")
        self.checksum_key = Superblock(store_id, 0, 0).checksum_key()
        return CleanMark(*numbers)

    def open_files(self) -> None:
        """Open every regular file of the log."""
        try:
            log = self.directory.sub(LOG)
        except OSError as failure:
            self.faults.append(said(failure, f"{self.directory.place(LOG)} is missing"))
            return
        try:
            for name in log.names():
                try:
                    self.files.append(SegmentFile(name, log))
                except OSError as failure:
                    self.faults.append(said(failure, f"{log.place(name)} is missing"))
        finally:
            log.close()

    def find_pages_and_key(self) -> None:
        """Find page size and key where the superblock is lost; both stay None where the records do not tell them."""
        if self.checksum_key is not None and self.page_bits is not None:
            return
        votes: Counter[tuple[int, int]] = Counter()
        for file in self.files:
            data = file.head()
            for bits in range(PAGE_BITS_MIN, PAGE_BITS_MAX + 1):
                for page in {max(file.named_page(), 0), 0}:
                    if page <= ADDRESS_MAX >> bits:
                        said_keys = Counter(keys_said(data, FIRST_ADDRESS if page == 0 else 0, page << bits))
                        votes.update({(key, bits): count for key, count in said_keys.items() if count >= AGREEING_MIN})
        if self.checksum_key is None:
            totals: Counter[int] = Counter()
            for (key, _), count in votes.items():
                totals[key] = max(totals[key], count)
            if not totals:
                self.faults.append(
                    f"{self.path}: the superblock {STORE} is lost, and no segment begins with two records that agree "
                    "about the key of their checksums, so that no record can be told from other bytes. Restore "
                    f"{STORE} from a copy, it never changes"
                )
                return
            self.checksum_key = totals.most_common(1)[0][0]
        self.page_bits = self.likeliest_page_bits()
        self.faults.append(
            f"{self.path}: the key of the checksums and the page size, 2**{self.page_bits} bytes, were found from "
            "the log; the codecs are unknown"
        )

    def likeliest_page_bits(self) -> int:
        """Return the page size with which most of the files' first bytes are sound records, and least else is in them.

        In a draw, as of a log of less than a page, it is the usual one.
        """
        best = (-1, 0, 0)
        for bits in range(PAGE_BITS_MIN, PAGE_BITS_MAX + 1):
            sound, lost = 0, 0
            for file in self.files[:FILES_TRIED]:
                carver = self.carver(file, file.named_page(), bits)
                while carver is not None and carver.step():
                    sound += carver.size()
                if carver is not None:
                    lost += sum(stop - start for start, stop, _ in carver.losses)
            best = max(best, (sound, -lost, bits if bits <= DEFAULT_PAGE_BITS else -bits))
        return abs(best[2])

    def carver(self, file: SegmentFile, page: int, bits: int) -> Carver | None:
        """Return what steps over a file's first bytes if it begins with a page; None where that page cannot be."""
        assert self.checksum_key is not None
        if not 0 <= page <= ADDRESS_MAX >> bits:
            return None
        start = page << bits
        return Carver(
            file.descriptor, start, start + min(file.size, max(PROBE_BYTES, 2 << bits)), bits, self.checksum_key
        )

    def is_sound(self, file: SegmentFile, page: int, records: int) -> bool:
        """Return whether so many records at least verify in a file's first bytes, if it begins with a page."""
        assert self.page_bits is not None
        carver = self.carver(file, page, self.page_bits)
        while records > 0 and carver is not None and carver.step():
            records -= 1
        return records == 0

    def place_segments(self) -> None:
        """Find where each file of the log belongs, by its name or, where that is wrong, by its records."""
        if self.page_bits is None:
            return
        taken: dict[int, SegmentFile] = {}
        strays = []
        for file in self.files:
            page = file.named_page()
            right = file.name == segment_name(page) if page >= 0 else False
            if right and (self.is_sound(file, page, 1) or self.page_found(file) < 0):
                taken[page] = file
            else:
                strays.append(file)
        for file in strays:
            self.place_stray(file, taken)
        self.segments = [taken[page] for page in sorted(taken)]
        for page, file in taken.items():
            file.start = page << self.page_bits
        limit = ADDRESS_MAX
        for file in reversed(self.segments):
            file.stop = min(file.start + file.size, limit)
            if file.start + file.size > limit and not self.is_surplus(file, limit):
                self.faults.append(f"{file.place(limit)} goes on where the next file of the log begins")
            limit = file.start

    def is_surplus(self, file: SegmentFile, start: int) -> bool:
        """Return whether a file holds nothing from an address on: a writer has made it longer ahead of its data."""
        assert self.page_bits is not None
        stop = file.start + file.size
        return Carver(file.descriptor, file.start, stop, self.page_bits, 0).data_end(start, stop) == start

    def place_stray(self, file: SegmentFile, taken: dict[int, SegmentFile]) -> None:
        """Give a file that is not named by its page the place that its records say."""
        page = self.page_found(file)
        if page >= 0 and page not in taken:
            self.faults.append(f"{file.path} is the segment {segment_name(page)} under another name")
            taken[page] = file
        elif file.name.endswith(SEGMENT_SUFFIX):
            what = "holds no record of this log" if page < 0 else f"is a second {segment_name(page)}"
            self.faults.append(f"{file.path} is not named by a page number that it may have, and {what}")

    def page_found(self, file: SegmentFile) -> int:
        """Return the page that a file begins with, as a record of its first ones and a second one say; -1 for none."""
        assert self.page_bits is not None
        assert self.checksum_key is not None
        data = file.head()
        for first in (0, FIRST_ADDRESS):
            found = min(row(data, first), key=itemgetter(1), default=None)  # the smallest costs least
            if found is not None:
                offset, size = found
                pages = min(PAGES_TRIED, BYTES_TRIED // size, (ADDRESS_MAX >> self.page_bits) + 1)
                page = page_of(data, offset, self.page_bits, self.checksum_key, pages)
                if page >= 0 and self.is_sound(file, page, AGREEING_MIN):
                    return page
        return -1


def checksum_key_of(store_id: str) -> int | None:
    """Return the key of the checksums of a store's log, by the id that a checkpoint says; None where that is none."""
    try:
        return Superblock(bytes.fromhex(store_id), 0, 0).checksum_key()
    except ValueError:
        return None


def said(failure: OSError, missing: str) -> str:
    """Return what went wrong with a file as a sentence."""
    if isinstance(failure, FileNotFoundError):
        return missing
    if failure.filename is not None and failure.strerror:
        return f"{os.fsdecode(failure.filename)}: {failure.strerror}"
    return str(failure)
