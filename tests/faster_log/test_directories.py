"""Directories: where a log can be, its sizes at their limits, and what stores and their tools say of a log's."""

import dbm
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import CorruptionError, FormatError, Log, Store, _remove, shelve
from tests.cli.helpers import invoke
from tests.faster_log.helpers import LARGE_PAGE, SMALL_PAGE, Place, data_of, entries
from tests.inside import hybrid_log_of

NOT_A_STORE = "is a log, not a store; open it with oxidbm.Log"


def a_log(path: Path) -> dict[str, bytes]:
    """Make a log at a path, and return its files."""
    with Log(path, memory="1MiB", page_size=SMALL_PAGE) as log:
        log.append_many([data_of(i, 500) for i in range(20)])
    return files_below(path)


def files_below(path: Path) -> dict[str, bytes]:
    """Return the files below a path, but for the lock."""
    found = (file for file in path.rglob("*") if file.is_file() and file.name != "LOCK")
    return {str(file.relative_to(path)): file.read_bytes() for file in found}


@pytest.mark.parametrize(
    "call",
    [
        Store,
        lambda path: Store(path, read_only=True),
        lambda path: Store(path, create=False),
        oxidbm.open,
        lambda path: oxidbm.open(path, "w"),
        lambda path: oxidbm.open(path, "c"),
        shelve.open,
        oxidbm.check,
        lambda path: oxidbm.salvage(path, path.with_name("salvaged")),
        oxidbm.recover,
        lambda path: oxidbm.recover(path, to=path.with_name("recovered")),
    ],
)
def test_a_log_is_no_store(call: Callable[[Path], object], tmp_path: Path) -> None:
    """Each says what it is, and by what it is opened, and changes nothing."""
    before = a_log(tmp_path / "log")
    with pytest.raises(FormatError, match=NOT_A_STORE):
        call(tmp_path / "log")
    assert files_below(tmp_path / "log") == before
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize("flag", ["n", "nf", "nu"])
def test_a_new_database_does_not_replace_a_log(flag: str, tmp_path: Path) -> None:
    """As it would a store; neither one that has the name under which a store is moved aside."""
    before = a_log(tmp_path / "log")
    for open_new in (oxidbm.open, shelve.open):
        with pytest.raises(FormatError, match="is a log, which is not replaced by a store; choose a new name"):
            open_new(tmp_path / "log", flag)
    assert files_below(tmp_path / "log") == before
    aside = tmp_path / f"other{_remove.REPLACED}"
    before = a_log(aside)
    oxidbm.open(tmp_path / "other", flag).close()
    assert files_below(aside) == before


