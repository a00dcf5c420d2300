"""What a pass over the log leaves of its files in the system's memory: what was there before it, and no more."""

import ctypes
import mmap
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Log
from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.device import residence
from oxidbm._core.device.device import Device
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.passing import AHEAD_BYTES, PASS_BYTES_MIN, WINDOW_BYTES, Passing, passing_over
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.device.spare_memory import SHARE, spare_memory
from oxidbm._core.durability.replay import Replay
from oxidbm._core.log.cursor import Cursor
from oxidbm.testing import CrashDevice
from tests.faster_log.helpers import push_to_disk as push_log_to_disk
from tests.inside import hybrid_log_of, log_of, table_of
from tests.support import scaled
from tests.unit.helpers import PAGE_BITS, disk_store, push_to_disk

PAGE = mmap.PAGESIZE
TRIES = 5  # a system that is busy with a page does not forget it
COUNT = scaled(8000)  # values, of about a page each
Pages = set[tuple[str, int]]


def in_memory(directory: Path) -> Pages:
    """Return which pages of the files in a directory are in memory, as mincore says of a map. It brings none there."""
    library = ctypes.CDLL(None)
    found: Pages = set()
    for file in directory.iterdir():
        size = file.stat().st_size
        states = ctypes.create_string_buffer(size // PAGE + 1)
        with file.open("r+b") as opened, mmap.mmap(opened.fileno(), size) as view:
            first = ctypes.c_char.from_buffer(view)
            assert library.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(size), states) == 0
            del first
        found.update((file.name, number * PAGE) for number, state in enumerate(states.raw) if state & 1)
    return found


def forget_files(directory: Path) -> None:
    """Have nothing of the files in a directory in memory."""
    for file in directory.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def touch_some(directory: Path) -> Pages:
    """Have every tenth page of the files in a directory in memory, by chance, and a piece of 1 MiB; return what is."""
    chance = random.Random(9)
    for file in directory.iterdir():
        size = file.stat().st_size
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # nothing is read ahead
            for at in range(0, size, PAGE):
                if chance.random() < 0.1 or size // 2 <= at < size // 2 + min(1 << 20, size // 8):
                    os.pread(opened.fileno(), 1, at)
    return in_memory(directory)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place whose file system keeps files on a disk, and says what of them is in memory."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux is asked what of a file is in memory")
    probe = tmp_path / "probe"
    probe.mkdir()
    (probe / "file").write_bytes(bytes(4 * PAGE))
    with (probe / "file").open("rb") as opened:
        if residence.missing(opened.fileno(), 0, 4 * PAGE) or not residence.MAP_CALLS.found():
            pytest.skip("this system does not tell what of a file is in memory")
    forget_files(probe)
    if in_memory(probe):
        pytest.skip("this file system keeps its files in memory")
    return tmp_path / "place"


def left_by(work: Callable[[], object], files: Path, most: int) -> int:
    """Return how many pages of files work leaves in memory beside those that were there, which stay: `most`, or more.

    It is done again where it is more.
    """
    for _ in range(TRIES):
        forget_files(files)
        before = touch_some(files)
        work()
        after = in_memory(files)
        assert before <= after
        left = len(after - before)
        if left <= most:
            break
    return left


def pages_of(files: Path) -> int:
    """Return how many pages the files in a directory have."""
    return sum(file.stat().st_size for file in files.iterdir()) // PAGE


def device_of(device: Device, limit: int) -> FileDevice:
    """Return a device, a pass over more than `limit` bytes of which leaves nothing in memory."""
    assert isinstance(device, FileDevice)
    device.pass_bytes = limit
    return device


