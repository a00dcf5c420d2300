"""Keys, values and the orders in which they are visited.

Keys are numbered from 0. `random_keys` writes the number, scrambled by a bijection, as hexadecimal digits: neighbours
in number are strangers in key order, and no two numbers share a key. `ordered_keys` writes it plainly, for sequential
fills. Both build new bytes objects on every call, so that no engine can use a hash that an earlier pass has cached.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterable, Sequence

GOLDEN_RATIO_64 = 0x9E3779B97F4A7C15
GOLDEN_RATIO_32 = 0x9E3779B1
POOL_SIZE = 1 << 20
ZIPFIAN_THETA = 0.99


def random_keys(numbers: Iterable[int], key_size: int) -> list[bytes]:
    """New key objects for `numbers`: scrambled, of `key_size` bytes (8, or 16 and more)."""
    if key_size >= 16:
        return [b"%0*x" % (key_size, n * GOLDEN_RATIO_64 & 0xFFFFFFFFFFFFFFFF) for n in numbers]
    if key_size < 8:
        raise ValueError(f"a key size of {key_size} bytes is too small: it must be 8 or more")
    return [b"%0*x" % (key_size, n * GOLDEN_RATIO_32 & 0xFFFFFFFF) for n in numbers]


def ordered_keys(numbers: Iterable[int], key_size: int) -> list[bytes]:
    """New key objects for `numbers` whose byte order is the order of the numbers."""
    return [b"%0*x" % (key_size, n) for n in numbers]


def rotate(value: bytes) -> bytes:
    """The rmw function: the value turned by one byte, so that its size stays what it was."""
    return value[1:] + value[:1]


class ValuePool:
    """Values cut out of one block of random bytes, as leveldb's db_bench does: each is an object of its own."""

    def __init__(self, value_size: int, seed: int = 301) -> None:
        self.value_size = value_size
        self.block = random.Random(seed).randbytes(POOL_SIZE + value_size)

    def values(self, numbers: Sequence[int]) -> list[bytes]:
        """One new value for each number."""
        block, size = self.block, self.value_size
        starts = [n * 7919 % POOL_SIZE for n in numbers]
        return [block[start : start + size] for start in starts]


def shuffled(count: int, seed: int) -> list[int]:
    """The numbers 0..count-1 in an order that depends on `seed` alone."""
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    return numbers


def uniform(count: int, draws: int, seed: int) -> list[int]:
    """`draws` numbers below `count`, each as likely as any other."""
    return random.Random(seed).choices(range(count), k=draws)


def zipfian_ranks(count: int, draws: int, seed: int, theta: float = ZIPFIAN_THETA) -> list[int]:
    """`draws` ranks below `count`; rank r has a probability proportional to 1 / (r + 1) ** theta.

    The weights are summed once and drawn from by bisection: O(count + draws log count), exact where YCSB approximates.
    """
    cumulative: list[float] = []
    total = 0.0
    for rank in range(1, count + 1):
        total += rank**-theta
        cumulative.append(total)
    draw = random.Random(seed).random
    return [min(bisect.bisect_right(cumulative, draw() * total), count - 1) for _ in range(draws)]


def zipfian(count: int, draws: int, seed: int) -> list[int]:
    """`draws` zipfian numbers below `count`; which numbers are the popular ones depends on nothing but `count`."""
    numbers = shuffled(count, seed=count)
    return [numbers[rank] for rank in zipfian_ranks(count, draws, seed)]
