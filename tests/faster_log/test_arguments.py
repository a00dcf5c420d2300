"""Arguments of a log: one of another type is a TypeError that names it, one out of range a ValueError."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Log, Store
from tests.faster_log.helpers import Place, entries

Call = Callable[[Log[bytes], Any], object]

NO_NUMBER: list[Any] = ["x", b"1", [], True]
NO_FLAG: list[Any] = [None, 0, 1, "x"]
NO_TEXT: list[Any] = [None, 5, b"x", True]
FLAGS = ("read_only", "create", "lock")
STORE_FLAGS = (*FLAGS, "evict", "compaction", "checkpoints", "ordered")
COMMON: dict[str, list[Any]] = {
    **dict.fromkeys(FLAGS, NO_FLAG),
    "durability": NO_TEXT,
    "interval": [None, *NO_NUMBER],
    "mode": [None, "600", True, 6.0],
    "device": [5, "device"],
}
LOG_OPTIONS: dict[str, list[Any]] = {
    **COMMON,
    "on_error": [5, b"skip"],
    "keep_seconds": NO_NUMBER,
    "keep_entries": [*NO_NUMBER, 1.0],
}
STORE_OPTIONS: dict[str, list[Any]] = {
    **COMMON,
    **dict.fromkeys(STORE_FLAGS, NO_FLAG),
    "mapped": [0, "x"],
    "follow": NO_NUMBER,
    "clock": [5],
}
OUT_OF_RANGE: dict[str, list[Any]] = {
    "mode": [-1, 1 << 70, 0o10000],
    "interval": [0, -1, float("nan"), float("inf")],
    "durability": ["sometimes", ""],
}
METHODS: list[tuple[str, list[Any], Call]] = [
    ("alone", NO_FLAG, lambda log, wrong: log.commit(alone=wrong)),
    ("number", ["1", 1.0, True], lambda log, wrong: log.commit(number=wrong)),
    ("timeout", NO_NUMBER, lambda log, wrong: log.wait(timeout=wrong)),
    ("timeout", NO_NUMBER, lambda log, wrong: log.follow(timeout=wrong)),
    ("timeout", NO_NUMBER, lambda log, wrong: log.aiter(timeout=wrong)),
    ("timeout", NO_NUMBER, lambda log, wrong: log.reader("new", timeout=wrong)),
    ("follow", NO_FLAG, lambda log, wrong: log.reader("new", follow=wrong)),
    ("name", NO_TEXT, lambda log, wrong: log.reader(wrong)),
    ("name", NO_TEXT, lambda log, wrong: log.forget_reader(wrong)),
    ("time", [None, *NO_NUMBER], lambda log, wrong: log.address_at(wrong)),
    ("count", [None, *NO_NUMBER, 1.5], lambda log, wrong: log.last(wrong)),
    ("uncommitted", NO_FLAG, lambda log, wrong: log.scan(uncommitted=wrong)),
    ("uncommitted", NO_FLAG, lambda log, wrong: log.follow(uncommitted=wrong)),
    ("on_error", [5, b"skip"], lambda log, wrong: log.scan(on_error=wrong)),
    ("past_readers", NO_FLAG, lambda log, wrong: log.truncate(past_readers=wrong)),
    ("link", NO_FLAG, lambda log, wrong: log.backup("new", link=wrong)),
    ("commit", NO_FLAG, lambda log, wrong: log.close(wrong)),
]


@pytest.mark.parametrize("name", LOG_OPTIONS)
def test_an_option_of_another_type(name: str, tmp_path: Path) -> None:
    for wrong in LOG_OPTIONS[name]:
        given: dict[str, Any] = {name: wrong}
        with pytest.raises(TypeError, match=f"{name} is .*not "):
            Log(tmp_path / "log", **given)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("name", STORE_OPTIONS)
def test_a_stores_option_of_another_type(name: str, tmp_path: Path) -> None:
    for wrong in STORE_OPTIONS[name]:
        given: dict[str, Any] = {name: wrong}
        with pytest.raises(TypeError, match=f"{name} is .*not "):
            Store(tmp_path / "store", **given)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("opened", [Log, Store])
@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_an_option_out_of_range(opened: Callable[..., object], name: str, tmp_path: Path) -> None:
    for wrong in OUT_OF_RANGE[name]:
        with pytest.raises(ValueError, match=f"{name} is .*not "):
            opened(tmp_path / "new", **{name: wrong})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("name", "values", "call"), METHODS)
def test_an_argument_of_another_type(name: str, values: list[Any], call: Call, files: Place) -> None:
    """The log is as it was."""
    log = files.open()
    log.append(b"entry")
    log.commit()
    for wrong in values:
        with pytest.raises(TypeError, match=f"{name} is .*not "):
            call(log, wrong)
    assert (entries(log), log.commit_number, log.readers()) == ([b"entry"], 1, [])


def test_numbers_of_seconds_that_no_float_is(files: Place) -> None:
    """An int of any size is one, and what is longer than there is time is for ever."""
    log = files.open()
    log.append(b"entry")
    log.commit()
    assert log.wait(timeout=10**400)
    assert next(log.follow(timeout=10**400)) == (64, b"entry")
    assert log.address_at(10**400) == log.committed
    with pytest.raises(ValueError, match="timeout is a number of seconds, at least 0, or None, not -1"):
        log.wait(timeout=-1)


def test_a_long_value_is_shown_by_its_beginning(files: Place) -> None:
    wrong: Any = "x" * 10_000
    with pytest.raises(TypeError, match=r"lock is True or False, not 'x{56}\.\.\.$"):
        files.open(lock=wrong)


def test_an_empty_log_is_true() -> None:
    """As an empty queue is: whoever asks whether there is a log does not ask whether something is in it."""
    log = Log()
    assert log
    assert len(log) == 0
    log.close()
    assert log


def test_a_backup_to_a_path_of_bytes(files: Place, tmp_path: Path) -> None:
    log = files.open()
    log.append(b"entry")
    assert log.backup(bytes(tmp_path / "copy")).path == str(tmp_path / "copy")
    with Log(bytes(tmp_path / "copy")) as copy, Store(tmp_path / "store") as store:
        assert entries(copy) == [b"entry"]
        assert store.backup(bytes(tmp_path / "other")).path == str(tmp_path / "other")
