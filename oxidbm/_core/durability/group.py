"""Group commit: one thread commits, those that come meanwhile wait for the next commit, and one sync serves them all.

They do not wait for the lock of the thread that commits: it would take the lock again before they are awake. Each
waits at a bell of its own, and joins before it looks whether anybody commits; who has committed gives the lock back and
then lets the first one go on. That one lets the next one go on, as long as there is one whose commit is durable; the
first whose commit is not makes it, for all the others. One after the other, because they need the GIL one after the
other: a thread that wakes while another one has it goes to sleep once more. As long as there are more to let go on than
can be while a sync lasts, who comes to commit joins them, so that the commit has what they write. Invariants: 1. a
waiter is let go on once, and has left the list before; 2. one that was let go on and leaves, by a signal handler's
exception, lets the next one go on in its place; 3. a bell is rung only by who took its waiter off the list; 4. where
one in the list has a commit that is durable, somebody is on the way to let the first one go on; 5. a thread waits once:
what a signal handler commits in the middle of that waits for nobody who may wait for this thread.
"""

import _thread
import contextlib
import os
import sys
import time
from typing import Any, Final, final

from mypy_extensions import i64

SPARE_BELLS_MAX: Final = 64
GIVE_WAY_SECONDS: Final = 0.0001
MANY_TO_GO: Final = 16  # so many wake up, one after the other, in the time of a sync
ONE: Final[bytes] = (1).to_bytes(8, sys.byteorder)


@final
class Bell:
    """What one thread waits at until another one rings, once each time.

    A lock is released with the GIL held, so the thread that wakes finds the GIL taken and goes to sleep again. A write
    to an eventfd gives the GIL away meanwhile: 64 threads that pass the word on do it twice as often (docs/design.md).
    """

    def __init__(self) -> None:
        self.descriptor = -1
        self.lock: Any = None
        if hasattr(os, "eventfd"):
            with contextlib.suppress(OSError):  # there are no more descriptors
                self.descriptor = os.eventfd(0)
        if self.descriptor < 0:
            self.lock = _thread.allocate_lock()
            self.lock.acquire()

    def wait(self) -> None:
        """Return when it has been rung; what a signal handler raises comes out, and the ring is still to come."""
        if self.descriptor < 0:
            self.lock.acquire()
        else:
            os.read(self.descriptor, 8)

    def ring(self) -> None:
        """Let the thread that waits go on."""
        if self.descriptor < 0:
            self.lock.release()
        else:
            os.write(self.descriptor, ONE)

    def close(self) -> None:
        """Give the descriptor back; nobody waits or rings any more."""
        descriptor = self.descriptor
        self.descriptor = -1
        if descriptor >= 0:
            os.close(descriptor)


@final
class Waiter:
    """A thread that waits for a commit with this sequence number, or a later one, to be durable."""

    def __init__(self, sequence: i64, bell: Bell) -> None:
        self.sequence: i64 = sequence
        self.bell = bell


@final
class Waiters:
    """Those who wait while another thread commits. Each step of a list is one call, and holds against any thread."""

    def __init__(self) -> None:
        self.committing = False
        self.claims: i64 = 0  # threads that wait for the lock itself
        self.waiting: list[Waiter] = []
        self.spare: list[Bell] = []
        self.closed = False
        self.threads: set[int] = set()  # those that wait

    def inside(self) -> bool:
        """Return whether the calling thread waits already, further up."""
        return len(self.threads) > 0 and _thread.get_ident() in self.threads

    def many_to_go(self, durable_sequence: i64) -> bool:
        """Return whether many are still to be let go on whose commit is durable."""
        waiting = self.waiting
        return len(waiting) > MANY_TO_GO and waiting[MANY_TO_GO].sequence <= durable_sequence

    def join(self, sequence: i64) -> Waiter:
        """Be one of them from now on."""
        waiter = Waiter(sequence, self.spare.pop() if self.spare else Bell())
        self.waiting.append(waiter)
        return waiter

    def give_way(self) -> None:
        """Let a thread that waits for the lock itself have it, where it is free: only for an instant.

        To wait until it has it would be for ever in a signal handler that runs in the middle of its waiting.
        """
        if self.claims > 0 and not self.committing:
            time.sleep(GIVE_WAY_SECONDS)

    def wait(self, waiter: Waiter, durable_sequence: i64) -> None:
        """Return when the waiter was let go on, or at once where nobody commits and not many are to be let go on."""
        ident = _thread.get_ident()
        self.threads.add(ident)
        try:
            self.wait_once(waiter, durable_sequence)
        finally:
            self.threads.discard(ident)

    def wait_once(self, waiter: Waiter, durable_sequence: i64) -> None:
        """As `wait`."""
        try:
            # else it may have joined too late to be let go on
            if self.committing or self.many_to_go(durable_sequence):
                waiter.bell.wait()
                self.take_back(waiter.bell)
                return
        except BaseException:
            self.leave(waiter)
            raise
        self.leave(waiter)
        time.sleep(0)  # somebody may have the lock, and want the GIL to say so

    def leave(self, waiter: Waiter) -> None:
        """Be one of them no more, be it let go on or not."""
        if waiter in self.waiting:
            try:
                self.waiting.remove(waiter)
                self.take_back(waiter.bell)
                return
            except ValueError:  # another thread was faster
                pass
        while True:  # it will be rung in an instant, and must not be given to anybody before
            try:
                waiter.bell.wait()
                break
            except BaseException:  # the first one is on its way out already
                continue
        self.take_back(waiter.bell)

    def take_back(self, bell: Bell) -> None:
        """Keep a bell, at which nobody waits and which nobody will ring, for the next one."""
        if self.closed or len(self.spare) >= SPARE_BELLS_MAX:
            bell.close()
        else:
            self.spare.append(bell)

    def pass_on(self, durable_sequence: i64) -> None:
        """Let the first one go on; not where that would have to commit, and somebody does."""
        try:
            waiter = self.waiting[0]
            if waiter.sequence > durable_sequence and self.committing:
                return  # who will pass on then
            waiter = self.waiting.pop(0)
        except IndexError:
            return
        waiter.bell.ring()

    def close(self) -> None:
        """Give the bells back; those that are still waited at go when that has ended."""
        self.closed = True
        while self.spare:
            self.spare.pop().close()
