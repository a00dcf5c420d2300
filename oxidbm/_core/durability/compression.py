"""Compression of a checkpoint's files: each is one zstandard frame with a content checksum, a stream both ways.

The library could use threads of its own. It does not: a forked child that drops such a compressor waits for ever for
threads that it has not, and they save no time that matters (docs/design.md).
"""

import importlib
from typing import Any, Final

LEVEL: Final = -5  # addresses and tags hardly compress: one more costs twice the time for a quarter less
LEVEL_MIN: Final = -100  # beyond, nothing is compressed any more
LEVEL_MAX: Final = 19  # beyond, a reader would need a window of up to 128 MiB
CHUNK_BYTES: Final = 1 << 22
WINDOW_BYTES_MAX: Final = 1 << 23  # of any of these levels; a frame that says more is not one of a store's


def zstandard() -> Any:
    """Return the library, which takes milliseconds to import, and is not there where the core is compiled."""
    return importlib.import_module("zstandard")


def checked_level(level: object) -> int:
    """Return a level as a number, the usual one for None; TypeError or ValueError for what is none."""
    if level is None:
        return LEVEL
    if isinstance(level, bool) or not isinstance(level, int):
        raise TypeError(f"level is a whole number or None, not {type(level).__name__}")
    if not LEVEL_MIN <= level <= LEVEL_MAX:
        raise ValueError(
            f"level is zstandard's, from {LEVEL_MIN} (fast) to {LEVEL_MAX} (small), not {level}; leave it out "
            f"for {LEVEL}"
        )
    return int(level)


def compressing(level: int) -> Any:
    """Return what takes a frame's content piece by piece in compress(), ends it in finish(), and yields its bytes.

    It lets other threads run, and then has to wait for its turn, once for CHUNK_BYTES of these; the library's object
    that returns them does so for each 128 KiB.
    """
    return zstandard().ZstdCompressor(level=level, write_checksum=True).chunker(chunk_size=CHUNK_BYTES)


def decompressing(file: Any) -> Any:
    """Return what reads a frame's content from a file; ZstdError where its window is larger than any written."""
    return zstandard().ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX).stream_reader(file)
