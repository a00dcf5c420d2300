"""Key hash and checksum: both builds agree, both forms of the checksum agree, and every flipped bit shows."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core import hashing
from oxidbm._core.log.record import CAPACITY_MAX, SEAL_CAPACITY, content_words, fault_of, pack_info
from tests.support import PURE, ROOT, scaled

SERVER = """
import json, sys
import oxidbm
from oxidbm import _pure
from oxidbm._core.hashing import checksum_bytes, hash_key
print(_pure.compiled(), flush=True)
for line in sys.stdin:
    kind, data, *numbers = json.loads(line)
    data = bytes.fromhex(data)
    print(hash_key(data, *numbers) if kind == "hash" else checksum_bytes(data, *numbers), flush=True)
"""
KNOWN_HASHES = {
    b"": 256079760014787757,
    b"a": 4600479496514912114,
    b"12345678": 286222545160790847,
    b"123456789": 2140619691124055803,
    b"\xff" * 20: 523357823291138670,
}
SEEDS = st.integers(0, 2**62 - 1)
WORDS = st.integers(-(2**63), 2**63 - 1)
KEYS = st.integers(0, 2**32 - 1)
CHECKSUM_KEY = 0x1234_5678


class OtherBuild:
    """A process that computes with the other build: the sources where this one is compiled."""

    def __init__(self) -> None:
        environment = {**os.environ, "OXIDBM_PURE": "0" if PURE else "1", "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.compiled = self.answer() == "True"

    def answer(self) -> str:
        """Return the next line of its output."""
        output = self.process.stdout
        assert output is not None
        return output.readline().strip()

    def ask(self, kind: str, data: bytes, *numbers: int) -> int:
        """Return what it computes."""
        given_to: IO[str] | None = self.process.stdin
        assert given_to is not None
        given_to.write(json.dumps([kind, data.hex(), *numbers]) + "\n")
        given_to.flush()
        return int(self.answer())

    def stop(self) -> None:
        """End the process."""
        self.process.communicate()


@pytest.fixture(scope="module")
def other() -> Iterator[OtherBuild]:
    """The other build, in a process of its own."""
    process = OtherBuild()
    yield process
    process.stop()


def to_words(data: bytes) -> "vec[i64]":
    """Return bytes as a vec of words."""
    return vec[i64](memoryview(data).cast("q"))


def record_bytes(info: int, key: bytes, value: bytes, capacity: int) -> bytes:
    """Return a record's bytes with a checksum of 0."""
    shape = len(key) << 32 | len(value)
    words = [info, shape, capacity << 32]
    padded = key + bytes(-len(key) % 8) + value + bytes(-len(value) % 8)
    return b"".join((word % 2**64).to_bytes(8, "little") for word in words) + padded


@pytest.mark.skipif(PURE, reason="the compiled run compares both")
@given(data=st.data())
def test_hash_of_both_builds(other: OtherBuild, data: st.DataObject) -> None:
    assert not other.compiled
    key = data.draw(st.binary(max_size=70))
    seed = data.draw(SEEDS)
    assert hashing.hash_key(key, seed) == other.ask("hash", key, seed)


@pytest.mark.skipif(PURE, reason="the compiled run compares both")
@given(data=st.data())
def test_checksum_of_both_builds(other: OtherBuild, data: st.DataObject) -> None:
    words = data.draw(st.lists(WORDS, min_size=3, max_size=20))
    record = b"".join((word % 2**64).to_bytes(8, "little") for word in words)
    seal = data.draw(WORDS) & SEAL_CAPACITY
    address = data.draw(st.integers(0, 2**48 - 1)) & -8
    key = data.draw(KEYS)
    mine = hashing.checksum_bytes(record, 0, seal, len(record), address, key)
    assert mine == other.ask("checksum", record, 0, seal, len(record), address, key)


@pytest.mark.skipif(PURE, reason="the compiled run compares both")
@pytest.mark.parametrize("length", [*range(34), 63, 64, 65, 65_535])
@pytest.mark.parametrize("byte", [0x00, 0x7F, 0x80, 0xFF])
def test_hash_of_both_builds_at_the_edges(other: OtherBuild, length: int, byte: int) -> None:
    for seed in (0, 1, 2**61, 2**62 - 1):
        assert hashing.hash_key(bytes([byte]) * length, seed) == other.ask("hash", bytes([byte]) * length, seed)


def test_hash_never_changes() -> None:
    """An index image on disk would lead nowhere with another hash."""
    assert {key: hashing.hash_key(key, 7) for key in KNOWN_HASHES} == KNOWN_HASHES


