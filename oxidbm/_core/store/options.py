"""Options: what a store is opened with, checked before anything is opened."""

import time
from collections.abc import Callable
from typing import final

from oxidbm._core.arguments import as_flag, as_mode
from oxidbm._core.coder import Coders, plain
from oxidbm._core.device.device import Device, as_device
from oxidbm._core.paging import checked_durability, page_bits_for
from oxidbm._core.seconds import checked_every
from oxidbm._core.sizes import parse_size
from oxidbm._core.table.caching import AS_IT_EARNS, OFF


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
        self.clock: Callable[[], float] = time.time

    def open_as(self, read_only: object, mode: object, create: object, lock: object, device: object) -> None:
        """Take over how the store is to be opened; TypeError, ValueError."""
        self.read_only = as_flag("read_only", read_only)
        self.mode = as_mode(mode)
        self.create = as_flag("create", create)
        self.lock = as_flag("lock", lock)
        self.device = as_device(device)

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

    def cache_as(self, read_cache: object) -> None:
        """Take over how large the read cache may be; TypeError, ValueError."""
        if read_cache is None or read_cache is True:
            self.read_cache = AS_IT_EARNS
        elif read_cache is False:
            self.read_cache = OFF
        else:
            self.read_cache = min(parse_size("read_cache", read_cache), self.memory)
