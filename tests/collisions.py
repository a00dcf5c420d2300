"""Keys whose hashes are chosen: the key hash is a chain of steps that can each be undone, so no search is needed.

Keys of one group share the low 44 bits of their hash, hence bucket and tag however large the index is: the store has to
tell them apart by reading records.
"""

from oxidbm._core.hashing import MASK_62, MULTIPLIER_END, MULTIPLIER_KEY, hash_key

HASH_BITS = MASK_62.bit_length()
SHARED_BITS = 44
INVERSE_KEY = pow(int(MULTIPLIER_KEY), -1, 1 << HASH_BITS)
INVERSE_END = pow(int(MULTIPLIER_END), -1, 1 << HASH_BITS)


def unfold(value: int, shift: int) -> int:
    """Return x where value == x ^ (x >> shift), for x of HASH_BITS bits."""
    x = value
    for _ in range(HASH_BITS // shift):
        x = value ^ (x >> shift)
    return x


def key_with_hash(wanted: int, seed: int) -> bytes:
    """Return the key of eight bytes that has the hash `wanted` in a store with this seed."""
    h = (unfold(wanted, 29) * INVERSE_END) & MASK_62
    h = (unfold(h, 32) * INVERSE_KEY) & MASK_62
    folded = h ^ (((seed ^ 8) * MULTIPLIER_END) & MASK_62)
    key = unfold(folded, 32).to_bytes(8, "little")
    assert hash_key(key, seed) == wanted
    return key


def colliding_key(seed: int, group: int, number: int) -> bytes:
    """Return a key that shares bucket and tag with every other of its group."""
    return key_with_hash((number << SHARED_BITS) | ((group + 1) * 0x9E3779B97F5 & ((1 << SHARED_BITS) - 1)), seed)
