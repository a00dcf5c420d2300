"""Options: what a store is opened with, checked before anything is opened."""

import time
from collections.abc import Callable
from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.arguments import as_flag, as_mode, one_of, shown
from oxidbm._core.budget import Budget
from oxidbm._core.coder import Coders, plain
from oxidbm._core.device.device import Device, as_device
from oxidbm._core.paging import checked_durability, page_bits_for
from oxidbm._core.seconds import checked_every
from oxidbm._core.sizes import parse_size
from oxidbm._core.table.caching import AS_IT_EARNS, OFF
from oxidbm._core.table.reads import Marks, Reads

FLAGS: Final = "'r' (read only), 'w' (there already), 'c' (made if need be) and 'n' (new and empty)"

STORED: Final = "least-recently-stored"
SECOND_CHANCE: Final = "second-chance"


@final
class Options:
    """What a store is opened with; `Store` documents each."""

    def __init__(self, memory: int, page_size: int, durability: object, interval: object) -> None:
        self.durability = checked_durability(durability)
        self.interval = checked_every("interval", interval)
        self.memory = memory
        self.page_bits = page_bits_for("store", memory, page_size)
        self.read_only = False
        self.ordered = False
        self.follow = 0.0  # seconds, 0 for not
        self.create = True
        self.lock = True
        self.replace = False  # what is there goes first
        self.evict = False
        self.compaction = True
        self.compaction_rate = 0  # bytes a second, 0 for as fast as it can be
        self.checkpoints = True
        self.checkpoint: str | None = None
        self.mapped: bool | None = None
        self.read_cache = AS_IT_EARNS
        self.mode = 0o666
        self.device: Device | None = None
        self.coders = Coders(plain("keys"), plain("values"))
        self.size_limit = 0
        self.count_reads = False
        self.eviction_policy = STORED
        self.clock: Callable[[], float] = time.time

    def open_as(self, read_only: object, mode: object, create: object, lock: object, device: object) -> None:
        """Take over how the store is to be opened; TypeError, ValueError."""
        self.read_only = as_flag("read_only", read_only)
        self.mode = as_mode(mode)
        self.create = as_flag("create", create)
        self.lock = as_flag("lock", lock)
        self.device = as_device(device)

    def flagged(self, flag: object) -> None:
        """Take over what dbm's letter says; TypeError, and ValueError for another one, or beside what it decides."""
        if flag is None:
            return
        if not isinstance(flag, str):
            raise TypeError(f"flag is one of {FLAGS}, not {shown(flag)}")
        if len(flag) != 1 or flag not in "rwcn":
            raise ValueError(f"flag is one of {FLAGS}, not {shown(flag)}; durability= and lock= say the rest")
        if self.read_only or not self.create:
            raise ValueError(f"flag={flag!r} says whether to read only and to create; leave read_only= and create= out")
        if self.device is not None and flag == "n":
            raise ValueError("flag='n' replaces a store's directory, and what a device has stays; empty that first")
        self.read_only = flag == "r"
        self.create = flag in "cn"
        self.replace = flag == "n"

    def work_as(self, evict: object, compaction: object, checkpoints: object, mapped: object, ordered: object) -> None:
        """Take over what the store is to do by itself, and how; TypeError."""
        self.evict = as_flag("evict", evict)
        self.compaction = as_flag("compaction", compaction)
        self.checkpoints = as_flag("checkpoints", checkpoints)
        self.mapped = None if mapped is None else as_flag("mapped", mapped)
        self.ordered = as_flag("ordered", ordered)

    def compact_as(self, rate: object) -> None:
        """Take over how fast compaction in the background may be; TypeError, ValueError."""
        self.compaction_rate = 0 if rate is None else parse_size("compaction_rate", rate)

    def evict_as(self, size_limit: object, eviction_policy: object, count_reads: object) -> None:
        """Take over when something goes, what that is, and what is noted of lookups; TypeError, ValueError."""
        self.size_limit = 0 if size_limit is None else parse_size("size_limit", size_limit)
        self.count_reads = as_flag("count_reads", count_reads)
        self.eviction_policy = one_of(
            "eviction_policy", f'"{STORED}" or "{SECOND_CHANCE}"', eviction_policy, STORED, SECOND_CHANCE
        )
        if self.eviction_policy != STORED and self.size_limit == 0 and not self.evict:
            raise ValueError(
                "eviction_policy= says what goes first, and nothing goes without size_limit= or evict=True"
            )

    def reads_noted(self, budget: Budget, seed: i64) -> Reads | None:
        """Return what notes lookups; None where nothing is noted."""
        if self.eviction_policy == STORED or self.read_only:
            return Reads(None) if self.count_reads else None
        return Reads(Marks(budget, seed, self.size_limit or budget.limit))

    def cache_as(self, read_cache: object) -> None:
        """Take over how large the read cache may be; TypeError, ValueError."""
        if read_cache is None or read_cache is True:
            self.read_cache = AS_IT_EARNS
        elif read_cache is False:
            self.read_cache = OFF
        else:
            self.read_cache = min(parse_size("read_cache", read_cache), self.memory)
