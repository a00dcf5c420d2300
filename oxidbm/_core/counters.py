"""Counters of an open store: what has happened since it was opened, counted on slow paths only.

One object, shared by all that count; `stats()` shows it.
"""

from typing import final

from mypy_extensions import i64


@final
class Counters:
    """How often what has happened."""

    def __init__(self) -> None:
        self.compactions: i64 = 0  # passes that came to their end
        self.evicted_keys: i64 = 0  # dropped because the size limit was reached
