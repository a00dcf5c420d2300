"""The format once more, written from docs/format.md with struct and zlib only: nothing here comes from the core.

`Record` is a record's fields, each of which may be set to what cannot be; its bytes have the checksum that they should.
`Image` is a store's files as bytes, which can be read, changed and written.
"""

import struct
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

MASK_32: Final = (1 << 32) - 1
MASK_48: Final = (1 << 48) - 1
MASK_62: Final = (1 << 62) - 1
MASK_64: Final = (1 << 64) - 1

START_A: Final = 0x243F6A8885A308D3
START_B: Final = 0x13198A2E03707344
MULTIPLIER_SUM: Final = 0x14D049BB133111EB
MULTIPLIER_ODD: Final = 0x2545F4914F6CDD1D
MULTIPLIER_END: Final = 0x3F58476D1CE4E5B9

HAS_EXPIRY: Final = 1
HAS_TAG: Final = 16
PAGE_RUN: Final = 2
COMMIT: Final = 4
SESSION: Final = 8
HEADER: Final = 24
CONTENT_MAX: Final = 1 << 20  # of a record that claims more than it has, what is summed of it
COMMIT_FIELDS: Final = (
    "sequence",
    "durable_sequence",
    "begin",
    "count",
    "pending",
    "records",
    "live_bytes",
    "time_ns",
    "sessions",
)


def fold(x: int) -> int:
    """Return x xor (x >> 32)."""
    return x ^ (x >> 32)


def padded(data: bytes) -> bytes:
    """Return data with zeros behind it up to a whole word."""
    return data + bytes(-len(data) % 8)


def checksum(content: bytes, address: int, key: int) -> int:
    """Return the checksum of a record's bytes from info to the value's last word."""
    r = struct.unpack(f"<{len(content) // 8}q", content)
    s = r[2] & ~MASK_32
    a = (address ^ fold(r[0]) ^ START_A) * MULTIPLIER_SUM & MASK_62
    b = (s ^ fold(r[1]) ^ START_B) * MULTIPLIER_ODD & MASK_62
    for i in range(3, len(r), 2):
        a = (fold(a) ^ fold(r[i])) * MULTIPLIER_SUM & MASK_62
    for i in range(4, len(r), 2):
        b = (fold(b) ^ fold(r[i])) * MULTIPLIER_ODD & MASK_62
    h = (a ^ (b >> 7)) * MULTIPLIER_END & MASK_62
    h = (h ^ (h >> 31) ^ b) * MULTIPLIER_SUM & MASK_62
    return ((h >> 30) & MASK_32) ^ key or 1


def optional(flags: int) -> int:
    """Return how many bytes the words take that only some records have."""
    return 8 * (bool(flags & HAS_EXPIRY) + bool(flags & HAS_TAG))


@dataclass
class Record:
    """A record's fields; lengths and capacity that are None are those of key and value."""

    address: int
    key: bytes = b""
    value: bytes = b""
    previous: int = 0
    version: int = 1
    tombstone: bool = False
    invalid: bool = False
    unverified: bool = False
    flags: int = 0
    expiry: int = 0
    tag: int = 0
    key_length: int | None = None
    value_length: int | None = None
    capacity: int | None = None
    spare: bytes = b""

    def encode(self, checksum_key: int) -> bytes:
        """Return the record's bytes with the right checksum for what it claims to be."""
        info = self.previous & MASK_48 | (self.version & 0x1FFF) << 48
        info |= self.tombstone << 61 | self.invalid << 62 | self.unverified << 63
        key_length = len(self.key) if self.key_length is None else self.key_length
        value_length = len(self.value) if self.value_length is None else self.value_length
        shape = value_length & MASK_32 | (key_length & 0xFFFF) << 32 | (self.flags & 0xFFFF) << 48
        own = (len(padded(self.value)) + len(self.spare)) // 8
        capacity = own if self.capacity is None else self.capacity
        body = struct.pack("<q", self.expiry) if self.flags & HAS_EXPIRY else b""
        body += struct.pack("<q", self.tag) if self.flags & HAS_TAG else b""
        body += padded(self.key) + padded(self.value)
        claimed = HEADER + optional(self.flags) + (key_length + 7 & ~7) + (value_length + 7 & ~7)
        content = struct.pack("<QQQ", info, shape, (capacity & MASK_32) << 32) + body + self.spare
        summed = content[:claimed] + bytes(max(0, min(claimed, CONTENT_MAX) - len(content)))
        seal = (capacity & MASK_32) << 32 | checksum(summed, self.address, checksum_key)
        return content[:16] + struct.pack("<Q", seal) + content[24:]

    def size(self) -> int:
        """Return how many bytes the record takes."""
        return HEADER + optional(self.flags) + len(padded(self.key)) + len(padded(self.value)) + len(self.spare)

    def with_fields(self, **fields: object) -> "Record":
        """Return a record with other fields."""
        return replace(self, **fields)  # type: ignore[arg-type]


