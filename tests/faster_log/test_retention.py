"""What a log forgets by itself: whole files, by number, bytes and age, and nothing that a named reader has not done."""

import os
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Log
from tests.faster_log.helpers import Place, data_of, said_as_another_user
from tests.inside import commits_of_log, hybrid_log_of

PER_FILE = 10
SECOND = 1_000_000_000
SCRIPT_OF_ANOTHER_USER = """
import os, signal, oxidbm
from pathlib import Path
path = Path("log")
path.mkdir()
with oxidbm.Log() as log:
    log.append(b"imports what it needs")
os.chown(path, 65534, 65534)
os.seteuid(65534)
log = oxidbm.Log(path, memory="1MiB", page_size="4KiB", keep_bytes="1MiB")
log.append_many([bytes(1000)] * 20_000)
log.commit()
with log.reader("mine") as reader:
    next(reader)
os.seteuid(0)
(path / "readers" / "theirs.pos").touch(0o600)
os.seteuid(65534)
for _ in range(4):
    log.append_many([bytes(1000)] * 2000)
    log.commit()
    assert log.committed == log.tail
print(log.stats()["maintenance_failure"])
log.close()
"""


def files_of(log: Log[Any], count: int) -> list[int]:
    """Append entries to so many more files, committed; return the addresses."""
    addresses: list[int] = []
    for _ in range(count):
        hybrid_log_of(log).close_tail_page()
        hybrid_log_of(log).device.roll()
        addresses += [log.append(data_of(number, 1000)) for number in range(PER_FILE)]
        log.commit()
    return addresses


def looked_anew(log: Log[Any]) -> None:
    """Have the next commit look, however little has come since the last one that did, and commit."""
    commits_of_log(log).before.looked_ns = 0  # type: ignore[attr-defined]
    log.commit(alone=True)


def names(path: Path) -> list[str]:
    """Return the log's files."""
    return sorted(file.name for file in (path / "log").iterdir())


@pytest.mark.parametrize("limit", [{"keep_entries": 25}, {"keep_bytes": 25_600}])
def test_by_number_and_by_bytes(files: Place, limit: dict[str, Any]) -> None:
    """At least what was asked for stays, and less than a file more."""
    log = files.open(**limit)
    addresses = files_of(log, 8)
    looked_anew(log)
    assert 25 <= len(log) < 25 + PER_FILE + 1
    assert log.begin in addresses
    assert [address for address, _ in log] == addresses[-len(log) :]
    assert len(names(files.path)) <= 4
    log.close()
    log = files.open(**limit)
    assert len(log) <= 35
    assert log.stats()["maintenance_failure"] == ""


def test_by_age(files: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time of the commits: what is in a file with something younger stays."""
    now = [10**18]
    monkeypatch.setattr("time.time_ns", lambda: now[0])
    log = files.open(keep_seconds=60)
    for _ in range(5):
        files_of(log, 1)
        now[0] += 25 * SECOND
    looked_anew(log)
    assert len(log) == 3 * PER_FILE
    now[0] += 1000 * SECOND
    looked_anew(log)
    assert len(log) == PER_FILE  # the last file never goes


def test_the_limit_that_forgets_most_counts(files: Place) -> None:
    log = files.open(keep_entries=45, keep_bytes=12_000, keep_seconds=1e9)
    files_of(log, 8)
    looked_anew(log)
    assert len(log) == 2 * PER_FILE


def test_a_named_reader_keeps_what_it_has_not_done(files: Place) -> None:
    log = files.open(keep_entries=1)
    with log.reader("slow") as reader:
        addresses = files_of(log, 2)
        reader.done(addresses[3])
        addresses += files_of(log, 4)
        looked_anew(log)
        assert [address for address, _ in log][-len(addresses) + 4 :] == addresses[4:]
        assert log.begin <= addresses[4]
        reader.done(addresses[34])
        looked_anew(log)
        assert log.begin == addresses[30]
    log.forget_reader("slow")
    looked_anew(log)
    assert log.begin == addresses[50]


def test_nothing_goes_without_a_limit_or_without_a_commit(files: Place) -> None:
    log = files.open(keep_entries=1)
    hybrid_log_of(log).device.roll()
    for number in range(100):
        log.append(data_of(number, 1000))
    assert len(log) == 100
    log.close()
    log = files.open()
    files_of(log, 3)
    looked = commits_of_log(log).before
    assert type(looked).__name__ == "BeforeCommit"
    assert len(log) == 100 + 3 * PER_FILE


def test_damage_in_the_way_keeps_nothing_from_being_committed(files: Place) -> None:
    """What it was is told by stats()."""
    log = files.open(keep_entries=5)
    files_of(log, 4)
    second = files.path / "log" / names(files.path)[1]
    data = bytearray(second.read_bytes())
    data[30] ^= 1
    log.close()
    second.write_bytes(bytes(data))
    log = files.open(keep_entries=5)
    log.append(b"more")
    looked_anew(log)
    assert second.name in log.stats()["maintenance_failure"]
    assert log.committed == log.tail


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        ({"keep_entries": 0}, ValueError),
        ({"keep_entries": True}, TypeError),
        ({"keep_entries": 1.5}, TypeError),
        ({"keep_bytes": 0}, ValueError),
        ({"keep_seconds": 0}, ValueError),
        ({"keep_seconds": "1"}, TypeError),
        ({"keep_seconds": float("nan")}, ValueError),
        ({"keep_seconds": 1e20}, ValueError),
    ],
)
def test_limits_that_are_none(files: Place, limit: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(limit))):
        files.open(**limit)
    assert not files.path.exists()


def test_a_log_in_memory_or_to_read_only_has_none(files: Place) -> None:
    files.open().close()
    for where in ({"path": None}, {"path": files.path, "read_only": True}):
        with pytest.raises(ValueError, match="keep_entries"):
            Log(**where, keep_entries=5)


@pytest.mark.parametrize("what", ["a directory", "a damaged file"])
def test_a_position_that_cannot_be_read_is_in_no_commits_way(files: Place, what: str) -> None:
    """Nothing is forgotten, since nobody knows what the reader has done; it is said, and every commit is made."""
    log = files.open(keep_entries=5)
    files_of(log, 2)
    (files.path / "readers").mkdir()
    position = files.path / "readers" / "theirs.pos"
    if what == "a directory":
        position.mkdir()
    else:
        position.write_bytes(b"damage" * 30)
    begin = log.begin
    files_of(log, 4)
    looked_anew(log)
    assert log.committed == log.tail
    assert log.begin == begin
    assert "nothing is forgotten: " in log.stats()["maintenance_failure"]
    assert "theirs.pos" in log.stats()["maintenance_failure"]
    with pytest.raises(OSError, match=r"theirs\.pos"):
        log.truncate(log.tail)
    assert log.begin == begin
    if what == "a directory":
        position.rmdir()
    else:
        position.unlink()
    looked_anew(log)
    assert log.begin > begin
    assert log.stats()["maintenance_failure"] == ""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_a_position_of_another_user(tmp_path: Path) -> None:
    said = said_as_another_user(SCRIPT_OF_ANOTHER_USER, tmp_path)
    assert "theirs.pos" in said
