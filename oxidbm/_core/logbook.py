"""The logbook: what happens in the background, told to `logging.getLogger("oxidbm")`.

`tell` may be called anywhere, also with locks held: it puts a text aside, and a thread that lives as long as there are
any gives them to the logger. A handler may take its time, raise, or use the very store that is told of. Where nobody
has imported logging nobody listens, so then there is nothing to do; and nothing here imports it. Compiled code that
calls `tell` is not interrupted by that: it enters no interpreted function.
"""

import _thread
import sys
from typing import Final, final

from oxidbm import _pure

DEBUG: Final = 10  # logging's own numbers
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40
WAITING_MAX: Final = 1000  # texts, where a handler does not come back
EXIT_SECONDS: Final = 2.0  # that an exit waits for a handler
COMPILED: Final = _pure.compiled()


@final
class Logbook:
    """Texts that wait for the logger; there is a thread that brings them while `brought` is held."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, str]] = []
        self.left_out = 0
        self.brought = _thread.allocate_lock()

    def put(self, level: int, text: str) -> None:
        """Put a text aside, and see to it that there is a thread."""
        if len(self.waiting) >= WAITING_MAX:
            self.left_out += 1
            return
        self.waiting.append((level, text))
        if self.brought.acquire(False):
            try:
                _thread.start_new_thread(bring, (self,))
            except (RuntimeError, MemoryError):  # none to be had, or the interpreter ends: the next one brings it too
                self.brought.release()
                return
            if not COMPILED:
                _pure.turns.expect()

    def take(self) -> list[tuple[int, str]]:
        """Return what waits, and keep none of it."""
        taken = self.waiting
        self.waiting = []
        if self.left_out > 0:
            taken.append((WARNING, f"{self.left_out} messages were left out, since a handler takes too long"))
            self.left_out = 0
        return taken

    def end(self, seconds: float) -> None:
        """Bring what is left when the interpreter exits, after waiting so long for a thread that is at it."""
        if self.waiting or self.brought.locked():
            if self.brought.acquire(True, seconds):
                self.brought.release()
            if taken := self.take():
                from oxidbm import _logbook

                _logbook.handle(taken)


BOOK: Final = Logbook()


def tell(level: int, text: str) -> None:
    """Tell the logger of something, soon; it raises nothing, and waits for nothing."""
    if "logging" in sys.modules:
        BOOK.put(level, text)


@final
class Telling:
    """What a background thread tells of one store: trouble that goes on is told once, and again when it comes back."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.told = ""

    def fine(self) -> None:
        """There is no trouble now."""
        if self.told:
            self.told = ""

    def trouble(self, level: int, text: str) -> None:
        """Tell of trouble, unless it is what was told last."""
        if text != self.told:
            self.told = text
            tell(level, f"{self.who}: {text}")


def bring(book: Logbook) -> None:
    """Bring what waits, in the thread for that, until there is no more."""
    while True:
        try:
            from oxidbm import _logbook

            while taken := book.take():
                _logbook.handle_in_thread(taken)
        finally:
            book.brought.release()
        if not book.waiting or not book.brought.acquire(False):
            return


def end_telling() -> None:
    """Have told what is left, when the interpreter exits."""
    BOOK.end(EXIT_SECONDS)


def forget() -> None:
    """In a forked child there is no thread, and what waited is the parent's to tell."""
    BOOK.waiting = []
    BOOK.left_out = 0
    BOOK.brought = _thread.allocate_lock()
