"""Options: what a log is opened with, checked before anything is opened."""

from typing import Final, final

from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.arguments import as_flag, as_mode, as_seconds, one_of, shown
from oxidbm._core.coder import ENTRIES, Coder, coder_for
from oxidbm._core.device.device import Device, as_device
from oxidbm._core.durability.superblock import A_LOG, Kind
from oxidbm._core.faster_log.arguments import NUMBER_LAST, checked_number
from oxidbm._core.paging import checked_durability, page_bits_for
from oxidbm._core.seconds import checked_every

SECONDS_MAX: Final = 4e9  # more than a century


def skips(on_error: object, default: bool) -> bool:
    """Return whether what is damaged is passed over, as `on_error` says; None stands for the default."""
    if on_error is None:
        return default
    return one_of("on_error", '"raise" or "skip"', on_error, "raise", "skip") == "skip"


@final
class LogOptions:
    """What a log is opened with; `Log` documents each."""

    def __init__(self, memory: int, page_size: int, durability: object, interval: object, codec: object) -> None:
        self.durability = checked_durability(durability)
        self.interval = checked_every("interval", interval)
        self.memory = memory
        self.page_bits = page_bits_for("log", memory, page_size)
        self.coder: Coder = coder_for(ENTRIES, codec)
        self.commit_bytes = 0  # a commit each so many bytes, 0 for not
        self.keep_entries = 0  # how many, how many bytes and how many seconds' stay, 0 for all
        self.keep_bytes = 0
        self.keep_seconds = 0.0
        self.read_only = False
        self.create = True
        self.lock = True
        self.mode = 0o666
        self.device: Device | None = None
        self.kind: Kind = A_LOG
        self.commit = 0  # the number of the commit that is opened, 0 for the last one
        self.skips = False  # a damaged log is opened as far as it can be read, and scans pass over what is damaged

    def open_as(self, read_only: object, mode: object, create: object, lock: object, device: object) -> None:
        """Take over how the log is to be opened; TypeError, ValueError."""
        self.read_only = as_flag("read_only", read_only)
        self.mode = as_mode(mode)
        self.create = as_flag("create", create)
        self.lock = as_flag("lock", lock)
        self.device = as_device(device)

    def at_commit(self, commit: object) -> None:
        """Have an earlier commit be opened; TypeError, ValueError for one that is not to be read only."""
        if commit is not None:
            if not self.read_only:
                raise ValueError("an earlier commit is opened with read_only=True")
            self.commit = checked_number("commit", commit, NUMBER_LAST)

    def check_place(self, path: object) -> None:
        """Raise ValueError for what makes no sense of a log that is in memory, or is open to read only."""
        if self.keeps() and (path is None or self.read_only):
            raise ValueError("keep_entries, keep_bytes and keep_seconds are for logs in files that are open to write")
        if path is None and self.read_only:
            raise ValueError("a log without a path is always new, so read_only=True makes no sense")

    def keep(self, entries: object, size: int, seconds: object) -> None:
        """Have a log forget what it need not keep; ValueError for what is no limit."""
        if entries is not None:
            if isinstance(entries, bool) or not isinstance(entries, int):
                raise TypeError(f"keep_entries is a number of entries, not {type(entries).__name__}")
            if not 0 < entries <= ADDRESS_MAX:
                raise ValueError(f"keep_entries is from 1 to {ADDRESS_MAX}, not {entries}")
            self.keep_entries = entries
        if seconds is not None:
            what = f"a number of seconds above 0 and below {SECONDS_MAX:g}, or a timedelta"
            kept = as_seconds("keep_seconds", what, seconds)
            if not 0 < kept < SECONDS_MAX:
                raise ValueError(f"keep_seconds is {what}, not {shown(seconds)}")
            self.keep_seconds = kept
        self.keep_bytes = size

    def pass_over(self, on_error: object) -> None:
        """Have a damaged log open, where that is asked for; ValueError where it is not to be read only."""
        self.skips = skips(on_error, False)
        if self.skips and (not self.read_only or self.commit):
            raise ValueError('on_error="skip" is for read_only=True, without commit=: a damaged log is not written')

    def keeps(self) -> bool:
        """Return whether there is a limit to what is kept."""
        return self.keep_entries > 0 or self.keep_bytes > 0 or self.keep_seconds > 0