def fill(store: oxidbm.Store) -> None:
    """Store values, and have them all on disk, in several files."""
    for number in range(COUNT):
        store[b"%d" % number] = b"%d." % number * (PAGE // 8)
        if number % (COUNT // 3) == 0:
            log_of(store).device.roll()
    push_to_disk(store)


def compact(store: oxidbm.Store) -> None:
    """Pass over all that is there, as a compaction does, without the part that deletes files."""
    log = log_of(store)
    cursor = Cursor(log, log.begin, log.tail)
    while cursor.step():
        pass


PASSES: dict[str, Callable[[oxidbm.Store], object]] = {
    "items": lambda store: [None for _ in store.items()],
    "scan": lambda store: [None for _ in store.scan()],
    "cursor": compact,
}


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_leaves_in_memory_what_was_there(path: Path, name: str) -> None:
    """Of files that the store reads and writes, with pages that others want here and there."""
    with disk_store(path) as store:
        fill(store)
        device_of(log_of(store).device, 0)
        files = path / "log"
        forget_files(files)
        assert pages_of(files) // 20 < len(touch_some(files)) < pages_of(files) // 3
        most = pages_of(files) // 20
        assert left_by(lambda: PASSES[name](store), files, most) <= most
        device_of(log_of(store).device, ADDRESS_MAX)
        PASSES[name](store)
        assert len(in_memory(files)) > pages_of(files) * 9 // 10


def test_the_entries_of_a_log(path: Path) -> None:
    """Also with one that is larger than what is looked at ahead; and a scan goes on behind what is there already."""
    with Log(path, memory="100MiB", page_size=4096) as log:
        entries = [b"%d" % number * PAGE for number in range(COUNT // 8)]
        entries.append(bytes(scaled(AHEAD_BYTES + WINDOW_BYTES)))
        log.append_many([*entries, *entries[:100]])
        push_log_to_disk(log)
        device_of(hybrid_log_of(log).device, 0)
        files = path / "log"
        wanted = [*entries, *entries[:100]]
        read: list[bytes] = []

        def read_all() -> None:
            read[:] = [data for _, data in log]

        most = pages_of(files) // 20
        assert left_by(read_all, files, most) <= most
        assert read == wanted
        assert [data for _, data in log.follow(timeout=0)] == wanted
        log.append(b"more")
        log.commit()
        assert next(iter(log.last(1)))[1] == b"more"


def test_a_replay_leaves_what_it_reads(path: Path) -> None:
    """Whoever opens a store reads what it has."""
    with disk_store(path) as store:
        fill(store)
        device_of(log_of(store).device, 0)
        forget_files(path / "log")
        replay = Replay(table_of(store), log_of(store).tail)
        while replay.cursor.step():
            pass
        assert len(in_memory(path / "log")) > pages_of(path / "log") * 9 // 10


def test_where_the_system_does_not_tell(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given back, and all is read."""
    monkeypatch.setattr(residence.MAP_CALLS, "library", None)
    monkeypatch.setattr(residence.MAP_CALLS, "asked", True)
    with disk_store(path) as store:
        fill(store)
        device_of(log_of(store).device, 0)
        forget_files(path / "log")
        assert sum(1 for _ in store.items()) == COUNT
        assert len(in_memory(path / "log")) > COUNT * 8 // 10


def made_device(path: Path, files: int) -> FileDevice:
    """Return a device with so many files of a window and a page each."""
    path.mkdir()
    device = FileDevice(Directory(str(path)), PAGE_BITS)
    for number in range(files):
        device.roll()
        device.write(number * (WINDOW_BYTES + PAGE), memoryview(bytes(WINDOW_BYTES + PAGE)))
    device.sync()
    return device


def test_windows_end_with_their_files(path: Path) -> None:
    """No stretch is over the end of one, or of a file; and what is gone meanwhile is not given back."""
    device = made_device(path, 3)
    forget_files(path)
    passing = Passing(device, device.end())
    passing.before(100, 10)
    file = WINDOW_BYTES + PAGE
    expected = []
    for start in range(0, 3 * file, file):
        expected += [(start, start + WINDOW_BYTES), (start + WINDOW_BYTES, start + file)]
    assert passing.brought == expected
    for at in range(0, 3 * file, PAGE):
        device.read(at, PAGE)
    passing.before(WINDOW_BYTES, 10)
    assert passing.brought == expected[1:]
    assert len(in_memory(path)) < 3 * file // PAGE
    device.truncate_before(2 * file)
    passing.end()
    assert passing.brought == []
    assert len(in_memory(path)) < file // PAGE
    passing = Passing(device, device.end() + PAGE)
    passing.before(device.end(), PAGE)
    passing.before(0, PAGE)
    assert passing.brought == []
    device.close()


def test_which_passes_give_back(tmp_path: Path) -> None:
    """Those over more than half of the memory that is free or holds files, or than what is free; never short ones."""
    device = FileDevice(Directory(str(tmp_path)), PAGE_BITS)
    spare = spare_memory()
    assert spare > 0
    if spare < ADDRESS_MAX:
        assert passing_over(device, 0, 16 * SHARE * spare) is not None
    assert passing_over(device, 0, PASS_BYTES_MIN) is None
    assert passing_over(device, 1 << 40, (1 << 40) + PASS_BYTES_MIN) is None
    device.pass_bytes = 5
    assert passing_over(device, 0, 5) is None
    assert passing_over(device, 0, 6) is not None
    device.close()


MIB = 1 << 20
MACHINE = {"proc/meminfo": "MemTotal:  2048576 kB\nMemFree:   2048 kB\nMemAvailable: 1048576 kB\nHugePages_Total: 0\n"}
FREE = {"proc/meminfo": f"MemTotal: {1 << 20} kB\nMemFree: {900 << 10} kB\nMemAvailable: {1000 << 10} kB\n"}
STATISTICS = f"anon 5\ninactive_file {20 * MIB}\nactive_file {6 * MIB}\ntotal_inactive_file 7\n"
VERSION_1 = {
    "proc/self/cgroup": "9:name=systemd:/a\n4:cpu,memory:/a/b\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n",
    "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": f"{64 * MIB}\n",
    "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": f"{60 * MIB}\n",
    "sys/fs/cgroup/memory/a/b/memory.stat": STATISTICS,
}
VERSION_2 = {
    "proc/self/cgroup": "0::/a/b\n",
    "sys/fs/cgroup/a/b/memory.max": "max\n",
    "sys/fs/cgroup/a/b/memory.current": "1000\n",
    "sys/fs/cgroup/a/memory.max": f"{100 * MIB}\n",
    "sys/fs/cgroup/a/memory.current": f"{90 * MIB}\n",
    "sys/fs/cgroup/a/memory.stat": STATISTICS,
}
ROOMY = VERSION_2 | {"sys/fs/cgroup/a/memory.current": f"{10 * MIB}\n", "sys/fs/cgroup/a/memory.stat": ""}
CASES: dict[str, tuple[dict[str, str], int]] = {
    "nothing is said": ({}, ADDRESS_MAX),
    "a machine": (MACHINE, 1024 * MIB // SHARE),
    "a machine with much that is free": (FREE, 900 * MIB),
    "a group of version 1": (FREE | VERSION_1, 30 * MIB // SHARE),
    "a group above, of version 2": (FREE | VERSION_2, 36 * MIB // SHARE),
    "a group with much that is free": (FREE | ROOMY, 90 * MIB),
    "what cannot be understood": (MACHINE | {"proc/self/cgroup": "what\n0::/x\n::\n"}, 1024 * MIB // SHARE),
}


@pytest.mark.parametrize("name", CASES)
def test_what_memory_there_is_to_spare(tmp_path: Path, name: str) -> None:
    files, expected = CASES[name]
    for place, text in files.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    assert spare_memory(f"{tmp_path}/") == expected


def test_a_device_of_ones_own_is_read_as_ever(tmp_path: Path) -> None:
    device = CrashDevice(4096)
    with oxidbm.Store(tmp_path / "store", device=device, memory="1MiB", page_size=4096) as store:
        for number in range(COUNT // 4):
            store[b"%d" % number] = bytes(PAGE)
        push_to_disk(store)
        log = log_of(store)
        cursor = Cursor(log, log.begin, log.tail)
        assert cursor.step()
        assert cursor.passing is None
        assert sum(1 for _ in store.items()) == COUNT // 4


def numbers(cursor: Cursor) -> Iterator[Any]:
    """Yield the addresses of what a cursor steps over."""
    while cursor.step():
        yield int(cursor.address)


def test_a_range_that_is_made_longer_on_the_way(path: Path) -> None:
    with disk_store(path) as store:
        fill(store)
        log = log_of(store)
        device_of(log.device, 0)
        every = list(numbers(Cursor(log, log.begin, log.tail)))
        half = every[len(every) // 2]
        cursor = Cursor(log, log.begin, half)
        forget_files(path / "log")
        found = list(numbers(cursor))
        assert cursor.passing is None
        cursor.go_on_to(half + 1)
        found += list(numbers(cursor))
        cursor.go_on_to(log.tail)
        assert cursor.step()
        found.append(int(cursor.address))
        assert cursor.passing is not None
        cursor.go_on_to(log.tail)
        assert found + list(numbers(cursor)) == every
        assert len(in_memory(path / "log")) < pages_of(path / "log") // 2
