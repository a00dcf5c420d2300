"""A pickled store is opened again where it is unpickled, to read; what cannot be sent so says why, and what to do."""

import copy
import datetime as dt
import gc
import multiprocessing
import os
import pickle
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
import oxidbm.shelve
from oxidbm import Store, _pickling, codecs
from oxidbm.testing import CrashDevice
from tests.facade.models import Colour, Point
from tests.support import PURE, run_snippet

WAIT_SECONDS = 60
NOON = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)


class Hexadecimal:
    """A codec of one's own."""

    name = "hexadecimal"

    def encode(self, value: str, /) -> bytes:
        """Return the bytes."""
        return bytes.fromhex(value)

    def decode(self, data: bytes, /) -> str:
        """Return the text."""
        return data.hex()


class Counted(Store[str, int]):
    """A subclass that is made in a way of its own, and has something of its own."""

    def __init__(self, directory: Path, *, step: int) -> None:
        super().__init__(directory / "counted", key=str, value=int)
        self.step = step

    def next_of(self, name: str) -> int:
        """Return what comes next."""
        return self[name] + self.step


def clock() -> float:
    """Return a time."""
    return 1000.0


def sent(thing: Any) -> Any:
    """Return what another process is given."""
    return pickle.loads(pickle.dumps(thing))


def until(condition: Callable[[], object]) -> None:
    """Return when the condition holds; fail where it never does."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


SPECS: dict[str, tuple[Any, Any, Any, Any]] = {
    "bytes": (None, None, b"k", b"v"),
    "by type": (str, int, "k", 5),
    "by name": ("str", "objects", "k", {1: (2,)}),
    "floats": (float, float, -0.0, -0.0),
    "tuple type": (tuple[int, float], tuple[str, bool], (1, -0.0), ("a", True)),
    "tuples": (codecs.Tuple(codecs.FLOAT, codecs.BYTES), codecs.Tuple(codecs.UUID), (0.0, b"a"), (uuid.UUID(int=1),)),
    "constants": (codecs.STR, codecs.PICKLE, "k", {1, 2}),
    "times": (dt.datetime, codecs.NAIVE_DATETIME, NOON, NOON.replace(tzinfo=None)),
    "enum": (Colour, codecs.Enum(Colour, name="c"), Colour.RED, Colour.RED),
    "classes": (Point, codecs.Json(Point, name="point", validate=True), Point(1), Point(2)),
    "msgspec": (codecs.Msgpack(list[int]), codecs.JSON, [1], {"a": [None]}),
    "own": (Hexadecimal(), Hexadecimal(), "00ff", "01"),
}


@pytest.mark.parametrize("name", SPECS)
def test_it_is_open_with_the_same_codecs(name: str, tmp_path: Path) -> None:
    key, value, one, held = SPECS[name]
    with Store(tmp_path / "s", key=key, value=value) as store:
        store[one] = held
        store.sync()
        with sent(store) as other:
            assert type(other) is Store
            assert other.path == str(tmp_path / "s")
            assert (other.key_codec, other.value_codec) == (store.key_codec, store.value_codec)
            assert (other[one], list(other.items())) == (held, [(one, held)])
            kinds: list[Any] = [type(part) for part in next(iter(other.items()))]
            assert kinds == [type(one), type(held)]
            with pytest.raises(oxidbm.ReadOnlyError):
                other[one] = held
            with sent(other) as third:
                assert third[one] == held


def test_it_sees_the_last_commit_and_moves_on(tmp_path: Path) -> None:
    with Store(tmp_path / "s", durability="manual") as store:
        with sent(store) as nothing_yet:
            assert len(nothing_yet) == 0
        store["a"] = "committed"
        store.sync()
        store["a"] = "not yet"
        with sent(store) as other:
            assert other["a"] == b"committed"
            store.sync()
            assert other["a"] == b"committed"
            assert other.refresh()
            assert other["a"] == b"not yet"


def test_it_is_found_wherever_the_other_process_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with Store("s", key=str, value=Point) as store:
        os.chdir(tmp_path / "elsewhere")
        store["a"] = Point(1)
        store.sync()
        (tmp_path / "pickle").write_bytes(pickle.dumps(store))
        code = "import pickle; print(dict(pickle.load(open('../pickle', 'rb'))))"
        result = run_snippet(code, tmp_path / "elsewhere")
        assert (result.stdout, result.stderr) == ("{'a': Point(x=1, y=0.0, tags=[])}\n", "")


POOL = """
import operator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import oxidbm

