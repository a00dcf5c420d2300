"""Entries that the codec did not write: which one it is, and how to get past it."""

import asyncio
import pickle
from contextlib import suppress
from typing import Any

import pytest

from oxidbm import Log, codecs
from tests.faster_log.helpers import Place, push_to_disk


@pytest.fixture
def numbers(files: Place) -> tuple[Log[Any], list[int], int]:
    """A log of five entries of JSON, of which the third is none; their addresses, and that one's."""
    with files.open(codec="json") as log:
        log.append(0)
    with files.open(codec=codecs.RAW) as log:
        for data in (b"1", b"no number", b"3", b"4"):
            log.append(data)
    log = files.open(codec="json")
    with Log(files.path, read_only=True, codec=codecs.RAW) as raw:
        addresses = [address for address, _ in raw]
    return log, addresses, addresses[2]


@pytest.mark.parametrize("pushed", [False, True])
def test_it_says_which_one_it_is(numbers: tuple[Log[Any], list[int], int], pushed: bool) -> None:
    log, addresses, bad = numbers
    if pushed:
        push_to_disk(log)
    for call in (
        lambda: log.read(bad),
        lambda: list(log),
        lambda: list(log.scan(bad)),
        lambda: log.last(3),
        lambda: list(log.follow(timeout=0)),
        lambda: list(log.reader("billing")),
    ):
        with pytest.raises(codecs.DecodeError, match=f"the entry at address {bad} cannot be decoded") as raised:
            call()
        assert raised.value.address == bad
        assert isinstance(raised.value, ValueError)
        assert pickle.loads(pickle.dumps(raised.value)).address == bad
    assert codecs.DecodeError("elsewhere").address is None
    assert log.last(2) == [(addresses[3], 3), (addresses[4], 4)]


@pytest.mark.parametrize("pushed", [False, True])
def test_it_is_passed_over(numbers: tuple[Log[Any], list[int], int], pushed: bool) -> None:
    """By all that passes over what is damaged."""
    log, addresses, bad = numbers
    if pushed:
        push_to_disk(log)
    sound = [(address, number) for number, address in enumerate(addresses) if address != bad]
    assert list(log.scan(on_error="skip")) == sound
    assert list(log.scan(bad, on_error="skip")) == sound[2:]
    assert list(log.follow(timeout=0, on_error="skip")) == sound
    assert log.last(3, on_error="skip") == sound[1:]
    assert log.last(100, on_error="skip") == sound

    async def all_of_it() -> list[Any]:
        return [pair async for pair in log.aiter(timeout=0, on_error="skip")]

    assert asyncio.run(all_of_it()) == sound
    with Log(log.path, read_only=True, codec="json", on_error="skip") as left:
        assert list(left) == sound
        with pytest.raises(codecs.DecodeError):
            list(left.scan(on_error="raise"))


def test_a_reader_that_passes_over_it(numbers: tuple[Log[Any], list[int], int]) -> None:
    """It is done with what comes behind it, and each entry that is decoded comes as it is."""
    log, addresses, bad = numbers
    with log.reader("billing", on_error="skip") as reader:
        given = []
        for address, number in reader:
            given.append(number)
            reader.done(address)
            if number == 1:
                assert reader.position <= bad
            if number == 3:
                break
        assert given == [0, 1, 3]
        assert reader.position == addresses[4]
    assert log.readers()[0].lag == 1


def test_a_reader_that_is_told_that_it_is_done(numbers: tuple[Log[Any], list[int], int]) -> None:
    """As each restart of a program may do, which would end at the same entry else."""
    log, _, bad = numbers
    given: list[int] = []
    for turn in range(2):
        with log.reader("billing") as reader:
            if turn == 0:
                with pytest.raises(codecs.DecodeError) as raised:
                    given += [number for _, number in reader]
                assert raised.value.address is not None
                reader.done(raised.value.address)
                assert reader.position > bad
            else:
                given += [number for _, number in reader]
    assert given == [3, 4]
    with Log(str(log.path), read_only=True, codec=codecs.RAW) as raw:
        assert raw.read(bad) == b"no number"


def test_what_was_given_before_it_is_done(numbers: tuple[Log[Any], list[int], int]) -> None:
    """Where the block ends by that error: whoever asked for the next entry was done with the one before."""
    log, _, bad = numbers
    given: list[int] = []
    for _ in range(3):
        with suppress(codecs.DecodeError), log.reader("billing") as reader:
            for _, number in reader:
                given.append(number)
    assert given == [0, 1]
    assert log.readers()[0].address == bad


def test_one_that_is_not_asked_for_is_in_nobodys_way(numbers: tuple[Log[Any], list[int], int]) -> None:
    """The last entries are found in a piece of the log's end, with others before them."""
    log, addresses, bad = numbers
    assert log.last() == [(addresses[4], 4)]
    assert list(log.scan(bad + 8)) == [(addresses[3], 3), (addresses[4], 4)]
    assert len(log) == 5
    assert log.check() == []


def test_a_log_is_not_searched(place: Place) -> None:
    log = place.open()
    address = log.append(b"entry")
    for wanted in (address, b"entry", (address, b"entry")):
        with pytest.raises(TypeError, match="a log is not searched"):
            _ = wanted in log
