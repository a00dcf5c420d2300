"""Options: what a store is opened with, checked before anything is opened."""

import time
from collections.abc import Callable
from typing import final

from oxidbm._core.coder import Coders, plain
from oxidbm._core.device.device import Device
from oxidbm._core.paging import check_durability, page_bits_for


@final
class Options:
    """What a store is opened with; `Store` documents each."""

    def __init__(self, memory: int, page_size: int, durability: str, interval: float) -> None:
        check_durability(durability, interval)
        self.memory = memory
        self.page_bits = page_bits_for("store", memory, page_size)
        self.durability = durability
        self.interval = interval
        self.read_only = False
        self.follow = 0.0  # seconds, 0 for not
        self.create = True
        self.lock = True
        self.evict = False
        self.compaction = True
        self.checkpoints = True
        self.checkpoint: str | None = None
        self.mapped: bool | None = None
        self.mode = 0o666
        self.device: Device | None = None
        self.coders = Coders(plain("keys"), plain("values"))
        self.size_limit = 0
        self.clock: Callable[[], float] = time.time
