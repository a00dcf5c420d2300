"""Plants faults into stores that are open: all that tests of check() know of the core's inside stands here.

Words are signed, as the core holds them. What is written into a file gets the checksum it should have, so that the
fault is behind the checksum; `damage` leaves the checksum as it was.
"""

import os
import struct
from pathlib import Path

import oxidbm
from oxidbm._core.address import with_sign
from oxidbm._core.hashing import checksum_bytes, checksum_words, hash_key
from oxidbm._core.index.hash_index import BUCKET_ENTRIES, CHUNK_LEAD, LINK_BITS, LINK_MASK
from oxidbm._core.log.record import SEAL_CAPACITY, content_words
from tests.unit.helpers import HEADER, PAGE_BITS, SEED

INFO, SHAPE, SEAL = 0, 1, 2
VALUE = 4  # the first word of the value, of a record whose key takes one word


def change_log(store: oxidbm.Store, **fields: int) -> None:
    """Set addresses of the log."""
    for name, value in fields.items():
        assert hasattr(store.e.log, name)
        setattr(store.e.log, name, value)


def change_index(store: oxidbm.Store, **fields: int) -> None:
    """Set counters, sizes and links of the index."""
    for name, value in fields.items():
        assert hasattr(store.e.index, name)
        setattr(store.e.index, name, value)


def change_counters(store: oxidbm.Store, **fields: int) -> None:
    """Set what the store has counted and noted."""
    for name, value in fields.items():
        assert hasattr(store.e, name)
        setattr(store.e, name, value)


def counter(store: oxidbm.Store, name: str) -> int:
    """Return one thing that the store has counted."""
    return int(getattr(store.e, name))


def log_address(store: oxidbm.Store, name: str) -> int:
    """Return one address of the log."""
    return int(getattr(store.e.log, name))


def index_field(store: oxidbm.Store, name: str) -> int:
    """Return one field of the index."""
    return int(getattr(store.e.index, name))


def end_page(store: oxidbm.Store) -> None:
    """End the tail's page where it is."""
    store.e.log.close_tail_page()


def split(store: oxidbm.Store) -> None:
    """Split the next bucket of the index."""
    store.e.index.split_one()


def stop_background(store: oxidbm.Store) -> None:
    """End the thread that works on the log: it believes what is written there."""
    store.handle.disk.stop()


def entry_to(store: oxidbm.Store, key: bytes, address: int, *, mixed: bool = False) -> int:
    """Return the entry that leads from a key's hash to an address."""
    entry: int = store.e.index.entry_for(hash_key(key, SEED), address)
    return with_sign(entry) if mixed else entry


def add_entry(store: oxidbm.Store, key: bytes, address: int, *, mixed: bool = False) -> None:
    """Let one more entry lead from a key's hash to an address."""
    index = store.e.index
    index.put(index.bucket_of(hash_key(key, SEED)), entry_to(store, key, address, mixed=mixed))
    index.entries += 1


def lead(store: oxidbm.Store, key: bytes, address: int, *, mixed: bool = False) -> None:
    """Let the only entry of a key's tag lead to another address."""
    key_hash = hash_key(key, SEED)
    (old,) = store.e.index.matching(key_hash)
    assert store.e.index.replace(key_hash, old, entry_to(store, key, address, mixed=mixed))


def lose_entry(store: oxidbm.Store, key: bytes) -> None:
    """Take away the only entry of a key's tag."""
    key_hash = hash_key(key, SEED)
    (old,) = store.e.index.matching(key_hash)
    assert store.e.index.replace(key_hash, old, 0)


def misplace_entry(store: oxidbm.Store, key: bytes, bucket: int) -> None:
    """Move the only entry of a key's tag to another bucket."""
    (entry,) = store.e.index.matching(hash_key(key, SEED))
    lose_entry(store, key)
    store.e.index.put(bucket, entry)
    store.e.index.entries += 1


def bucket_of(store: oxidbm.Store, key: bytes) -> int:
    """Return the bucket that a key leads to."""
    return int(store.e.index.bucket_of(hash_key(key, SEED)))


def set_bucket_word(store: oxidbm.Store, bucket: int, word: int, value: int) -> None:
    """Write one of the eight words of a bucket of the first chunk; the last is its link."""
    store.e.index.chunks[0][(bucket << 3) + CHUNK_LEAD + word] = value


def bucket_word(store: oxidbm.Store, bucket: int, word: int) -> int:
    """Return one of the eight words of a bucket of the first chunk."""
    return int(store.e.index.chunks[0][(bucket << 3) + CHUNK_LEAD + word])


def set_overflow_word(store: oxidbm.Store, link: int, word: int, value: int) -> None:
    """Write one of the eight words of an overflow bucket."""
    store.e.index.overflow[link >> LINK_BITS][(link & LINK_MASK) + word] = value


def overflow_word(store: oxidbm.Store, link: int, word: int) -> int:
    """Return one of the eight words of an overflow bucket."""
    return int(store.e.index.overflow[link >> LINK_BITS][(link & LINK_MASK) + word])


