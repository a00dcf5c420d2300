"""Visits: calls under way that use a log's directory, such as those about named readers, beside whoever closes it.

A directory that is closed under such a call lends its descriptor's number to another file or directory, which would be
looked at, or written to. So the last visit that is under way closes it. A lock would do, but for a signal handler that
closes the log in the middle of one.
"""

from typing import final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.device.directory import Directory
from oxidbm._core.life import Life


@final
class Visits:
    """The visits to one log's directory; each is a `with` block."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.count: i64 = 0
        self.left: Directory | None = None  # to the last one, by who closed the log

    def __enter__(self) -> None:
        self.life.check_open()
        self.count += 1

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.count -= 1
        if self.left is not None and self.count == 0:
            try:
                self.left.close()
            except OSError as failure:  # the one who closed the log has gone on
                _breath.LastWord(failure)

    def end(self, directory: Directory) -> None:
        """Close the directory, or have the last visit close it."""
        self.left = directory
        if self.count == 0:
            directory.close()
