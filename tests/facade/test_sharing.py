"""Stores that one process opens at one path share what is open there; the last one to close closes it."""

import contextlib
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import ClosedError, LockedError, Store, codecs
from tests.inside import handle_of
from tests.support import run, scaled


@dataclass
class Point:
    """What a typed store keeps."""

    x: int


def test_each_sees_what_the_other_writes_at_once(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as first, Store(tmp_path / "s") as second:
        first[b"a"] = b"1"
        assert second[b"a"] == b"1"
        second[b"a"] = b"2"
        assert first[b"a"] == b"2"
        assert len(first) == len(second) == 1
        assert first == second


def test_the_last_one_closes(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "s"), Store(tmp_path / "s")
    first[b"a"] = b"1"
    first.close()
    first.close()
    assert first.closed
    assert not second.closed
    for call in (lambda: first[b"a"], lambda: first.get(b"a"), lambda: first.set(b"a", b""), lambda: len(first)):
        with pytest.raises(ClosedError, match="is closed; open it again"):
            call()
    with pytest.raises(ClosedError):
        first.stats()
    second[b"b"] = b"2"
    third = Store(tmp_path / "s")
    second.close()
    assert third.items() == {(b"a", b"1"), (b"b", b"2")}
    assert not (tmp_path / "s" / "CLEAN").exists()
    third.close()
    assert (tmp_path / "s" / "CLEAN").exists()
    code = "import sys, oxidbm; print(sorted(oxidbm.Store(sys.argv[1])))"
    other = subprocess.run([sys.executable, "-c", code, tmp_path / "s"], capture_output=True, text=True, check=True)
    assert other.stdout == "[b'a', b'b']\n"


def test_what_one_wrote_is_durable_when_it_is_closed(tmp_path: Path) -> None:
    with Store(tmp_path / "s", durability="manual") as other:
        with Store(tmp_path / "s", durability="manual") as store:
            store[b"a"] = b"1"
        with Store(tmp_path / "s", read_only=True) as reader:
            assert reader[b"a"] == b"1"
        assert not other.closed


@pytest.mark.parametrize("named", ["link", "relative", "bytes", "PathLike", "dots"])
def test_whatever_the_path_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "s")
    monkeypatch.chdir(tmp_path)
    paths: dict[str, Any] = {
        "link": tmp_path / "link",
        "relative": "s",
        "bytes": os.fsencode(tmp_path / "s"),
        "PathLike": tmp_path / "s",
        "dots": tmp_path / "link" / ".." / "s",
    }
    with Store(str(tmp_path / "s")) as first, Store(paths[named]) as second:
        first[b"a"] = b"1"
        assert second[b"a"] == b"1"


def test_one_that_nobody_holds_lets_go(tmp_path: Path) -> None:
    first = Store(tmp_path / "s")
    second = Store(tmp_path / "s")
    handle = handle_of(second)
    assert handle.holders == 2
    del first
    gc.collect()
    assert handle.holders == 1
    second[b"a"] = b"1"
    del second
    gc.collect()
    assert not handle.life.alive()
    with Store(tmp_path / "s") as store:
        assert store[b"a"] == b"1"


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("memory", {"memory": "300MiB"}),
    ("durability", {"durability": "always"}),
    ("interval", {"interval": 7.0}),
    ("ordered", {"ordered": True}),
    ("size_limit", {"size_limit": "1GiB"}),
    ("eviction_policy", {"size_limit": "1GiB", "eviction_policy": "second-chance"}),
    ("count_reads", {"count_reads": True}),
    ("clock", {"clock": lambda: 5.0}),
    ("compaction", {"compaction": False}),
    ("compaction_rate", {"compaction_rate": "1MiB"}),
    ("checkpoints", {"checkpoints": False}),
    ("mapped", {"mapped": False}),
    ("read_cache", {"read_cache": False}),
    ("key", {"key": str}),
    ("value", {"value": Point}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=[name for name, _ in OPTIONS])
