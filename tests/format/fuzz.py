"""Stores with wrong bytes and right checksums: whatever they hold, what is done with them ends in a result or an error.

A case is a number: it chooses one of the stores that `make_bases` makes, and what is changed in it. `run_case` opens
the store both ways, reads it, checks it and salvages it. Run as a program, `python -m tests.format.fuzz BASES FIRST
COUNT SECONDS`, it does so case after case under a limit of memory and an alarm for each, and prints each case's number
before it begins: the last one is the one that ended the process. COUNT 1 repeats a case.
"""

import contextlib
import faulthandler
import itertools
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import oxidbm
from oxidbm.codecs import RAW
from tests.collisions import colliding_key
from tests.format.codec import (
    COMMIT,
    COMMIT_FIELDS,
    HAS_EXPIRY,
    HAS_TAG,
    PAGE_RUN,
    Image,
    Record,
    of_words,
    read_image,
    words,
)
from tests.format.stores import SEED, make_directory, make_paged, make_tiny, open_store
from tests.inside import log_of

ADDRESS_SPACE: Final = 3 << 30
CASE_SECONDS: Final = 30
TERABYTE: Final = 1 << 40
EDGES: Final = (0, 1, 2, 7, 8, 63, 64, 4095, 4096, 65535, 1 << 31, (1 << 32) - 1, 1 << 47, (1 << 48) - 8, 1 << 62)

Values = dict[bytes, set[bytes]]


def make_mixed(path: Path) -> None:
    """Make a store of several segments with colliding keys, tombstones, expiry, sessions and a begin that has moved."""
    make_directory(path)
    collided = [colliding_key(SEED, 1, number) for number in range(6)]
    store = open_store(path)
    for turn in range(3):
        for number in range(30):
            store[b"%d" % number] = b"%d" % turn * (number + 1)
        for key in collided[turn:]:
            store[key] = key
        store.set(b"expiring", b"soon", expire=1000 + turn)
        store.set(b"tagged", b"with one", tag="a tag")
        store.set(b"tagged and expiring", b"with both", expire=1000 + turn, tag=turn)
        with store.session(f"session {turn}") as session:
            session.upsert(b"by session", b"%d" % turn)
            session.delete(b"%d" % turn)
        log_of(store).device.roll()
    store[b"run"] = b"r" * 9000
    del store[collided[3]]
    store.sync()
    if len(list((path / "log").iterdir())) > 1:
        store.reorganize()
    for number in range(100):
        store[b"late %d" % number] = b"x" * number
        if number % 40 == 39:
            store.sync()
            log_of(store).device.roll()
    store.close()


def make_uncommitted(path: Path) -> None:
    """Make a store as a killed process leaves it, with records behind the last commit."""
    make_directory(path)
    store = open_store(path)
    for number in range(50):
        store[b"%d" % number] = b"%d" % number * 20
        if number % 10 == 0:
            store.sync()
    store.close()
    image = read_image(path)
    image.mark = None
    last = image.segments[0]
    for number in range(3):
        last += Record(len(last), b"behind %d" % number, b"1").encode(image.checksum_key)
    shutil.rmtree(path)
    image.write(path)


def make_beyond_memory(path: Path) -> None:
    """Make a store that is larger than its memory, with keys that were written over records on disk without a look."""
    make_directory(path)
    store = open_store(path)
    for turn in range(2):
        for number in range(40):
            store[b"small %d" % number] = b"%d" % turn * number
        for number in range(60):
            store[b"large %d" % number] = b"%d" % number * 10_000
        store[colliding_key(SEED, 1, turn)] = b"%d" % turn
    for number in range(20):
        store[b"small %d" % number] = b"blind"
    store.close()


MAKERS: Final[dict[str, Callable[[Path], object]]] = {
    "tiny": make_tiny,
    "paged": make_paged,
    "mixed": make_mixed,
    "uncommitted": make_uncommitted,
    "beyond memory": make_beyond_memory,
}


def make_bases(path: Path) -> None:
    """Make the stores that the cases begin with."""
    for name, make in MAKERS.items():
        make(path / name)


def values_of(image: Image) -> Values:
    """Return every value that a record of the image gives each key."""
    found: Values = {}
    for _, _, record in image.records():
        if not record.flags & COMMIT and not record.tombstone:
            found.setdefault(record.key, set()).add(record.value)
    return found


