"""Batches: entries that become durable together, or not at all.

A batch holds its entries in memory. At its end there is made room for all of them, and then they are appended in one
stretch, under the cut lock, so that no commit falls between two of them. Where memory has not room for all at once, the
first pages are written in the middle of that; what a signal handler raises there is kept until the end, and a batch
that cannot be finished poisons the log, since a part of it must never become durable.
"""

from types import GenericAlias
from typing import Any, Final

from mypy_extensions import i64

from oxidbm._core.coder import Coder
from oxidbm._core.errors import behind_its_block, error
from oxidbm._core.faster_log.arguments import to_entry, too_large
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.entry import entry_bytes
from oxidbm._core.faster_log.keeper import LogKeeper
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.log.room import Room, room_for

PAGES_SPARE: Final = 2
ATTEMPTS_MAX: Final = 100


class LogBatch:
    """The entries of one `with log.batch()` block; documented in oxidbm/__init__.pyi."""

    def __init__(
        self, commits: EntryCommits, keeper: LogKeeper, coder: Coder, limit: i64, always: bool, owner: object
    ) -> None:
        self.owner = owner  # a log with a batch stays open
        self.commits = commits
        self.keeper = keeper
        self.coder = coder
        self.limit: i64 = limit
        self.always = always
        self.entries: list[bytes] = []
        self.addresses: list[int] = []
        self.total: i64 = 0
        self.ended = False  # the block has, and nobody would append what is given from now on

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def __repr__(self) -> str:
        where = self.commits.log.life.place()
        return f"<oxidbm.LogBatch of {where}, entries: {len(self.entries)}>"

    def __len__(self) -> int:
        return len(self.entries)

    def append(self, data: object) -> None:
        """Append an entry when the block ends."""
        entry = to_entry(self.coder, data)
        if self.ended:
            raise behind_its_block()
        size = entry_bytes(i64(len(entry)))
        if i64(len(entry)) > self.limit:
            raise too_large(len(entry), self.limit)
        if self.total + size > self.limit:
            raise ValueError(
                f"a batch of {self.total + size} bytes does not fit: half of the memory budget, {self.limit} bytes, is "
                "the most one may take. Write it in parts, or open the log with a larger memory="
            )
        self.total += size
        self.entries.append(entry)

    def clear(self) -> None:
        """Forget what the batch holds."""
        self.entries = []
        self.total = 0

    def __enter__(self) -> "LogBatch":  # noqa: PYI034 - Self is not for compiled classes
        self.commits.log.life.check_writable()
        self.ended = False
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.ended = kind is not None or not self.entries
        if not self.ended:
            self.commits.log.life.check_writable()
            with self.commits.cut_lock:
                try:
                    self.reserve()
                    self.append_all()
                finally:
                    self.commits.log.frames.drop_runs()
            self.clear()
            self.ended = True
            if self.commits.log.due:
                self.keeper.step()
            if self.always:
                self.commits.commit()

    def reserve(self) -> None:
        """Have page frames ready for all entries."""
        log = self.commits.log
        room = Room(PAGES_SPARE, [])
        at: i64 = log.tail & log.offset_mask
        for entry in self.entries:
            at = room.add(entry_bytes(i64(len(entry))), at, log.page_bytes)
        while not log.prepare(room):
            self.keeper.make_room(room)

    def append_all(self) -> None:
        """Append the entries, one behind the other, whatever the signal handlers have to say."""
        commits = self.commits
        log = commits.log
        addresses: list[int] = []
        interrupted: BaseException | None = None
        attempts: i64 = 0
        for entry in self.entries:
            while True:
                address = commits.append(entry)
                if address > 0:
                    break
                try:
                    self.keeper.make_room(room_for(-address, log.page_bytes))
                except BaseException as stop:
                    attempts += 1
                    ours = isinstance(stop, error) and not came_from_handler(stop)
                    if ours or attempts > ATTEMPTS_MAX:
                        if addresses:
                            log.life.poison_with(OSError(f"a batch could not be finished ({stop})"))
                        raise
                    interrupted = stop
            addresses.append(int(address))
        self.addresses = addresses
        if interrupted is not None:
            self.clear()
            raise interrupted
