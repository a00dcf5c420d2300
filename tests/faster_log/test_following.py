"""Following a log: what was there, what comes, in this process and from another one, and how it ends."""

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oxidbm import ClosedError, Log, PoisonedError
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.faster_log.helpers import WAIT_SECONDS, Place, data_of, until_true
from tests.inside import abandon_log, hybrid_log_of
from tests.support import ROOT, scaled

LONG = 30.0


class Collector:
    """A thread that follows a log and keeps what it gets."""

    def __init__(self, log: Log[Any], begin: int | None = None, **options: Any) -> None:
        self.follower = log.follow(begin, **options)
        self.got: list[tuple[int, Any]] = []
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        """Follow to the end."""
        try:
            for entry in self.follower:
                self.got.append(entry)
        except BaseException as failure:
            self.failure = failure

    def has(self, count: int) -> None:
        """Wait until so many have come."""
        until_true(lambda: len(self.got) >= count)
        assert len(self.got) == count

    def end(self) -> list[tuple[int, Any]]:
        """Wait for the thread's end, and return what it got."""
        self.thread.join(WAIT_SECONDS)
        assert not self.thread.is_alive()
        if self.failure is not None:
            raise self.failure
        return self.got


def test_what_was_there_and_what_comes(place: Place) -> None:
    """Each entry comes once, in order, when it is committed and not when it is appended."""
    log = place.open()
    wanted = [(log.append(data), data) for data in (b"a", b"b")]
    log.commit()
    collector = Collector(log)
    collector.has(2)
    for number in range(50):
        data = data_of(number, number * 97 % 5000)
        wanted.append((log.append(data), data))
        assert len(collector.got) < len(wanted)
        if number % 5 == 0:
            log.commit()
            collector.has(len(wanted))
    log.commit()
    collector.has(len(wanted))
    log.close()
    assert collector.end() == wanted


def test_from_an_address_on(place: Place) -> None:
    log = place.open()
    addresses = [log.append(b"%d" % number) for number in range(10)]
    log.commit()
    with log.follow(addresses[7], timeout=0) as follower:
        assert [data for _, data in follower] == [b"7", b"8", b"9"]
    later = log.follow(log.tail, timeout=0)
    assert list(later) == []
    address = log.append(b"new")
    assert list(later) == []
    log.commit()
    assert list(later) == [(address, b"new")]


