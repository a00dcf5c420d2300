"""Sessions: serial numbers, rmw against deletes and other writers, names that outlive a crash and are forgotten."""

from pathlib import Path

import pytest

import oxidbm
from tests.inside import abandon
from tests.unit.helpers import disk_store, push_to_disk


def test_rmw(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store, store.session() as session:
        assert session.rmw(b"n", lambda old: old + b"1") is None
        assert b"n" not in store
        assert session.rmw(b"n", lambda old: old + b"1", b"0") == b"0"
        assert session.rmw("n", lambda old: old + b"1", b"0") == b"01"
        assert session.rmw(b"n", lambda old: None) is None
        assert session.rmw(b"n", lambda old: old.decode() + "2") == b"012"
        assert session.read(b"n") == b"012"
        push_to_disk(store)
        assert session.rmw(b"n", lambda old: old * 40) == b"012" * 40
        assert store[b"n"] == b"012" * 40


def test_rmw_begins_again_when_the_value_changed_meanwhile() -> None:
    with oxidbm.Store() as store, store.session() as session:
        store[b"k"] = b"a"
        seen = []

        def function(old: bytes) -> bytes:
            seen.append(old)
            if len(seen) == 1:
                store[b"k"] = b"b"
            return old + b"!"

        assert session.rmw(b"k", function) == b"b!"
        assert seen == [b"a", b"b"]


@pytest.mark.parametrize("initial", [None, b"anew"])
def test_rmw_does_not_bring_a_deleted_key_back(initial: bytes | None) -> None:
    with oxidbm.Store() as store, store.session() as session:
        store[b"k"] = b"a"

        def function(old: bytes) -> bytes:
            store.pop(b"k", None)
            return old + b"!"

        assert session.rmw(b"k", function, initial) == initial
        assert store.get(b"k") == initial
        assert len(store) == (initial is not None)


def test_function_that_raises_changes_nothing() -> None:
    with oxidbm.Store() as store, store.session() as session:
        store[b"k"] = b"a"
        with pytest.raises(ZeroDivisionError):
            session.rmw(b"k", lambda old: b"%d" % (1 // 0))
        with pytest.raises(TypeError, match="int"):
            session.rmw(b"k", lambda old: 5)  # type: ignore[arg-type,return-value]
        assert store[b"k"] == b"a"
        assert session.serial == 0


def test_serials_count_changing_operations(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        with store.session() as session:
            session.upsert(b"a", b"1")
            session.read(b"a")
            assert session.delete(b"a")
            assert not session.delete(b"a")
            session.rmw(b"b", lambda old: old, b"2")
            assert (session.serial, session.durable_serial) == (4, 0)
            assert session.commit() == 4
            assert session.durable_serial == 4
            assert session.name is None
        assert session.closed
        for call in (lambda: session.upsert(b"a", b"1"), lambda: session.read(b"a"), session.commit, session.__enter__):
            with pytest.raises(oxidbm.ClosedError, match="session is closed"):
                call()


def test_leaving_the_block(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = disk_store(path)
    with store.session() as session:
        session.upsert(b"kept", b"1")
    with pytest.raises(KeyError), store.session() as session:  # noqa: PT012
        session.upsert(b"lost", b"1")
        store[b"missing"]
    abandon(store)
    with disk_store(path) as store:
        assert dict(store) == {b"kept": b"1"}


def test_named_session_goes_on_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = disk_store(path)
    with store.session("loader") as session:
        for number in range(5):
            session.upsert(b"%d" % number, b"")
    session = store.session("loader")
    assert session.serial == 5
    session.upsert(b"5", b"")
    assert (session.serial, session.durable_serial) == (6, 5)
    abandon(store)
    with disk_store(path) as store:
        with store.session("loader") as session:
            assert (session.serial, session.durable_serial) == (5, 5)
            assert len(store) == session.serial
            session.upsert(b"5", b"")
        store[b"more"] = b""
        store.sync()
    with disk_store(path, read_only=True) as store:
        assert store.session("loader").serial == 6
        assert store.session("other").serial == 0


def test_names(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        for name, words in (
            ("", "not empty"),
            ("\ud800", "cannot be written as UTF-8"),
            ("n" * 65_536, "up to 65535 bytes in UTF-8, this one 65536"),
            ("\N{GREEK SMALL LETTER ALPHA}" * 32_768, "this one 65536"),
        ):
            with pytest.raises(ValueError, match=words):
                store.session(name)
        with store.session("a"):
            with pytest.raises(oxidbm.ClosedError, match="already open"):
                store.session("a")
            with store.session("a\N{GREEK SMALL LETTER ALPHA}" * 300) as long:
                long.upsert(b"k", b"v")
        store.session("a").close()
    with disk_store(tmp_path / "store") as store:
        assert store.session("a\N{GREEK SMALL LETTER ALPHA}" * 300).serial == 1


def test_sessions_of_closed_and_read_only_stores(tmp_path: Path) -> None:
    store = disk_store(tmp_path / "store")
    session = store.session()
    store.close()
    with pytest.raises(oxidbm.ClosedError):
        session.upsert(b"k", b"v")
    with pytest.raises(oxidbm.ClosedError):
        store.session()
    session.close()
    with disk_store(tmp_path / "store", read_only=True) as store, store.session() as session:
        assert session.read(b"k", 5) == 5
        with pytest.raises(oxidbm.ReadOnlyError):
            session.upsert(b"k", b"v")
