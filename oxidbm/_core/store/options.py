"""Options: what a store is opened with, checked before anything is opened."""

import time
from collections.abc import Callable
from typing import Final, final

from oxidbm._core.address import PAGE_BITS_MAX, PAGE_BITS_MIN, power_of_two
from oxidbm._core.device.device import Device
from oxidbm._core.store.coder import Coders, plain

MEMORY_MIN: Final = 1 << 20
PAGES_AIM: Final = 8


@final
class Options:
    """What a store is opened with; `Store` documents each."""

    def __init__(self, memory: int, page_size: int, durability: str, interval: float) -> None:
        if memory < MEMORY_MIN:
            raise ValueError(f"memory is {memory} bytes; a store needs at least {MEMORY_MIN}")
        if durability not in ("manual", "interval", "always"):
            raise ValueError(f'durability is "manual", "interval" or "always", not {durability!r}')
        if interval <= 0:
            raise ValueError(f"interval is a positive number of seconds, not {interval}")
        bits = page_size.bit_length() - 1
        if page_size & (page_size - 1) or not PAGE_BITS_MIN <= bits <= PAGE_BITS_MAX:
            raise ValueError(
                f"page_size is a power of two from {1 << PAGE_BITS_MIN} to {1 << PAGE_BITS_MAX} bytes, not {page_size}"
            )
        while bits > PAGE_BITS_MIN and PAGES_AIM * power_of_two(bits) > memory:
            bits -= 1
        self.memory = memory
        self.page_bits = bits
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
        self.mapped = True
        self.mode = 0o666
        self.device: Device | None = None
        self.coders = Coders(plain("keys"), plain("values"))
        self.size_limit = 0
        self.clock: Callable[[], float] = time.time