def some_number(chance: random.Random, near: int = 0) -> int:
    """Return a number at the edge of something, near another one, or any."""
    edge = chance.choice((*EDGES, near, chance.getrandbits(48) & ~7))
    return chance.choice((edge, edge, -edge, near + chance.choice((-8, -1, 1, 8)), (1 << 63) - 1, -(1 << 63)))


def some_record(chance: random.Random, image: Image, commit: bool | None = None) -> tuple[int, int, Record] | None:
    """Return one of the image's records, or of its commit records; None where there is none."""
    found = [entry for entry in image.records() if commit is None or bool(entry[2].flags & COMMIT) == commit]
    return chance.choice(found) if found else None


def change_field(chance: random.Random, image: Image) -> None:
    """Change a field of a record."""
    entry = some_record(chance, image)
    if entry is None:
        return
    page, offset, record = entry
    others = [other.address for _, _, other in image.records()]
    fields: dict[str, object] = {
        "previous": chance.choice((*others, record.address, some_number(chance, record.address))),
        "version": chance.choice((0, 1, 2, 0x1FFF)),
        "tombstone": not record.tombstone,
        "invalid": True,
        "unverified": not record.unverified,
        "flags": record.flags ^ chance.choice((HAS_EXPIRY, HAS_TAG, PAGE_RUN, COMMIT, 8, 1 << 15)),
        "expiry": some_number(chance) & (1 << 62) - 1,
        "tag": some_number(chance) & (1 << 62) - 1,
        "key_length": some_number(chance, len(record.key)) & 0xFFFF,
        "value_length": some_number(chance, len(record.value)) & 0xFFFFFFFF,
        "capacity": some_number(chance, record.size() // 8) & 0xFFFFFFFF,
    }
    name = chance.choice(list(fields))
    if name == "expiry" and not record.flags & HAS_EXPIRY:
        name = "previous"
    if name == "tag" and not record.flags & HAS_TAG:
        name = "previous"
    image.put(page, offset, record.with_fields(**{name: fields[name]}))


def change_content(chance: random.Random, image: Image) -> None:
    """Give a record another's key, or other bytes of the same length."""
    entry = some_record(chance, image, commit=False)
    other = some_record(chance, image)
    if entry is None or other is None:
        return
    page, offset, record = entry
    key = other[2].key if len(other[2].key) == len(record.key) else chance.randbytes(len(record.key))
    image.put(page, offset, record.with_fields(key=key, value=chance.randbytes(len(record.value))))


def change_commit(chance: random.Random, image: Image) -> None:
    """Change words of a commit record, or how many it has."""
    entry = some_record(chance, image, commit=True)
    if entry is None:
        return
    page, offset, record = entry
    numbers = words(record.value)
    if not numbers:
        return
    for _ in range(chance.choice((1, 1, 2))):
        at = chance.randrange(len(numbers)) if chance.random() < 0.5 else chance.randrange(len(COMMIT_FIELDS))
        numbers[at % len(numbers)] = some_number(chance, numbers[at % len(numbers)])
    changed = record.with_fields(value=of_words(numbers))
    if chance.random() < 0.2:
        changed.value_length = chance.choice((0, 8, 64, len(record.value) - 1, len(record.value) - 8))
    image.put(page, offset, changed)


def move_record(chance: random.Random, image: Image) -> None:
    """Write a record over another one's place, sealed for there."""
    entry, other = some_record(chance, image), some_record(chance, image)
    if entry is None or other is None:
        return
    page, offset, record = other
    if offset + entry[2].size() <= len(image.segments[page]):
        image.put(page, offset, entry[2].with_fields(address=record.address))


def append_record(chance: random.Random, image: Image) -> None:
    """Append a record behind all, often one that claims to be a commit."""
    if not image.segments:
        return
    page = max(image.segments)
    data = image.segments[page]
    data += bytes(-len(data) % 8)
    address = (page << image.page_bits) + len(data)
    entry = some_record(chance, image, commit=chance.random() < 0.6)
    record = (entry[2] if entry is not None else Record(0, b"k", b"v")).with_fields(address=address)
    if record.flags & COMMIT and len(record.value) >= 8 * len(COMMIT_FIELDS):
        numbers = words(record.value)
        numbers[0] += chance.choice((1, 1, 2, -1))
        numbers[1] = chance.choice((numbers[1], numbers[0], numbers[0] + 5))
        numbers[5] = chance.choice((0, 0, numbers[5]))
        commits = [other.address for _, _, other in image.records() if other.flags & COMMIT]
        record = record.with_fields(value=of_words(numbers), previous=chance.choice(commits))
    data += record.encode(image.checksum_key)
    if image.mark is not None and chance.random() < 0.5:
        image.mark = ((page << image.page_bits) + len(data), image.mark[1] + 1, image.mark[2])


def change_superblock(chance: random.Random, image: Image) -> None:
    """Change a field of the superblock."""
    match chance.randrange(4):
        case 0:
            image.page_bits = chance.choice((0, 11, 12, 13, 22, 26, 27, 62, 63, 1 << 40))
        case 1:
            image.seed = chance.getrandbits(64)
        case 2:
            image.key_codec = chance.choice((b"", b"\xff", b"int", b"nobody's", b"*", b"x" * 255))
        case _:
            image.format_version = chance.choice((0, 1, 3, 1 << 63))


def change_mark(chance: random.Random, image: Image) -> None:
    """Change a number of the mark of a clean end, or take it away."""
    if image.mark is None or chance.random() < 0.2:
        image.mark = None
        return
    numbers = list(image.mark)
    at = chance.randrange(3)
    numbers[at] = some_number(chance, numbers[at])
    image.mark = (numbers[0], numbers[1], numbers[2])


SEALED: Final = (
    change_field,
    change_field,
    change_content,
    change_commit,
    change_commit,
    move_record,
    append_record,
    change_superblock,
    change_mark,
)


def some_file(chance: random.Random, path: Path) -> Path | None:
    """Return one of a store's files, None where there is none any more."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size < TERABYTE)
    return chance.choice(files) if files else None


def damage_bytes(chance: random.Random, path: Path) -> None:
    """Flip bits, write zeros or noise, cut a file, or make it longer."""
    file = some_file(chance, path)
    if file is None:
        return
    data = bytearray(file.read_bytes())
    at = chance.randrange(len(data) + 1)
    match chance.randrange(5):
        case 0:
            for _ in range(chance.choice((1, 1, 3, 20))):
                if data:
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case 1:
            stop = min(len(data), at + chance.choice((1, 8, 100, 5000)))
            data[at:stop] = bytes(stop - at)
        case 2:
            stop = min(len(data), at + chance.choice((1, 8, 100, 5000)))
            data[at:stop] = chance.randbytes(stop - at)
        case 3:
            del data[at:]
        case _:
            data += chance.choice((bytes(8), bytes(10_000), chance.randbytes(100)))
    file.write_bytes(data)


def damage_names(chance: random.Random, path: Path) -> None:
    """Delete, rename or swap files, or put something else into the place of one."""
    file, other = some_file(chance, path), some_file(chance, path)
    if file is None or other is None:
        return
    match chance.randrange(6):
        case 0:
            file.unlink()
        case 1:
            name = chance.choice(("0000000001.seg", "9999999999.seg", "copy.seg", "-1.seg", "1.seg", "x" * 30 + ".seg"))
            file.rename(file.with_name(name))
        case 2:
            one, two = file.read_bytes(), other.read_bytes()
            file.write_bytes(two)
            other.write_bytes(one)
        case 3:
            file.unlink()
            os.mkfifo(file)
        case 4:
            file.unlink()
            file.symlink_to(chance.choice((other.name, "nowhere", file.name)))
        case _:
            file.unlink()
            file.mkdir()


def damage_holes(chance: random.Random, path: Path) -> None:
    """Make a file a terabyte long, with or without bytes at its end."""
    file = some_file(chance, path)
    if file is not None:
        os.truncate(file, TERABYTE)
        if chance.random() < 0.5:
            with file.open("r+b") as opened:
                opened.seek(-chance.choice((1, 8, 4096)), os.SEEK_END)
                opened.write(b"\xff")


def make_case(number: int, bases: Path, path: Path) -> Values | None:
    """Make the store of a case; return which values each key may have, None where any: checksums were put right."""
    chance = random.Random(number)
    base = bases / chance.choice(list(MAKERS))
    kind = chance.random()
    if kind < 0.6:
        image = read_image(base)
        changes = [chance.choice(SEALED) for _ in range(chance.choice((1, 1, 2, 3)))]
        for change in sorted(changes, key=SEALED.index):  # the superblock last: all others go by what it says
            change(chance, image)
        if chance.random() < 0.3:
            image.mark = None
        with contextlib.suppress(ValueError):  # a name that does not fit its length
            image.write(path)
    else:
        shutil.copytree(base, path)
        for _ in range(chance.choice((1, 1, 2, 4))):
            (damage_holes if chance.random() < 0.05 else damage_bytes if chance.random() < 0.6 else damage_names)(
                chance, path
            )
    return values_of(read_image(base)) if kind >= 0.6 else None


def state_of(path: Path) -> list[tuple[str, int, int, int]]:
    """Return what would show that a file of a store was written to."""
    found = []
    for file in sorted(path.rglob("*")):
        status = file.lstat()
        found.append((str(file), status.st_mode, status.st_size, status.st_mtime_ns))
    return found


def read_all(store: Any, allowed: Values | None) -> None:
    """Read a store in every way; where its own check finds nothing, each way must say the same."""
    faults = store.check()
    try:
        items = list(store.items())
        found = {key: store.get(key) for key, _ in items}
        count = len(store)
        assert faults or (dict(items) == found and len(items) == len(found)), "check() passes what reads differently"
        assert faults or count >= len(items), "check() passes a count that is too small"
        for key, value in items:
            assert allowed is None or value in allowed.get(key, ()), f"{key!r} has a value that it never had"
    except oxidbm.error:
        assert faults, "check() finds no fault in a store that cannot be read"
    list_scan(store)
    store.stats()


def list_scan(store: Any) -> None:
    """Go through the log, old records included."""
    with contextlib.suppress(oxidbm.error):
        for _ in store.scan(live=False):
            pass


@contextlib.contextmanager
def opened(path: Path, *, read_only: bool, mapped: bool) -> Iterator[Any]:
    """Open the store of a case, None where it does not open."""
    options: Any = {"durability": "manual", "compaction": False, "create": False, "key": RAW, "value": RAW}
    options |= {"read_only": read_only, "mapped": mapped}
    store: Any
    try:
        try:
            store = oxidbm.Store(path, memory="1MiB", **options)
        except ValueError:  # for the pages that its superblock says
            store = oxidbm.Store(path, memory="256MiB", **options)
    except oxidbm.error:
        yield None
        return
    try:
        yield store
    finally:
        with contextlib.suppress(oxidbm.error):
            store.close()


def run_case(number: int, bases: Path, room: Path) -> None:
    """Do with one case all that is done with stores."""
    path = room / "store"
    allowed = make_case(number, bases, path)
    mapped = number % 2 == 0
    before = state_of(path)
    with contextlib.suppress(oxidbm.error):
        faults = oxidbm.check(path)
        assert isinstance(faults, list)
    try:
        report = oxidbm.salvage(path, room / "saved", memory="16MiB")
    except oxidbm.error:
        assert os.listdir(room) == ["store"], "a salvage that failed has left something behind"
    else:
        with oxidbm.Store(room / "saved", read_only=True, key=RAW, value=RAW) as saved:
            assert saved.check() == []
            assert len(saved) == report.keys
            for key, value in saved.items():
                assert allowed is None or value in allowed.get(key, ()), f"{key!r} was given a value that it never had"
    with opened(path, read_only=True, mapped=mapped) as store:
        if store is not None:
            read_all(store, allowed)
    assert state_of(path) == before, "what only reads has changed a file"
    with opened(path, read_only=False, mapped=mapped) as store:
        if store is not None:
            read_all(store, allowed)
            with contextlib.suppress(oxidbm.error):
                for key in list(itertools.islice(store, 20)):
                    store[key] = b"new"
                    del store[key]
                store[b"absent"] = b"1"
                store.sync()


def main(bases: Path, first: int, count: int, seconds: float) -> int:
    """Run cases until they are done or the time is over; return 1 after one that raised what is no error of a store."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    end = time.monotonic() + seconds
    for number in range(first, first + count):
        if time.monotonic() > end:
            break
        print(number, flush=True)
        faulthandler.dump_traceback_later(CASE_SECONDS, exit=True)
        room = Path(tempfile.mkdtemp(prefix="case", dir=bases.parent))
        try:
            run_case(number, bases, room)
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            shutil.rmtree(room)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
