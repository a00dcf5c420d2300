"""When small records are read through a map: while all is in memory, and not before that is known."""

import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest

from oxidbm._core.device import residence
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.residence import BROUGHT_MAX, LOOK_EVERY, REST_READS, ROW_TOLD, ROW_UNTOLD, Residence
from oxidbm._core.device.segments import FileDevice
from tests.unit.helpers import disk_store, push_to_disk

DATA = b"0123456789abcdef" * 64
TELLS = pytest.mark.skipif(not residence.NO_WAIT, reason="the system does not tell what is in memory")


class Faults:
    """Stands for the module resource; says how many faults there were."""

    RUSAGE_SELF = 0

    def __init__(self) -> None:
        self.ru_majflt = 7

    def getrusage(self, who: int) -> "Faults":
        return self


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """The faults of the process, which come when a test wants."""
    counted = Faults()
    monkeypatch.setattr(residence.resource, "getrusage", counted.getrusage)
    return counted


def there(descriptor: int, buffers: list[bytearray], offset: int, _flags: int) -> int:
    """Stand for preadv on a file system that tells what is in memory, and has all of it there."""
    data = os.pread(descriptor, len(buffers[0]), offset)
    buffers[0][: len(data)] = data
    return len(data)


@pytest.fixture(autouse=True)
def all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every file in memory, on whatever file system the tests are run."""
    monkeypatch.setattr(os, "preadv", there, raising=False)


@pytest.fixture
def descriptor(tmp_path: Path) -> Any:
    """A file that is in memory."""
    path = tmp_path / "file"
    path.write_bytes(DATA)
    found = os.open(path, os.O_RDONLY)
    yield found
    os.close(found)


def read_in_a_row(held: Residence, descriptor: int, count: int) -> None:
    """Read that often, each time after it was asked whether a map may be used."""
    for number in range(count):
        assert not held.may_map()
        assert held.read(descriptor, 16, number) == DATA[number : number + 16]


@TELLS
def test_maps_are_used_after_a_row_and_until_a_fault(descriptor: int, faults: Faults) -> None:
    held = Residence(False)
    read_in_a_row(held, descriptor, ROW_TOLD)
    for _ in range(3 * LOOK_EVERY):
        assert held.may_map()
    faults.ru_majflt += 1
    assert [held.may_map() for _ in range(LOOK_EVERY)].count(True) < LOOK_EVERY, "a look comes within so many"
    read_in_a_row(held, descriptor, ROW_TOLD)
    assert held.may_map(), "a fault from before does not count"


@TELLS
def test_a_miss_begins_the_row_anew(descriptor: int, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Residence(False)
    read_in_a_row(held, descriptor, ROW_TOLD - 1)

    def missing(*_arguments: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", missing)
        read_in_a_row(held, descriptor, 1)
    read_in_a_row(held, descriptor, REST_READS)
    read_in_a_row(held, descriptor, ROW_TOLD)
    assert held.may_map()


@TELLS
def test_a_piece_that_is_there_in_part_is_read_whole(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def a_part(_descriptor: int, buffers: list[bytearray], _offset: int, _flags: int) -> int:
        buffers[0][:3] = b"???"
        return 3

    monkeypatch.setattr(os, "preadv", a_part)
    held = Residence(False)
    read_in_a_row(held, descriptor, 3 * ROW_TOLD)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.EIO])
def test_a_file_system_that_does_not_tell(
    descriptor: int, faults: Faults, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """There it takes more reads; whether one of them waited nobody says."""

    def refused(*_arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "preadv", refused, raising=False)
    held = Residence(False)
    reads = 0
    while not held.may_map():
        assert held.read(descriptor, 16, reads % 100) == DATA[reads % 100 : reads % 100 + 16]
        reads += 1
    assert reads > ROW_UNTOLD
    faults.ru_majflt += 1
    assert not all(held.may_map() for _ in range(LOOK_EVERY))


@TELLS
def test_that_what_was_told_is_there_says_nothing(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads of many cold keys, of which the system was told, would go over to the maps, and wait for a page each."""
    held = Residence(False)

    def missing(*_arguments: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(os, "preadv", missing)
            assert all(held.bring(descriptor, 16, number) for number in range(2 * ROW_TOLD))
        read_in_a_row(held, descriptor, 2 * ROW_TOLD)


@TELLS
def test_that_nothing_has_to_be_told_is_found_out(descriptor: int, faults: Faults) -> None:
    held = Residence(False)
    told = 0
    while held.bring(descriptor, 16, told):
        assert held.read(descriptor, 16, told) == DATA[told : told + 16]
        told += 1
        assert told <= (REST_READS + 1) * ROW_TOLD
    assert held.may_map()


@TELLS
def test_what_was_told_and_never_read_is_forgotten(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Residence(False)
    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", lambda *_arguments: 0)
        for _ in range(10 * BROUGHT_MAX):
            held.bring(descriptor, 16, 0)
    read_in_a_row(held, descriptor, BROUGHT_MAX + ROW_TOLD)
    assert held.may_map()


def test_the_end_of_a_file(descriptor: int) -> None:
    held = Residence(False)
    assert held.read(descriptor, 32, len(DATA) - 16) == DATA[-16:]
    assert held.read(descriptor, 32, len(DATA)) == b""


@pytest.mark.parametrize(("mapped", "maps"), [(None, [False, True]), (True, [True, True]), (False, [False, False])])
@TELLS
def test_when_a_device_maps(tmp_path: Path, mapped: bool | None, maps: list[bool]) -> None:
    """By itself not before it has read often enough."""
    device = FileDevice(Directory(str(tmp_path)), 12, mapped=mapped)
    for number in range(3):
        device.roll()
        device.write(number << 12, memoryview(bytes([number]) * 4096))
    found = []
    for count in (1, ROW_TOLD):
        for _ in range(count):
            assert device.read(4096 + 8, 100) == bytes([1]) * 100
        found.append(device.segments[1].map is not None)
    assert found == maps
    device.close()


@pytest.mark.parametrize("seed", range(3))
def test_reads_are_right_whatever_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Chance says what the system has of the files, and when a fault is counted."""
    chance = random.Random(seed)

    def by_chance(descriptor: int, buffers: list[bytearray], offset: int, flags: int) -> int:
        if chance.random() < 0.02:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return there(descriptor, buffers, offset, flags)

    counted = Faults()
    monkeypatch.setattr(os, "preadv", by_chance, raising=False)
    monkeypatch.setattr(residence.resource, "getrusage", counted.getrusage)
    with disk_store(tmp_path / "store", page_size="4KiB") as store:
        for number in range(300):
            store[b"%d" % number] = b"%d" % number * chance.randrange(1, 60)
        model = dict(store.items())
        push_to_disk(store)
        for number in range(3000):
            if chance.random() < 0.01:
                counted.ru_majflt += 1
            key = b"%d" % (number * 7 % 300)
            assert store[key] == model[key]