@pytest.mark.parametrize(
    "command",
    [
        ["stat"], ["check"], ["keys"], ["dump"], ["get", "a"], ["set", "a", "b"], ["checkpoints"], ["recover"],
        ["backup", "TO"], ["salvage", "TO"],
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_commands_on_a_log(command: list[str], tmp_path: Path) -> None:
    """A sentence and exit status 6, as for anything that is no store."""
    before = a_log(tmp_path / "log")
    name, *rest = command
    result = invoke(name, tmp_path / "log", *(tmp_path / "to" if word == "TO" else word for word in rest))
    assert (result.exit_code, result.stdout) == (6, "")
    assert NOT_A_STORE.partition(";")[0] in " ".join(result.stderr.split())
    assert "oxidbm.Log" not in result.stderr
    assert files_below(tmp_path / "log") == before
    assert not (tmp_path / "to").exists()


def test_whichdb_of_a_log(tmp_path: Path) -> None:
    """No module of dbm opens it, also where oxidbm is installed among them."""
    a_log(tmp_path / "log")
    assert oxidbm.whichdb(tmp_path / "log") is None
    assert dbm.whichdb(str(tmp_path / "log")) is None
    with oxidbm.dbm.install():
        assert dbm.whichdb(str(tmp_path / "log")) is None


def test_a_backup_into_a_log(tmp_path: Path) -> None:
    before = a_log(tmp_path / "log")
    with Store(tmp_path / "store") as store:
        store["a"] = "1"
        with pytest.raises(oxidbm.error, match="log"):
            store.backup(tmp_path / "log")
    assert files_below(tmp_path / "log") == before


@pytest.mark.parametrize("options", [{}, {"read_only": True}, {"create": False}, {"lock": False}])
def test_a_store_is_no_log(options: dict[str, Any], tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store["a"] = "1"
    before = files_below(tmp_path / "store")
    with pytest.raises(FormatError, match=r"is a store, not a log; open it with oxidbm\.Store"):
        Log(tmp_path / "store", **options)
    assert files_below(tmp_path / "store") == before
    with Store(tmp_path / "store") as store:
        assert dict(store) == {b"a": b"1"}


def test_what_is_no_log_at_all(tmp_path: Path) -> None:
    """A file, a directory with other things, one without a superblock or with another one, a link to nowhere."""
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(FormatError, match="is a file; a log is a directory"):
        Log(tmp_path / "file")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "letter").write_bytes(b"x")
    with pytest.raises(FormatError, match="is not a log: it has no STORE but letter"):
        Log(tmp_path / "foreign")
    a_log(tmp_path / "log")
    (tmp_path / "log" / "STORE").rename(tmp_path / "STORE")
    with pytest.raises(oxidbm.CorruptionError, match="STORE is missing, but there is a log"):
        Log(tmp_path / "log")
    (tmp_path / "log" / "STORE").write_bytes(bytes(range(100)))
    with pytest.raises(FormatError, match="does not begin at offset 0 as a log's superblock does"):
        Log(tmp_path / "log")
    (tmp_path / "log" / "STORE").write_bytes((tmp_path / "STORE").read_bytes())
    assert len(Log(tmp_path / "log")) == 20
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="is no directory, but a file or a link to nowhere"):
        Log(tmp_path / "link")


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """It is made with those above it, unless that is refused, or the log is only read."""
    path = tmp_path / "a" / "b" / "log"
    for options in ({"create": False}, {"read_only": True}):
        given: dict[str, Any] = options
        with pytest.raises(oxidbm.MissingError, match="there is no log to open"):
            Log(path, **given)
        assert not (tmp_path / "a").exists()
    log = Log(path)
    log.append(b"a")
    log.close()
    (tmp_path / "empty").mkdir()
    with pytest.raises(oxidbm.MissingError, match="the directory holds no log"):
        Log(tmp_path / "empty", create=False)
    assert entries(Log(path, create=False)) == [b"a"]
    with pytest.raises(ValueError, match="a log without a path is always new"):
        Log(read_only=True)


def test_two_logs_in_one_directory_by_name(tmp_path: Path) -> None:
    """Each is a directory of its own in it."""
    with Log(tmp_path / "one") as one, Log(tmp_path / "two") as two, Log(str(tmp_path / "three").encode()) as three:
        one.append(b"1")
        two.append(b"2")
        three.append(b"3")
    for name, entry in (("one", b"1"), ("two", b"2"), ("three", b"3")):
        with Log(tmp_path / name) as log:
            assert entries(log) == [entry]


@pytest.mark.parametrize(
    ("page_size", "memory", "actual"),
    [
        (4096, 1 << 20, 4096),
        ("4KiB", "1MiB", 4096),
        ("64MiB", "1MiB", 1 << 17),
        (LARGE_PAGE, "64MiB", LARGE_PAGE),
        ("64MiB", "512MiB", 64 << 20),
    ],
)
def test_page_and_memory_sizes_at_their_limits(
    page_size: int | str, memory: int | str, actual: int, tmp_path: Path
) -> None:
    """A log works with the smallest and the largest, and keeps its page size whatever it is opened with."""
    path = tmp_path / "log"
    with Log(path, page_size=page_size, memory=memory) as log:
        assert log.stats()["page_bytes"] == actual
        log.append(b"a")
        log.append(bytes(300_000))
    with Log(path, memory=memory, page_size=8192) as log:
        assert log.stats()["page_bytes"] == actual
        assert [len(data) for data in entries(log)] == [1, 300_000]
    if actual > 1 << 18:
        with pytest.raises(ValueError, match=f"memory is 1048576 bytes; .* has pages of {actual} bytes and needs"):
            Log(path, memory="1MiB")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"page_size": 2048}, "page_size is a power of two from 4096 to 67108864 bytes, not 2048"),
        ({"page_size": 128 << 20}, "page_size is a power of two"),
        ({"page_size": 5000}, "page_size is a power of two"),
        ({"memory": (1 << 20) - 1}, "memory is 1048575 bytes; a log needs at least 1048576"),
        ({"memory": 1 << 45, "page_size": 4096}, "more than 16777216 pages of 4096.*make the log"),
        ({"memory": 0}, "memory must be positive"),
        ({"memory": "much"}, "is no size"),
        ({"commit_bytes": 0}, "commit_bytes must be positive"),
        ({"durability": "never"}, 'durability is "manual", "interval" or "always", not \'never\''),
        ({"interval": 0}, "interval is a positive number"),
    ],
)
def test_sizes_beyond_their_limits(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    """In memory too; what can be said without knowing a log's pages is said before a directory is made."""
    for path in (None, tmp_path / "log"):
        with pytest.raises(ValueError, match=message):
            Log(path, **options)
    assert "pages" in message or not (tmp_path / "log").exists()


def test_small_and_large_segments(files: Place) -> None:
    """Entries that begin files, and files that hold one entry each."""
    log = files.open()
    expected = []
    for i in range(30):
        hybrid_log_of(log).device.roll()
        data = data_of(i, (100, 5000, 4072)[i % 3])
        expected.append((log.append(data), data))
        log.commit()
    log.close()
    assert len(list((files.path / "log").iterdir())) > 10
    log = files.open()
    assert list(log) == expected


@pytest.mark.parametrize("make", [Log, Store])
def test_an_empty_path(make: Callable[..., Any]) -> None:
    for options in ({}, {"read_only": True}):
        with pytest.raises(ValueError, match=r"the path of a (log|store) is empty; name a directory"):
            make("", **options)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of descriptors")
def test_fewer_descriptors_than_files(files: Place) -> None:
    import resource

    log = files.open()
    for number in range(40):
        log.append(data_of(number, 100))
        hybrid_log_of(log).close_tail_page()
        hybrid_log_of(log).device.roll()
        log.commit()
    log.close()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir("/dev/fd")}
    free = [number for number in range(limit[0]) if number not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[20], limit[1]))
    try:
        with pytest.raises(OSError, match=r"each of its \d+ files open\. Let the process have more \(ulimit -n"):
            files.open()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert len(files.open()) == 40


