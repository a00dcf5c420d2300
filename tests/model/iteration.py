"""What an iterator over a changing store may yield, as oxidbm/_core/store/iterator.py states it."""

from collections.abc import Iterator


class Iteration:
    """One iterator, and the keys it has to yield, may yield and has yielded."""

    def __init__(self, source: Iterator[tuple[bytes, bytes]], model: dict[bytes, bytes]) -> None:
        self.source = source
        self.at_start = set(model)
        self.always_there = set(model)
        self.yielded: set[bytes] = set()

    def deleted(self, key: bytes) -> None:
        """Take note that a key was deleted: set anew, it may be left out."""
        self.always_there.discard(key)

    def advance(self, steps: int, model: dict[bytes, bytes]) -> bool:
        """Take some steps; False at the end, where every key that was always there has been yielded."""
        for _ in range(steps):
            pair = next(self.source, None)
            if pair is None:
                assert self.always_there <= self.yielded
                assert next(self.source, None) is None
                return False
            key, value = pair
            assert key in self.at_start
            assert key not in self.yielded
            assert value == model[key]
            self.yielded.add(key)
        return True
