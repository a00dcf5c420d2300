"""A time for stores that goes on when a test says so."""


class Clock:
    """What a store takes for `clock=`."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now
