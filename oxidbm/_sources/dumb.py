"""dbm.dumb's files, read without that module: it takes a short value, or none, for one that was cut off.

NAME.dir has a line for each key, 'key', (position, length), a later one of a key in the place of an earlier; the text
is Python's, with the bytes of keys as characters of Latin-1. NAME.dat has the values.
"""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from oxidbm._sources.source import Pairs, Source, SourceError, Unchanged, open_regular

LINE_CHARACTERS_MAX = 1 << 20  # a key has at most 65,535 bytes, each of which takes up to four characters


@contextmanager
def open_dumb(path: str) -> Iterator[Source]:
    """Open the two files that dbm.dumb makes of a name."""
    files = (f"{path}.dir", f"{path}.dat")
    unchanged = Unchanged(files)
    try:
        with open_regular(files[0]) as directory:
            entries = dict(read_directory(files[0], directory))
    except FileNotFoundError:
        raise SourceError(f"{files[0]} is missing, without which dbm.dumb's {files[1]} cannot be read") from None
    with open_regular(files[1]) as data:
        size = data.seek(0, 2)
        if size and not entries:
            raise SourceError(
                f"{files[0]} says no key, and {files[1]} has {size} bytes; restore it from a copy, or delete both "
                "where nothing is to be in them"
            )
        for key, (position, length) in entries.items():
            if position + length > size:
                raise SourceError(
                    f"{files[1]} is cut off: it has {size} bytes, and the value of {key[:80]!r} ends at "
                    f"{position + length}; restore it from a copy"
                )
        yield Source(len(entries), dumb_pairs(files[1], data, entries, unchanged))


def read_directory(path: str, file: BinaryIO) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield key, position and length of each line."""
    number = 0
    while line := file.readline(LINE_CHARACTERS_MAX):
        number += 1
        if not line.strip():
            continue
        try:
            yield entry_in(ast.literal_eval(line.decode("latin-1").rstrip()))
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            raise SourceError(
                f"{path} line {number} is not what dbm.dumb writes, 'key', (position, length): "
                f"{line[:60].decode('latin-1')!r}; restore it from a copy"
            ) from None


def entry_in(entry: Any) -> tuple[bytes, tuple[int, int]]:
    """Return what a line says; ValueError where it is of another shape."""
    key, (position, length) = entry
    if type(key) is not str or type(position) is not int or type(length) is not int or position < 0 or length < 0:
        raise ValueError("no key, position and length")
    return key.encode("latin-1"), (position, length)


def dumb_pairs(path: str, file: BinaryIO, entries: dict[bytes, tuple[int, int]], unchanged: Unchanged) -> Pairs:
    """Yield the items."""
    for key, (position, length) in entries.items():
        file.seek(position)
        value = file.read(length)
        if len(value) != length:
            unchanged.check()
            raise SourceError(f"{path} is cut off in the value of {key[:80]!r}")
        yield key, value
    unchanged.check()
