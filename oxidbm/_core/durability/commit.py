"""Commit: the one place where what was written becomes durable.

A commit is cut in one instant: a commit record goes to the tail and read_only moves behind it, so that the log up to
there never changes again. Then it is sealed, flushed and synced while operations go on. Threads that wait together
share one sync: the first one commits, the others find their tail durable. The commit record says how many records stand
between it and the one before, which commit was known durable when it was written, where the log begins, how many keys
are live, and each open session's serial number; `decode` states its words. Invariants: 1. a commit counts only when all
records since the one before it verify; 2. `durable_tail` moves only after a sync that returned; 3. a failed write or
sync poisons the store.
"""

import time
from typing import Final, final

from librt.strings import BytesWriter, read_i64_le, write_i64_le
from mypy_extensions import i64

from oxidbm._core.durability import files
from oxidbm._core.errors import FullError
from oxidbm._core.log.hybrid_log import NO_ROOM
from oxidbm._core.log.record import SHAPE_COMMIT, pack_info
from oxidbm._core.table.engine import UNNAMED, WRITABLE, Engine
from oxidbm._core.table.operations import append_record

FLUSH_BYTES: Final = 4194304
SLICE_WORDS: Final = 65536
COMMIT_WORDS: Final = 9


@final
class CommitRecord:
    """What a commit record says."""

    def __init__(self) -> None:
        self.sequence: i64 = 0
        self.durable_sequence: i64 = 0
        self.begin: i64 = 0
        self.count: i64 = 0
        self.pending: i64 = 0
        self.records: i64 = 0
        self.live_bytes: i64 = 0
        self.time_ns: i64 = 0
        self.serials: dict[str, int] = {}


def encode(c: CommitRecord) -> bytes:
    """Return a commit record's value: nine words, then for each session its serial, its name's length, its padded
    name.
    """
    out = BytesWriter()
    write_i64_le(out, c.sequence)
    write_i64_le(out, c.durable_sequence)
    write_i64_le(out, c.begin)
    write_i64_le(out, c.count)
    write_i64_le(out, c.pending)
    write_i64_le(out, c.records)
    write_i64_le(out, c.live_bytes)
    write_i64_le(out, c.time_ns)
    write_i64_le(out, i64(len(c.serials)))
    for name, serial in c.serials.items():
        encoded = name.encode()
        write_i64_le(out, i64(serial))
        write_i64_le(out, i64(len(encoded)))
        out.write(encoded + bytes(-len(encoded) % 8))
    return out.getvalue()


def decode(data: bytes) -> CommitRecord:
    """Return what a commit record's value says; ValueError where it is not one."""
    if len(data) < COMMIT_WORDS * 8:
        raise ValueError(f"a commit record of {len(data)} bytes, at least {COMMIT_WORDS * 8} are needed")
    c = CommitRecord()
    c.sequence = read_i64_le(data, 0)
    c.durable_sequence = read_i64_le(data, 8)
    c.begin = read_i64_le(data, 16)
    c.count = read_i64_le(data, 24)
    c.pending = read_i64_le(data, 32)
    c.records = read_i64_le(data, 40)
    c.live_bytes = read_i64_le(data, 48)
    c.time_ns = read_i64_le(data, 56)
    left = read_i64_le(data, 64)
    at: i64 = COMMIT_WORDS * 8
    while left > 0:
        serial = read_i64_le(data, at)
        length = read_i64_le(data, at + 8)
        c.serials[data[at + 16 : at + 16 + length].decode()] = serial
        at += 16 + ((length + 7) & -8)
        left -= 1
    return c


def cut(e: Engine) -> bool:
    """Append a commit record and make everything up to it read-only, in one instant; False when there is no room."""
    c = CommitRecord()
    c.sequence = e.commit_sequence + 1
    c.durable_sequence = e.durable_sequence
    c.begin = max(e.log.begin, e.begin_wanted)
    c.count = e.count
    c.pending = e.pending_count()
    c.records = e.records_since_commit
    c.live_bytes = e.live_bytes
    c.time_ns = i64(int(e.clock() * 1e9))
    serials = {name: int(state.serial) for name, state in e.sessions.items()}
    c.serials = dict(e.recovered_serials)  # sessions not opened this time keep theirs
    c.serials.update({name: serial for name, serial in serials.items() if not name.startswith(UNNAMED)})
    log = e.log
    value = encode(c)
    if c.records != e.records_since_commit or c.count != e.count:
        return False  # a finalizer, run by the garbage collector, wrote meanwhile
    address = append_record(e, b"", value, pack_info(e.commit_address, False, False), 0)
    if address == NO_ROOM:
        return False
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    frame[o + 1] = frame[o + 1] | SHAPE_COMMIT
    e.commit_sequence = c.sequence
    e.commit_address = address
    e.commit_end = log.tail
    e.records_since_commit = 0
    e.unlogged = False
    e.cut_serials = serials
    log.read_only = log.tail
    return True


