"""Readers beside a writer that does its worst: each sees the state of one commit, or that there is no store just now.

Every value of a batch carries the batch's number, a time, so that a state that was put together from two commits is
found out, and so is one that is older than what was seen before.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import oxidbm
import oxidbm.dbm
from oxidbm import Store
from tests.inside import abandon, log_of
from tests.support import Manual, Small, leave_memory, started

SECONDS = 4.0
KEYS = 40
OPTIONS: Small = {"memory": "1MiB", "page_size": 4096}

# batches of the same sizes, so that what one process leaves uncommitted is overwritten record by record by the next
WRITER = f"""
import os, random, signal, sys, time, oxidbm
from oxidbm import _remove
path, keys = sys.argv[1], {KEYS}

def put(store):
    number = b"%d." % time.time_ns()
    with store.batch() as batch:
        for key in range(keys):
            batch[b"%d" % key] = number + bytes(100 + key * 20)

def act(store, chance):
    if chance < 0.5:
        for _ in range(random.randrange(1, 30)):
            put(store)
        store.sync()
    elif chance < 0.6:
        store.reorganize()
    elif chance < 0.65:
        store.clear()
    elif chance < 0.75:
        store.handle.table.log.device.roll()
    elif chance < 0.85:
        for _ in range(random.randrange(100)):
            put(store)
    elif chance < 0.95:
        os.kill(os.getpid(), signal.SIGKILL)

print("begins", flush=True)
while True:
    if random.random() < 0.05:
        _remove.make_way(path, _remove.A_STORE, lock=True)  # where there is one
    with oxidbm.Store(path, memory="1MiB", page_size=4096, durability="manual") as store:
        put(store)
        for _ in range(random.randrange(20)):
            act(store, random.random())
"""


def number_of(found: dict[bytes, bytes], last: int) -> int:
    """Return the number of the batch that a state is of; `last` for that of an empty store."""
    if not found:
        return last
    assert sorted(found) == sorted(b"%d" % key for key in range(KEYS))
    number = {value[: value.index(b".")] for value in found.values()}
    assert len(number) == 1, "a mixture of several batches"
    for key, value in found.items():
        assert value == b"%d." % int(min(number)) + bytes(100 + int(key) * 20)
    return int(min(number))


def look(path: Path, last: int, mapped: bool) -> int:
    """Open the store to read, look at all of it in several ways, and return the number of the batch it holds."""
    with Store(path, read_only=True, mapped=mapped, **OPTIONS) as reader:
        found = dict(reader.items())
        number = number_of(found, last)
        assert number >= last, "a state that was before one that was seen already"
        for key, value in found.items():
            assert reader[key] == value
        assert dict(reader.items()) == found
        assert len(reader) == len(found)
        if number % 7 == 0:
            assert reader.check() == []
    return number


def watch(path: Path, seconds: float) -> tuple[int, int]:
    """Read beside writers that are begun again when they have killed themselves; return how often, and what changed."""
    stop = time.monotonic() + seconds
    looks = states = last = 0
    while time.monotonic() < stop:
        with started([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"begins\n"
            while writer.poll() is None and time.monotonic() < stop:
                try:
                    number = look(path, last, looks % 2 == 0)
                except oxidbm.MissingError:
                    continue  # it is being made
                looks += 1
                states += number != last
                last = number
            assert writer.poll() in (None, -signal.SIGKILL)
    return looks, states


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_readers_beside_writers_that_are_killed(tmp_path: Path) -> None:
    looks, states = watch(tmp_path / "store", SECONDS)
    assert looks >= states > 1


@pytest.mark.skipif(not hasattr(os, "pread"), reason="needs a file that can be cut while it is open")
def test_a_reader_survives_its_files_being_cut(tmp_path: Path) -> None:
    """What was cut off is an error with its place, and neither a signal nor a value."""
    path = tmp_path / "store"
    with Store(path, durability="manual", **OPTIONS) as store:
        for number in range(4000):
            store[b"%d" % number] = b"%d" % number * 100
            if number % 1000 == 999:
                store.sync()
                log_of(store).device.roll()
    segments = sorted((path / "log").iterdir())
    assert len(segments) > 2
    with Store(path, read_only=True, **OPTIONS) as reader:
        assert reader[b"1"] == b"1" * 100
        os.truncate(segments[0], 4096)
        os.truncate(segments[1], 0)
        assert reader[b"1"] == b"1" * 100
        with pytest.raises(oxidbm.CorruptionError, match=r"\.seg"):
            dict(reader)
        with pytest.raises(oxidbm.CorruptionError, match=r"\.seg"):
            reader.get(b"1500")
        assert reader[b"3999"] == b"3999" * 100
        assert len(reader.check()) > 1


def put(store: Store, what: bytes, count: int) -> None:
    """Write records of 64 bytes; one of them begins where a chunk does."""
    for number in range(count):
        store[what + b"%d" % number] = bytes(32)


def test_a_mark_that_was_made_and_removed_under_a_reader_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not there before, nor afterwards; the log that is read in between goes on behind where it says."""
    path = tmp_path / "store"
    first = Store(path, durability="manual", checkpoints=False, **OPTIONS)
    put(first, b"old", 8000)
    first.sync()
    marked, later, real = False, None, os.open

    def opened(name: Any, *arguments: Any, **more: Any) -> int:
        nonlocal marked, later
        if marked:  # and read
            monkeypatch.undo()
            later = Store(path, durability="manual", checkpoints=False, **OPTIONS)
            put(later, b"new", 1)
            later.sync()
        elif os.fspath(name) == "CLEAN":  # as long as there is none, nobody looks into it
            first.close()
            marked = True
        return real(name, *arguments, **more)

    monkeypatch.setattr(os, "open", opened)
    with Store(path, read_only=True, **OPTIONS) as reader:
        assert later is not None
        assert len(reader) == 8001
    later.close()


