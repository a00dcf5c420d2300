"""The engine's state: everything the operations share, and nothing that acts on its own.

Invariants: 1. `count` plus what settling `pending` adds is the number of keys whose newest record is no tombstone;
2. `live_bytes` is the size of those records, exact but for pending ones; 3. `state` is read before every operation, so
that a closed, forked or poisoned store answers with a sentence; 4. every change of index and log happens in one
uninterrupted stretch of compiled code, or is checked afterwards and begun again (see operations); 5. while `state` is
BUSY, one thread applies a batch: every operation that begins meanwhile waits at the gate, in blocked_read() or
blocked_write(), and then goes on.
"""

import threading
from collections.abc import Callable
from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.epoch import LightEpoch
from oxidbm._core.errors import ClosedError, PoisonedError, ReadOnlyError
from oxidbm._core.index.hash_index import HashIndex
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.record import KEY_LENGTH_MAX, VALUE_LENGTH_MAX
from oxidbm._core.store.coder import plain

OPEN: Final = 0
CLOSED: Final = 1
FORKED: Final = 2
BUSY: Final = 3

WRITABLE: Final = 0
READ_ONLY: Final = 1
POISONED: Final = 2

UNNAMED: Final = "\0"  # what the keys of sessions without a name begin with
PENDING_WAS_PLAIN: Final = 0x2000000000000000
PENDING_ADDRESS: Final = 0xFFFFFFFFFFFF
PENDING_SHARE_BITS: Final = 9  # pending records take at most a sixty-fourth of the memory
CHANGED_MAX: Final = 8192  # changed keys that the ordered view has not taken up yet; then a writer sees to it


class Order:
    """What the engine knows of an ordered view: that it takes up the changes that were noted for it."""

    def catch_up(self) -> None:
        """Take up every change noted so far."""


class Maintainer:
    """What the engine asks for when the log has moved on by a step, or has no room."""

    order: Order | None = None

    def step(self) -> None:
        """Do the work that one step of the log has made due; in small pieces, since an operation waits for it."""

    def make_room(self) -> None:
        """Return when an allocation that failed may succeed; raise where it never will."""

    def cleared(self) -> None:
        """Take note that the whole log is dead."""

    def compact_all(self) -> None:
        """Give back the space of everything dead now."""


@final
class SessionState:
    """A session's name, its number of operations so far, and of those known to be durable."""

    def __init__(self, name: str, serial: i64) -> None:
        self.name = name
        self.serial: i64 = serial
        self.durable_serial: i64 = serial
        self.open = True


