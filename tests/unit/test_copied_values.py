"""Long values go into a page by one memcpy: the same bytes as word by word, at every length and place, whole or not."""

import array
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oxidbm
from oxidbm._core.budget import Budget
from oxidbm._core.faster_log.entry import append_entry
from oxidbm._core.log.append import COPY_BYTES, append_record, write_words
from oxidbm._core.log.frames import Frames
from oxidbm._core.log.record import INFO_VERSION
from oxidbm._core.memory import ADDRESS_WORD, MACHINE, VIEW_WORDS, copy_into, writer_layout_known
from oxidbm._core.table import operations
from oxidbm._core.table.retry import make_room, put, replace
from oxidbm._core.table.table import Table
from oxidbm.testing import CrashDevice
from tests.inside import table_of
from tests.support import leave_memory, run, scaled
from tests.unit.helpers import PAGE_BITS, PAGE_BYTES, Clock, disk_store, memory_table, push_to_disk

PAGE_WORDS = PAGE_BYTES // 8
AROUND = [COPY_BYTES + change for change in (-9, -8, -7, -1, 0, 1, 7, 8, 9)]
WHOLE_PAGE = PAGE_BYTES - 24 - 8  # of a value whose record, with a key of a word, fills a page
LENGTHS = [*AROUND, *(WHOLE_PAGE + change for change in (-8, -1, 0, 1, 8)), 65_536, 65_543]


def frame_of(junk: bytes, *, copies: bool) -> Frames:
    """Return frames whose page 0 holds `junk`; without `copies`, one that does not know where it stands."""
    frames = Frames(PAGE_BITS, 8, Budget(1 << 30))
    frames.prepare()
    frames.open(0)
    frames.fill(0, junk)
    if not copies:
        frames.words[0][ADDRESS_WORD] = -1
    return frames


def page_of(frames: Frames) -> bytes:
    """Return what page 0 holds."""
    return bytes(frames.export(0, 0, PAGE_BYTES))


def without_addresses(table: Table) -> None:
    """Have what is written next go word by word."""
    frames = table.log.frames
    for words in (*frames.words, *frames.spare_words, *frames.run_words):
        if len(words):
            words[ADDRESS_WORD] = -1


@pytest.mark.compiled_only("only compiled code writes through a writer")
def test_there_is_a_writer_where_there_are_views() -> None:
    frames = frame_of(bytes(PAGE_BYTES), copies=True)
    assert MACHINE.has_writer == writer_layout_known() == MACHINE.has_views
    assert (frames.words[0][ADDRESS_WORD] > 0) == MACHINE.has_writer