@pytest.mark.skipif(not hasattr(os, "pread"), reason="stops a reader in its reads")
def test_a_tail_that_is_cut_and_written_anew_under_a_reader_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it old and half of it new, it has a valid record at each place, and as many as the new commit counts."""
    path = tmp_path / "store"
    store = Store(path, durability="manual", compaction=False, **OPTIONS)
    store.sync()
    leave_memory(store, 16 * 4096)
    put(store, b"old", 8000)
    abandon(store)
    real, turns = os.pread, 0

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal turns
        turns += 1
        if turns == 2:
            monkeypatch.setattr(os, "pread", real)
            with Store(path, durability="manual", compaction=False, **OPTIONS) as writer:
                put(writer, b"new", 6000)
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    with Store(path, read_only=True, **OPTIONS) as reader:
        assert turns == 2
        assert dict(reader) == {b"new%d" % number: bytes(32) for number in range(6000)}
        assert b"old1" not in reader
        assert reader.check() == []


@pytest.mark.parametrize(("name", "turn"), [(".seg", 1), ("CLEAN", 2), ("log", 2)], ids=["segment", "mark", "store"])
def test_files_that_go_between_a_listing_and_their_opening(
    name: str, turn: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark and the log's directory are opened once before, to look at what is there."""
    path = tmp_path / "store"
    options: Manual = {"durability": "manual", **OPTIONS}
    with Store(path, **options) as store:
        store.update({b"%d" % number: bytes(500) for number in range(1000)})
        store.sync()
    real, turns = os.open, 0

    def opened(file: str, *arguments: Any, **more: Any) -> int:
        nonlocal turns
        if str(file).endswith(name):
            turns += 1
            if turns == turn:
                monkeypatch.setattr(os, "open", real)
                if name == "log":
                    oxidbm.remove(path)
                with Store(path, **options) as writer:
                    writer.update({b"%d" % number: b"new" for number in range(1000)})
                    writer.reorganize()
        return real(file, *arguments, **more)

    monkeypatch.setattr(os, "open", opened)
    with Store(path, read_only=True, **OPTIONS) as reader:
        assert dict(reader) == {b"%d" % number: b"new" for number in range(1000)}
    assert turns == turn


def test_what_is_damaged_is_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Store(path, **OPTIONS) as store:
        store[b"key"] = b"value"
    (path / "CLEAN").write_bytes(b"")
    with pytest.raises(oxidbm.CorruptionError, match="CLEAN has 0 bytes"):
        Store(path, read_only=True, **OPTIONS)