if __name__ == "__main__":
    with oxidbm.Store("s", key=int, value=int, ordered=True) as store:
        store.update({1: 10, 2: 20})
        store.sync()
        with ProcessPoolExecutor(2, mp_context=get_context("METHOD")) as pool:
            print(list(pool.map(operator.getitem, [store] * 2, [1, 2])))
            print(pool.submit(dict, store).result(), pool.submit(oxidbm.Store.first_key, store).result())
            print(type(pool.submit(operator.setitem, store, 1, 2).exception()).__name__)
            print(str(pool.submit(list, store.scan()).exception())[:43])
            print(pool.submit(oxidbm.Store.sessions, store).result())
        store[1] += 1
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_pool_of_processes(method: str, tmp_path: Path) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no such method")
    result = run_snippet(POOL.replace("METHOD", method), tmp_path, "-W", "ignore::DeprecationWarning")
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "[10, 20]",
        "{1: 10, 2: 20} 1",
        "ReadOnlyError",
        "LogScan objects cannot be pickled or copied",
        "[]",
    ]


def test_options_that_a_reader_has_are_the_same(tmp_path: Path) -> None:
    with Store(tmp_path / "s", key=int, value=int, ordered=True, memory="20MiB", clock=clock) as store:
        store.update({5: 1, 3: 2})
        store.set(7, 7, expire=10)
        token = store.checkpoint("snapshot").token
        store[1] = 1
        store.sync()
        with sent(store) as other:
            assert list(other.range(2, 6)) == [(3, 2), (5, 1)]
            assert other.ttl(7) == 10.0
            assert other.stats()["memory_budget"] == 20 << 20
        with (
            Store(tmp_path / "s", key=int, value=int, read_only=True, checkpoint=token) as reader,
            sent(reader) as other,
        ):
            assert dict(other) == dict(reader) == {5: 1, 3: 2}  # the other has expired by their clock
        with Store(tmp_path / "s", key=int, value=int, read_only=True, follow=0.05) as reader, sent(reader) as other:
            store[9] = 9
            store.sync()
            until(lambda: 9 in other)


def test_a_subclass_stays_one_with_what_it_has(tmp_path: Path) -> None:
    with Counted(tmp_path, step=3) as store:
        store["a"] = 1
        store.sync()
        store.get("a")
        with sent(store) as other:
            assert type(other) is Counted
            assert other.next_of("a") == 4
            with sent(other) as third:
                assert third.step == 3


def test_what_open_returns_stays_that(tmp_path: Path) -> None:
    with oxidbm.open(tmp_path / "s", "c") as database:
        database["a"] = "1"
        assert database.nextkey("a") is None
        database.sync()
        with sent(database) as other:
            assert type(other) is oxidbm.Database
            assert other.keys() == [b"a"]
            assert (other.firstkey(), other.nextkey("a")) == (b"a", None)