@final
class Engine:
    """Index, log, counters and state of one open store."""

    def __init__(self, path: str, log: HybridLog, index: HashIndex, seed: i64, clock: Callable[[], float]) -> None:
        self.path = path
        self.log = log
        self.index = index
        self.epoch = LightEpoch()
        self.seed: i64 = seed
        self.clock = clock
        self.maintainer = Maintainer()
        self.state: i64 = OPEN
        self.writable: i64 = WRITABLE
        self.poison = ""
        self.count: i64 = 0
        self.expiring = False
        self.typed = False
        self.key_coder = plain("keys")
        self.value_coder = plain("values")
        self.tracked = False
        self.changed: list[bytes] = []
        self.gate_thread = 0
        self.settled: i64 = 0
        self.live_bytes: i64 = 0
        self.pending: vec[i64] = vec[i64]()
        self.pending_first: i64 = 0
        self.pending_max: i64 = log.memory >> PENDING_SHARE_BITS
        self.read_guess: i64 = 256
        self.value_limit: i64 = min(log.memory // 2 - KEY_LENGTH_MAX, i64(VALUE_LENGTH_MAX))
        self.commit_sequence: i64 = 0
        self.durable_sequence: i64 = 0
        self.commit_end: i64 = FIRST_ADDRESS
        self.commit_address: i64 = 0
        self.durable_tail: i64 = FIRST_ADDRESS
        self.records_since_commit: i64 = 0
        self.begin_wanted: i64 = 0
        self.unlogged = False  # the next commit has to say something that no record since the last one says
        self.cut_serials: dict[str, int] = {}
        self.sessions: dict[str, SessionState] = {}
        self.recovered_serials: dict[str, int] = {}
        self.mark_present = False
        self.creation_synced = True
        self.flush_lock = threading.Lock()
        self.commit_lock = threading.Lock()
        self.cut_lock = threading.Lock()
        self.gate = threading.Lock()
        self.compact_lock = threading.Lock()

    def alive(self) -> bool:
        """Return whether the store is open, be it busy with a batch or not."""
        return self.state == OPEN or self.state == BUSY

    def wait_at_gate(self) -> None:
        """Return when no other thread applies a batch."""
        while self.state == BUSY and threading.get_ident() != self.gate_thread:
            self.gate.acquire()  # given back by the batch's thread
            self.gate.release()

    def wait_until_open(self) -> None:
        """Raise unless the store is open; for whoever holds the gate."""
        if self.state != OPEN:
            self.blocked_read()

    def blocked_read(self) -> None:
        """Wait while a batch is applied; raise the sentence for an operation on a store that is not open."""
        self.wait_at_gate()
        if self.alive():
            return
        name = self.path or "in memory"
        if self.state == FORKED:
            raise ClosedError(
                f"the store {name} was opened by the parent process; a forked child must open it for itself, "
                "after the parent closed it"
            )
        raise ClosedError(f"the store {name} is closed; open it again to use it")

    def blocked_write(self) -> None:
        """Wait while a batch is applied; raise the sentence for a write that is not possible."""
        if self.writable != POISONED:  # else without waiting: who finds that out may hold a lock that the batch needs
            self.wait_at_gate()
        if self.writable == WRITABLE and self.alive():
            return
        if self.writable == POISONED:
            raise PoisonedError(
                f"the store {self.path or 'in memory'} takes no more writes since one failed: {self.poison}. "
                "Reads still work; reopen it to get the last commit"
            )
        if not self.alive():
            self.blocked_read()
        raise ReadOnlyError(f"the store {self.path} was opened read-only; open it without read_only=True to write")

    def poison_with(self, failure: OSError) -> None:
        """Stop all writes for good, because of `failure`."""
        if self.writable == WRITABLE:
            self.poison = str(failure) or type(failure).__name__
            self.writable = POISONED

    def now_ms(self) -> i64:
        """Return the clock's time in milliseconds since 1970."""
        return i64(int(self.clock() * 1000.0))

    def now_if_expiring(self) -> i64:
        """Return the time where a record of this store ever had an expiry, else 0 without asking the clock."""
        return self.now_ms() if self.expiring else i64(0)

    def note_change(self, key: bytes) -> None:
        """Have the ordered view look at a key again; called where `tracked` is set, after the key came or went."""
        self.changed.append(key)
        if len(self.changed) > CHANGED_MAX:
            self.log.due = True

    def add_pending(self, address: i64, was_plain: bool) -> None:
        """Note an unverified record, whose effect on `count` is not known yet."""
        self.pending = append(self.pending, address | (PENDING_WAS_PLAIN if was_plain else 0))

    def drop_pending(self) -> None:
        """Forget the unverified records, since all keys are gone."""
        self.pending = vec[i64]()
        self.pending_first = 0

    def pending_count(self) -> i64:
        """Return how many records' effect on `count` is not known yet."""
        return len(self.pending) - self.pending_first

    def dead_bytes(self) -> i64:
        """Return how many bytes of the log lead to nothing."""
        return max(self.log.tail - self.log.begin - self.live_bytes, i64(0))

    def memory_bytes(self) -> i64:
        """Return the memory that frames, index and pending records take."""
        return self.log.frames.frame_bytes + self.index.size_bytes() + (len(self.pending) << 3)


@final
class ClosedMaintainer(Maintainer):
    """What a closed store has: an operation that was under way asks for room, and learns that there is no store."""

    def __init__(self, e: Engine) -> None:
        self.e = e

    def make_room(self) -> None:
        """Raise: the store is closed."""
        self.e.blocked_read()
