"""oxidbm.testing: sound devices pass, and each broken promise is found by a device that breaks just that one."""

from pathlib import Path
from typing import Any

import pytest

from oxidbm.device import Device, Directory, FileDevice
from oxidbm.testing import check_device

PAGE = 4096
HIGH = 1 << 20  # addresses from here on are reached by the store only


class HeapDevice(Device):
    """Keeps the log in memory, written as a user would write it; `synced` is what a crash leaves.

    A segment ends at the first write that starts a page once it holds `segment_bytes`. Each of the devices below breaks
    one thing of it.
    """

    def __init__(self, page_bytes: int, segment_bytes: int = 16384) -> None:
        self.page_bytes = page_bytes
        self.segment_bytes = segment_bytes
        self.segments: list[tuple[int, bytearray]] = []
        self.synced: list[tuple[int, bytes]] = []
        self.rolling = False

    def begin(self) -> int:
        """Return the address of the first byte held."""
        held = self.segments.copy()
        return held[0][0] if held else 0

    def end(self) -> int:
        """Return the address behind the last byte held."""
        held = self.segments.copy()
        return held[-1][0] + len(held[-1][1]) if held else 0

    def write(self, address: int, data: memoryview) -> None:
        """Put the data where it belongs; a gap before it becomes zeros."""
        if not self.segments:
            self.segments.append((address // self.page_bytes * self.page_bytes, bytearray()))
        elif address % self.page_bytes == 0:
            aim = 1 if self.rolling else self.segment_bytes
            if address - self.segments[-1][0] >= aim:
                held = self.segments[-1][1]
                held.extend(bytes(max(0, address - self.segments[-1][0] - len(held))))
                self.segments.append((address, bytearray()))
                self.rolling = False
        start, held = self.segments[-1]
        held.extend(bytes(max(0, address - start - len(held))))
        held[address - start : address - start + len(data)] = data

    def read(self, address: int, size: int) -> bytes:
        """Return bytes of one segment."""
        for start, data in reversed(self.segments.copy()):
            if start <= address:
                return bytes(data[address - start : address - start + size])
        return b""

    def sync(self) -> None:
        """Let what is there now survive a crash."""
        self.synced = [(start, bytes(data)) for start, data in self.segments.copy()]

    def truncate_before(self, address: int) -> None:
        """Drop whole segments that end at or before `address`; the last one stays."""
        passed = [start for start, _ in self.segments[1:] if start <= address]
        del self.segments[: len(passed)]

    def truncate_after(self, address: int) -> None:
        """Cut the log off at `address`, durably."""
        while self.segments and self.segments[-1][0] >= address:
            self.segments.pop()
        if self.segments:
            start, data = self.segments[-1]
            del data[address - start :]
        self.sync()

    def roll(self) -> None:
        """Begin a new segment with the next write that starts a page."""
        self.rolling = True

    def segment_end(self, address: int) -> int:
        """Return where the segment that holds `address` ends."""
        for start, _ in self.segments.copy():
            if start > address:
                return start
        return self.end()

    def place(self, address: int) -> str:
        """Return the address in words."""
        return f"heap device at offset {address - self.begin()}"

    def size(self) -> int:
        """Return the bytes held."""
        return sum([len(data) for _, data in self.segments.copy()])

    def close(self) -> None:
        """Keep everything: the device is opened again by the next store."""


class Heap:
    """Opens a HeapDevice, of the class given, as a crash leaves the one before."""

    def __init__(self, kind: type[HeapDevice], segment_bytes: int = 16384) -> None:
        self.segment_bytes = segment_bytes
        self.kind = kind
        self.device = kind(PAGE, segment_bytes)

    def __call__(self) -> HeapDevice:
        before = self.device
        self.device = self.kind(PAGE, self.segment_bytes)
        self.device.synced = before.synced
        self.device.segments = [(start, bytearray(data)) for start, data in before.synced]
        return self.device


@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "pread"])
@pytest.mark.parametrize("page_bits", [12, 16])
def test_files_keep_all_promises(mapped: bool, page_bits: int, tmp_path: Path) -> None:
    check_device(lambda: FileDevice(Directory(str(tmp_path)), page_bits, mapped=mapped), 1 << page_bits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("segment_bytes", [1, 16384, 1 << 30])
def test_a_device_in_python_keeps_all_promises(segment_bytes: int) -> None:
    check_device(Heap(HeapDevice, segment_bytes))


def test_one_device_that_is_opened_once() -> None:
    device = HeapDevice(PAGE)
    check_device(lambda: device)
    assert device.size() == 0


class BeginsAt64(HeapDevice):
    def begin(self) -> int:
        return super().begin() if self.segments else 64


class HasASegmentAhead(HeapDevice):
    def segment_end(self, address: int) -> int:
        return super().segment_end(address) if self.segments else address + PAGE


class HasNoPlaceForNothing(HeapDevice):
    def place(self, address: int) -> str:
        return super().place(address) if self.segments else ""


class BeginsInsideOfAPage(HeapDevice):
    def write(self, address: int, data: memoryview) -> None:
        if not self.segments:
            self.segments.append((address, bytearray()))
        super().write(address, data)


class KeepsTheMemory(HeapDevice):
    def write(self, address: int, data: memoryview) -> None:
        super().write(address, data)
        self.kept = (address, data)

    def read(self, address: int, size: int) -> bytes:
        data = super().read(address, size)
        return bytes(self.kept[1][:size]) if data and address == self.kept[0] else data


class EndsAtASector(HeapDevice):
    def end(self) -> int:
        return -(-super().end() // 512) * 512


class Appends(HeapDevice):
    def write(self, address: int, data: memoryview) -> None:
        super().write(max(address, self.end()), data)


class FillsGaps(HeapDevice):
    def write(self, address: int, data: memoryview) -> None:
        end = self.end()
        super().write(address, data)
        for start, held in self.segments:
            if start < address and end < address:
                held[max(0, end - start) : address - start] = b"\xff" * len(held[max(0, end - start) : address - start])


class FlipsAByte(HeapDevice):
    def read(self, address: int, size: int) -> bytes:
        data = super().read(address, size)
        return data.replace(data[5:6], b"\0") if address == 2 * PAGE + 8 else data


class ReadsAPageAtMost(HeapDevice):
    def read(self, address: int, size: int) -> bytes:
        return super().read(address, min(size, PAGE))


class ReadsOverSegments(HeapDevice):
    def read(self, address: int, size: int) -> bytes:
        data = super().read(address, size)
        while 0 < len(data) < size and (more := super().read(address + len(data), size - len(data))):
            data += more
        return data


class ReadsBehindTheEnd(HeapDevice):
    def read(self, address: int, size: int) -> bytes:
        return super().read(address, size) or bytes(size)


class ReadsBytearrays(HeapDevice):
    def read(self, address: int, size: int) -> Any:
        return bytearray(super().read(address, size))


class AnswersNothing(HeapDevice):
    def will_read(self, address: int, size: int) -> Any:
        return None


class ReadsEachOnce(HeapDevice):
    def read_many(self, requests: list[tuple[int, int]]) -> list[bytes]:
        return [self.read(address, size) for address, size in dict.fromkeys(requests)]


class ReadsManyInOrderOfAddresses(HeapDevice):
    def read_many(self, requests: list[tuple[int, int]]) -> list[bytes]:
        return super().read_many(sorted(requests))


class FindsDataTooLate(HeapDevice):
    def data_from(self, address: int) -> int:
        return address // PAGE * PAGE + PAGE


class FindsDataInsideOfAPage(HeapDevice):
    def data_from(self, address: int) -> int:
        return address + 8 if address > self.end() else address


class HasOnePlace(HeapDevice):
    def place(self, address: int) -> str:
        return "somewhere on the heap"


class NeverSyncs(HeapDevice):
    def sync(self) -> None:
        pass


class ForgetsSegments(HeapDevice):
    def sync(self) -> None:
        super().sync()
        if self.synced:
            self.synced = [(self.begin(), b"".join(data for _, data in self.synced))]


class HasNoSize(HeapDevice):
    def size(self) -> int:
        return 0


class NeverRolls(HeapDevice):
    def roll(self) -> None:
        pass


class RollsInsideOfAPage(HeapDevice):
    def write(self, address: int, data: memoryview) -> None:
        if self.rolling and address % PAGE:
            self.segments.append((address, bytearray()))
        super().write(address, data)


class SegmentsEndTooFar(HeapDevice):
    def segment_end(self, address: int) -> int:
        return super().segment_end(address) + (PAGE if self.segments else 0)


class SegmentsEndTwice(HeapDevice):
    def segment_end(self, address: int) -> int:
        return super().segment_end(address) + (PAGE if address % PAGE == PAGE - 8 else 0)


class GivesNothingBack(HeapDevice):
    def truncate_before(self, address: int) -> None:
        pass


class GivesTheLastSegmentBack(HeapDevice):
    def truncate_before(self, address: int) -> None:
        super().truncate_before(address)
        if address >= self.end():
            self.segments.clear()


class GivesPartsBack(HeapDevice):
    def truncate_before(self, address: int) -> None:
        super().truncate_before(address)
        if self.segments and self.begin() < address < self.end():
            start, data = self.segments[0]
            self.segments[0] = (address, data[address - start :])


class GivesNoSpaceBack(HeapDevice):
    gone = 0

    def truncate_before(self, address: int) -> None:
        size = super().size()
        super().truncate_before(address)
        self.gone += size - super().size()

    def size(self) -> int:
        return super().size() + self.gone


class CutsNothing(HeapDevice):
    def truncate_after(self, address: int) -> None:
        if address == 0:
            super().truncate_after(0)


class CutsTillTheNextCrash(HeapDevice):
    def truncate_after(self, address: int) -> None:
        synced = self.synced
        super().truncate_after(address)
        self.synced = synced


class BringsBackWhatWasCut(HeapDevice):
    ghosts: dict[int, int] = {}  # noqa: RUF012 - of all that are opened

    def truncate_after(self, address: int) -> None:
        for start, data in self.segments:
            self.ghosts.update({start + i: byte for i, byte in enumerate(data) if start + i >= address})
        super().truncate_after(address)

    def write(self, address: int, data: memoryview) -> None:
        end = self.end()
        super().write(address, data)
        for start, held in self.segments:
            for at in range(max(start, end), min(address, start + len(held))):
                held[at - start] = self.ghosts.get(at, 0)


class FinishesTooEarly(HeapDevice):
    def finish(self) -> None:
        del self.segments[-1][1][-8:]


class ClosesOnce(HeapDevice):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise ValueError("closed already")
        self.closed = True


class LosesAllWhenClosed(HeapDevice):
    def close(self) -> None:
        self.synced = []


class FlipsHighBytes(HeapDevice):
    def read(self, address: int, size: int) -> bytes:
        data = super().read(address, size)
        return data[:40] + b"\xff" + data[41:] if address > HIGH else data


class FailsLate(HeapDevice):
    def sync(self) -> None:
        if self.end() > HIGH:
            raise OSError("no space left")
        super().sync()


class KeepsWhatIsHigh(HeapDevice):
    def truncate_before(self, address: int) -> None:
        if address < HIGH:
            super().truncate_before(address)


class CutsOnlyWhatIsLow(HeapDevice):
    def truncate_after(self, address: int) -> None:
        if address < HIGH:
            super().truncate_after(address)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (BeginsAt64, r"a new device is empty, but begin\(\), end\(\) and size\(\) are \(64, 0, 0\) instead of 0"),
        (HasASegmentAhead, r"a new device has no segment, but segment_end\(64\) is 4160"),
        (HasNoPlaceForNothing, r"a new device has an empty place\(64\)"),
        (BeginsInsideOfAPage, r"begin\(\) is 64, not 0, where the page starts"),
        (KeepsTheMemory, r"a change of the memory that they were in changed what read\(\) returns: write\(\) has to"),
        (EndsAtASector, r"after write\(\) of 200 bytes at address 64, end\(\) is 512, not 264"),
        (Appends, r"after write\(\) of 64 bytes at address 20584, end\(\) is 20680, not 20648"),
        (FillsGaps, r"returned 255 for the byte at address \d+, where nothing was written; a gap reads as zeros"),
        (FlipsAByte, r"read\(8200, 8\) returned 0 for the byte at address 8205, and \d+ was written there"),
        (ReadsAPageAtMost, r"read\(8192, 12288\) returned 4096 bytes, and 12288 are held there in a segment that ends"),
        (ReadsOverSegments, r"bytes, and a read ends with its segment, which ends at 20480"),
        (ReadsBehindTheEnd, r"read\(64, 104\) returned 104 bytes, and where nothing is held b'' is promised"),
        (ReadsBytearrays, r"read\(64, 104\) returned bytearray, and bytes are promised"),
        (AnswersNothing, r"will_read\(\d+, \d+\) returned None, which is no bool"),
        (ReadsEachOnce, r"read_many\(\) of \d+ requests returned \d+ pieces of data"),
        (ReadsManyInOrderOfAddresses, r"bytes for request \d+ of \d+, \(\d+, \d+\), and they are not the"),
        (FindsDataTooLate, r"data_from\(\d+\) is \d+, and not all bytes before that are zeros"),
        (FindsDataInsideOfAPage, r"data_from\(\d+\) is \d+; it is the address, or end\(\), or where a later page"),
        (HasOnePlace, r"place\(8\) is 'somewhere on the heap'; it has to be text that says where this address stands"),
        (NeverSyncs, r"opened again after sync\(\), end\(\) is 0; what was written ends at 20648"),
        (ForgetsSegments, r"opened again after sync\(\), segments start at \[0\]; they started at \[0, 20480\]"),
        (HasNoSize, r"after the first writes, size\(\) is 0, and 20648 bytes are held"),
        (NeverRolls, r"after roll\(\), a write started a page at 24576, but no segment; they start at \[0, 20480\]"),
        (RollsInsideOfAPage, r"a segment starts at 20648; it may only where a write starts a page of 4096 bytes"),
        (SegmentsEndTooFar, r"segment_end\(0\) is \d+; it lies behind the address, and not behind end\(\), 20648"),
        (SegmentsEndTwice, r"segment_end\(20472\) is 24576, and segment_end\(0\), of the same segment, 20480"),
        (GivesNothingBack, r"truncate_before\(20480\) made begin\(\) 0, not 20480: it gives back whole segments"),
        (GivesTheLastSegmentBack, r"truncate_before\(81960\) made begin\(\) 0, not 40960: .* never the last one"),
        (GivesPartsBack, r"truncate_before\(20472\) made begin\(\) 20472, not 0: it gives back whole segments"),
        (GivesNoSpaceBack, r"truncate_before\(20480\) gave back no space: size\(\) was \d+ and is \d+, and begin\(\)"),
        (CutsNothing, r"after truncate_after\(53408\), end\(\) is 57344; 53408 to 53408 was promised"),
        (CutsTillTheNextCrash, r"opened again without sync\(\) after truncate_after\(53408\), end\(\) is 57344; 53408"),
        (BringsBackWhatWasCut, r"for the byte at address 45456: what truncate_after\(45456\) cut off came back"),
        (FinishesTooEarly, r"after finish\(\), end\(\) is \d+; what was written ends at \d+"),
        (ClosesOnce, r"a second close\(\) does nothing, but raised ValueError\('closed already'\)"),
        (LosesAllWhenClosed, r"opened again after close\(\), end\(\) is 0; what was written ends at 49280"),
        (FlipsHighBytes, r"a store on the device fails: heap device at offset \d+: the record at address \d+"),
        (FailsLate, r"a store on the device fails: .* takes no more writes since one failed: no space left"),
        (KeepsWhatIsHigh, r"a store gave half of its keys up and compacted, but size\(\) was \d+ and is \d+"),
        (CutsOnlyWhatIsLow, r"opened again with its last commit torn off, has another value for \d+ of \d+ keys"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_broken_promise_is_named(kind: type[HeapDevice], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_device(Heap(kind))


def test_a_device_that_is_not_empty_at_first(tmp_path: Path) -> None:
    def open_device() -> Device:
        return FileDevice(Directory(str(tmp_path)), 12)

    device = open_device()
    device.write(64, memoryview(b"mine"))
    device.close()
    with pytest.raises(AssertionError, match="is not empty"):
        check_device(open_device)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [bytes(64) + b"mine"]