def test_a_timeout_ends_it_and_it_can_be_asked_again(place: Place) -> None:
    log = place.open()
    follower = log.follow(timeout=0.01)
    assert next(follower, None) is None
    log.append(b"a")
    log.commit()
    assert next(follower) == (log.begin, b"a")
    assert next(follower, None) is None
    for timeout in (-1, float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            log.follow(timeout=timeout)


def test_uncommitted_entries_come_with_their_append(place: Place) -> None:
    """Without a commit, however small they are; also those that are appended by many and by batches."""
    log = place.open()
    collector = Collector(log, uncommitted=True)
    wanted = []
    for number in range(20):
        wanted.append((log.append(b"%d" % number), b"%d" % number))
        collector.has(len(wanted))
    log.append_many([b"x", b"y"])
    collector.has(len(wanted) + 2)
    with log.batch() as batch:
        batch.append(b"z")
    collector.has(len(wanted) + 3)
    log.close()
    collector.end()


def test_closing_the_follower_ends_it(place: Place) -> None:
    """Also for the thread that waits in it; a second time does nothing."""
    log = place.open()
    collector = Collector(log)
    until_true(collector.thread.is_alive)
    collector.follower.close()
    collector.follower.close()
    assert collector.end() == []
    assert next(collector.follower, None) is None
    log.append(b"still open")


def test_closing_the_log_ends_it(place: Place) -> None:
    log = place.open()
    collectors = [Collector(log, uncommitted=uncommitted) for uncommitted in (False, True, False)]
    log.close()
    for collector in collectors:
        assert collector.end() == []
    with pytest.raises(ClosedError):
        log.follow()


def test_a_failed_commit_is_told(tmp_path: Path) -> None:
    """Who waits for entries that never become durable gets the error."""
    device = FaultyDevice(CrashDevice(4096))
    log = Log(tmp_path / "log", page_size=4096, memory="1MiB", device=device)
    log.append(b"durable")
    log.commit()
    collector = Collector(log)
    collector.has(1)
    device.fail("sync", errno.EIO)
    log.append(b"lost")
    with pytest.raises(PoisonedError):
        log.commit()
    with pytest.raises(PoisonedError):
        collector.end()
    abandon_log(log)


def test_many_follow_while_many_append(files: Place) -> None:
    """On tiny pages, which are written and evicted meanwhile."""
    log = files.open()
    collectors = [Collector(log) for _ in range(3)]
    count = scaled(4000, 400)

    def appends(who: int) -> None:
        for number in range(count):
            log.append(b"%d %d" % (who, number))
            if number % 50 == 0:
                log.commit()

    threads = [threading.Thread(target=appends, args=(who,)) for who in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.commit()
    for collector in collectors:
        collector.has(2 * count)
    wanted = list(log)
    log.close()
    for collector in collectors:
        assert collector.end() == wanted


def test_truncation_while_one_follows(place: Place) -> None:
    """One that stands before the new begin goes on there."""
    log = place.open()
    addresses = [log.append(data_of(number, 3000)) for number in range(20)]
    log.commit()
    follower = log.follow(timeout=0)
    assert next(follower)[0] == addresses[0]
    log.truncate(addresses[12])
    log.commit()
    assert [address for address, _ in follower] == addresses[12:]


def test_async_for(place: Place) -> None:
    """Other tasks run while it waits, and the wait ends by a timeout, the log's end, and a cancellation."""
    log = place.open()

    async def follow() -> None:
        got: list[tuple[int, bytes]] = []

        async def collect(**options: Any) -> None:
            async for address, data in log.aiter(log.tail, **options):
                got.append((address, data))

        for uncommitted in (False, True):
            got.clear()
            task = asyncio.create_task(collect(uncommitted=uncommitted))
            wanted = []
            for number in range(5):
                await asyncio.sleep(0.001)
                wanted.append((log.append(b"%d" % number), b"%d" % number))
                if not uncommitted:
                    log.commit()
                while len(got) < len(wanted):
                    await asyncio.sleep(0.001)
            assert got == wanted
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await collect(timeout=0.01)
        closing = asyncio.create_task(collect())
        await asyncio.sleep(0.01)
        log.close()
        await asyncio.wait_for(closing, WAIT_SECONDS)

    asyncio.run(follow())


def test_an_async_follower_can_be_closed(place: Place) -> None:
    log = place.open()

    async def follow() -> None:
        entries = log.aiter()

        async def collect() -> list[Any]:
            return [entry async for entry in entries]

        task = asyncio.create_task(collect())
        await asyncio.sleep(0.01)
        await entries.aclose()
        assert await asyncio.wait_for(task, WAIT_SECONDS) == []

    asyncio.run(follow())


def test_a_reader_moves_on_when_it_is_asked(disk: Place) -> None:
    """Each commit of the writer, with its cookie, number, begin and length, and never what is not committed."""
    if disk.kind == "device":
        pytest.skip("a reader beside a writer needs files")
    log = disk.open()
    chance = random.Random(5)
    log.append(b"first")
    log.commit()
    with Log(disk.path, read_only=True) as reader:
        for number in range(60):
            for _ in range(chance.randrange(5)):
                log.append(data_of(number, chance.randrange(3000)))
            if number % 7 == 3:
                log.truncate(next(log.scan(log.begin + (log.tail - log.begin) // 2, uncommitted=True))[0])
            if number % 3 == 0:
                hybrid = hybrid_log_of(log)
                hybrid.seal_step(hybrid.tail, 1 << 20)
                while hybrid.flush_step(1 << 20):  # what is not committed stands in the files, too
                    pass
                assert not reader.refresh()
            seen = reader.commit_number
            log.commit(b"cookie %d" % number if number % 4 == 0 else None, alone=True)
            assert reader.commit_number == seen
            assert reader.refresh()
            assert not reader.refresh()
            assert list(reader) == list(log)
            state = (reader.begin, reader.tail, len(reader), reader.cookie, reader.commit_number)
            assert state == (log.begin, log.tail, len(log), log.cookie, log.commit_number)
        assert log.refresh() is False
        log.close()
        assert not reader.refresh()
    with Log(disk.path, read_only=True, commit=log.commit_number) as earlier:
        with pytest.raises(ValueError, match="earlier commit"):
            earlier.refresh()
        with pytest.raises(ValueError, match="earlier commit"):
            earlier.follow()


def test_a_reader_goes_on_in_the_writers_next_file(tmp_path: Path) -> None:
    """Segments are made and given back while it follows."""
    log = Log(tmp_path / "log", memory="8MiB")
    log.append(b"first")
    log.commit()
    entries = scaled(30, least=12)
    with Log(tmp_path / "log", read_only=True) as reader:
        follower = reader.follow(timeout=LONG)
        assert next(follower)[1] == b"first"
        for number in range(entries):
            log.append(data_of(number, 1 << 20))
            if number % 10 == 5:
                hybrid_log_of(log).device.roll()
            log.commit()
            assert next(follower)[1] == data_of(number, 1 << 20)
            log.truncate(log.committed)
        log.commit()
        reader.refresh()
        assert (reader.begin, len(reader)) == (log.begin, 0)
    assert len(list((tmp_path / "log" / "log").iterdir())) < 3
    log.close()


def test_a_reader_of_a_log_without_a_commit(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    reader = Log(tmp_path / "log", read_only=True)
    assert (len(reader), reader.commit_number, list(reader)) == (0, 0, [])
    assert not reader.refresh()
    log.append(b"one")
    log.commit()
    assert reader.refresh()
    assert [data for _, data in reader] == [b"one"]
    assert reader.wait(reader.begin)
    assert not reader.wait(log.append(b"two"), timeout=0.01)
    log.close()
    assert reader.wait(reader.tail, timeout=LONG)
    assert len(reader) == 2
    reader.close()


def test_a_reader_beside_a_writer_that_recovers(tmp_path: Path) -> None:
    """What it saw of what was never committed is gone; the commits that it showed stay."""
    path = tmp_path / "log"
    log = Log(path, page_size=4096, memory="1MiB")
    log.append(b"kept")
    log.commit()
    with Log(path, read_only=True) as reader:
        for number in range(20):
            for lost in range(number):
                log.append(data_of(lost, 700))
            hybrid = hybrid_log_of(log)
            hybrid.seal_step(hybrid.tail, 1 << 20)
            while hybrid.flush_step(1 << 20):
                pass
            assert not reader.refresh()
            abandon_log(log)
            log = Log(path, page_size=4096, memory="1MiB")
            log.append(b"again %d" % number)
            log.commit()
            until_true(reader.refresh)
            assert [data for _, data in reader][-1] == b"again %d" % number
            assert len(reader) == number + 2
    log.close()


WRITER = """
import sys, time, random
from oxidbm import Log
chance = random.Random(int(sys.argv[2]))
with Log(sys.argv[1], page_size=4096, memory="1MiB") as log:
    number = len(log)
    while True:
        for _ in range(chance.randrange(1, 20)):
            log.append(b"%d." % number + bytes(chance.randrange(200)))
            number += 1
        log.commit()
"""


def followed(path: Path) -> Iterator[int]:
    """Follow a log from its begin on in this process; yield the entries' numbers."""
    with Log(path, read_only=True) as log:
        for _, data in log.follow(timeout=LONG):
            yield int(data.split(b".")[0])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_process_sees_each_entry_once_in_order_whatever_happens_to_the_writer(tmp_path: Path) -> None:
    """The writer is killed again and again; each one goes on with the number of entries that it finds."""
    path = tmp_path / "log"
    Log(path, page_size=4096, memory="1MiB").close()
    numbers = followed(path)
    seen = -1
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for seed in range(scaled(5, 2)):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path, str(seed)], env=environment)
        for _ in range(scaled(2000, 200)):
            number = next(numbers)
            assert number == seen + 1
            seen = number
        writer.kill()
        writer.wait()


@pytest.mark.parametrize("read_only", [False, True])
def test_any_address_will_do_to_begin_at(read_only: bool, files: Place) -> None:
    """Also one that is among the last bytes of a page whose rest is empty, where no header could stand."""
    with files.open(page_size="4KiB") as log:
        log.append_many([b"x" * 300 for _ in range(scaled(40, least=30))])
    with files.open(page_size="4KiB", read_only=read_only) as log:
        for at in (*range(log.begin, log.begin + 30), *range(4000, 4200), *range(8150, 8200)):
            expected = next(log.scan(at))
            assert next(log.follow(at, timeout=0)) == expected
            if at % 4096 > 4080:
                with log.reader(f"from-{at}", begin=at) as reader:
                    assert next(reader) == expected


def test_who_was_overtaken_knows_it(files: Place) -> None:
    """By truncate(), in the same process and in another one; and a named reader also while it was not open."""
    log = files.open()
    log.add_reader("named")
    addresses = [log.append(b"%d" % number) for number in range(10)]
    log.commit()
    view = files.open(read_only=True)
    followers: list[Any] = [log.follow(timeout=0), view.follow(timeout=0), log.follow(addresses[1], timeout=0)]
    assert [next(follower)[1] for follower in followers] == [b"0", b"0", b"1"]
    waiting = log.aiter(timeout=0)
    log.truncate(addresses[6], past_readers=True)
    log.commit()
    view.refresh()
    assert [next(follower)[1] for follower in followers] == [b"6"] * 3
    assert [follower.overtaken for follower in followers] == [5, 5, 4]
    assert [len(list(follower)) for follower in followers] == [3, 3, 3]
    assert [follower.overtaken for follower in followers] == [5, 5, 4]

    async def first() -> None:
        assert (await anext(waiting))[1] == b"6"

    asyncio.run(first())
    assert waiting.overtaken == 6
    with log.reader("named") as reader:
        assert reader.overtaken == 6
        assert next(reader)[1] == b"6"
        log.truncate(addresses[9], past_readers=True)
        assert next(reader)[1] == b"9"
        assert reader.overtaken == 8
    with log.reader("named") as reader:
        assert reader.overtaken == 0
