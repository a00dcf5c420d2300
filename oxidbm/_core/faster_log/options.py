"""Options: what a log is opened with, checked before anything is opened."""

from typing import final

from oxidbm._core.coder import ENTRIES, Coder, coder_for
from oxidbm._core.device.device import Device
from oxidbm._core.durability.superblock import A_LOG, Kind
from oxidbm._core.paging import check_durability, page_bits_for


@final
class LogOptions:
    """What a log is opened with; `Log` documents each."""

    def __init__(self, memory: int, page_size: int, durability: str, interval: float, codec: object) -> None:
        check_durability(durability, interval)
        self.memory = memory
        self.page_bits = page_bits_for("log", memory, page_size)
        self.durability = durability
        self.interval = interval
        self.coder: Coder = coder_for(ENTRIES, codec)
        self.commit_bytes = 0  # a commit each so many bytes, 0 for not
        self.read_only = False
        self.create = True
        self.lock = True
        self.mode = 0o666
        self.device: Device | None = None
        self.kind: Kind = A_LOG
        self.commit = 0  # the number of the commit that is opened, 0 for the last one