@given(key=st.binary(max_size=40), seed=SEEDS)
def test_hash_is_62_bits_and_knows_its_length(key: bytes, seed: int) -> None:
    found = hashing.hash_key(key, seed)
    assert 0 <= found < 2**62
    assert found != hashing.hash_key(key + b"\0", seed)


@given(data=st.binary(min_size=1, max_size=40), start=st.integers(0, 40))
def test_tail_word_is_little_endian_and_padded(data: bytes, start: int) -> None:
    offset = min(start, len(data)) & -8
    assume(0 < len(data) - offset < 8)
    word = hashing.tail_word(data, offset, len(data))
    assert word == int.from_bytes(data[offset:], "little")


def test_hash_spreads_keys_that_differ_little() -> None:
    count = scaled(20_000, least=4_000)
    buckets = 1024
    load = [0] * buckets
    for number in range(count):
        load[hashing.hash_key(b"user:%08d" % number, 99) % buckets] += 1
    expected = count / buckets
    chi_squared = sum((found - expected) ** 2 / expected for found in load)
    assert abs(chi_squared - buckets) < 6 * (2 * buckets) ** 0.5
    high = {hashing.hash_key(b"user:%08d" % number, 99) >> 44 for number in range(1000)}
    assert len(high) > 990


@given(
    words=st.lists(WORDS, min_size=3, max_size=30),
    seal=WORDS,
    address=st.integers(0, 2**45 - 1),
    lead=st.integers(0, 3),
)
def test_words_and_bytes_give_one_checksum(words: list[int], seal: int, address: int, lead: int) -> None:
    data = b"".join((word % 2**64).to_bytes(8, "little") for word in [5] * lead + words)
    stop = lead + len(words)
    by_words = hashing.checksum_words(to_words(data), lead, seal & SEAL_CAPACITY, stop, address * 8, CHECKSUM_KEY)
    by_bytes = hashing.checksum_bytes(data, lead * 8, seal & SEAL_CAPACITY, stop * 8, address * 8, CHECKSUM_KEY)
    assert by_words == by_bytes
    assert 0 < by_words < 2**32


@given(
    key=st.binary(max_size=20),
    value=st.binary(max_size=40),
    address=st.integers(8, 2**45 - 1),
    previous=st.integers(0, 2**45 - 1),
    spare=st.integers(0, 3),
)
def test_every_flipped_bit_of_a_record_shows(key: bytes, value: bytes, address: int, previous: int, spare: int) -> None:
    capacity = (len(value) + 7) // 8 + spare
    data = record_bytes(pack_info(previous * 8, False, False), key, value, capacity)
    seal = capacity << 32
    right = hashing.checksum_bytes(data, 0, seal, len(data), address * 8, CHECKSUM_KEY)
    for bit in range(8 * len(data)):
        if 128 <= bit < 160:  # the checksum itself
            continue
        flipped = bytearray(data)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        info, shape, found = (int.from_bytes(flipped[at : at + 8], "little", signed=True) for at in (0, 8, 16))
        if fault_of(info, shape, found):
            continue  # seen without a checksum
        stop = content_words(shape) * 8
        if stop > len(flipped):
            continue  # cut off: seen as well
        other = hashing.checksum_bytes(bytes(flipped), 0, found & SEAL_CAPACITY, stop, address * 8, CHECKSUM_KEY)
        assert other != right, bit


@given(
    key=st.binary(min_size=1, max_size=30), value=st.binary(min_size=1, max_size=60), address=st.integers(8, 2**45 - 1)
)
def test_checksum_covers_address_and_order(key: bytes, value: bytes, address: int) -> None:
    data = record_bytes(pack_info(0, False, False), key, value, (len(value) + 7) // 8)
    seal = ((len(value) + 7) // 8) << 32
    right = hashing.checksum_bytes(data, 0, seal, len(data), address * 8, CHECKSUM_KEY)
    for bit in range(48):
        moved = (address * 8) ^ (1 << bit)
        assert hashing.checksum_bytes(data, 0, seal, len(data), moved, CHECKSUM_KEY) != right
    swapped = bytearray(data)
    swapped[24:32], swapped[-8:] = swapped[-8:], swapped[24:32]
    if swapped != data:
        assert hashing.checksum_bytes(bytes(swapped), 0, seal, len(data), address * 8, CHECKSUM_KEY) != right


def test_capacity_bits_that_the_checksum_does_not_see_are_a_fault() -> None:
    shape = 1 << 32
    info = pack_info(0, False, False)
    assert fault_of(info, shape, CAPACITY_MAX << 32) == ""
    for bit in (62, 63):
        seal = (1 << bit) - (2**64 if bit == 63 else 0)
        assert "capacity" in fault_of(info, shape, seal)