def test_nobody_is_told_to_close_it(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sent(store)
        gc.collect()
    assert caught == []


def test_what_is_known_of_something_open_can_be_sent(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store, oxidbm.Log(tmp_path / "l") as log:
        with store.session("x") as session:
            session.upsert("a", "1")
        log.reader("r").close()
        things = [*store.scan(), *store.sessions(), *log.readers(), *store.history("a"), store.recovery]
        assert len(things) == 5
        for thing in things:
            for function in (sent, copy.copy, copy.deepcopy):
                assert (type(function(thing)), repr(function(thing))) == (type(thing), repr(thing))
        record: Any = things[0]
        assert (sent(record).previous_address, sent(record).expiry) == (record.previous_address, record.expiry)


def test_what_uncompiled_stores_have_of_themselves_is_not_sent(tmp_path: Path) -> None:
    if not PURE:
        pytest.skip("compiled ones have it elsewhere")
    with oxidbm.open(tmp_path / "s", "c") as database:
        database["a"] = "1"
        database.nextkey("a")
        assert vars(database).keys() <= _pickling.OURS
        assert all(hasattr(database, name) for name in _pickling.OURS)


def local_codec() -> Any:
    """Return a codec that no other process finds."""

    class Local(Hexadecimal):
        pass

    return Local()


def local_store(path: Path) -> Store[Any, Any]:
    """Return a store of a class that no other process finds."""

    class Local(Store[bytes, bytes]):
        pass

    return Local(path)


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "memory": (lambda path: Store(), r"a store in memory cannot be pickled.*: give it a path, or send what is needed"),
    "device": (lambda path: Store(path, device=CrashDevice()), "a store with a device= cannot be pickled: make the"),
    "key": (lambda path: Store(path, key=local_codec()), "pickled, because key= cannot .*: define it in a module"),
    "value": (lambda path: Store(path, value=local_codec()), "because value= cannot .*or send the path, and open that"),
    "clock": (lambda path: Store(path, clock=lambda: 1.0), "because clock= cannot"),
    "class": (local_store, "because its class cannot"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_other_process_could_open(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    with make(tmp_path / "s") as store:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match=words):
                pickle.dumps(store, protocol)


def test_a_closed_one_and_one_that_is_gone(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        data = pickle.dumps(store)
    with pytest.raises(oxidbm.ClosedError, match="is closed; open it again"):
        pickle.dumps(store)
    with pickle.loads(data) as other:
        assert len(other) == 0
    oxidbm.remove(tmp_path / "s")
    with pytest.raises(oxidbm.MissingError):
        pickle.loads(data)


def test_copies_are_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store, Store() as in_memory, oxidbm.open(tmp_path / "d", "c") as database:
        for function in (copy.copy, copy.deepcopy):
            for thing in (store, in_memory, database):
                with pytest.raises(TypeError, match=r"a store cannot be copied.*; copy\(\) is a dict of its items"):
                    function(thing)


def test_what_else_is_open_stays_here(tmp_path: Path) -> None:
    with Store(tmp_path / "s", ordered=True) as store, oxidbm.Log(tmp_path / "l") as log:
        store["a"] = "1"
        log.append(b"a")
        log.commit()
        things: list[Any] = [
            store.session("x"), store.batch(), iter(store), store.range(), store.scan(), store.history("a"),
            store.checkpoint(), log.batch(), log.scan(), log.follow(), log.reader("r"),
        ]  # fmt: skip
        for function in (copy.copy, copy.deepcopy, pickle.dumps):
            for thing in things:
                with pytest.raises(TypeError, match=f"{type(thing).__name__} objects cannot be pickled or copied"):
                    function(thing)
        things[-1].close()
        things[0].close()
        with oxidbm.Queue(tmp_path / "q") as queue, oxidbm.shelve.open(tmp_path / "f") as shelf:
            for function in (copy.copy, copy.deepcopy, pickle.dumps):
                for name, thing in (("log", log), ("queue", queue), ("shelf", shelf)):
                    with pytest.raises(TypeError, match=f"a {name} cannot be pickled or copied; open its path where"):
                        function(thing)


NO_CONSTANTS = ("JSON", "MSGPACK")  # for a store any codec like them is as good
CONSTANTS = [name for name in codecs.__all__ if name.isupper() and name not in NO_CONSTANTS]


@pytest.mark.parametrize("name", CONSTANTS)
@pytest.mark.parametrize("function", [sent, copy.copy, copy.deepcopy])
def test_a_codec_that_there_is_one_of_stays_that(name: str, function: Callable[[Any], Any]) -> None:
    codec = getattr(codecs, name)
    assert function(codec) is codec
    assert function(codecs.Tuple(codec, int)).parts == [codec, codecs.INT]


@pytest.mark.parametrize("function", [sent, copy.copy, copy.deepcopy])
def test_codecs_of_types(function: Callable[[Any], Any]) -> None:
    assert function(codecs.JSON).encode([1]) == b"[1]"
    assert function(codecs.Msgpack(Point, name="p")).name == "msgpack:p"
    deep = function(codecs.Json(list[int], validate=True))
    assert deep.encode([1]) == b"[1]"
    with pytest.raises(TypeError, match="takes int in"):
        deep.encode(["1"])
    usual = function(codecs.Json(Point))
    with pytest.raises(TypeError, match="takes int in x"):
        usual.encode(Point("1"))  # type: ignore[arg-type]
    assert usual.decode(usual.encode(Point(3))) == Point(3)
    assert function(codecs.Json(Point, validate=False)).encode(Point("1")).startswith(b'{"x":"1"')  # type: ignore[arg-type]


class Slotted(Store):
    """One that has added a slot."""

    __slots__ = ("__inner", "mark")

    def give(self, mark: str) -> None:
        """Fill both."""
        self.mark = mark
        self.__inner = mark * 2

    def inner(self) -> str:
        """Return what nobody else sees."""
        return self.__inner


class Chooser(Store):
    """One that says what is to come along."""

    def __getstate__(self) -> object:
        return {"chosen": "yes"}


def test_what_a_subclass_has_added_comes_along(tmp_path: Path) -> None:
    with Slotted(tmp_path / "a") as store:
        store.give("x")
        store.sync()
        with pickle.loads(pickle.dumps(store)) as copied:
            assert (copied.mark, copied.inner()) == ("x", "xx")
    with Chooser(tmp_path / "b") as other:
        other.sync()
        with pickle.loads(pickle.dumps(other)) as copied:
            assert copied.chosen == "yes"


def test_another_store_in_its_place(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store["key"] = "mine"
        store.sync()
        sent = pickle.dumps(store)
        (tmp_path / "s").rename(tmp_path / "t")
        with Store(tmp_path / "s") as other:
            other["key"] = "of another store"
            other.sync()
            with pytest.raises(oxidbm.MissingError, match="renamed or replaced"):
                pickle.loads(sent)
