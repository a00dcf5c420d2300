"""Logs with any damage, case after case: whatever their files hold, a result or an error of ours comes of it.

A case is a number: it chooses one of the logs of tests/format/logs.py, and what is changed in it: bytes, names, holes
of a terabyte, and words of records whose checksums are put right. `run_case` opens it both ways and reads all of it.
"""

import contextlib
import random
import shutil
import struct
from pathlib import Path

import oxidbm
from oxidbm._core.hashing import checksum_bytes
from tests.format.fuzz import damage_bytes, damage_holes, damage_names, some_number, state_of
from tests.format.logs import MAKERS, Entries, check_reader, open_log
from tests.format.stores import PAGE_BYTES, STORE_ID, edit, record_size, resum, words_of

KEY = int.from_bytes(STORE_ID[:4], "little")
MASK = 0xFFFFFFFFFFFFFFFF


def make_bases(path: Path) -> dict[str, Entries]:
    """Make the logs that the cases begin with; return what was appended to each."""
    path.mkdir()
    return {name: make(path / name) for name, make in MAKERS.items()}


def change_words(chance: random.Random, path: Path) -> None:
    """Change a word of a record in some page of a segment and give it the checksum that it should have then."""
    files = sorted((path / "log").glob("*.seg"))
    file = chance.choice(files)
    start = int(file.stem) * PAGE_BYTES

    def change(data: bytearray) -> None:
        offset = chance.randrange(min(len(data), 40_000)) // PAGE_BYTES * PAGE_BYTES or (64 if start == 0 else 0)
        for _ in range(chance.randrange(40)):
            if words_of(data, offset)[0]:
                offset += min(record_size(data, offset), len(data) - offset - PAGE_BYTES)
        size = record_size(data, offset)
        word = offset + 8 * chance.randrange(min(12, max(3, size // 8)))
        (old,) = struct.unpack_from("<Q", data, word)
        new = chance.choice((some_number(chance, old) & MASK, old ^ 1 << chance.randrange(64)))
        struct.pack_into("<Q", data, word, new)
        stop = offset + record_size(data, offset)
        if stop <= len(data):
            (seal,) = struct.unpack_from("<q", data, offset + 16)
            seal = seal >> 32 << 32
            checksum = checksum_bytes(bytes(data), offset, seal, stop, start + offset, KEY)
            struct.pack_into("<I", data, offset + 16, checksum)

    with contextlib.suppress(ValueError, struct.error):  # no record is there
        edit(file, change)


def change_mark(chance: random.Random, path: Path) -> None:
    """Change a number of the mark of a clean end, or of the superblock."""

    def change(data: bytearray) -> None:
        offset = chance.choice((24, 32, 40))
        (old,) = struct.unpack_from("<Q", data, offset)
        struct.pack_into("<Q", data, offset, some_number(chance, old) & MASK)
        resum(data)

    with contextlib.suppress(FileNotFoundError):
        edit(path / chance.choice(("CLEAN", "CLEAN", "STORE")), change)


def make_case(number: int, bases: Path, path: Path) -> tuple[str, bool]:
    """Make the log of a case; return which one it was, and whether checksums were put right."""
    chance = random.Random(number)
    name = chance.choice(list(MAKERS))
    shutil.copytree(bases / name, path)
    sealed = chance.random() < 0.5
    if chance.random() < 0.3:
        (path / "CLEAN").unlink(missing_ok=True)
    for _ in range(chance.choice((1, 1, 2, 3))):
        if sealed:
            (change_words if chance.random() < 0.85 else change_mark)(chance, path)
        else:
            (damage_holes if chance.random() < 0.1 else damage_bytes if chance.random() < 0.6 else damage_names)(
                chance, path
            )
    return name, sealed


def run_case(number: int, bases: Path, room: Path, appended: dict[str, Entries]) -> bool:
    """Do with one case all that is done with logs; return whether it could be opened."""
    path = room / "log"
    name, sealed = make_case(number, bases, path)
    allowed = None if sealed else appended[name]
    before = state_of(path)
    opened = False
    for read_only in (True, False):
        try:
            log = open_log(path, read_only=read_only, memory="256MiB")
        except oxidbm.error:
            continue
        opened = True
        with contextlib.suppress(oxidbm.error), log:
            check_reader(log, allowed)
            if read_only:
                assert state_of(path) == before, "what only reads has changed a file"
            else:
                address = log.append(b"more")
                log.commit(b"and a cookie")
                assert log.read(address) == b"more"
                log.truncate(address)
    return opened
