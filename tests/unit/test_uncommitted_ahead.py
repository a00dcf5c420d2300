"""A reader beside much that is not committed yet: it looks for a commit, and replays nothing before there is one."""

import os
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.log.flush import flush_to, seal_to
from oxidbm._core.store.follower import FAR_RECORDS, RECORD_BYTES, UNSURE_BYTES
from tests.inside import abandon, handle_of, log_of


def write_uncommitted(store: oxidbm.Store, first: int, mebibytes: int) -> None:
    """Have so much in the files that no commit is behind."""
    log = log_of(store)
    for number in range(first, first + mebibytes):
        store[b"large %d" % number] = b"x" * (1 << 20)
        store[b"small %d" % number] = b"x"
        seal_to(log, log.tail)
        flush_to(log, log.sealed)


@pytest.mark.compiled_only("writes more than a hundred megabytes")
def test_each_part_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    inside = os.preadv, os.pread

    def preadv(*arguments: object) -> int:
        read.append(inside[0](*arguments))  # type: ignore[arg-type]
        return read[-1]

    def pread(*arguments: object) -> bytes:
        data = inside[1](*arguments)  # type: ignore[arg-type]
        read.append(len(data))
        return data

    path = tmp_path / "store"
    with oxidbm.Store(path, durability="manual", checkpoints=False, compaction=False, memory="64MiB") as store:
        store[b"a"] = b"1"
        store.sync()
        with oxidbm.Store(path, read_only=True, memory="16MiB") as reader:
            monkeypatch.setattr(os, "preadv", preadv)
            monkeypatch.setattr(os, "pread", pread)
            follower = handle_of(reader).follower
            assert follower is not None
            write_uncommitted(store, 0, 150)
            assert not reader.refresh()
            assert follower.looked > UNSURE_BYTES
            read.clear()
            assert not reader.refresh()
            assert sum(read) < UNSURE_BYTES * 3 // 2
            assert dict(reader.items()) == {b"a": b"1"}
            store.sync()
            write_uncommitted(store, 150, 10)
            assert reader.refresh()
            assert len(reader) == 301
            assert reader[b"small 149"] == b"x"
            assert b"small 150" not in reader
            assert reader.check() == []


@pytest.mark.parametrize("rest", [b"", b"\0" * 5000, b"torn" * 300])
def test_commits_are_seen_one_after_the_other(tmp_path: Path, rest: bytes) -> None:
    """Between them, and behind the last one, stands what is not committed, and what is being written."""
    path = tmp_path / "store"
    with oxidbm.Store(path, durability="manual", checkpoints=False, memory="8MiB", page_size="64KiB") as store:
        store[b"a"] = b"1"
        store.sync()
        with oxidbm.Store(path, read_only=True, memory="1MiB") as reader:
            log = log_of(store)
            for turn in range(30):
                store.update((b"%d" % number, b"%d" % turn) for number in range(turn * 7, turn * 7 + 200))
                if turn % 3 == 1:
                    store.sync()
                else:
                    seal_to(log, log.tail)
                    flush_to(log, log.sealed)
                before = reader.stats()["commit_sequence"]
                assert reader.refresh() == (turn % 3 == 1)
                assert reader.stats()["commit_sequence"] == before + (turn % 3 == 1)
            if rest:
                file = max((path / "log").iterdir())
                start = os.path.getsize(file)
                with file.open("ab") as out:
                    out.write(rest)
                assert not reader.refresh()
                os.truncate(file, start)
            store.sync()
            assert reader.refresh()
            assert dict(reader.items()) == dict(store.items())
            abandon(store)


@pytest.mark.compiled_only("writes many keys")
def test_much_in_one_commit_is_come_to_by_opening_anew(tmp_path: Path) -> None:
    """As a bulk load is, or a reorganization; iterations under way stay with their commit."""
    path = tmp_path / "store"
    count = FAR_RECORDS * RECORD_BYTES // 40
    with oxidbm.Store(path, durability="manual", memory="64MiB") as store:
        store[b"first"] = b"1"
        store.sync()
        with oxidbm.Store(path, read_only=True, ordered=True, memory="64MiB") as reader:
            known = log_of(reader)
            walk = iter(reader.items())
            store[b"second"] = b"2"
            store.sync()
            assert reader.refresh()
            assert log_of(reader) is known
            store.set_many((b"%d" % number, b"%d" % number) for number in range(count))
            store.sync()
            assert reader.refresh()
            assert log_of(reader) is not known
            assert list(walk) == [(b"first", b"1")]
            assert len(reader) == count + 2
            assert reader.get_many([b"0", b"%d" % (count - 1)]) == [b"0", b"%d" % (count - 1)]
            assert list(reader.range(b"f")) == [(b"first", b"1"), (b"second", b"2")]
            assert reader.check() == []
            assert not reader.refresh()
