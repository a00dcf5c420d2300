"""Key hash and record checksum. All arithmetic that wraps lives here.

Compiled i64 arithmetic wraps, interpreted arithmetic grows: every product is masked to 62 bits at once, so that both
builds agree (62, since a literal of 2**62 or more is a boxed int that is converted at every use). A product keeps
nothing of its factor's highest bits, therefore every word is folded (`w ^ (w >> 32)`) before it is used.
Both functions take the input a little-endian word at a time; a shorter last word is padded with zeros. Mixing is the
multiply and xor-shift of murmur3's and splitmix64's finalizers (Austin Appleby; Steele, Lea and Flood 2014).
"""

from typing import Final

from librt.strings import read_i32_le, read_i64_le
from librt.vecs import vec
from mypy_extensions import i64

MASK_62: Final = 0x3FFFFFFFFFFFFFFF
MASK_32: Final = 0xFFFFFFFF
MULTIPLIER_KEY: Final = 0x1E3779B97F4A7C15
MULTIPLIER_END: Final = 0x3F58476D1CE4E5B9
MULTIPLIER_SUM: Final = 0x14D049BB133111EB
MULTIPLIER_ODD: Final = 0x2545F4914F6CDD1D
SHORT_KEY: Final = 16
START_A: Final = 0x243F6A8885A308D3  # digits of pi; a lane that began at 0 took a length of 0 for a value of 1
START_B: Final = 0x13198A2E03707344


def tail_word(data: bytes, offset: i64, length: i64) -> i64:
    """Return data[offset:length], fewer than eight bytes, as a little-endian word padded with zeros."""
    count: i64 = length - offset
    if length >= 8:
        shift: i64 = (8 - count) << 3
        return (read_i64_le(data, length - 8) >> shift) & (MASK_62 >> (shift - 2))
    if count >= 4:
        low: i64 = i64(read_i32_le(data, offset)) & MASK_32
        high: i64 = i64(read_i32_le(data, length - 4)) & MASK_32
        return low | ((high >> ((8 - count) << 3)) << 32)
    word: i64 = 0
    i: i64 = length - 1
    while i >= offset:
        word = (word << 8) | i64(data[i])
        i -= 1
    return word


def hash_key(key: bytes, seed: i64) -> i64:
    """Return the key's 62-bit hash: the same in every process that opens a store with this seed."""
    length: i64 = len(key)
    if length > SHORT_KEY or length == 0:
        return hash_long(key, length, seed)
    first: i64 = read_i64_le(key, 0) if length >= 8 else tail_word(key, 0, length)
    second: i64 = 0
    if length > 8:
        second = read_i64_le(key, 8) if length == SHORT_KEY else tail_word(key, 8, length)
    return hash_words(first, second, length, seed)


def hash_long(key: bytes, length: i64, seed: i64) -> i64:
    """As `hash_key`, of a key of any length."""
    h: i64 = ((seed ^ length) * MULTIPLIER_END) & MASK_62
    j: i64 = 0
    while j + 8 <= length:
        w: i64 = read_i64_le(key, j)
        h = ((h ^ w ^ (w >> 32)) * MULTIPLIER_KEY) & MASK_62
        h ^= h >> 32
        j += 8
    if j < length:
        h = ((h ^ tail_word(key, j, length)) * MULTIPLIER_KEY) & MASK_62
        h ^= h >> 32
    h = (h * MULTIPLIER_END) & MASK_62
    return h ^ (h >> 29)


def hash_words(first: i64, second: i64, length: i64, seed: i64) -> i64:
    """As `hash_key`, of a key of 1 to 16 bytes whose two words have been read."""
    h: i64 = ((seed ^ length) * MULTIPLIER_END) & MASK_62
    if length >= 8:
        first ^= first >> 32
    h = ((h ^ first) * MULTIPLIER_KEY) & MASK_62
    h ^= h >> 32
    if length > 8:
        if length == 16:
            second ^= second >> 32
        h = ((h ^ second) * MULTIPLIER_KEY) & MASK_62
        h ^= h >> 32
    h = (h * MULTIPLIER_END) & MASK_62
    return h ^ (h >> 29)


