"""Appending: entries in order, each with its address, of every size that a page makes special; and no room for one."""

import functools
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Log
from tests.faster_log.helpers import FIRST, HEADER, SMALL_PAGE, Place, data_of, entries, pairs, push_to_disk, until_true
from tests.inside import hybrid_log_of
from tests.support import run, scaled


def rounded(size: int) -> int:
    """Return what an entry of so many bytes takes."""
    return HEADER + (size + 7) // 8 * 8


def test_many_entries_and_one_commit(place: Place) -> None:
    """A scan returns each in order with its address; the next entry's address follows from it, or begins a page."""
    log = place.open()
    data = [data_of(i, i % 200) for i in range(scaled(5000, 400))]
    addresses = [log.append(entry) for entry in data]
    assert log.commit() == 1
    assert list(log) == list(zip(addresses, data, strict=True))
    assert addresses[0] == log.begin == FIRST
    for i, (one, following) in enumerate(itertools.pairwise(addresses)):
        end = one + rounded(len(data[i]))
        crosses = end // place.page_bytes != (end + rounded(len(data[i + 1])) - 1) // place.page_bytes
        assert following == (-(-end // place.page_bytes) * place.page_bytes if crosses else end)
    assert len(log) == len(data)
    assert [log.read(address) for address in addresses] == data
    assert [log.size(address) for address in addresses] == [len(entry) for entry in data]


@pytest.mark.parametrize("less", [0, 1, 7, 8, HEADER, -1, -8, -HEADER])
def test_an_entry_about_as_large_as_a_page(place: Place, less: int) -> None:
    """Exactly as large with its header, as its data alone, a byte less and more; first of all, between small ones."""
    sizes = [place.page_bytes - HEADER - less, 5, place.page_bytes - HEADER - less, place.page_bytes - less, 0]
    data = [data_of(i, size) for i, size in enumerate(sizes)]
    log = place.open()
    addresses = [log.append(entry) for entry in data]
    assert pairs(log) == list(zip(addresses, data, strict=True))
    log.commit()
    assert entries(log) == data
    assert [log[address] for address in addresses] == data
    if place.durable:
        push_to_disk(log)
        assert [log[address] for address in addresses] == data
        log.close()
        assert list(place.open()) == list(zip(addresses, data, strict=True))


def test_batches_that_exceed_a_page_together(place: Place) -> None:
    """Each of their entries fits one; they are there when the block ends, and their addresses in the batch."""
    log = place.open()
    size = place.page_bytes // 3
    for round_number in range(3):
        data = [data_of(round_number * 10 + i, size) for i in range(5)]
        with log.batch() as batch:
            for entry in data:
                batch.append(entry)
            assert len(batch) == 5
            assert len(log) == round_number * 5
        assert [log[address] for address in batch.addresses] == data
    assert len(log) == 15
    log.commit()
    assert len(entries(log)) == 15


def test_many_sizes_with_a_committer_in_another_thread(place: Place) -> None:
    """Single entries, many at once and batches, waited for one by one; nothing is lost or out of order."""
    log = place.open()
    done: list[bool] = []
    count = scaled(60, 15)

    def append() -> None:
        try:
            for i in range(count):
                address = log.append(data_of(i * 3, (0, 1, 50, SMALL_PAGE - HEADER, SMALL_PAGE)[i % 5] + 4))
                log.append_many([data_of(i * 3 + 1, 9)])
                with log.batch() as batch:
                    batch.append(data_of(i * 3 + 2, 2000))
                if i % 3 == 0:
                    assert log.wait(address)
        finally:
            done.append(True)

    def commit() -> None:
        while not done:
            log.commit()

    run(append, commit, seconds=60)
    log.commit()
    assert [int(data.split(b".")[0]) for data in entries(log)] == list(range(count * 3))


def test_append_many_returns_the_first_address_and_the_one_behind(place: Place) -> None:
    """A scan from the latter on goes on behind them; of a list or any iterable, of none too."""
    log = place.open()
    assert log.append_many([]) == (log.tail, log.tail) == (FIRST, FIRST)
    first, following = log.append_many([b"a", "b", b""])
    again, end = log.append_many(iter([b"c", bytearray(b"d")]))
    assert (first, following, end) == (FIRST, again, log.tail)
    assert [data for _, data in pairs(log, begin=following)] == [b"c", b"d"]
    assert [data for _, data in pairs(log, end=following)] == [b"a", b"b", b""]
    assert log.append_many(()) == (end, end)


def test_append_many_keeps_what_came_before_a_failure(place: Place) -> None:
    """Whether the iterable raises, or has something that is no entry."""
    log = place.open()

    def broken() -> Any:
        yield b"a"
        raise ArithmeticError("broken")

    with pytest.raises(ArithmeticError):
        log.append_many(broken())
    wrong: list[Any] = [b"b", 5, b"c"]
    with pytest.raises(TypeError, match="entries are bytes or str, not int"):
        log.append_many(wrong)
    assert [data for _, data in pairs(log)] == [b"a", b"b"]
    assert len(log) == 2


def test_the_address_behind_many_is_not_behind_what_others_append_meanwhile(files: Place) -> None:
    """What another thread appends between two of them, or as the call ends, is found by a scan from there on."""
    log = files.open()

    def appending() -> Any:
        yield b"mine"
        yield b"mine"
        log.append(b"theirs")

    _, following = log.append_many(appending())
    assert [data for _, data in pairs(log, begin=following)] == [b"theirs"]


def test_try_append_answers_none_where_memory_is_full_and_succeeds_later(files: Place) -> None:
    """It writes nothing itself, but what it was refused for is written meanwhile; no hole is left behind."""
    log = files.open()
    data = data_of(1, 3000)
    expected = []
    while (address := log.try_append(data)) is not None:
        expected.append((address, data))
    assert len(log) == len(expected)
    late: list[int] = []

    def succeeds() -> bool:
        address = log.try_append(data)
        if address is not None:
            late.append(address)
        return bool(late)

    until_true(succeeds)
    expected.append((late[0], data))
    log.commit()
    assert list(log) == expected
    assert log.committed == log.tail


def test_try_append_in_a_memory_that_stays_full() -> None:
    """A log in memory is full until it is truncated; nothing has changed, and append() raises."""
    log = Log(memory="1MiB", page_size=SMALL_PAGE)
    addresses = []
    while (address := log.try_append(bytes(3000))) is not None:
        addresses.append(address)
    tail = log.tail
    assert log.try_append(bytes(3000)) is None
    with pytest.raises(oxidbm.FullError, match=f"memory is full.*{len(addresses)} entries.*truncate"):
        log.append(bytes(3000))
    assert (log.tail, len(log)) == (tail, len(addresses))
    assert [address for address, _ in pairs(log)] == addresses
    assert log.truncate(addresses[10]) == 10
    assert log.try_append(bytes(3000)) is not None
    log.append(bytes(3000))
    assert len(log) == len(addresses) - 8


def test_try_append_after_opening_again_leaves_no_hole(files: Place) -> None:
    """Neither where a page that is not in memory has no room for it."""
    log = files.open()
    log.append(bytes(2000))
    log.close()
    log = files.open()
    assert log.try_append(bytes(3000)) is not None
    log.commit()
    assert [len(data) for data in entries(log)] == [2000, 3000]


def test_the_tail_moves_under_stress(tmp_path: Path) -> None:
    """Many threads, tiny pages, many small entries: each thread finds its own in its order, and all are there."""
    log = Log(tmp_path / "log", memory="1MiB", page_size=SMALL_PAGE)
    count = scaled(40_000, 1500)
    threads = 4

    def append(thread: int) -> None:
        entry = b"%d" % thread
        for _ in range(count // 2):
            log.append(entry)
        log.append_many([entry] * (count // 2))

    run(*(functools.partial(append, thread) for thread in range(threads)), seconds=120)
    log.commit()
    found = [0] * threads
    previous = 0
    for address, data in log:
        assert address > previous
        previous = address
        found[int(data)] += 1
    assert found == [count // 2 * 2] * threads
    assert len(log) == sum(found)
    log.close()


@pytest.mark.compiled_only("the sources breathe in another way")
def test_others_run_while_room_is_made_for_a_large_entry(files: Place) -> None:
    """What a signal handler raises meanwhile comes out, and neither room nor the entry is lost or kept."""
    log = files.open(memory="64MiB")
    budget = hybrid_log_of(log).budget
    before = budget.total
    turns = 0

    def raise_sometimes(frame: Any, event: str, arg: object) -> None:
        nonlocal turns
        if event == "call" and frame.f_code.co_name == "be_interpreted":
            turns += 1
            if turns == 3:
                raise KeyError(turns)

    sys.setprofile(raise_sometimes)
    try:
        with pytest.raises(KeyError):
            log.append(bytes(16 << 20))
    finally:
        sys.setprofile(None)
    assert budget.total - before < 1 << 20
    assert len(log) == 0
    address = log.append(b"x" * (16 << 20))
    assert log.read(address) == b"x" * (16 << 20)
    assert len(log) == 1
    log.commit()


def test_nothing_is_appended_behind_a_batchs_block(files: Place) -> None:
    """It would be lost without a word, or come with what the batch is entered for next."""
    log = files.open()
    with log.batch() as batch:
        batch.append(b"first")
    with pytest.raises(RuntimeError, match="this one's has ended"):
        batch.append(b"lost")
    with batch:
        batch.append(b"second")
    assert [data for _, data in pairs(log)] == [b"first", b"second"]
