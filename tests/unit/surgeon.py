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
from tests.inside import disk_of, handle_of, log_of, table_of
from tests.unit.helpers import HEADER, PAGE_BITS, SEED

INFO, SHAPE, SEAL = 0, 1, 2
VALUE = 4  # the first word of the value, of a record whose key takes one word


def change_log(store: oxidbm.Store, **fields: int) -> None:
    """Set addresses of the log."""
    for name, value in fields.items():
        assert hasattr(log_of(store), name)
        setattr(log_of(store), name, value)


def change_index(store: oxidbm.Store, **fields: int) -> None:
    """Set counters, sizes and links of the index."""
    for name, value in fields.items():
        assert hasattr(table_of(store).index, name)
        setattr(table_of(store).index, name, value)


def change_counters(store: oxidbm.Store, **fields: int) -> None:
    """Set what the store has counted and noted."""
    for name, value in fields.items():
        if name == "records_since_commit":
            handle_of(store).commits.records_before = log_of(store).records - value
            continue
        owner, field = counter_place(store, name)
        assert hasattr(owner, field)
        setattr(owner, field, value)


def counter_place(store: oxidbm.Store, name: str) -> tuple[object, str]:
    """Return the object that counts something, and its field for it."""
    places: dict[str, tuple[object, str]] = {
        "commit_sequence": (handle_of(store).commits, "logged"),
        "commit_address": (handle_of(store).commits, "address"),
        "sessions_stated": (handle_of(store).commits.serials, "stated"),
        "pending_first": (table_of(store).pending, "first"),
        "expiring": (log_of(store), "expiring"),
    }
    return places.get(name, (table_of(store), name))


def change_session(store: oxidbm.Store, name: str, **fields: int) -> None:
    """Set what the store has noted of a session."""
    for field, value in fields.items():
        state = handle_of(store).commits.serials.known[name]
        assert hasattr(state, field)
        setattr(state, field, value)


def counter(store: oxidbm.Store, name: str) -> int:
    """Return one thing that the store has counted."""
    if name == "records_since_commit":
        return int(log_of(store).records - handle_of(store).commits.records_before)
    owner, field = counter_place(store, name)
    return int(getattr(owner, field))


def log_address(store: oxidbm.Store, name: str) -> int:
    """Return one address of the log."""
    return int(getattr(log_of(store), name))


def index_field(store: oxidbm.Store, name: str) -> int:
    """Return one field of the index."""
    return int(getattr(table_of(store).index, name))


def end_page(store: oxidbm.Store) -> None:
    """End the tail's page where it is."""
    log_of(store).close_tail_page()


def split(store: oxidbm.Store) -> None:
    """Split the next bucket of the index."""
    table_of(store).index.split_one()


def stop_background(store: oxidbm.Store) -> None:
    """End the thread that works on the log: it believes what is written there."""
    disk_of(store).stop()


def entry_to(store: oxidbm.Store, key: bytes, address: int, *, mixed: bool = False) -> int:
    """Return the entry that leads from a key's hash to an address."""
    entry: int = table_of(store).index.entry_for(hash_key(key, SEED), address)
    return with_sign(entry) if mixed else entry


def add_entry(store: oxidbm.Store, key: bytes, address: int, *, mixed: bool = False) -> None:
    """Let one more entry lead from a key's hash to an address."""
    index = table_of(store).index
    index.put(index.bucket_of(hash_key(key, SEED)), entry_to(store, key, address, mixed=mixed))
    index.entries += 1


def lead(store: oxidbm.Store, key: bytes, address: int, *, mixed: bool = False) -> None:
    """Let the only entry of a key's tag lead to another address."""
    key_hash = hash_key(key, SEED)
    (old,) = table_of(store).index.matching(key_hash)
    assert table_of(store).index.replace(key_hash, old, entry_to(store, key, address, mixed=mixed))


