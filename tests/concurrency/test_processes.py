"""Processes: fork, exit without close, a store that is only dropped, a second writer, readers beside a writer."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import oxidbm
from oxidbm import Store
from tests.support import ROOT, Small, run, scaled, started

OPTIONS: Small = {"memory": "1MiB", "page_size": 4096}


def python(code: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run code in another interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=300,
        check=check,
    )


def in_child(*calls: Callable[[], object]) -> list[str]:
    """Make calls in a forked child, and return what each raised, or what it returned."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of threads: the store has one
        child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            for call in calls:
                try:
                    answer = repr(call())
                except oxidbm.error as failure:
                    answer = f"error: {failure}"
                except BaseException as failure:
                    answer = f"something else: {failure!r}"
                os.write(writing, answer.encode() + b"\0")
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answers = pipe.read().decode().split("\0")[:-1]
    os.waitpid(child, 0)
    return answers


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_forked_child_gets_an_error_and_the_parent_goes_on(place: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store" if place == "disk" else None, interval=0.01, **OPTIONS)
    store.update({b"%d" % i: bytes(500) for i in range(100)})
    session = store.session("worker")
    iterator = iter(store)
    next(iterator)
    calls: list[Callable[[], object]] = [
        lambda: store[b"1"],
        lambda: store.get(b"1"),
        lambda: b"1" in store,
        lambda: len(store),
        lambda: list(store),
        lambda: next(iterator),
        lambda: store.__setitem__(b"child", b"value"),
        lambda: store.pop(b"1"),
        lambda: store.clear(),  # noqa: PLW0108 - all alike
        lambda: store.sync(),  # noqa: PLW0108
        lambda: store.check(),  # noqa: PLW0108
        lambda: store.stats(),  # noqa: PLW0108
        lambda: store.reorganize(),  # noqa: PLW0108
        lambda: store.session(),  # noqa: PLW0108
        lambda: list(store.scan()),
        lambda: session.read(b"1"),
        lambda: session.upsert(b"child", b"value"),
        lambda: session.commit(),  # noqa: PLW0108
    ]
    answers = in_child(*calls, store.close)
    assert len(answers) == len(calls) + 1
    for answer in answers[:-1]:
        assert answer.startswith("error: "), answer
        assert "parent" in answer
    assert answers[-1] == "None"
    if place == "disk":  # the child's end did not give the parent's lock away
        with pytest.raises(oxidbm.LockedError):
            Store(tmp_path / "store")
    store[b"parent"] = b"goes on"
    session.upsert(b"1", b"changed")
    assert len(list(iterator)) >= 99
    assert store.check() == []
    store.close()
    if place == "disk":
        with Store(tmp_path / "store", **OPTIONS) as store:
            assert len(store) == 101
            assert store[b"1"] == b"changed"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_child_opens_the_store_after_the_parent_closed_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", **OPTIONS)
    store[b"key"] = b"value"
    store.close()

    def open_and_write() -> bytes:
        with Store(tmp_path / "store", **OPTIONS) as mine:
            mine[b"child"] = b"was here"
            return mine[b"key"]

    assert in_child(open_and_write) == ["b'value'"]
    with Store(tmp_path / "store", **OPTIONS) as store:
        assert dict(store) == {b"key": b"value", b"child": b"was here"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_reader_is_void_in_a_child_too(tmp_path: Path) -> None:
    with Store(tmp_path / "store", **OPTIONS) as store:
        store[b"key"] = b"value"
    with Store(tmp_path / "store", read_only=True, **OPTIONS) as reader:
        assert in_child(lambda: reader[b"key"])[0].startswith("error: ")
        assert reader[b"key"] == b"value"


def test_second_writer_gets_the_holders_number(tmp_path: Path) -> None:
    with Store(tmp_path / "store", **OPTIONS) as store:
        answer = python("import sys, oxidbm; oxidbm.Store(sys.argv[1])", tmp_path / "store", check=False)
        assert f"process {os.getpid()} on " in answer.stderr
        assert "LockedError" in answer.stderr
        store[b"still"] = b"works"
    with Store(tmp_path / "store", **OPTIONS) as store:
        assert dict(store) == {b"still": b"works"}


@pytest.mark.parametrize("durability", ["manual", "interval"])
@pytest.mark.parametrize("end", ["", "sys.exit(3)", "1 / 0"], ids=["end", "exit", "exception"])
def test_interpreter_exit_without_close_keeps_everything(durability: str, end: str, tmp_path: Path) -> None:
    code = f"""
import sys, oxidbm
store = oxidbm.Store(sys.argv[1], memory="1MiB", page_size=4096, durability={durability!r}, interval=60)
for i in range(300):
    store[b"%d" % i] = b"%d" % i * 100
cycle = [store]
cycle.append(cycle)
{end}
"""
    python(code, tmp_path / "store", check=not end)
    with Store(tmp_path / "store", read_only=True, **OPTIONS) as store:
        assert dict(store) == {b"%d" % i: b"%d" % i * 100 for i in range(300)}


def test_dropped_store_is_closed_by_its_finalizer(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", durability="manual", **OPTIONS)
    store[b"key"] = b"value"
    session = store.session("left open")
    del store
    gc.collect()
    session.upsert(b"other", b"a session keeps its store open")
    with pytest.raises(oxidbm.LockedError):
        Store(tmp_path / "store", **OPTIONS)
    del session
    gc.collect()
    with Store(tmp_path / "store", **OPTIONS) as again:
        assert dict(again) == {b"key": b"value", b"other": b"a session keeps its store open"}


def test_store_dropped_in_a_cycle_with_its_iterator(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", durability="manual", **OPTIONS)
    store.update({b"%d" % i: b"value" for i in range(10)})
    cycle: list[object] = [store, iter(store), iter(store.items())]
    next(cycle[1])  # type: ignore[call-overload]
    cycle.append(cycle)
    del store, cycle
    gc.collect()
    with Store(tmp_path / "store", **OPTIONS) as again:
        assert len(again) == 10


WRITER = """
import sys, oxidbm
number = 0
while True:
    store = oxidbm.Store(sys.argv[1], memory="1MiB", page_size=4096, durability="manual")
    with store.session("writer") as session:
        for _ in range(40):
            number = session.serial + 1
            session.upsert(b"%d" % (number % 50), b"%d." % number * 300)
            if number % 7 == 0:
                session.commit()
            if number % 23 == 0:
                store.reorganize()
            if number % 31 == 0:
                store.handle.table.log.device.roll()
    store.close()
    print(number, flush=True)
"""


def test_readers_beside_a_writer_see_a_commit(tmp_path: Path) -> None:
    """A writer commits, compacts, closes and opens again; whoever opens read-only meanwhile sees a state between."""
    path = tmp_path / "store"
    with started([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        last = int(writer.stdout.readline())
        for _ in range(scaled(300, least=20)):
            with Store(path, read_only=True, **OPTIONS) as reader:
                found = {key: int(value[: value.index(b".")]) for key, value in reader.items()}
                newest = max(found.values())
                assert newest >= last
                last = newest
                expected = range(max(1, newest - 49), newest + 1)
                assert found == {b"%d" % (number % 50): number for number in expected}
                assert reader.check() == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_reader_outlives_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with started([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        reader = Store(path, read_only=True, **OPTIONS)
        before = dict(reader)
        writer.stdout.readline()
        writer.stdout.readline()
        assert dict(reader) == before
        writer.kill()
    assert dict(reader) == before
    reader.close()


def test_two_stores_of_one_process_do_not_meet(tmp_path: Path) -> None:
    with Store(tmp_path / "a", **OPTIONS) as a, Store(tmp_path / "b", **OPTIONS) as b, Store() as c:
        stores = [a, b, c]

        def write(store: Store, name: bytes) -> None:
            for i in range(scaled(2000, least=100)):
                store[b"%d" % (i % 100)] = name * (i % 300)
                if i % 500 == 0:
                    time.sleep(0.001)

        threads = [threading.Thread(target=write, args=(store, b"%d" % i)) for i, store in enumerate(stores)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for i, store in enumerate(stores):
            assert {bytes(set(value)) for value in store.values()} <= {b"%d" % i, b""}
            assert len(store) == 100
            assert store.check() == []


def test_threads_that_make_one_store_at_once(tmp_path: Path) -> None:
    """They share it, whoever makes it."""
    for turn in range(scaled(60, least=10)):
        path = tmp_path / str(turn) / "above" / "store"
        start, end = threading.Barrier(6), threading.Barrier(6)
        answers: list[str] = []

        def make(
            path: Path = path,
            start: threading.Barrier = start,
            end: threading.Barrier = end,
            answers: list[str] = answers,
        ) -> None:
            start.wait()
            store = None
            try:
                store = Store(path, **OPTIONS)
                store[b"%d" % threading.get_ident()] = b"value"
                answers.append("made")
            except BaseException as failure:
                answers.append(f"{type(failure).__name__}: {failure}")
            end.wait()
            if store is not None:
                store.close()

        run(*[make] * 6)
        assert answers == ["made"] * 6
        with Store(path, **OPTIONS) as store:
            assert len(store) == 6


MAKER = """
import sys, time, oxidbm
for path in sys.stdin:
    try:
        with oxidbm.Store(path.strip(), memory="1MiB", page_size=4096) as store:
            store[b"%d" % time.time_ns()] = b"value"
        print("made", flush=True)
    except Exception as failure:
        print(type(failure).__name__, failure, flush=True)
"""


def test_processes_that_make_one_store_at_once(tmp_path: Path) -> None:
    """Each makes it, finds it made, or finds it locked; whatever was written is there in the end."""
    with contextlib.ExitStack() as stack:
        makers = [
            stack.enter_context(
                started([sys.executable, "-c", MAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
            )
            for _ in range(6)
        ]
        for turn in range(scaled(40, least=5)):
            path = tmp_path / str(turn) / "above" / "store"
            for maker in makers:
                assert maker.stdin is not None
                maker.stdin.write(os.fsencode(path) + b"\n")
            answers = []
            for maker in makers:
                assert maker.stdout is not None
                answers.append(maker.stdout.readline().decode().strip())
            assert "made" in answers
            for answer in answers:
                assert answer == "made" or answer.startswith("LockedError "), answers
            with Store(path, **OPTIONS) as store:
                assert len(store) == answers.count("made")


def test_a_second_store_with_other_options_is_told_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Store(path, **OPTIONS):
        words = "this very process .*use the one that has it open.*or close that one first"
        with pytest.raises(oxidbm.LockedError, match=words):
            Store(path)
        (tmp_path / "link").symlink_to(path)
        with pytest.raises(oxidbm.LockedError, match=words):
            Store(tmp_path / "link")
        answer = python("import sys, oxidbm; oxidbm.Store(sys.argv[1])", path, check=False)
        assert "this very process" not in answer.stderr
        assert "close it there" in answer.stderr
        if hasattr(os, "fork"):
            assert "this very process" not in in_child(lambda: Store(path, **OPTIONS))[0]
    Store(path, **OPTIONS).close()
