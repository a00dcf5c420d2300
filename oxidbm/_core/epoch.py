"""Light epochs: what a reader may still use is closed or freed only when the last such reader has left.

A reader takes a slot with `protect()` and gives it back with `release(slot)`. Whoever retires a thing (a segment's
file, a mapping) makes it unreachable first and then calls `bump(action)`; the action runs as soon as every reader that
was inside at that moment has left. Readers that come later cannot reach the thing and do not delay it.

Under the GIL each method is atomic, so the protocol of the FASTER paper (Chandramouli et al., SIGMOD 2018, section 2.3)
needs no fences and no thread table: 1. a slot holds the epoch in which its reader entered, 0 when free; 2. an action of
epoch e runs when no slot holds an epoch <= e; 3. actions run in the order in which they were given.
"""

from collections.abc import Callable
from typing import final

from librt.vecs import append, vec
from mypy_extensions import i64


@final
class LightEpoch:
    """Epoch counter, the epochs of the readers inside, and the actions that wait for them."""

    def __init__(self) -> None:
        self.current: i64 = 1
        self.slots: vec[i64] = vec[i64]()
        self.actions: list[Callable[[], object]] = []
        self.action_epochs: vec[i64] = vec[i64]()
        self.draining = False

    def protect(self) -> i64:
        """Enter and return the slot to give back. O(readers inside)."""
        i: i64 = 0
        while i < len(self.slots):
            if self.slots[i] == 0:
                self.slots[i] = self.current
                return i
            i += 1
        self.slots = append(self.slots, self.current)
        return i

    def leave(self, slot: i64) -> None:
        """Leave, and let whoever drains next run the actions: for readers that must not be interrupted now."""
        self.slots[slot] = 0

    def release(self, slot: i64) -> None:
        """Leave, and run the actions that waited for this reader alone."""
        self.slots[slot] = 0
        if self.actions:
            self.drain()

    def bump(self, action: Callable[[], object]) -> None:
        """Run `action` once every reader that is inside now has left; at once when there is none."""
        self.actions.append(action)
        self.action_epochs = append(self.action_epochs, self.current)
        self.current += 1
        self.drain()

    def safe_epoch(self) -> i64:
        """Return the newest epoch that no reader is inside of."""
        safe: i64 = self.current
        for epoch in self.slots:
            if epoch != 0 and epoch - 1 < safe:
                safe = epoch - 1
        return safe

    def drain(self) -> None:
        """Run the actions whose readers have all left, oldest first, one at a time.

        Deleting a file lets other threads run; what one of them would drain is left to the one that drains already.
        """
        if self.draining:
            return
        self.draining = True
        try:
            while self.actions and self.action_epochs[0] <= self.safe_epoch():
                action = self.actions[0]
                self.actions = self.actions[1:]
                self.action_epochs = self.action_epochs[1:]
                action()
        finally:
            self.draining = False

    def readers(self) -> i64:
        """Return how many readers are inside."""
        count: i64 = 0
        for epoch in self.slots:
            if epoch != 0:
                count += 1
        return count