def decode_record(data: bytes, offset: int, address: int) -> Record | None:
    """Return the record at an offset, None where none begins or it is not all there."""
    if len(data) < offset + HEADER:
        return None
    info, shape, seal = struct.unpack_from("<QQQ", data, offset)
    if info == 0:
        return None
    flags = shape >> 48
    key_length = shape >> 32 & 0xFFFF
    value_length = shape & MASK_32
    at = offset + HEADER
    expiry = tag = 0
    if flags & HAS_EXPIRY and at + 8 <= len(data):
        (expiry,) = struct.unpack_from("<q", data, at)
        at += 8
    if flags & HAS_TAG and at + 8 <= len(data):
        (tag,) = struct.unpack_from("<q", data, at)
        at += 8
    key = data[at : at + key_length]
    at += key_length + 7 & ~7
    value = data[at : at + value_length]
    end = at + 8 * (seal >> 32)
    spare = data[at + (value_length + 7 & ~7) : end]
    if end > len(data):
        return None
    return Record(
        address,
        key,
        value,
        info & MASK_48,
        info >> 48 & 0x1FFF,
        bool(info >> 61 & 1),
        bool(info >> 62 & 1),
        bool(info >> 63),
        flags,
        expiry,
        tag,
        spare=spare,
    )


def words(value: bytes) -> list[int]:
    """Return a commit record's words, signed."""
    return list(struct.unpack_from(f"<{len(value) // 8}q", value))


def of_words(numbers: list[int]) -> bytes:
    """Return words as bytes."""
    return b"".join(struct.pack("<Q", number & MASK_64) for number in numbers)


@dataclass
class Image:
    """A store's files: the fields of STORE and CLEAN, and the bytes of each segment by its first page."""

    store_id: bytes = bytes(range(16))
    seed: int = 1
    page_bits: int = 12
    format_version: int = 2
    key_codec: bytes = b"bytes"
    value_codec: bytes = b"bytes"
    mark: tuple[int, int, int] | None = None
    segments: dict[int, bytearray] = field(default_factory=dict)

    @property
    def checksum_key(self) -> int:
        """The key of the records' checksums."""
        return int.from_bytes(self.store_id[:4], "little")

    def superblock(self) -> bytes:
        """Return the bytes of STORE."""
        data = b"\x89oxidbm\n" + struct.pack("<Q", self.format_version) + self.store_id
        data += struct.pack("<QQ", self.seed, self.page_bits)
        for name in (self.key_codec, self.value_codec):
            data += bytes([len(name)]) + name + bytes(255 - len(name))
        return data + struct.pack("<I", zlib.crc32(data))

    def clean(self) -> bytes:
        """Return the bytes of CLEAN."""
        assert self.mark is not None
        data = b"\x89oxiend\n" + self.store_id + struct.pack("<QQQ", *(number & MASK_64 for number in self.mark))
        return data + struct.pack("<I", zlib.crc32(data))

    def write(self, path: Path) -> None:
        """Write the files."""
        (path / "log").mkdir(parents=True)
        (path / "STORE").write_bytes(self.superblock())
        if self.mark is not None:
            (path / "CLEAN").write_bytes(self.clean())
        for page, data in self.segments.items():
            (path / "log" / f"{page:010d}.seg").write_bytes(data)

    def records(self) -> list[tuple[int, int, Record]]:
        """Return each record with its segment's page and its offset there, as the format says where they stand."""
        found = []
        page_bytes = 1 << self.page_bits
        for page, data in sorted(self.segments.items()):
            start = page << self.page_bits
            offset = 64 if page == 0 else 0
            while offset < len(data):
                record = decode_record(bytes(data), offset, start + offset)
                if record is None:
                    offset = (offset // page_bytes + 1) * page_bytes
                    continue
                found.append((page, offset, record))
                offset += record.size()
                if record.size() > page_bytes:
                    offset = -(-offset // page_bytes) * page_bytes
        return found

    def put(self, page: int, offset: int, record: Record) -> None:
        """Write a record's bytes at an offset of a segment."""
        data = record.encode(self.checksum_key)
        self.segments[page][offset : offset + len(data)] = data


def read_image(path: Path) -> Image:
    """Return a store's files."""
    store = (path / "STORE").read_bytes()
    version, store_id, seed, page_bits, key_codec, value_codec, summed = struct.unpack("<8xQ16sQQ256p256pI", store)
    assert summed == zlib.crc32(store[:-4])
    image = Image(store_id, seed, page_bits, version, key_codec, value_codec)
    if (path / "CLEAN").exists():
        clean = (path / "CLEAN").read_bytes()
        tail, sequence, count = struct.unpack_from("<QQQ", clean, 24)
        image.mark = (tail, sequence, count)
    for file in (path / "log").iterdir():
        image.segments[int(file.stem)] = bytearray(file.read_bytes())
    return image
