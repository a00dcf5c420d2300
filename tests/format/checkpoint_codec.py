"""A checkpoint's files once more, written with json, struct, zlib and zstandard only: nothing here comes from the core.

`Checkpoint` is what the two files say, each number of which may be set to what cannot be; they are written with the
checksums that they should have.
"""

import json
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import zstandard

HEADER: Final = struct.Struct("<8s9q")
FIELDS: Final = ("version", "sequence", "commit", "begin", "end", "count", "live_bytes", "low_mask", "split")
BUCKET_WORDS: Final = 8


def sum_of(said: dict[str, Any]) -> str:
    """Return the checksum of what the first file says."""
    return f"{zlib.crc32(json.dumps(said, sort_keys=True, separators=(',', ':')).encode()):08x}"


@dataclass
class IndexImage:
    """The fields of an index's image."""

    magic: bytes = b"\x89oxiidx\n"
    fields: dict[str, int] = field(default_factory=dict)
    pending: list[int] = field(default_factory=list)
    slices: list[tuple[list[int], list[int]]] = field(default_factory=list)  # words, pairs
    entries: int | None = None  # None for as many as there are
    behind: bytes = b""

    def content(self) -> bytes:
        """Return what is compressed."""
        parts = [HEADER.pack(self.magic, *[self.fields[name] for name in FIELDS])]
        parts.append(struct.pack(f"<q{len(self.pending)}q", len(self.pending), *self.pending))
        for words, pairs in [*self.slices, ([], [])]:
            parts.append(struct.pack("<2q", len(words), len(pairs)))
            parts.append(struct.pack(f"<{len(words) + len(pairs)}q", *words, *pairs))
        count = self.counted() if self.entries is None else self.entries
        return b"".join(parts) + struct.pack("<q", count) + self.behind

    def counted(self) -> int:
        """Return how many entries there are."""
        return sum(
            sum(bool(word) for at, word in enumerate(words) if at % BUCKET_WORDS < 7) + len(pairs) // 2
            for words, pairs in self.slices
        )


def decode_image(data: bytes) -> IndexImage:
    """Return an image's fields."""
    content = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    magic, *numbers = HEADER.unpack_from(content)
    image = IndexImage(magic, dict(zip(FIELDS, numbers, strict=True)))
    at = HEADER.size
    (count,) = struct.unpack_from("<q", content, at)
    image.pending = list(struct.unpack_from(f"<{count}q", content, at + 8))
    at += 8 + 8 * count
    while True:
        words, pairs = struct.unpack_from("<2q", content, at)
        found = struct.unpack_from(f"<{words + pairs}q", content, at + 16)
        at += 16 + 8 * (words + pairs)
        if words + pairs == 0:
            break
        image.slices.append((list(found[:words]), list(found[words:])))
    (entries,) = struct.unpack_from("<q", content, at)
    assert at + 8 == len(content)
    assert entries == image.counted()
    return image


@dataclass
class Checkpoint:
    """A checkpoint's files: what the one says, and the image that the other is."""

    said: dict[str, Any]
    image: IndexImage
    changed: dict[str, Any] = field(default_factory=dict)  # what is said in place of what should be

    def write(self, path: Path, content: bytes | None = None) -> None:
        """Write both into a store's directory, with right sizes and checksums; `content` in place of the image's."""
        packer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
        content = self.image.content() if content is None else content
        self.said["raw_bytes"] = len(content)
        self.said["entries"] = self.image.counted()
        self.write_data(path, packer.compress(content) + packer.flush())

    def write_data(self, path: Path, data: bytes) -> None:
        """The same, with the bytes of the image's file."""
        said = {**self.said, "image_bytes": len(data), "image_sum": data[-4:].hex(), **self.changed}
        said["checksum"] = sum_of(said)
        (path / "checkpoints" / f"{self.said['token']}.index.zst").write_bytes(data)
        (path / "checkpoints" / f"{self.said['token']}.json").write_text(json.dumps(said))


def read_checkpoint(path: Path, token: str) -> Checkpoint:
    """Return what the files of a checkpoint say."""
    said = json.loads((path / "checkpoints" / f"{token}.json").read_text())
    assert said.pop("checksum") == sum_of(said)
    data = (path / "checkpoints" / f"{token}.index.zst").read_bytes()
    assert (said["image_bytes"], said["image_sum"]) == (len(data), data[-4:].hex())
    return Checkpoint(said, decode_image(data))