def test_other_options_are_refused_by_name(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    with Store(tmp_path / "s") as store:
        with pytest.raises(LockedError, match=f"this very process .*with another {name}=: open it with the same one"):
            Store(tmp_path / "s", **options)
        assert handle_of(store).holders == 1
    if name not in ("key", "value"):
        with Store(tmp_path / "s", **options) as one, Store(tmp_path / "s", **options) as other:
            one[b"a"] = b"1"
            assert other[b"a"] == b"1"


CODECS: list[tuple[Any, Any]] = [
    (str, str),
    (int, "json"),
    (float, "objects"),
    (lambda: codecs.Tuple(int, str), Point),
    (lambda: codecs.Tuple(codecs.Tuple(int, float), bytes), lambda: codecs.Json(Point)),
    ("str", lambda: codecs.Msgpack(list[int], name="numbers")),
]


def made(spec: Any) -> Any:
    """Return a codec, a new one each time where it is made by a function."""
    return spec() if callable(spec) and not isinstance(spec, type) else spec


@pytest.mark.parametrize(("key", "value"), CODECS)
def test_codecs_that_are_alike(tmp_path: Path, key: Any, value: Any) -> None:
    one = Store(tmp_path / "s", key=made(key), value=made(value))
    other = Store(tmp_path / "s", key=made(key), value=made(value))
    assert handle_of(one) is handle_of(other)
    one.close()
    other.close()


def test_a_class_that_was_made_anew_is_another_one(tmp_path: Path) -> None:
    """A notebook's cell that is run again makes it, and nobody wants the old one's objects."""
    again: Any = dataclass(type("Point", (), {"__annotations__": {"x": int}, "__module__": Point.__module__}))
    with Store(tmp_path / "s", value=Point) as store:
        store[b"a"] = Point(1)
        with pytest.raises(LockedError, match="another value="):
            Store(tmp_path / "s", value=again)


class Upper:
    """A codec of the user's own."""

    name = "upper"

    def encode(self, value: str, /) -> bytes:
        """Return it in capitals."""
        return value.upper().encode()

    def decode(self, data: bytes, /) -> str:
        """Return it."""
        return data.decode()


def test_codecs_of_ones_own(tmp_path: Path) -> None:
    upper = Upper()
    with Store(tmp_path / "s", value=upper) as one:
        with Store(tmp_path / "s", value=upper) as other:
            one[b"a"] = "x"
            assert other[b"a"] == "X"
        with pytest.raises(LockedError, match="another value="):
            Store(tmp_path / "s", value=Upper())


def test_an_ordered_view_is_shared(tmp_path: Path) -> None:
    with Store(tmp_path / "s", ordered=True) as one, Store(tmp_path / "s", ordered=True) as other:
        one.update({b"b": b"", b"a": b""})
        assert [key for key, _ in other.range()] == [b"a", b"b"]
        assert handle_of(one).order is not None
        one.close()
        other[b"c"] = b""
        assert [key for key, _ in other.range()] == [b"a", b"b", b"c"]


def test_faces_of_the_dbm_share_it_too(tmp_path: Path) -> None:
    with oxidbm.open(tmp_path / "s", "c") as one, oxidbm.open(tmp_path / "s", "w") as other:
        one["a"] = "1"
        assert other["a"] == b"1"
        assert other.firstkey() == b"a"
        with pytest.raises(LockedError):
            oxidbm.open(tmp_path / "s", "n")


def test_shelves_share_it(tmp_path: Path) -> None:
    with oxidbm.shelve.open(str(tmp_path / "s")) as one, oxidbm.shelve.open(str(tmp_path / "s")) as other:
        one["a"] = [1]
        assert other["a"] == [1]


def test_without_a_lock_nothing_is_shared(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store, Store(tmp_path / "s", read_only=True) as reader:
        assert handle_of(store) is not handle_of(reader)
        store[b"a"] = b"1"
        assert b"a" not in reader


def test_a_store_put_in_the_place_of_another_is_none_of_it(tmp_path: Path) -> None:
    first = Store(tmp_path / "s")
    first[b"a"] = b"1"
    os.rename(tmp_path / "s", tmp_path / "aside")
    with Store(tmp_path / "s") as second:
        assert handle_of(first) is not handle_of(second)
        assert b"a" not in second
        with Store(tmp_path / "aside") as third:
            assert third[b"a"] == b"1"
    first.close()


def test_a_session_and_a_batch_of_a_closed_one_go_on(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "s"), Store(tmp_path / "s")
    session = first.session("name")
    session.upsert(b"a", b"1")
    first.close()
    with pytest.raises(ClosedError):
        first.session("other")
    session.upsert(b"b", b"2")
    assert session.serial == 2
    session.close()
    assert second[b"b"] == b"2"
    second.close()


def test_closing_within_a_batch_is_refused_and_nothing_is_let_go(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as first, Store(tmp_path / "s") as second:

        def closing() -> Any:
            yield b"a", b"1"
            second.close()
            yield b"b", b"2"

        first.update(closing())
        assert second.closed
        assert first.items() == {(b"a", b"1"), (b"b", b"2")}


def test_threads_open_and_close_it_beside_each_other(tmp_path: Path) -> None:
    """Each write is there for whoever opens it behind it, and the files are opened and closed in between."""
    path = tmp_path / "s"
    turns = scaled(200, least=40)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(turns):
                with Store(path, memory="1MiB", page_size="4KiB") as store:
                    store[b"%d %d" % (number, turn)] = b"value"
                    if turn > 0:
                        assert store[b"%d %d" % (number, turn - 1)] == b"value"
        except BaseException as failure:
            errors.append(failure)

    run(*[lambda number=number: work(number) for number in range(4)])
    assert errors == []
    with Store(path, memory="1MiB", page_size="4KiB") as store:
        assert len(store) == 4 * turns
        assert store.check() == []


def test_who_opens_it_while_it_is_being_closed_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "s")
    store[b"a"] = b"1"
    sync, begun = os.fdatasync, threading.Event()

    def slow(descriptor: int) -> None:
        begun.set()
        time.sleep(0.2)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)

    def close() -> None:
        store.close()

    def reopen() -> None:
        begun.wait(10)
        with Store(tmp_path / "s") as again:
            assert again[b"a"] == b"1"

    run(close, reopen)


def test_one_whose_commit_fails_is_closed_all_the_same(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "s"), Store(tmp_path / "s")
    handle = handle_of(first)
    first[b"a"] = b"1"
    handle.life.poison_with(OSError(28, "No space left on device"))
    first.close()
    assert first.closed
    with pytest.raises(oxidbm.PoisonedError):
        second.close()
    assert second.closed
    with Store(tmp_path / "s") as store:
        assert len(store) <= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_forked_child_has_none_of_them(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as first, Store(tmp_path / "s") as second:
        first[b"a"] = b"1"
        child = os.fork()
        if child == 0:
            code = 1
            try:
                first.close()
                second.close()
                try:
                    Store(tmp_path / "s")
                except LockedError:
                    code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        second[b"b"] = b"2"
        assert len(first) == 2


def test_the_exit_closes_what_is_shared(tmp_path: Path) -> None:
    code = "import sys, oxidbm; a, b = oxidbm.Store(sys.argv[1]), oxidbm.Store(sys.argv[1]); a[b'k'] = b'v'; b.close()"
    subprocess.run([sys.executable, "-c", code, tmp_path / "s"], check=True)
    assert (tmp_path / "s" / "CLEAN").exists()
    with Store(tmp_path / "s") as store:
        assert store[b"k"] == b"v"


def test_threads_that_close_one_of_them_close_no_other(tmp_path: Path) -> None:
    """The hold of a store is given back once: in the middle of closing there is a commit, in which others run."""
    for turn in range(scaled(50, least=10)):
        first, second = Store(tmp_path / "s"), Store(tmp_path / "s")
        first[b"%d" % turn] = bytes(1000)
        run(first.close, first.close, first.close)
        assert first.closed
        assert handle_of(second).holders == 1
        assert len(second) == turn + 1
        second.close()
        assert (tmp_path / "s" / "CLEAN").exists()


@pytest.mark.parametrize("ending", ["close again", "finalizer"])
def test_an_interrupt_in_closing_one_closes_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    first, second = Store(tmp_path / "s"), Store(tmp_path / "s")
    first[b"a"] = b"1"

    def interrupted(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            first.close()
    assert not first.closed
    assert handle_of(second).holders == 2
    if ending == "close again":
        first.close()
    del first
    gc.collect()
    assert handle_of(second).holders == 1
    assert second[b"a"] == b"1"
    second.close()


@pytest.mark.compiled_only("only compiled code is one stretch")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
@pytest.mark.parametrize("raises", [True, False])
def test_handlers_in_the_middle_of_closing_one(tmp_path: Path, raises: bool) -> None:
    """Wherever it comes: one that raises, and one that closes the very store that is being closed."""
    chance = random.Random(raises)
    armed: list[Store] = []

    def handle(_number: int, _frame: object) -> None:
        if armed:
            store = armed.pop()
            if raises:
                raise KeyboardInterrupt
            with contextlib.suppress(oxidbm.BusyError):
                store.close()

    before = signal.signal(signal.SIGALRM, handle)
    try:
        for turn in range(scaled(300, least=60)):
            first, second = Store(tmp_path / "s"), Store(tmp_path / "s")
            first[b"%d" % turn] = bytes(500)
            try:
                armed.append(first)
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 1e-3))
                first.close()
                armed.clear()
            except KeyboardInterrupt:
                first.close()
            assert first.closed
            assert len(second) == turn + 1
            second.close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_one_that_is_collected_in_the_middle_of_another_s_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Store(tmp_path / "s"), Store(tmp_path / "s")
    handle = handle_of(second)
    circle: list[object] = [first]
    circle.append(circle)
    gc.disable()
    try:
        del first, circle
        sync = os.fdatasync

        def collecting(descriptor: int) -> None:
            gc.collect()
            sync(descriptor)

        second[b"a"] = b"1"
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", collecting)
            second.sync()
    finally:
        gc.enable()
    assert handle.holders == 1
    second.close()
    assert not handle.life.alive()
    assert (tmp_path / "s" / "CLEAN").exists()


def test_a_store_is_opened_once(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        with pytest.raises(RuntimeError, match="opened once"):
            store.__init__(tmp_path / "s")  # type: ignore[misc]
        assert handle_of(store).holders == 1
    assert (tmp_path / "s" / "CLEAN").exists()
