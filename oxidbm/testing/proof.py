"""The proof of a device: `check_device` tries everything that a store asks of one, beside a model of what it holds.

A crash can be part of the proof. `check_device` opens the device anew without closing the one before, and relies on
nothing that was not synced, save what truncate_after() promises. So let `open_device` return what a crash would
leave: where your device keeps its bytes in something that you can copy, copy it in sync() and truncate_after(), and
open the copy. Where it keeps them in files, bytes that were not synced are still there, in the system's cache, and no
test in this process can tell; the proof then says nothing about a power failure.
"""

import contextlib
import os
import random
import tempfile
from collections.abc import Callable

from oxidbm import Store, error
from oxidbm._core.device.directory import CLEAN
from oxidbm.device import Device

FIRST_ADDRESS = 64  # where the log of a store begins
MEMORY_LEAST = 1 << 20
REQUESTS = 1000
NOT_ZERO = bytes([1, *range(1, 256)])


def check_device(open_device: Callable[[], Device], page_bytes: int = 4096) -> None:
    """Try everything that a store asks of a device; AssertionError with a sentence about the promise that is broken.

    open_device: returns the device on the same storage each time it is called, which is empty at the first call. It is
        called while earlier devices are still open, as after a crash; nothing is asked of those any more but close().
    page_bytes: the size of the log's pages, a power of two from 4 KiB to 64 MiB.

    The storage is empty again when all promises are kept. Writes some 3 MiB to the device, 48 pages where that is more.
    """
    trial = Trial(open_device, page_bytes)
    try:
        found = trial.device.size()
        promise(
            found == 0, f"the storage that open_device() gives is not empty: {found} bytes are held, and would be lost"
        )
        trial.check_empty("a new device")
        trial.check_writes()
        trial.check_reads()
        trial.check_read_many()
        trial.check_will_read()
        trial.check_data_from()
        trial.check_place()
        trial.check_sync()
        trial.check_roll()
        trial.check_truncate_before()
        trial.check_truncate_after()
        trial.check_close()
        trial.device.truncate_after(0)
        trial.check_empty("after truncate_after(0), a device")
        trial.reopen()
        trial.check_empty("opened again after truncate_after(0), a device")
        trial.check_store()
        trial.device.truncate_after(0)
    finally:
        for device in [*trial.left, trial.device]:
            with contextlib.suppress(Exception):  # of a broken device, whose fault would be hidden behind this
                device.close()


def promise(kept: bool, sentence: str) -> None:
    """Raise AssertionError unless a promise is kept; not an assert, which `python -O` leaves out."""
    if not kept:
        raise AssertionError(sentence)