@pytest.mark.parametrize("read_only", [True, False])
def test_a_mark_of_a_clean_end_that_is_older_than_the_log(read_only: bool, files: Place) -> None:
    """As of a copy put together from two: the log would end with what the mark says, and the rest be cut off."""
    mark = files.path / "CLEAN"
    with files.open() as log:
        log.append(b"first")
    older = mark.read_bytes()
    with files.open() as log:
        log.append(b"second")
    mark.write_bytes(older)
    with pytest.raises(CorruptionError, match=r"goes on for \d+ bytes behind: CLEAN is older than the log"):
        files.open(read_only=read_only)
    with files.open(read_only=True, on_error="skip") as log:
        assert [data for _, data in log.scan()] == [b"first", b"second"]
    mark.unlink()
    with files.open() as log:
        assert [data for _, data in log] == [b"first", b"second"]


def test_a_file_in_the_place_of_the_readers_directory(files: Place) -> None:
    with files.open() as log:
        log.append(b"first")
    (files.path / "readers").write_bytes(b"")
    with files.open() as log:
        for call in (lambda: log.reader("r"), log.readers, log.truncate, lambda: log.forget_reader("r"), log.check):
            with pytest.raises(FormatError, match=r"readers is no directory"):
                call()
        assert [data for _, data in log] == [b"first"]
