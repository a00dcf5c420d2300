"""Sessions: serial numbers, rmw against deletes and other writers, names that outlive a crash and are forgotten."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

import oxidbm
from oxidbm.testing import CrashDevice, FaultyDevice, check_crashes
from tests.inside import abandon
from tests.support import run
from tests.unit.helpers import PAGE_BYTES, Clock, disk_store, push_to_disk


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


Operation = Callable[[oxidbm.Store, oxidbm.Session], object]


def raising(operation: Operation, kind: type[BaseException]) -> Operation:
    """Return an operation that does another one, which has to raise."""

    def do(store: oxidbm.Store, session: oxidbm.Session) -> None:
        with pytest.raises(kind):
            operation(store, session)

    return do


def stop(old: bytes) -> bytes:
    """Be interrupted by Ctrl-C."""
    raise KeyboardInterrupt


def in_batch(store: oxidbm.Store) -> None:
    """Write a batch."""
    with store.batch() as batch:
        batch["there"] = b"by a batch"
        batch["b"] = b"by a batch"


def in_another(store: oxidbm.Store) -> None:
    """Do something in a session of another name, and in one without a name."""
    with store.session("another") as another, store.session() as unnamed:
        another.upsert("a", b"1")
        unnamed.upsert("a", b"2")


COUNTED: dict[str, Operation] = {
    "upsert": lambda store, session: session.upsert("new", b"1"),
    "upsert of what is there": lambda store, session: session.upsert("there", b"value"),
    "upsert larger than a page": lambda store, session: session.upsert("large", bytes(20_000)),
    "rmw": lambda store, session: session.rmw("there", lambda old: old + b"1"),
    "rmw that stores the initial value": lambda store, session: session.rmw("new", lambda old: old, b"1"),
    "rmw of an absent key": lambda store, session: session.rmw("new", lambda old: old + b"1"),
    "rmw that returns None": lambda store, session: session.rmw("there", lambda old: None),
    "rmw that returns what is there": lambda store, session: session.rmw("there", lambda old: old),
    "delete": lambda store, session: session.delete("there"),
    "delete of an absent key": lambda store, session: session.delete("new"),
    "delete of an expired key": lambda store, session: session.delete("expired"),
}
NOT_COUNTED: dict[str, Operation] = {
    "read": lambda store, session: session.read("there"),
    "commit": lambda store, session: session.commit(),
    "upsert of no value": raising(lambda store, session: session.upsert("there", 5), TypeError),  # type: ignore[call-overload]
    "upsert of a key that is too long": raising(lambda store, session: session.upsert(bytes(70_000), b"1"), ValueError),
    "upsert of a value that is too large": raising(
        lambda store, session: session.upsert("there", bytes(2 << 20)), ValueError
    ),
    "rmw whose function raises": raising(
        lambda store, session: session.rmw("there", lambda old: b"%d" % (1 // 0)), ZeroDivisionError
    ),
    "rmw whose function is interrupted": raising(lambda store, session: session.rmw("there", stop), KeyboardInterrupt),
    "rmw that returns no value": raising(
        lambda store, session: session.rmw("there", lambda old: 5),  # type: ignore[arg-type,return-value]
        TypeError,
    ),
    "delete of no key": raising(lambda store, session: session.delete(5), TypeError),  # type: ignore[call-overload]
    "set": lambda store, session: store.set("there", b"1", expire=10),
    "del": lambda store, session: store.__delitem__("there"),
    "touch": lambda store, session: store.touch("there", expire=10),
    "get_and_touch": lambda store, session: store.get_and_touch("there", 10),
    "incr": lambda store, session: store.incr("counter"),
    "add": lambda store, session: store.add("new", b"1"),
    "set_many": lambda store, session: store.set_many({"new": b"1"}),
    "delete_many": lambda store, session: store.delete_many(["there"]),
    "batch": lambda store, session: in_batch(store),
    "clear": lambda store, session: store.clear(),
    "reorganize": lambda store, session: store.reorganize(),
    "another session": lambda store, session: in_another(store),
}


@pytest.mark.parametrize(("count", "name"), [*[(1, name) for name in COUNTED], *[(0, name) for name in NOT_COUNTED]])
def test_what_counts_and_what_a_crash_leaves_of_it(count: int, name: str, tmp_path: Path) -> None:
    """The recovered number is that of the commit: with the operation where it came before, without it where after."""
    operation = {**COUNTED, **NOT_COUNTED}[name]
    clock = Clock()
    for committed in (False, True):
        path = tmp_path / str(committed)
        store = disk_store(path, clock=clock)
        session = store.session("worker")
        session.upsert("there", b"value")
        store.set("expired", b"value", expire=1)
        store.sync()
        before = dict(store)
        clock.now += 2
        operation(store, session)
        assert session.serial == 1 + count
        after = dict(store)
        if committed:
            store.sync()  # it is not the session's own commit that counts, but any
            assert session.durable_serial == 1 + count
        committed = committed or name in ("commit", "reorganize", "another session")
        abandon(store)
        with disk_store(path, clock=clock) as store, store.session("worker") as session:
            assert (session.serial, session.durable_serial) == (1 + count * committed,) * 2
            assert dict(store) == (after if committed else {key: before[key] for key in before if key != b"expired"})


class Picky:
    """A codec that does not read everything that it writes."""

    name = "picky"

    def encode(self, value: str) -> bytes:
        return value.encode()

    def decode(self, data: bytes) -> str:
        if data == b"bad":
            raise ValueError("bad")
        return data.decode()


def test_a_result_that_cannot_be_decoded_raises_and_counts(tmp_path: Path) -> None:
    """The one exception from the rule: what the codec makes of the new value comes after the operation."""
    store = oxidbm.Store(tmp_path / "store", key=str, value=Picky(), durability="manual", memory="1MiB")
    session = store.session("worker")
    with pytest.raises(ValueError, match="bad"):
        session.rmw("k", lambda old: old, "bad")
    assert session.serial == 1
    store.sync()
    abandon(store)
    with oxidbm.Store(tmp_path / "store", key=str, value=Picky(), memory="1MiB") as store:
        assert store.session("worker").serial == 1
        assert len(store) == 1


def test_an_operation_that_poisons_the_store_may_be_there_or_not(tmp_path: Path) -> None:
    """It raises; and what is there after reopening is what the number says."""
    for after in range(4):
        memory = CrashDevice(PAGE_BYTES)
        device = FaultyDevice(memory)
        path = tmp_path / str(after)
        store = oxidbm.Store(path, device=device, durability="always", memory="1MiB", page_size=PAGE_BYTES)
        session = store.session("worker")
        device.fail(("write", "sync"), errno.EIO, after=after)
        done = 0
        with pytest.raises(oxidbm.PoisonedError):  # noqa: PT012 - one of them raises
            for number in range(1, 5):
                session.upsert(b"%d" % number, b"")
                done = number
        assert session.durable_serial == done
        with pytest.raises(oxidbm.PoisonedError):
            store.close()
        for left in (memory.crash(), memory.crash(seed=1), memory):
            with oxidbm.Store(path, device=left, durability="manual", memory="1MiB", page_size=PAGE_BYTES) as store:
                serial = store.session("worker").serial
                assert done <= serial <= done + 1
                assert sorted(store) == [b"%d" % number for number in range(1, serial + 1)]
                abandon(store)


def test_ctrl_c_while_the_disk_is_waited_for_comes_behind_the_operation(tmp_path: Path) -> None:
    device = FaultyDevice(CrashDevice(PAGE_BYTES))
    with oxidbm.Store(tmp_path / "store", device=device, durability="always", memory="1MiB") as store:
        session = store.session("worker")
        device.fail("sync", KeyboardInterrupt(), times=1)
        with pytest.raises(KeyboardInterrupt):
            session.upsert("k", b"v")
        assert (session.serial, session.durable_serial, store["k"]) == (1, 0, b"v")
        store.sync()
        abandon(store)
    with oxidbm.Store(tmp_path / "store", device=device, memory="1MiB") as store:
        assert (store.session("worker").serial, dict(store)) == (1, {b"k": b"v"})


def test_a_position_noted_beside_a_session_is_never_ahead_of_it(tmp_path: Path) -> None:
    """What one thread does is in a commit up to one point, through the session or not."""

    def program(path: str, device: CrashDevice) -> None:
        with oxidbm.Store(path, device=device, durability="manual", memory="1MiB", page_size=PAGE_BYTES) as store:
            session = store.session("worker")
            for number in range(1, 20):
                session.upsert(b"%d" % number, bytes(700))
                if number % 3 == 0:
                    store["offset"] = b"%d" % session.serial
                if number % 5 == 0:
                    store.sync()

    def verify(path: str, device: CrashDevice, notes: list[object]) -> None:
        with oxidbm.Store(path, device=device, durability="manual", memory="1MiB", page_size=PAGE_BYTES) as store:
            serial = store.session("worker").serial
            assert int(store.get("offset", b"0")) == serial // 3 * 3

    assert check_crashes(program, verify, page_bytes=PAGE_BYTES) > 10


def test_a_name_is_open_once(tmp_path: Path) -> None:
    """In another thread too, until it is closed. A reader has a session of the name beside it, which cannot write."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        session = store.session("worker")
        refused: list[str] = []

        def open_it() -> None:
            with pytest.raises(oxidbm.ClosedError) as caught:
                store.session("worker")
            refused.append(str(caught.value))

        run(open_it)
        assert refused == ["the session 'worker' is already open; close it first, or give this one another name"]
        session.upsert("k", b"v")
        store.sync()
        with disk_store(path, read_only=True) as reader, reader.session("worker") as other:
            assert other.serial == 1
            with pytest.raises(oxidbm.ReadOnlyError):
                other.upsert("k", b"v")
        session.close()
        with store.session("worker") as session:
            assert session.serial == 1


def test_a_session_in_another_thread_than_the_one_that_opened_it(tmp_path: Path) -> None:
    """It is no thread's own: one after the other may use it."""
    with disk_store(tmp_path / "store") as store, store.session("worker") as session:
        for number in range(3):
            run(lambda number=number: session.upsert(b"%d" % number, b""))  # type: ignore[misc]
        assert session.serial == len(store) == 3
