"""Holds: what the log's segments are still needed for, though the log itself begins behind them.

A checkpoint that may be gone back to, a copy of the store that is being made: each holds the segments from an address
on. They are deleted when the log has passed them by and nobody holds them. Under the GIL each method is atomic.
"""

from typing import final

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.log.hybrid_log import HybridLog


@final
class Holds:
    """Who holds the log's segments, and from which address on."""

    def __init__(self) -> None:
        self.addresses: dict[int, int] = {}
        self.last = 0

    def take(self, address: i64) -> int:
        """Hold the segments from an address on; return the ticket that `release` takes back."""
        self.last += 1
        self.addresses[self.last] = int(address)
        return self.last

    def release(self, ticket: int) -> None:
        """Hold them no more for that one; a second time does nothing."""
        self.addresses.pop(ticket, None)

    def lowest(self) -> i64:
        """Return the address from which on segments are held, ADDRESS_MAX where none are."""
        lowest: i64 = ADDRESS_MAX
        for address in self.addresses.values():
            lowest = min(lowest, i64(address))
        return lowest


@final
class Truncation:
    """The deletion of segments that end before an address and that nobody holds, for the epoch to run."""

    def __init__(self, log: HybridLog, holds: Holds, until: i64) -> None:
        self.log = log
        self.holds = holds
        self.until: i64 = until

    def delete(self) -> None:
        """Delete them; a failure leaves files behind that the next opening passes over, as the end of the log does."""
        if not self.log.use.begins():
            return
        try:
            self.log.device.truncate_before(min(self.until, self.holds.lowest()))
        except OSError as failure:
            self.log.life.poison_with(failure)
        finally:
            self.log.use.end()
