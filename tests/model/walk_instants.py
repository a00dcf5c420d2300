"""Instants in the middle of an operation, at which a walk looks at a store as a kill there, or a reader, would see it.

The interpreter tells of each file that is opened, renamed, cut or deleted just before that is done, in the thread that
does it (`sys.addaudithook`).
"""

import contextlib
import functools
import random
import sys
import threading
from collections.abc import Callable, Iterator

EVENTS = frozenset({"open", "os.rename", "os.remove", "os.truncate", "os.link", "os.mkdir"})
INSTANTS_MAX = 3


class Instants:
    """Calls a function before some of the next events of this thread, but for those of the function itself."""

    def __init__(self, chance: random.Random, act: Callable[[], None]) -> None:
        self.chance = chance
        self.act = act
        self.thread = threading.get_ident()
        self.acting = False
        self.acted = 0
        self.left = self.distance()

    def distance(self) -> int:
        """Return how many events are passed by."""
        return self.chance.choice([1, 3, 8, 20])

    def heard(self) -> None:
        """Take note of an event."""
        if self.acting or self.acted == INSTANTS_MAX or threading.get_ident() != self.thread:
            return
        self.left -= 1
        if self.left == 0:
            self.left = self.distance()
            self.acted += 1
            self.acting = True
            try:
                self.act()
            finally:
                self.acting = False


LISTENING: list[Instants] = []


def heard(event: str, arguments: tuple[object, ...]) -> None:
    """Tell whoever listens."""
    if LISTENING and event in EVENTS:
        LISTENING[-1].heard()


@functools.cache
def hook() -> None:
    """Have the interpreter tell of events, from now on until it ends: a hook cannot be taken back."""
    sys.addaudithook(heard)


@contextlib.contextmanager
def at_instants(chance: random.Random, act: Callable[[], None]) -> Iterator[None]:
    """Call a function at some instants of the block."""
    hook()
    instants = Instants(chance, act)
    LISTENING.append(instants)
    try:
        yield
    finally:
        LISTENING.remove(instants)


@contextlib.contextmanager
def no_instants() -> Iterator[None]:
    """Let nothing be called in the block."""
    listening = list(LISTENING)
    LISTENING.clear()
    try:
        yield
    finally:
        LISTENING.extend(listening)