def flush_to(e: Engine, target: i64) -> None:
    """Write the sealed log up to `target` to the device; a failure poisons the store. Other threads run meanwhile."""
    with e.flush_lock:
        if e.writable != WRITABLE:
            e.blocked_write()
        try:
            if not e.creation_synced:
                files.sync_creation(e.path)
                e.creation_synced = True
            if e.mark_present:
                files.remove_mark(e.path)
                e.mark_present = False
            while e.log.flushed < target and e.log.flush_step(FLUSH_BYTES):
                pass
        except OSError as failure:
            e.poison_with(failure)
            e.blocked_write()


def seal_to(e: Engine, target: i64) -> None:
    """Seal the log up to `target` in slices between which the GIL is given away.

    Giving it away costs this thread up to a switch interval a slice; being asked for it would cost the other one that.
    """
    while not e.log.seal_step(target, SLICE_WORDS):
        time.sleep(0)


def make_room(e: Engine) -> None:
    """Seal and flush the oldest unflushed page, so that its frame can be given to another; FullError when none is
    left.
    """
    log = e.log
    if e.writable != WRITABLE:
        e.blocked_write()
    if log.shut:
        e.blocked_read()
    if log.prepare():
        return
    flushed = log.flushed
    if flushed >= log.tail:
        log.run_wanted = 0
        raise FullError(
            f"the store {e.path} needs more than its memory budget of {log.memory} bytes: the index takes "
            f"{e.index.size_bytes()} "
            f"and {log.frames.frame_bytes} are in page frames. Open it with a larger memory="
        )
    target = min(log.tail, log.next_page(flushed + 1))
    if log.sealed < target:
        seal_to(e, target)
    flush_to(e, target)


def commit(e: Engine) -> None:
    """Return when every operation that has returned so far is durable; raise PoisonedError where that cannot be."""
    if e.log.memory_only or (e.durable_tail >= e.log.tail and not e.unlogged):
        return
    wanted = e.log.tail
    with e.commit_lock:
        if e.durable_tail >= wanted and not e.unlogged:
            return
        run(e)


def run(e: Engine) -> None:
    """Cut, seal, flush and sync one commit; the caller holds the commit lock."""
    if e.writable != WRITABLE:
        e.blocked_write()
    with e.cut_lock:  # not in the middle of a batch
        while not cut(e):
            make_room(e)
    target = e.commit_end
    sequence = e.commit_sequence
    serials = e.cut_serials
    seal_to(e, target)
    flush_to(e, target)
    try:
        e.log.device.sync()
    except OSError as failure:
        e.poison_with(failure)
        e.blocked_write()
    e.durable_tail = target
    e.durable_sequence = sequence
    for name, serial in serials.items():
        state = e.sessions.get(name)
        if state is not None:
            state.durable_serial = max(state.durable_serial, i64(serial))


def move_begin(e: Engine, until: i64) -> None:
    """Commit that the log begins at `until`, and give the space before it back once no reader is inside."""
    with e.commit_lock:
        e.begin_wanted = max(e.begin_wanted, until)  # the store may have been cleared meanwhile
        if not e.log.memory_only:
            run(e)
        while e.log.head < until and e.log.evict_page():
            pass  # what stands before begin is read, if at all, by iterators that began before
        e.log.begin = max(e.log.begin, until)
        e.log.check_order()
    e.epoch.bump(Truncation(e, until).run)


@final
class Truncation:
    """The deletion of segments that end before an address, for the epoch to run."""

    def __init__(self, e: Engine, until: i64) -> None:
        self.e = e
        self.until: i64 = until

    def run(self) -> None:
        """Delete them; a failure leaves files behind that the next opening passes over."""
        try:
            self.e.log.device.truncate_before(self.until)
        except OSError as failure:
            self.e.poison_with(failure)
