"""A bar on stderr for what takes longer than a second, where that is a terminal.

A thread of its own draws it, from numbers that the work leaves for it: so the work neither waits nor looks at a clock,
and what is over within a second shows nothing, and does not wait for rich, which takes longer to import than most
stores to open.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from oxidbm._core.durability.replay import replaying

if TYPE_CHECKING:
    from rich.console import Console

DELAY_SECONDS: Final = 1.0
REDRAW_SECONDS: Final = 0.1

Report: TypeAlias = Callable[[int, int | None], None]
Source: TypeAlias = Callable[[], tuple[int, int] | None]


class Bar(threading.Thread):
    """Draws a bar from `done` and `total` until it has ended; with a source, from what that says."""

    def __init__(self, console: "Console | None", title: str, total: int | None, source: Source | None) -> None:
        super().__init__(name="oxidbm-bar", daemon=True)
        self.console = console
        self.title = title
        self.done = 0
        self.total = total
        self.source = source
        self.ended = threading.Event()

    def report(self, done: int, total: int | None) -> None:
        """Take note of how far the work is."""
        self.done = done
        self.total = total

    def run(self) -> None:
        """Wait, then draw until the work has ended, and take the bar away."""
        if self.ended.wait(DELAY_SECONDS):
            return
        try:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
        except ModuleNotFoundError:  # get works without the extra
            return
        console = Console(stderr=True) if self.console is None else self.console
        columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()]
        with suppress(OSError), Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
            task = bar.add_task(self.title, total=self.total)
            while True:
                found = self.source() if self.source is not None else None
                if found is not None:
                    self.report(*found)
                bar.update(task, completed=self.done, total=self.total)
                bar.refresh()
                if self.ended.wait(REDRAW_SECONDS):
                    return

    def end(self) -> None:
        """Have the bar gone."""
        self.ended.set()
        self.join()


@contextmanager
def progress(
    title: str, total: int | None = None, *, wanted: bool = True, source: Source | None = None
) -> Iterator[Report]:
    """Show a bar meanwhile, after a second; yield what takes the progress made and the total."""
    if sys.stderr is None or not (sys.stderr.isatty() and wanted):
        yield lambda done, total: None
        return
    bar = Bar(None, title, total, source)
    bar.start()
    try:
        yield bar.report
    finally:
        bar.end()


@contextmanager
def opening() -> Iterator[None]:
    """Show how far a store's recovery is while it is opened."""
    with progress("recovering", source=replaying):
        yield
