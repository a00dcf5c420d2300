"""Small logs whose every entry is known, and what a reader of one that was damaged may see of them.

Whatever the files hold: opening, reading and scanning give what was appended, or one of oxidbm's errors. A scan that
passes over damage gives what is left, in order, and never anything else.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

import oxidbm
from oxidbm import Log
from oxidbm._core.device.directory import Directory
from oxidbm._core.durability.superblock import A_LOG, Superblock, write_superblock
from tests.format.stores import PAGE_BITS, PAGE_BYTES, STORE_ID
from tests.inside import handle_of_log

Entries = dict[int, bytes]


def make_directory(path: Path, log_id: bytes = STORE_ID) -> None:
    """Make an empty log's directory with a fixed id."""
    (path / "log").mkdir(parents=True)
    directory = Directory(str(path))
    block = Superblock(log_id, 0, PAGE_BITS)
    block.kind = A_LOG
    write_superblock(directory, block, 0o666)
    directory.close()


def open_log(path: Path, **more: Any) -> Log:
    """Open a log that is there."""
    return Log(path, **{"memory": "1MiB", "create": False, **more})


def roll(log: Log) -> None:
    """Have the next page begin a segment."""
    handle_of_log(log).log.device.roll()


def make_tiny(path: Path) -> Entries:
    """Make a log of one page: a few entries, two commits, a cookie."""
    make_directory(path)
    with open_log(path) as log:
        log.append_many([b"alpha", b"", b"gamma" * 5])
        log.commit(b"cookie")
        log.append_many([b"delta", b"\0" * 24])
        log.commit()
        return dict(log)


def make_segments(path: Path) -> Entries:
    """Make a log of several segments: pages with a gap, an entry larger than a page, a begin that has moved.

    Returns everything that was ever appended.
    """
    make_directory(path)
    with open_log(path) as log:
        for turn in range(5):
            log.append_many(b"%d." % turn * (number % 7 * 60) for number in range(30))
            if turn == 2:
                log.append(b"run" * 3000)
            log.commit(b"cookie" if turn == 1 else None)
            roll(log)
        log.append(b"last")
        log.commit()
        entries = dict(log)
        log.truncate(list(log)[3][0])
        log.commit()
        return entries


def make_killed(path: Path) -> Entries:
    """Make a log as a killed process leaves it: no mark of a clean end, and entries behind the last commit."""
    entries = make_segments(path)
    (path / "CLEAN").unlink()
    with open_log(path) as log:
        log.append_many([b"one", b"two"])
        log.commit()
        log.append(b"three")
        log.commit()
        entries |= dict(log)
        log.append_many([b"never committed"] * 400)
        log.close(commit=False)
    return entries


MAKERS = {"tiny": make_tiny, "segments": make_segments, "killed": make_killed}


def held(path: Path) -> Entries:
    """Return what a log holds that was not damaged yet."""
    with open_log(path, read_only=True) as log:
        return dict(log)


def scanned(log: Log, **more: Any) -> list[tuple[int, bytes]]:
    """Return what a scan gives until it ends or raises an error of ours."""
    found: list[tuple[int, bytes]] = []
    with contextlib.suppress(oxidbm.error):
        found.extend(log.scan(**more))
    return found


def check_reader(log: Log, allowed: Entries | None) -> bool:
    """Read a log in every way; nothing but what was appended comes back. Return whether all of it does.

    allowed: what was appended; None where checksums were put right, and any entry may be there.
    """
    skipped = scanned(log, on_error="skip")
    whole = True
    try:
        found = list(log)
    except oxidbm.CorruptionError as failure:
        assert "offset" in str(failure)  # noqa: PT017
        whole = False
        found = scanned(log)
        assert skipped[: len(found)] == found, "what a scan gives before it raises, one that skips gives, too"
    else:
        assert found == skipped
        assert allowed is None or len(found) == len(log), "a scan that has missed something raises"
    addresses = [address for address, _ in skipped]
    assert addresses == sorted(set(addresses))
    if allowed is not None:
        assert all(allowed.get(address) == data for address, data in skipped)
    for address in [*addresses[:50], *list(allowed or {})[:50]]:
        try:
            data = log.read(address)
            assert allowed is None or data == allowed[address]
        except oxidbm.CorruptionError as failure:
            assert "offset" in str(failure)  # noqa: PT017
            assert address not in addresses
        except (IndexError, ValueError):
            assert address not in addresses
    for address in (*addresses[:3], log.begin + 8, log.begin + PAGE_BYTES * 2 + 16, log.tail):
        part = scanned(log, begin=address)
        assert allowed is None or all(allowed.get(at) == data for at, data in part)
        scanned(log, end=address)
    return whole


def outcome(path: Path, allowed: Entries | None, **more: Any) -> str:
    """Open and read a log: "" where it gives exactly what was appended, else what was said, or "damaged"."""
    try:
        log = open_log(path, **more)
    except oxidbm.error as failure:
        assert str(path) in str(failure)  # noqa: PT017
        return str(failure)
    with contextlib.suppress(oxidbm.error), log:
        return "" if check_reader(log, allowed) else "damaged"
    return "not closed"


def flip(path: Path, bit: int) -> None:
    """Flip a bit of a file."""
    with path.open("r+b", buffering=0) as file:
        (byte,) = os.pread(file.fileno(), 1, bit >> 3)
        os.pwrite(file.fileno(), bytes([byte ^ 1 << (bit & 7)]), bit >> 3)