def lose_entry(store: oxidbm.Store, key: bytes) -> None:
    """Take away the only entry of a key's tag."""
    key_hash = hash_key(key, SEED)
    (old,) = table_of(store).index.matching(key_hash)
    assert table_of(store).index.replace(key_hash, old, 0)


def misplace_entry(store: oxidbm.Store, key: bytes, bucket: int) -> None:
    """Move the only entry of a key's tag to another bucket."""
    (entry,) = table_of(store).index.matching(hash_key(key, SEED))
    lose_entry(store, key)
    table_of(store).index.put(bucket, entry)
    table_of(store).index.entries += 1


def bucket_of(store: oxidbm.Store, key: bytes) -> int:
    """Return the bucket that a key leads to."""
    return int(table_of(store).index.bucket_of(hash_key(key, SEED)))


def set_bucket_word(store: oxidbm.Store, bucket: int, word: int, value: int) -> None:
    """Write one of the eight words of a bucket of the first chunk; the last is its link."""
    table_of(store).index.chunks[0][(bucket << 3) + CHUNK_LEAD + word] = value


def bucket_word(store: oxidbm.Store, bucket: int, word: int) -> int:
    """Return one of the eight words of a bucket of the first chunk."""
    return int(table_of(store).index.chunks[0][(bucket << 3) + CHUNK_LEAD + word])


def set_overflow_word(store: oxidbm.Store, link: int, word: int, value: int) -> None:
    """Write one of the eight words of an overflow bucket."""
    table_of(store).index.overflow[link >> LINK_BITS][(link & LINK_MASK) + word] = value


def overflow_word(store: oxidbm.Store, link: int, word: int) -> int:
    """Return one of the eight words of an overflow bucket."""
    return int(table_of(store).index.overflow[link >> LINK_BITS][(link & LINK_MASK) + word])


LINK = BUCKET_ENTRIES


def word(store: oxidbm.Store, address: int, number: int) -> int:
    """Return a word of the record in memory at an address."""
    log = log_of(store)
    return int(log.frames.words[log.slot_of(address)][log.word_of(address) + number])


def set_word(store: oxidbm.Store, address: int, number: int, value: int) -> None:
    """Write a word of the record in memory at an address."""
    log = log_of(store)
    log.frames.words[log.slot_of(address)][log.word_of(address) + number] = value


def chain(store: oxidbm.Store, address: int, previous: int) -> None:
    """Let the chain of a record in memory, not sealed yet, lead to another address."""
    info = word(store, address, INFO)
    set_word(store, address, INFO, info & ~0xFFFFFFFFFFFF | previous)


def seal_again(store: oxidbm.Store, address: int) -> None:
    """Give a sealed record in memory the checksum it should have."""
    log = log_of(store)
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    seal = frame[o + SEAL] & SEAL_CAPACITY
    stop = o + content_words(frame[o + SHAPE])
    frame[o + SEAL] = seal | checksum_words(frame, o, seal, stop, address, log.checksum_key)


def take_frame(store: oxidbm.Store, address: int) -> None:
    """Take the frame of a page in memory away."""
    frames = log_of(store).frames
    slot = log_of(store).slot_of(address)
    frames.views[slot] = b""
    frames.words[slot] = frames.no_words


def set_page_end(store: oxidbm.Store, address: int, end: int) -> None:
    """Let the records of a page in memory end elsewhere; 0 for a page that is still appended to."""
    log_of(store).frames.ends[log_of(store).slot_of(address)] = end


def add_pending(store: oxidbm.Store, address: int) -> None:
    """Note that it is not known what a record did to the number of keys."""
    table_of(store).pending.add(address, False)


def segment_of(store: oxidbm.Store, address: int) -> tuple[Path, int]:
    """Return the segment file that holds an address, and where in it."""
    log = Path(str(store.path)) / "log"
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
    checksum = checksum_bytes(data, 0, seal, len(data), address, log_of(store).checksum_key)
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
    return int(table_of(store).pending.count())
