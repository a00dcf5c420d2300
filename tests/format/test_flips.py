"""One flipped bit anywhere in a cleanly closed store is an error or changes nothing.

Never a wrong value, and never fewer keys without a word.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import oxidbm
from tests.format.stores import SEGMENT, Items, contents, make_paged, make_tiny
from tests.support import PURE, one_in

STEP = one_in(3, 57)  # bytes between two flips in the larger store


def outcome(path: Path, expected: Items, *, read_only: bool = True) -> str:
    """Open the store: "" where it gives exactly what is expected, else the error's sentence."""
    try:
        found = contents(path, read_only=read_only)
    except oxidbm.error as failure:
        return str(failure)
    assert found == expected
    return ""


def flip_bits(path: Path, name: str, bits: range, judge: Callable[[int, str], None], expected: Items) -> None:
    """Flip bit after bit of a file, each time alone, and hand the bit's offset and the outcome to `judge`."""
    with (path / name).open("r+b", buffering=0) as file:
        for bit in bits:
            offset = bit >> 3
            (byte,) = os.pread(file.fileno(), 1, offset)
            os.pwrite(file.fileno(), bytes([byte ^ 1 << (bit & 7)]), offset)
            judge(offset, outcome(path, expected))
            os.pwrite(file.fileno(), bytes([byte]), offset)


@pytest.mark.parametrize("name", ["STORE", "CLEAN"])
def test_every_bit_of_the_small_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / "store"
    expected = make_tiny(path)

    def judge(offset: int, said: str) -> None:
        assert str(path / name) in said, f"byte {offset}: {said!r}"

    flip_bits(path, name, range(0, 8 * (path / name).stat().st_size, 5 if PURE else 1), judge, expected)
    assert outcome(path, expected) == ""


def test_every_byte_of_the_tiny_segment(tmp_path: Path) -> None:
    path = tmp_path / "store"
    expected = make_tiny(path)
    silent = set()

    def judge(offset: int, said: str) -> None:
        if said == "":
            silent.add(offset)
        else:
            assert f"{path / SEGMENT} at offset" in said

    for bit in range(8):
        stop = 8 * (path / SEGMENT).stat().st_size
        step = 8 if not PURE else 64  # in pure mode each byte has one of its bits flipped
        flip_bits(path, SEGMENT, range(bit + (bit * 8 if PURE else 0), stop, step), judge, expected)
    assert silent == set(range(64)), "only the unused bytes before the first record may change without an error"
    assert outcome(path, expected) == ""


@pytest.mark.slow
def test_bytes_of_a_store_of_several_pages(tmp_path: Path) -> None:
    path = tmp_path / "store"
    expected = make_paged(path)
    size = (path / SEGMENT).stat().st_size
    silent = set()

    def judge(offset: int, said: str) -> None:
        if said == "":
            silent.add(offset)

    flip_bits(path, SEGMENT, range(0, 8 * size, 8 * STEP + 1), judge, expected)
    data = (path / SEGMENT).read_bytes()
    assert all(data[offset] == 0 for offset in silent)
    assert silent <= set(range(64))
    assert outcome(path, expected) == ""


def test_flips_under_a_writer_that_opens(tmp_path: Path) -> None:
    """As above, opened for writing: recovery truncates only what is no part of the store."""
    path = tmp_path / "store"
    expected = make_tiny(path)
    whole = (path / SEGMENT).read_bytes()
    for offset in range(0, len(whole), 11 if PURE else 1):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << (offset % 8)
        (path / SEGMENT).write_bytes(damaged)
        said = outcome(path, expected, read_only=False)
        assert (said == "") == (offset < 64), said
        assert (path / SEGMENT).read_bytes() == bytes(damaged), "a store that is refused is left as it is"
        (path / SEGMENT).write_bytes(whole)
    assert outcome(path, expected, read_only=False) == ""


def test_lock_file_holds_nothing_a_store_needs(tmp_path: Path) -> None:
    path = tmp_path / "store"
    expected = make_tiny(path)
    for content in (b"", b"\xff" * 5000, b'{"pid": "x"}'):
        (path / "LOCK").write_bytes(content)
        assert outcome(path, expected, read_only=False) == ""
    (path / "LOCK").unlink()
    assert outcome(path, expected) == ""
