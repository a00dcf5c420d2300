"""What is kept of sessions by name: records in the log, what commits and compaction write of them, how they go."""

import gc
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.record import SHAPE_SESSION
from oxidbm._core.store.session import forget_session, open_session
from tests.inside import abandon, begin_compaction, compactor_of, handle_of, log_of, table_of
from tests.support import make_room, scaled, shrink
from tests.unit.helpers import TIME, Clock, disk_store, push_to_disk


def known(store: oxidbm.Store) -> dict[str, tuple[int, int, bool]]:
    """Return serial, durable serial and whether it is open of each session that has a name."""
    return {found.name: (found.serial, found.durable_serial, found.open) for found in store.sessions()}


def session_records(store: oxidbm.Store) -> list[bytes]:
    """Return the names in the session records of the log, in order."""
    cursor = Cursor(log_of(store), store.stats()["begin"], store.stats()["tail"])
    names = []
    while cursor.step():
        if cursor.shape & SHAPE_SESSION:
            names.append(cursor.key())
    return names


def test_sessions_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "store"
    clock = Clock()
    with disk_store(path, clock=clock) as store:
        assert store.sessions() == []
        b = store.session("b")
        assert known(store) == {"b": (0, 0, True)}
        b.upsert(b"k", b"1")
        with store.session("a") as a, store.session() as unnamed:
            a.upsert(b"k", b"2")
            a.upsert(b"k", b"3")
            unnamed.upsert(b"k", b"4")
            assert known(store) == {"a": (2, 0, True), "b": (1, 0, True)}
            assert store.stats()["sessions"] == 2
        b.upsert(b"k", b"5")
        assert known(store) == {"a": (2, 2, False), "b": (2, 1, True)}
        clock.now += 50
        store.sync()
        assert [(found.name, found.last_used) for found in store.sessions()] == [("a", TIME), ("b", TIME + 50)]
        assert repr(store.sessions()[0]) == (
            f"SessionInfo(name='a', serial=2, durable_serial=2, last_used={TIME}, open=False)"
        )
    for read_only in (True, False):
        with disk_store(path, clock=clock, read_only=read_only) as store:
            assert known(store) == {"a": (2, 2, False), "b": (2, 2, False)}
            assert [found.last_used for found in store.sessions()] == [TIME, TIME + 50]
    with pytest.raises(oxidbm.ClosedError):
        store.sessions()


