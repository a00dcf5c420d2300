"""What the newest unverified records of a log changed in the size of its live records, as replay finds them.

A commit that was made while records were pending says what the live records take without these: a pending record is
counted when it is settled. Which were pending are the newest unverified ones before the commit, as many as it says
(`table/pending.py`), and replay looks at what each of them replaced. So it can say the size without another pass over
the log, as long as it has kept that of so many.
"""

from typing import final

from librt.vecs import append, vec
from mypy_extensions import i64


@final
class Unsettled:
    """What each of the newest unverified records adds, in bytes, in the order of the log: of `most` or more."""

    def __init__(self, most: i64) -> None:
        self.most = most
        self.added: vec[i64] = vec[i64]()

    def add(self, size: i64, replaced: i64) -> None:
        """Note the next unverified record: what it takes, and what the live one that it replaced took, or 0."""
        if i64(len(self.added)) >= 2 * self.most:
            self.added = self.added[len(self.added) - self.most :]
        self.added = append(self.added, size - replaced)

    def knows(self, pending: i64) -> bool:
        """Return whether what so many of the newest ones add is known."""
        return pending <= i64(len(self.added))

    def sum(self, pending: i64) -> i64:
        """Return what so many of the newest ones add."""
        total: i64 = 0
        i: i64 = i64(len(self.added)) - pending
        while i < len(self.added):
            total += self.added[i]
            i += 1
        return total