@given(st.integers(0, 2 * COPY_BYTES), st.data())
def test_one_copy_and_word_by_word_write_the_same(size: int, data: st.DataObject) -> None:
    chance = random.Random(data.draw(st.integers(0, 1 << 32)))
    at = data.draw(st.integers(0, PAGE_WORDS - (size + 7) // 8))
    junk, value = chance.randbytes(PAGE_BYTES), chance.randbytes(size)
    wanted = bytearray(junk)
    wanted[at * 8 : at * 8 + (size + 7) // 8 * 8] = value + bytes(-size % 8)
    for copies in (True, False):
        frames = frame_of(junk, copies=copies)
        write_words(frames.words[0], VIEW_WORDS + at, value, size)
        assert page_of(frames) == wanted, copies
        assert frames.copy_out(0, at * 8, size) == value


def test_the_first_part_of_what_is_longer() -> None:
    """The read cache keeps a part of what the device gave."""
    frames = frame_of(b"j" * PAGE_BYTES, copies=True)
    write_words(frames.words[0], VIEW_WORDS + 1, b"v" * 4000, 1024)
    assert page_of(frames) == b"j" * 8 + b"v" * 1024 + b"j" * (PAGE_BYTES - 1032)


@pytest.mark.compiled_only("only compiled code writes through a writer")
@pytest.mark.parametrize("at", [VIEW_WORDS - 1, VIEW_WORDS + PAGE_WORDS - COPY_BYTES // 8 + 1, PAGE_WORDS * 2])
def test_what_does_not_fit_its_page_is_not_begun(at: int) -> None:
    frames = frame_of(b"j" * PAGE_BYTES, copies=True)
    header = list(frames.words[0])[:VIEW_WORDS]
    with pytest.raises(AssertionError):
        copy_into(frames.words[0], at, b"v" * COPY_BYTES)
    assert page_of(frames) == b"j" * PAGE_BYTES
    assert list(frames.words[0])[:VIEW_WORDS] == header


@pytest.mark.parametrize("size", [8, 16, PAGE_BYTES - 8, PAGE_BYTES, PAGE_BYTES - 4])
@pytest.mark.parametrize("first", [0, 1])
def test_a_page_is_filled(size: int, first: int) -> None:
    data = random.Random(size).randbytes(min(size, PAGE_BYTES - first * 8))
    pages = []
    for copies in (True, False):
        frames = frame_of(b"j" * PAGE_BYTES, copies=copies)
        frames.fill(0, data, first)
        pages.append(page_of(frames))
    whole = len(data) & -8
    assert pages == [b"j" * first * 8 + data[:whole] + b"j" * (PAGE_BYTES - first * 8 - whole)] * 2


@pytest.mark.parametrize("expiry", [0, 1 << 41])
@pytest.mark.parametrize("key", [b"k", b"a key of more words", b"x" * COPY_BYTES], ids=["short", "longer", "long"])
@pytest.mark.parametrize("size", LENGTHS)
def test_the_log_holds_the_same_bytes(size: int, key: bytes, expiry: int) -> None:
    """Appended, overwritten with the same length, a shorter one and one that needs a new record."""
    logs = []
    for copies in (True, False):
        table = memory_table()
        chance = random.Random(size)
        for length in (size, size, size - 8, size - 3, size, size + 9):
            value = chance.randbytes(length)
            if not copies:
                without_addresses(table)
            while (status := operations.upsert(table, key, value, operations.ALWAYS, b"", expiry)) < 0:
                make_room(table, status)
                if not copies:
                    without_addresses(table)
            assert operations.read(table, key) == value
        log = table.log
        pages = [words for words in log.frames.words if len(words)]
        logs.append([bytes(memoryview(words).cast("B")[VIEW_WORDS * 8 :]) for words in pages])
    assert logs[0] == logs[1]


def test_entries_and_records_are_the_same() -> None:
    logs = []
    for copies in (True, False):
        table = memory_table()
        table.log.prepare_page()
        if not copies:
            without_addresses(table)
        assert append_record(table.log, b"k", b"v" * 1001, INFO_VERSION, 0) > 0
        assert append_entry(table.log, b"e" * 1003, 7) > 0
        logs.append(bytes(table.log.frames.export(0, 64, table.log.tail)))
    assert logs[0] == logs[1]
    assert b"v" * 1001 + bytes(7) in logs[0]
    assert b"e" * 1003 + bytes(5) in logs[0]


def buffers(value: bytes) -> list[Any]:
    """Return the same bytes as other types, contiguous and not."""
    twice = bytes(byte for byte in value for _ in range(2))
    return [
        value,
        bytearray(value),
        memoryview(value),
        memoryview(bytearray(value)),
        memoryview(b"before" + value + b"behind")[6:-6],
        memoryview(twice)[::2],
        memoryview(value[::-1])[::-1],
        array.array("B", value),
    ]


@pytest.mark.parametrize("expire", [None, 1000])
@pytest.mark.parametrize("size", LENGTHS)
def test_values_of_every_type(size: int, expire: int | None, tmp_path: Path) -> None:
    value = random.Random(size).randbytes(size)
    with disk_store(tmp_path / "store", memory="4MiB") as store:
        for place, given_value in enumerate(buffers(value)):
            key = b"%08d" % place
            store.set(key, given_value, expire=expire)
            store[b"set"] = given_value
            assert store[key] == store[b"set"] == value
            store.set(key, bytes(size), expire=expire)
            assert store[key] == bytes(size)
            store.set(key, given_value, expire=expire)
        for _ in range(2):
            assert store.check() == []
            assert len(store) == len(buffers(value)) + 1
            assert set(store.values()) == {value}
            push_to_disk(store)
    with disk_store(tmp_path / "store") as store:
        assert set(store.values()) == {value}
        assert (store.ttl(b"00000000") is None) == (expire is None)


@pytest.mark.parametrize("size", [100, 65_536])
def test_rmw_keeps_the_expiry_and_looks_at_it(size: int) -> None:
    clock = Clock()
    with oxidbm.Store(clock=clock) as store, store.session() as session:
        store.set(b"k", b"a" * size, expire=10)
        clock.now += 4
        assert session.rmw(b"k", lambda old: old[1:] + b"b") == b"a" * (size - 1) + b"b"
        assert store.ttl(b"k") == 6

        def late(old: bytes) -> bytes:
            clock.now += 7
            return old[::-1]

        assert session.rmw(b"k", late, b"anew") == b"anew"
        assert (store[b"k"], store.ttl(b"k")) == (b"anew", None)


BETWEEN: dict[str, Callable[[Any, dict[bytes, bytes], random.Random], None]] = {}


def between(function: Callable[[Any, dict[bytes, bytes], random.Random], None]) -> Any:
    """Keep what a function may do to store and model while it is asked for a value."""
    BETWEEN[function.__name__] = function
    return function


@between
def same_length(store: Any, model: dict[bytes, bytes], chance: random.Random) -> None:
    """Overwrite in place."""
    store[b"k"] = model[b"k"] = chance.randbytes(len(model.get(b"k", b"v" * 300)))


@between
def another_length(store: Any, model: dict[bytes, bytes], chance: random.Random) -> None:
    """Overwrite, in place or not."""
    store[b"k"] = model[b"k"] = chance.randbytes(chance.randrange(600))


@between
def other_key(store: Any, model: dict[bytes, bytes], chance: random.Random) -> None:
    """Change something else."""
    store[b"other"] = model[b"other"] = chance.randbytes(chance.choice([300, 400]))


@between
def deleted(store: Any, model: dict[bytes, bytes], chance: random.Random) -> None:
    """Delete, and set anew or not."""
    store.pop(b"k", None)
    model.pop(b"k", None)
    if chance.random() < 0.5:
        store[b"k"] = model[b"k"] = chance.randbytes(300)


@between
def cleared(store: Any, model: dict[bytes, bytes], chance: random.Random) -> None:
    """Clear."""
    store.clear()
    model.clear()


@between
def many(store: Any, model: dict[bytes, bytes], chance: random.Random) -> None:
    """Write through a batch call."""
    pairs = {b"k": chance.randbytes(300), b"other": chance.randbytes(300)}
    store.set_many(list(pairs.items()))
    model.update(pairs)


@between
def expiring(store: Any, model: dict[bytes, bytes], chance: random.Random) -> None:
    """Set with an expiry."""
    model[b"k"] = chance.randbytes(300)
    store.set(b"k", model[b"k"], expire=1000)


@between
def committed(store: Any, model: dict[bytes, bytes], chance: random.Random) -> None:
    """Commit, and let everything leave memory or not."""
    if chance.random() < 0.5:
        store.sync()
    else:
        push_to_disk(store)


@between
def nothing(store: Any, model: dict[bytes, bytes], chance: random.Random) -> None:
    """Do nothing."""


class Rotation:
    """A function for rmw that says what it made last, and a few times does something to the store as well."""

    def __init__(self, store: Any, model: dict[bytes, bytes], chance: random.Random, same_size: bool) -> None:
        self.store, self.model, self.chance, self.same_size = store, model, chance, same_size
        self.left = chance.randrange(3)
        self.old: bytes | None = None
        self.made: bytes | None = None

    def __call__(self, old: bytes) -> bytes:
        assert old == self.model[b"k"]
        self.old = old
        self.made = made = old[1:] + (old[:1] if self.same_size else b"more")
        if self.left:
            self.left -= 1
            BETWEEN[self.chance.choice(list(BETWEEN))](self.store, self.model, self.chance)
        return made


@pytest.mark.parametrize("seed", range(scaled(40, 6)))
def test_rmw_beside_whatever_its_function_does(seed: int, tmp_path: Path) -> None:
    """What is stored is what the function made of the value that the key had when it was stored."""
    chance = random.Random(seed)
    model: dict[bytes, bytes] = {}
    with disk_store(tmp_path / "store") as store, store.session() as session:
        for _ in range(30):
            function = Rotation(store, model, chance, same_size=seed % 2 == 0)
            initial = chance.choice([None, b"i" * 300])
            result = session.rmw(b"k", function, initial)
            assert result == (function.made if b"k" in model else initial)
            assert b"k" not in model or model[b"k"] == function.old, "what was changed meanwhile is not lost"
            if result is not None:
                model[b"k"] = result
            assert dict(store.items()) == model
            BETWEEN[chance.choice(list(BETWEEN))](store, model, chance)
        assert store.check() == []


class Writing(CrashDevice):
    """A device whose first write after it was told so makes a call."""

    def __init__(self) -> None:
        super().__init__(PAGE_BYTES)
        self.calls: list[Callable[[], None]] = []

    def write(self, address: int, data: memoryview) -> None:
        if self.calls:
            self.calls.pop()()
        super().write(address, data)


def test_rmw_looks_again_where_room_had_to_be_made(tmp_path: Path) -> None:
    """Others run while a page is flushed, and may change the value that was unchanged before."""
    device, seen = Writing(), []
    options: Any = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual", "compaction": False}
    with oxidbm.Store(tmp_path / "store", device=device, **options) as store, store.session() as session:
        leave_memory(store, 8 * PAGE_BYTES)
        for number in range(20):
            store[b"%d" % number] = bytes(3000)
        store[b"k"] = b"a" * 3000

        def longer(old: bytes) -> bytes:
            seen.append(old[:1])
            return old + b"!" * 500

        device.calls.append(lambda: store.update({b"k": b"b" * 3000}))
        while table_of(store).log.frames.drop_spare():
            pass
        assert session.rmw(b"k", longer) == b"b" * 3000 + b"!" * 500
        assert (device.calls, seen) == ([], [b"a", b"b"])
        assert store[b"k"] == b"b" * 3000 + b"!" * 500


def test_what_was_read_before_a_change_is_compared() -> None:
    table = memory_table()
    put(table, b"k", b"one", operations.ALWAYS, b"", 0)
    changes = table.log.changes()
    assert replace(table, b"k", b"two", b"one", changes)
    assert table.log.changes() > changes, "it was written in place"
    assert not replace(table, b"k", b"new", b"one", changes)
    assert replace(table, b"k", b"new", b"two", changes), "only what it was then is of account"
    assert operations.read(table, b"k") == b"new"
    changes = table.log.changes()
    assert operations.delete(table, b"k") == operations.DONE
    assert table.log.changes() > changes
    assert not replace(table, b"k", b"new", b"new", changes)
    assert not replace(table, b"k", b"new", b"new", table.log.changes()), "there is none"
    assert operations.read(table, b"k") is None


@pytest.mark.compiled_only("only compiled code is one stretch")
def test_values_are_whole_beside_other_threads() -> None:
    size = 1 << 18
    stop = time.monotonic() + 0.3
    done = False
    with oxidbm.Store(memory="64MiB") as store:
        store[b"k"] = bytes(size)

        def write() -> None:
            nonlocal done
            turn = 0
            while time.monotonic() < stop:
                turn = (turn + 1) % 251
                store[b"k"] = bytes([turn]) * (size - turn % 3 * 8)
            done = True

        def read() -> None:
            while not done:
                value = store[b"k"]
                assert value == value[:1] * (size - value[0] % 3 * 8)

        run(write, read, read)


@pytest.mark.compiled_only("only compiled code is one stretch")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_an_interrupt_leaves_no_half_of_a_value() -> None:
    """A handler's exception may be lost, in a finalizer or a callback of the collector, so none is waited for."""
    size = 1 << 18
    interrupts = 0
    armed = False  # a signal that comes late, on a machine that is busy, is none

    def interrupt(number: int, frame: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with oxidbm.Store(memory="64MiB", durability="manual") as store, store.session() as session:
            store[b"k"] = bytes(size)
            turn = 0
            for _ in range(200):
                stop = time.monotonic() + 0.01
                try:
                    armed = True
                    signal.setitimer(signal.ITIMER_REAL, 0.001)
                    while time.monotonic() < stop:
                        turn = (turn + 1) % 251
                        store[b"k"] = bytes([turn]) * size
                        session.rmw(b"k", lambda old: bytes([old[0] ^ 1]) * size)
                    armed = False
                except KeyboardInterrupt:
                    interrupts += 1
                value = store[b"k"]
                assert value == value[:1] * size
            assert store.check() == []
    except KeyboardInterrupt:  # one that something has kept until it came to its end
        interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupts > 0