def test_session_that_changed_nothing_leaves_no_trace(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store[b"k"] = b"v"
        with store.session("looked") as session:
            session.read(b"k")
        assert store.sessions() == []
        assert session_records(store) == []
        assert store.stats()["commit_sequence"] == 1


@pytest.mark.parametrize("path", [None, "store"])
def test_unnamed_sessions_leave_no_trace(path: str | None, tmp_path: Path) -> None:
    with oxidbm.Store(None if path is None else tmp_path / path, durability="manual") as store:
        for _ in range(20):
            store.session().upsert(b"k", b"v")  # dropped without being closed
            with store.session() as session:
                session.upsert(b"k", b"v")
        serials = handle_of(store).commits.serials
        assert (len(serials.known), len(serials.unstated)) == (0, 0)
        assert store.sessions() == []


def test_commit_writes_the_sessions_that_changed(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        sessions = [store.session(name) for name in "abc"]
        for session in sessions:
            session.upsert(b"k", b"v")
        store.sync()
        assert session_records(store) == [b"a", b"b", b"c"]
        sessions[1].delete(b"not there")
        sessions[1].delete(b"not there")
        store.sync()
        store[b"k"] = b"w"
        store.sync()
        assert session_records(store) == [b"a", b"b", b"c", b"b"]
        assert store.check() == []
        assert list(store) == [b"k"]
        assert [record.key for record in store.scan(live=False)] == [b"k", b"k"]
    with disk_store(tmp_path / "store") as store:
        assert known(store) == {"a": (1, 1, False), "b": (3, 3, False), "c": (1, 1, False)}


def test_durable_serial_of_sessions_that_commits_do_not_know(tmp_path: Path) -> None:
    """Unnamed and closed ones; through cuts that are not durable yet."""
    with disk_store(tmp_path / "store") as store:
        commits = handle_of(store).commits
        unnamed, named = store.session(), store.session("named")
        for session in (unnamed, named):
            session.upsert(b"k", b"1")
        named.close()
        assert (unnamed.durable_serial, named.durable_serial) == (0, 0)
        store.sync()
        assert (unnamed.durable_serial, named.durable_serial) == (1, 1)
        unnamed.upsert(b"k", b"2")
        unnamed.upsert(b"k", b"3")
        for number in range(3):  # three cuts whose sync never came
            assert commits.cut() > 0
            unnamed.upsert(b"k", b"%d" % number)
            assert unnamed.durable_serial == 1
        store.sync()
        assert unnamed.durable_serial == unnamed.serial == 6
        unnamed.upsert(b"k", b"last")
        assert unnamed.durable_serial == 6
        assert unnamed.commit() == unnamed.durable_serial == 7


def test_durable_serial_while_a_commit_is_under_way(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store, store.session() as session:
        commits = handle_of(store).commits
        session.upsert(b"k", b"1")
        session.upsert(b"k", b"2")
        assert commits.cut() > 0
        session.upsert(b"k", b"3")
        assert session.durable_serial == 0
        commits.durable_sequence = commits.sequence
        assert session.durable_serial == 2
        session.upsert(b"k", b"4")
        assert (session.serial, session.durable_serial) == (4, 2)


def test_a_dropped_session_can_be_opened_again(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        session = store.session("name")
        session.upsert(b"k", b"v")
        del session
        gc.collect()
        assert known(store) == {"name": (1, 0, False)}
        with store.session("name") as session:
            assert session.serial == 1
    with disk_store(tmp_path / "store") as store:
        assert known(store) == {"name": (1, 1, False)}


def test_forgotten_session_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        with store.session("kept") as session:
            session.upsert(b"k", b"v")
        session = store.session("name")
        session.upsert(b"k", b"v")
        with pytest.raises(oxidbm.ClosedError, match="the session 'name' is open and cannot be forgotten; close it"):
            store.forget_session("name")
        session.close()
        store.sync()
        assert store.forget_session("name")
        assert not store.forget_session("name")
        assert not store.forget_session("never there")
        assert session.serial == 1
        assert store.check() == []
        with store.session("name") as session:  # before what forgot it is durable
            assert session.serial == 0
        store.sync()
        assert store.check() == []
    with disk_store(path, read_only=True) as store:
        assert known(store) == {"kept": (1, 1, False)}
        assert store.check() == []
        with pytest.raises(oxidbm.ReadOnlyError):
            store.forget_session("kept")
        with pytest.raises(oxidbm.ReadOnlyError):
            store.forget_sessions(unused_for=0)
    with disk_store(path) as store:
        with store.session("name") as session:
            session.upsert(b"k", b"w")
            session.upsert(b"k", b"x")
        assert store.forget_session("name")
        with store.session("name") as session:
            session.upsert(b"k", b"y")
        assert known(store) == {"kept": (1, 1, False), "name": (1, 1, False)}
    with disk_store(path) as store:
        assert known(store) == {"kept": (1, 1, False), "name": (1, 1, False)}


def test_forgetting_is_durable_with_the_next_commit(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = disk_store(path)
    with store.session("name") as session:
        session.upsert(b"k", b"v")
    assert store.forget_session("name")
    abandon(store)
    store = disk_store(path)
    assert known(store) == {"name": (1, 1, False)}
    assert store.forget_session("name")
    store.sync()
    abandon(store)
    with disk_store(path) as store:
        assert store.sessions() == []
        assert store.check() == []
    always = disk_store(path, durability="always")
    with always.session("name") as session:
        session.upsert(b"k", b"v")
    assert always.forget_sessions(unused_for=0) == ["name"]
    abandon(always)
    with disk_store(path) as store:
        assert store.sessions() == []


def test_a_session_that_was_never_committed_is_forgotten_without_a_record(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        session = store.session("name")
        session.upsert(b"k", b"v")
        session.close()
        assert store.forget_session("name")
        store.sync()
        assert session_records(store) == []
        assert store.check() == []


def test_sessions_out_of_use_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "store"
    clock = Clock()
    day = 86_400.0
    with disk_store(path, clock=clock) as store:
        for name in ("old", "new", "opened", "held"):
            with store.session(name) as session:
                session.upsert(b"k", b"v")
        clock.now += 10 * day
        with store.session("new") as session:
            session.upsert(b"k", b"v")
        store.session("opened").close()
        held = store.session("held")
        assert store.forget_sessions(unused_for=11 * day) == []
        assert store.forget_sessions(unused_for=10 * day) == ["old"]
        assert store.forget_sessions(unused_for=10 * day) == []
        for bad in (-1, float("nan")):
            with pytest.raises(ValueError, match="unused_for is a number of seconds, at least 0, not"):
                store.forget_sessions(unused_for=bad)
        held.close()
    with disk_store(path, clock=clock) as store:
        assert [(found.name, found.last_used) for found in store.sessions()] == [
            ("held", TIME + 10 * day), ("new", TIME + 10 * day), ("opened", TIME + 10 * day),
        ]  # fmt: skip
        sequence = store.stats()["commit_sequence"]
        clock.now += 3600
        store.session("opened").close()
        store.sync()
        assert store.stats()["commit_sequence"] == sequence, "not yet worth a commit"
        clock.now += 3601
        store.session("opened").close()
        store.sync()
        assert store.stats()["commit_sequence"] == sequence + 1
        assert store.forget_sessions(unused_for=0) == ["held", "new", "opened"]


def test_sessions_of_a_store_in_memory() -> None:
    with oxidbm.Store() as store:
        with store.session("name") as session:
            session.upsert(b"k", b"v")
        assert known(store) == {"name": (1, 0, False)}
        with store.session("name") as session:
            assert session.serial == 1
        store.clear()
        store.reorganize()
        assert store.forget_session("name")
        assert store.sessions() == []
        assert store.check() == []
        assert len(handle_of(store).commits.serials.unstated) == 0


def test_sessions_survive_compaction_and_clear(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = disk_store(path)
    for name in "abc":
        with store.session(name) as session:
            session.upsert(b"k", name.encode())
    for turn in range(3):
        assert store.forget_session("b") == (turn == 0)
        if turn == 1:
            store.clear()
        else:
            store.reorganize()
        store.sync()
        assert session_records(store)[-2:] == [b"a", b"c"]
        assert store.stats()["begin"] > 64
        assert store.check() == []
        abandon(store)
        store = disk_store(path)
        assert known(store) == {"a": (1, 1, False), "c": (1, 1, False)}
        assert store.check() == []
    store.close()


def test_compaction_of_a_part_states_again_what_it_passes(tmp_path: Path) -> None:
    """A session whose newest record stands behind that part is left alone."""
    with disk_store(tmp_path / "store") as store:
        for name in "ab":
            with store.session(name) as session:
                session.upsert(b"k", name.encode())
        push_to_disk(store)
        log_of(store).device.roll()
        with store.session("b") as session:
            session.upsert(b"k", b"v")
        push_to_disk(store)
        log = log_of(store)
        job = begin_compaction(store, log.device.segment_end(log.begin))
        while job.slice(1000, False):
            make_room(store)
        compactor_of(store).finish(job)
        assert session_records(store) == [b"b", b"a"]
        assert store.check() == []
    with disk_store(tmp_path / "store") as store:
        assert known(store) == {"a": (1, 1, False), "b": (2, 2, False)}


def test_sessions_alone_give_compaction_nothing_to_do(tmp_path: Path) -> None:
    count = scaled(2000, least=100)
    with disk_store(tmp_path / "store") as store:
        for number in range(count):
            store.session(f"import of file number {number}").delete(b"not there")
        store.sync()
        live = table_of(store).session_bytes
        assert count * 64 <= live <= count * 72
        assert store.stats()["dead_bytes"] <= store.stats()["log_bytes"] - live
        store.forget_sessions(unused_for=0)
        store.sync()
        assert table_of(store).session_bytes == 0
    with disk_store(tmp_path / "store") as store:
        assert table_of(store).session_bytes == 0


def test_more_sessions_than_memory(tmp_path: Path) -> None:
    """A cut that finds no room goes on where it was; what changed meanwhile is stated once more."""
    path = tmp_path / "store"
    count = scaled(3000, least=300)
    store = disk_store(path)
    shrink(store, 8)
    for number in range(count):
        store.session(f"{number:0100d}").upsert(b"k", b"v")
    store.sync()
    assert store.stats()["head"] > 64
    assert len(session_records(store)) == count
    commits = handle_of(store).commits
    first = store.session(f"{0:0100d}")
    for number in range(count):
        store.session(f"{number:0100d}").close() if number else first.upsert(b"k", b"w")
        handle_of(store).commits.note_use(commits.serials.known[f"{number:0100d}"])
    size = commits.cut()
    assert size < 0, "no room"
    first.upsert(b"k", b"x")
    store.sync()
    assert len(session_records(store)) == 2 * count + 1
    assert store.check() == []
    abandon(store)
    with disk_store(path) as store:
        assert len(store.sessions()) == count
        assert known(store)[f"{0:0100d}"] == (3, 3, False)
        assert known(store)[f"{count - 1:0100d}"] == (1, 1, False)


def test_the_longest_name_takes_a_run_of_pages(tmp_path: Path) -> None:
    name = "\0" + "\N{GREEK SMALL LETTER ALPHA}" * 32_767
    with disk_store(tmp_path / "store") as store, store.session(name) as session:
        session.upsert(b"k", b"v")
    with disk_store(tmp_path / "store") as store:
        assert known(store) == {name: (1, 1, False)}
        store.reorganize()
        assert store.check() == []
        assert store.forget_session(name)
    with disk_store(tmp_path / "store") as store:
        assert store.sessions() == []


def test_what_is_no_name_of_a_session_is_told_by_the_argument() -> None:
    with oxidbm.Store() as store:
        handle = handle_of(store)
        with pytest.raises(TypeError, match="name is a session's name, or None, a str, not 5"):
            open_session(handle, 5, False, store)
        with pytest.raises(TypeError, match="name is a session's name, a str, not b'a'"):
            forget_session(handle, b"a")
        assert store.sessions() == []