class Trial:
    """A device beside a model of what it holds: every byte from address 0 on, and which stretches were written."""

    def __init__(self, open_device: Callable[[], Device], page_bytes: int) -> None:
        self.open_device = open_device
        self.page = page_bytes
        self.chance = random.Random(1)
        self.held = bytearray()
        self.stretches: list[tuple[int, int]] = []
        self.cut = self.cut_end = 0  # what truncate_after() took last
        self.left: list[Device] = []
        self.device = open_device()

    def reopen(self) -> None:
        """Open the device anew; the one before is left as a crash leaves it."""
        self.left.append(self.device)
        self.device = self.open_device()

    def write(self, address: int, size: int) -> None:
        """Write bytes other than 0 at an address, and see that they are there, also when the memory changes later."""
        data = self.chance.randbytes(size).translate(NOT_ZERO)
        memory = bytearray(data)
        self.device.write(address, memoryview(memory))
        self.held[address:] = bytes(max(0, address - len(self.held))) + data
        self.stretches = [stretch for stretch in self.stretches if stretch[0] < address] + [(address, address + size)]
        wrote = f"after write() of {size} bytes at address {address}"
        end = self.device.end()
        promise(end == address + size, f"{wrote}, end() is {end}, not {address + size}, behind the last byte held")
        self.check_read(address, size)
        memory[:] = bytes(size)
        promise(
            self.device.read(address, size)[:8] == data[:8],
            f"{wrote}, a change of the memory that they were in changed what read() returns: write() has to copy",
        )

    def check_read(self, address: int, size: int) -> None:
        """Read and compare."""
        self.compare(f"read({address}, {size})", self.device.read(address, size), address, size)

    def compare(self, call: str, data: bytes, address: int, size: int) -> None:
        """Hold what a read returned against the model: the bytes of one segment, without the gap at its end or with."""
        promise(isinstance(data, bytes), f"{call} returned {type(data).__name__}, and bytes are promised")
        if not self.device.begin() <= address < len(self.held):
            promise(not data, f"{call} returned {len(data)} bytes, and where nothing is held b'' is promised")
            return
        segment_end = self.device.segment_end(address)
        stop = min(address + size, segment_end)
        least = min(stop, max(end for start, end in self.stretches if start < segment_end))
        promise(
            len(data) <= stop - address,
            f"{call} returned {len(data)} bytes, and a read ends with its segment, which ends at {segment_end}",
        )
        promise(
            len(data) >= least - address,
            f"{call} returned {len(data)} bytes, and {least - address} are held there in a segment that ends at "
            f"{segment_end}; a read may be short only at a segment's end",
        )
        wanted = self.held[address : address + len(data)]
        if data != wanted:
            self.say_difference(
                call, address + next(i for i in range(len(data)) if data[i] != wanted[i]), data, address
            )

    def say_difference(self, call: str, at: int, data: bytes, address: int) -> None:
        """Raise the sentence about the first byte that is another than was written."""
        found = data[at - address]
        where = f"{call} returned {found} for the byte at address {at}"
        if self.held[at]:
            raise AssertionError(f"{where}, and {self.held[at]} was written there")
        if self.cut <= at < self.cut_end:
            raise AssertionError(f"{where}: what truncate_after({self.cut}) cut off came back")
        raise AssertionError(f"{where}, where nothing was written; a gap reads as zeros")

    def points(self) -> list[int]:
        """Return the addresses where something begins or ends, and those just beside them."""
        edges = {edge for stretch in self.stretches for edge in stretch}
        edges.update(range(0, len(self.held) + self.page + 1, self.page))
        return sorted({edge + step for edge in edges for step in (-8, 0, 8) if edge + step >= self.device.begin()})

    def starts(self) -> list[int]:
        """Return where the segments start, as segment_end() tells, and see that they are such as may be."""
        begin, end = self.device.begin(), self.device.end()
        found = []
        start = begin
        while start < end:
            found.append(start)
            following = self.device.segment_end(start)
            promise(
                start < following <= end,
                f"segment_end({start}) is {following}; it lies behind the address, and not behind end(), {end}",
            )
            inside = self.device.segment_end(following - 8)
            promise(
                inside == following,
                f"segment_end({following - 8}) is {inside}, and segment_end({start}), of the same segment, {following}",
            )
            start = following
        wrote = {start for start, _ in self.stretches}
        for start in found[1:]:
            promise(
                start % self.page == 0 and start in wrote,
                f"a segment starts at {start}; it may only where a write starts a page of {self.page} bytes",
            )
        return found

    def check_everything(self, when: str) -> None:
        """Hold range, segments and bytes against the model."""
        begin, end = self.device.begin(), self.device.end()
        promise(end == len(self.held), f"{when}, end() is {end}; what was written ends at {len(self.held)}")
        promise(begin % self.page == 0, f"{when}, begin() is {begin}, which is no page's start")
        promise(self.device.size() > 0, f"{when}, size() is 0, and {end - begin} bytes are held")
        self.starts()
        for address in self.points():
            for size in (8, 104, self.page, 20 * self.page):
                self.check_read(address, size)

    def check_empty(self, which: str) -> None:
        """Hold an empty device against what it promises; whatever is called, it stays empty."""
        self.held.clear()
        self.stretches = []
        device = self.device
        device.sync()
        device.truncate_before(self.page)
        device.truncate_after(0)
        until = device.segment_end(FIRST_ADDRESS)
        promise(until <= FIRST_ADDRESS, f"{which} has no segment, but segment_end({FIRST_ADDRESS}) is {until}")
        found = (device.begin(), device.end(), device.size())
        promise(found == (0, 0, 0), f"{which} is empty, but begin(), end() and size() are {found} instead of 0")
        self.check_read(FIRST_ADDRESS, 104)
        promise(bool(device.place(FIRST_ADDRESS)), f"{which} has an empty place({FIRST_ADDRESS})")

    def check_writes(self) -> None:
        """Write inside of a page, at its start, over several, and behind a gap."""
        page = self.page
        self.write(FIRST_ADDRESS, 200)
        begin = self.device.begin()
        promise(
            begin == 0,
            f"after a first write at address {FIRST_ADDRESS}, begin() is {begin}, not 0, where the page starts",
        )
        self.write(FIRST_ADDRESS + 200, page - FIRST_ADDRESS - 200 - 48)
        self.write(page, page)
        self.write(2 * page, 3 * page)
        self.write(5 * page, 104)
        self.write(5 * page + 104, 32)
        self.write(5 * page + 104, 64)  # as after an interrupted one

    def check_reads(self) -> None:
        """Read at all edges, short and long."""
        self.check_everything("after the first writes")

    def check_read_many(self) -> None:
        """Read many at once: each alone, some twice, all in order."""
        end = len(self.held)
        requests = [(address, size) for address in self.points() for size in (8, self.page)]
        requests += [(self.chance.randrange(end), self.chance.randrange(2 * self.page)) for _ in range(REQUESTS)]
        requests += requests[:3]
        for asked in ([], requests[:1], requests):
            found = self.device.read_many(asked)
            promise(
                len(found) == len(asked), f"read_many() of {len(asked)} requests returned {len(found)} pieces of data"
            )
            for i, (address, size) in enumerate(asked):
                alone = self.device.read(address, size)
                promise(
                    found[i] == alone,
                    f"read_many() returned {len(found[i])} bytes for request {i} of {len(asked)}, ({address}, {size}), "
                    f"and they are not the {len(alone)} that read({address}, {size}) returns",
                )

    def check_will_read(self) -> None:
        """Say of what is there and of what is not that it will be read: the answer is a bool, and nothing is raised."""
        for address in [*self.points(), self.device.end() + self.page]:
            found = self.device.will_read(address, self.page)
            promise(isinstance(found, bool), f"will_read({address}, {self.page}) returned {found!r}, which is no bool")

    def check_data_from(self) -> None:
        """See that nothing but zeros is left out, and that what is not left out begins a page or is the end."""
        for address in self.points():
            found = self.device.data_from(address)
            promise(
                found == address or (found > address and (found % self.page == 0 or found == self.device.end())),
                f"data_from({address}) is {found}; it is the address, or end(), or where a later page starts",
            )
            promise(
                not any(self.held[address:found]),
                f"data_from({address}) is {found}, and not all bytes before that are zeros",
            )

    def check_place(self) -> None:
        """See that places tell addresses apart, also those where nothing is held."""
        addresses = [0, 8, self.page, self.page + 8, len(self.held) - 8, len(self.held) + self.page]
        places = [self.device.place(address) for address in addresses]
        for i, place in enumerate(places):
            promise(
                isinstance(place, str) and place != "" and place not in places[:i],
                f"place({addresses[i]}) is {place!r}; it has to be text that says where this address stands",
            )

    def check_sync(self) -> None:
        """See that what was synced is there when the device is opened again."""
        self.device.sync()
        starts = self.starts()
        self.reopen()
        self.check_everything("opened again after sync()")
        found = self.starts()
        promise(found == starts, f"opened again after sync(), segments start at {found}; they started at {starts}")

    def check_roll(self) -> None:
        """See that roll() has the next write that starts a page start a segment, and no other."""
        page = self.page
        self.device.roll()
        self.write(len(self.held), 16)
        for address, size in ((6 * page, 128), (7 * page, 2 * page), (9 * page, page), (10 * page, 40)):
            self.write(address, 64 if address == 6 * page else size)
            starts = self.starts()
            promise(
                address in starts,
                f"after roll(), a write started a page at {address}, but no segment; they start at {starts}",
            )
            if address == 6 * page:
                self.write(address, size)  # as after an interrupted one
            self.device.roll()
        self.check_everything("after roll()")

    def check_truncate_before(self) -> None:
        """See that whole segments go, and the last one stays."""
        starts = self.starts()
        end = len(self.held)
        for until, begin in (
            (starts[1] - 8, starts[0]),
            (starts[1], starts[1]),
            (starts[3] - 8, starts[2]),
            (end + 10 * self.page, starts[-1]),
        ):
            size, was = self.device.size(), self.device.begin()
            self.device.truncate_before(until)
            found = self.device.begin()
            promise(
                found == begin,
                f"truncate_before({until}) made begin() {found}, not {begin}: it gives back whole segments that end at "
                f"or before the address, never the last one, and segments start at {starts}",
            )
            left = self.device.size()
            promise(
                left < size or begin == was,
                f"truncate_before({until}) gave back no space: size() was {size} and is {left}, and begin() went from "
                f"{was} to {begin}",
            )
            self.check_everything(f"after truncate_before({until})")
        self.device.sync()
        self.reopen()
        found = self.device.begin()
        promise(
            found in starts, f"opened again after truncate_before(), begin() is {found}; segments start at {starts}"
        )
        self.check_everything("opened again after truncate_before()")

    def truncate_after(self, cut: int) -> None:
        """Cut, and see that it is durable at once."""
        end = len(self.held)
        self.device.truncate_after(cut)
        if cut < end:
            self.cut, self.cut_end = cut, end
        self.stretches = [(start, min(stop, cut)) for start, stop in self.stretches if start < cut]
        least = max(stop for _, stop in self.stretches)
        del self.held[cut:]
        for when in (f"after truncate_after({cut})", f"opened again without sync() after truncate_after({cut})"):
            found = self.device.end()
            promise(
                least <= found <= min(cut, end),
                f"{when}, end() is {found}; {least} to {min(cut, end)} was promised, and that it is durable at once",
            )
            del self.held[found:]
            self.check_everything(when)
            if when.startswith("after"):
                self.reopen()

    def check_truncate_after(self) -> None:
        """Cut inside of a page, at a segment's start and behind the end; what was cut off never comes back."""
        page = self.page
        self.write(len(self.held), 56)
        self.write(11 * page, 2 * page)
        self.device.roll()
        self.write(13 * page, page)
        self.device.sync()
        self.truncate_after(15 * page)
        self.truncate_after(13 * page + 160)
        self.truncate_after(13 * page)
        self.truncate_after(11 * page + 400)
        self.write(12 * page, 64)  # the gap before it held something once
        self.check_everything("after a write behind what was cut off")
        self.device.sync()
        self.reopen()
        self.check_everything("opened again after a write behind what was cut off")
        self.truncate_after(12 * page + 32)
        self.write(12 * page + 32, 48)

    def check_close(self) -> None:
        """Finish and close, twice, and see that all is there afterwards."""
        self.device.finish()
        self.check_everything("after finish()")
        self.device.look_again()
        self.check_everything("after look_again()")
        self.write(len(self.held), 48)
        self.device.finish()
        self.device.sync()
        self.device.close()
        try:
            self.device.close()
        except Exception as failure:
            raise AssertionError(f"a second close() does nothing, but raised {failure!r}") from failure
        self.device = self.open_device()
        self.check_everything("opened again after close()")

    def check_store(self) -> None:
        """Have a store live on the device."""
        with tempfile.TemporaryDirectory() as directory:
            try:
                self.live(os.path.join(directory, "store"))
            except error as failure:
                raise AssertionError(f"a store on the device fails: {failure}") from failure

    def open_store(self, path: str) -> Store:
        """Open the store on the device, which the store closes."""
        memory = max(MEMORY_LEAST, 16 * self.page)
        return Store(
            path, device=self.device, memory=memory, page_size=self.page, durability="manual", compaction=False
        )

    def live(self, path: str) -> None:
        """Write more than memory, compact, open again, and lose the last commit."""
        wanted: dict[bytes, bytes] = {}
        with self.open_store(path) as store:
            for number in range(3 * store.stats()["memory_budget"] * 4 // self.page):
                key = b"key %d" % (number % 2000)
                size = 3 * self.page if number % 97 == 5 else self.page // 4 - number % 50
                wanted[key] = store[key] = b"%d " % number * (size // 8)
            store.sync()
            self.compare_store(store, wanted, "written")
            for key in list(wanted)[::2]:
                del wanted[key], store[key]
            size = self.device.size()
            store.reorganize()
            left = self.device.size()
            promise(left < size, f"a store gave half of its keys up and compacted, but size() was {size} and is {left}")
            self.compare_store(store, wanted, "compacted")
        self.device = self.open_device()
        with self.open_store(path) as store:
            self.compare_store(store, wanted, "opened again")
            wanted[b"last"] = store[b"last"] = b"durable"
            store.sync()
            store.set_many(dict.fromkeys(wanted, b"never durable"))
        self.device = self.open_device()
        self.device.truncate_after(self.device.end() - 8)  # a torn tail, as a crash leaves one
        os.unlink(os.path.join(path, CLEAN))
        with self.open_store(path) as store:
            self.compare_store(store, wanted, "opened again with its last commit torn off")
        self.device = self.open_device()

    def compare_store(self, store: Store, wanted: dict[bytes, bytes], when: str) -> None:
        """Hold a store against a dict, by each of the ways that read a device."""
        wrong = [key for key, value in wanted.items() if store.get(key) != value]
        promise(not wrong, f"a store on the device, {when}, has another value for {len(wrong)} of {len(wanted)} keys")
        promise(
            dict(store.items()) == wanted and store.get_many(wanted) == list(wanted.values()) and store.check() == [],
            f"a store on the device, {when}, has {len(store)} keys and {len(wanted)} were written; an iteration or "
            f"get_many() returned others, or check() found {store.check()}",
        )