def hash_address(address: i64) -> i64:
    """Return 62 bits of an address, mixed: what tells copies of records on disk apart, in memory only."""
    h: i64 = ((address >> 3) * MULTIPLIER_KEY) & MASK_62
    h = ((h ^ (h >> 32)) * MULTIPLIER_END) & MASK_62
    return h ^ (h >> 29)


def finish_sum(a: i64, b: i64, key: i64) -> i64:
    """Return the 32-bit checksum of two lanes, under a key of 32 bits; never zero, which stands for "not sealed"."""
    h: i64 = ((a ^ (b >> 7)) * MULTIPLIER_END) & MASK_62
    h ^= h >> 31
    h = ((h ^ b) * MULTIPLIER_SUM) & MASK_62
    h = ((h >> 30) & MASK_32) ^ key
    if h == 0:  # not `h if h else 1`: of an i64 and a literal, that makes objects
        return 1
    return h


def checksum_words(words: vec[i64], first: i64, seal: i64, stop: i64, address: i64, key: i64) -> i64:
    """Return the checksum of the record in words[first:stop] at `address`, under the store's key.

    words[first + 2], the seal, counts as `seal`. The two lanes are independent, so that their products overlap.
    O(stop - first).
    """
    lane_a: i64 = (address ^ words[first] ^ START_A) & MASK_62
    lane_a = ((lane_a ^ (words[first] >> 32)) * MULTIPLIER_SUM) & MASK_62
    word: i64 = words[first + 1]
    lane_b: i64 = ((seal ^ word ^ (word >> 32) ^ START_B) * MULTIPLIER_ODD) & MASK_62
    at: i64 = first + 3
    while at + 1 < stop:
        word = words[at]
        lane_a = ((lane_a ^ (lane_a >> 32) ^ word ^ (word >> 32)) * MULTIPLIER_SUM) & MASK_62
        word = words[at + 1]
        lane_b = ((lane_b ^ (lane_b >> 32) ^ word ^ (word >> 32)) * MULTIPLIER_ODD) & MASK_62
        at += 2
    if at < stop:
        word = words[at]
        lane_a = ((lane_a ^ (lane_a >> 32) ^ word ^ (word >> 32)) * MULTIPLIER_SUM) & MASK_62
    return finish_sum(lane_a, lane_b, key)


def checksum_bytes(data: bytes, first: i64, seal: i64, stop: i64, address: i64, key: i64) -> i64:
    """As `checksum_words`, over the same record as bytes.

    `first` and `stop` are byte offsets, word aligned from `first`.
    """
    word: i64 = read_i64_le(data, first)
    lane_a: i64 = (address ^ word ^ START_A) & MASK_62
    lane_a = ((lane_a ^ (word >> 32)) * MULTIPLIER_SUM) & MASK_62
    word = read_i64_le(data, first + 8)
    lane_b: i64 = ((seal ^ word ^ (word >> 32) ^ START_B) * MULTIPLIER_ODD) & MASK_62
    at: i64 = first + 24
    while at + 16 <= stop:
        word = read_i64_le(data, at)
        lane_a = ((lane_a ^ (lane_a >> 32) ^ word ^ (word >> 32)) * MULTIPLIER_SUM) & MASK_62
        word = read_i64_le(data, at + 8)
        lane_b = ((lane_b ^ (lane_b >> 32) ^ word ^ (word >> 32)) * MULTIPLIER_ODD) & MASK_62
        at += 16
    if at + 8 <= stop:
        word = read_i64_le(data, at)
        lane_a = ((lane_a ^ (lane_a >> 32) ^ word ^ (word >> 32)) * MULTIPLIER_SUM) & MASK_62
    return finish_sum(lane_a, lane_b, key)
