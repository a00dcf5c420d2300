"""Rules of a reader that follows the store: it shows one commit, and then the newest one, whatever was done between.

What it begins to iterate stays with the commit that it showed then. A key that expires is gone for both, so where the
clock has moved since only what is there is compared.
"""

from collections.abc import Iterator

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from oxidbm import Store
from tests.model.machine import FilesMachine

Walk = Iterator[tuple[bytes, bytes]]


class FollowerRules(FilesMachine):
    """With a reader that stays."""

    def __init__(self) -> None:
        super().__init__()
        self.follower: Store | None = None
        self.followed: dict[bytes, bytes] = {}  # what it shows
        self.followed_at = 0.0
        self.walks: list[tuple[Walk, dict[bytes, bytes]]] = []

    @rule()
    def refresh(self) -> None:
        """Move to the newest commit; what is there and what was begun before is that of the one before."""
        same_time = self.followed_at == self.now
        if self.follower is None:
            self.follower = self.beside()
        else:
            if same_time:
                assert dict(self.follower.items()) == self.followed
            self.follower.refresh()
        self.compare_with_committed(self.follower)
        assert not self.follower.refresh()
        for walk, expected in self.walks:
            left = dict(walk)
            assert left == expected if same_time else left.items() <= expected.items()
        self.followed, self.followed_at, self.walks = dict(self.committed), self.now, []

    @precondition(lambda self: self.follower is not None and self.followed_at == self.now)
    @rule(in_order=st.booleans())
    def begin_walk(self, in_order: bool) -> None:
        """Begin an iteration that the reader is to move under."""
        assert self.follower is not None
        walk = self.follower.range() if in_order and self.ordered else iter(self.follower.items())
        expected = dict(self.followed)
        first = next(walk, None)
        assert first is None or expected.pop(first[0]) == first[1]
        self.walks.append((walk, expected))

    def finish(self) -> None:
        """As it says, and the reader comes along."""
        super().finish()
        if self.follower is not None:
            self.refresh()
            self.follower.close()
