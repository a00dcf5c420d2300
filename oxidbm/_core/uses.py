"""Uses: who is in the middle of a call that names something by a number of the system's, beside whoever closes that.

A descriptor that is given back under such a call lends its number to another file, which would be read, written to or
deleted from. So what is closed is given back behind the last use that is under way, and no other one begins. A lock
would do, but for a signal handler that closes in the middle of the very call that it would have to wait for. Under the
GIL each method is atomic.
"""

from typing import final

from mypy_extensions import i64


@final
class Uses:
    """The uses of one thing; `closing` once none may begin any more."""

    def __init__(self) -> None:
        self.count: i64 = 0
        self.closing = False

    def begin(self) -> bool:
        """Count a use, which `end` ends; False where none may begin any more."""
        if self.closing:
            return False
        self.count += 1
        return True

    def end(self) -> bool:
        """Count a use no more; True where it was the last one behind `close`: the caller gives the thing back then."""
        self.count -= 1
        return self.closing and self.count == 0

    def close(self) -> bool:
        """Let no use begin any more; True where none is under way: the caller gives the thing back then."""
        self.closing = True
        return self.count == 0
