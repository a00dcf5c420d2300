"""The cursor: where a queue's items are that were never out; it reads the log's entries in order, each once.

It passes over what is damaged, and says how many entries are missing before the one that it returns. An entry counts as
passed only when that is said, so that an interruption, or an error, leaves the cursor before it.
"""

from collections import deque
from typing import Any, Final, final

from oxidbm._core.queue.queue_log import QueueLog
from oxidbm._core.queue.survey import Gap

AHEAD_ENTRIES: Final = 64


@final
class QueueCursor:
    """Reads the entries of one open queue."""

    def __init__(self, log: QueueLog) -> None:
        self.log = log
        self.noted: list[str] = []
        self.follower = log.cursor(log.begin, self.noted)
        self.ahead: deque[tuple[int, bytes, int]] = deque()  # read, and not passed, with their numbers
        self.address = log.begin - 1  # of the last entry that was passed
        self.number = log.first_number()  # of the next one
        self.between = False  # it has read an entry that it has not passed
        self.gap: Gap | None = None  # before the entry that was read last

    def read(self) -> tuple[int, bytes] | None:
        """Return the next entry that was not passed; None where there is none. See `gap` for what is missing."""
        if self.between:
            self.go_back()
        self.between = True
        self.gap = None
        if self.ahead:
            address, entry, number = self.ahead.popleft()
        else:
            found: Any = self.follower.next_now()
            if found is None or found is self.follower:
                self.between = False
                if found is not None:
                    self.log.life.check_open()
                return None
            address, entry = found
            number = self.follower.entries.number() if self.noted else self.number
        if number > self.number:
            why = (
                self.noted[0]
                if self.noted
                else f"{self.log.life.called()}: entries before address {address} are missing"
            )
            self.gap = Gap(self.address, address, number - self.number, why)
        return address, entry

    def pass_gap(self) -> None:
        """Count what is missing before the entry that was read last as passed."""
        if self.gap is not None:
            self.number += self.gap.missing
            self.gap = None
            if not self.ahead:
                self.noted.clear()

    def pass_entry(self, address: int) -> None:
        """Count the entry that was read last as passed."""
        self.address = address
        self.number += 1
        self.between = False

    def go_back(self) -> None:
        """Stand behind what was passed."""
        self.ahead.clear()
        self.noted.clear()
        self.follower = self.log.cursor(self.address + 1, self.noted)
        self.between = False

    def slow(self) -> bool:
        """Return whether the next entry has to be read from the device."""
        return not self.ahead and self.log.on_disk(self.follower)

    def read_ahead(self) -> None:
        """Read some entries from the device before they are asked for."""
        while len(self.ahead) < AHEAD_ENTRIES and self.log.on_disk(self.follower):
            found: Any = self.follower.next_now()
            if found is None or found is self.follower:
                return
            self.ahead.append((found[0], found[1], self.follower.entries.number()))