LINK = BUCKET_ENTRIES


def word(store: oxidbm.Store, address: int, number: int) -> int:
    """Return a word of the record in memory at an address."""
    log = store.e.log
    return int(log.frames.words[log.slot_of(address)][log.word_of(address) + number])


def set_word(store: oxidbm.Store, address: int, number: int, value: int) -> None:
    """Write a word of the record in memory at an address."""
    log = store.e.log
    log.frames.words[log.slot_of(address)][log.word_of(address) + number] = value


def chain(store: oxidbm.Store, address: int, previous: int) -> None:
    """Let the chain of a record in memory, not sealed yet, lead to another address."""
    info = word(store, address, INFO)
    set_word(store, address, INFO, info & ~0xFFFFFFFFFFFF | previous)


def seal_again(store: oxidbm.Store, address: int) -> None:
    """Give a sealed record in memory the checksum it should have."""
    log = store.e.log
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    seal = frame[o + SEAL] & SEAL_CAPACITY
    frame[o + SEAL] = seal | checksum_words(frame, o, seal, o + content_words(frame[o + SHAPE]), address)


def take_frame(store: oxidbm.Store, address: int) -> None:
    """Take the frame of a page in memory away."""
    frames = store.e.log.frames
    slot = store.e.log.slot_of(address)
    frames.views[slot] = b""
    frames.words[slot] = frames.no_words


def set_page_end(store: oxidbm.Store, address: int, end: int) -> None:
    """Let the records of a page in memory end elsewhere; 0 for a page that is still appended to."""
    store.e.log.frames.ends[store.e.log.slot_of(address)] = end


def add_pending(store: oxidbm.Store, address: int) -> None:
    """Note that it is not known what a record did to the number of keys."""
    store.e.add_pending(address, False)


def segment_of(store: oxidbm.Store, address: int) -> tuple[Path, int]:
    """Return the segment file that holds an address, and where in it."""
    log = Path(store.e.path) / "log"
    starts = {int(path.stem) << PAGE_BITS: path for path in log.glob("*.seg")}
    start = max(start for start in starts if start <= address)
    return starts[start], address - start


def place_of(store: oxidbm.Store, address: int) -> str:
    """Return file and offset of an address, as check() says them."""
    path, offset = segment_of(store, address)
    return f"{path} at offset {offset}"


def damage(store: oxidbm.Store, address: int, data: bytes) -> None:
    """Write bytes at an address of a segment file."""
    path, offset = segment_of(store, address)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def read_words(store: oxidbm.Store, address: int, count: int) -> list[int]:
    """Return words of a segment file."""
    path, offset = segment_of(store, address)
    with path.open("rb") as file:
        file.seek(offset)
        return list(struct.unpack(f"<{count}q", file.read(8 * count)))


def rewrite(store: oxidbm.Store, address: int, number: int, value: int) -> None:
    """Write a word of the record on disk at an address, and the checksum that the record has then."""
    damage(store, address + 8 * number, struct.pack("<Q", value & 0xFFFFFFFFFFFFFFFF))
    _, shape, seal = read_words(store, address, 3)
    seal &= SEAL_CAPACITY
    path, offset = segment_of(store, address)
    count = max(3, min(content_words(shape), (path.stat().st_size - offset) // 8))
    data = struct.pack(f"<{count}q", *read_words(store, address, count))
    checksum = checksum_bytes(data, 0, seal, len(data), address)
    damage(store, address + 8 * SEAL, struct.pack("<q", seal | checksum))


def rechain(store: oxidbm.Store, address: int, previous: int) -> None:
    """Let the chain of a record on disk lead to another address."""
    rewrite(store, address, INFO, read_words(store, address, 1)[0] & ~0xFFFFFFFFFFFF | previous)


def cut(store: oxidbm.Store, address: int) -> None:
    """Let the segment file that holds an address end there."""
    path, offset = segment_of(store, address)
    os.truncate(path, offset)


COMMIT_FIELDS = (
    "sequence",
    "durable_sequence",
    "begin",
    "count",
    "pending",
    "records",
    "live_bytes",
    "time",
    "sessions",
)


def change_commit(store: oxidbm.Store, address: int, field: str, value: int) -> None:
    """Write a word of the commit record on disk at an address."""
    rewrite(store, address, HEADER // 8 + COMMIT_FIELDS.index(field), value)


ADDRESSES = ("begin", "head", "flushed", "sealed", "read_only", "tail")
INDEX_FIELDS = (
    "low_mask", "split", "tag_base", "entries", "overflow_next", "overflow_in_use", "free_overflow", "grow_at",
)  # fmt: skip
COUNTERS = ("count", "live_bytes", "records_since_commit", "commit_sequence", "commit_address", "pending_first")


def pending_count(store: oxidbm.Store) -> int:
    """Return of how many records it is not known what they did to the number of keys."""
    return int(store.e.pending_count())
