"""Stores and logs at rest: none has a thread, one thread watches for all, and what is written then becomes durable."""

import _thread
import gc
import os
import textwrap
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Log, Store
from oxidbm._core.lookout import WATCH, Lookout
from oxidbm._core.worker import Worker
from tests.faster_log.helpers import until_true
from tests.inside import commits_of_log, disk_of, handle_of, keeper_of_log
from tests.support import run_snippet

MANY = 20


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Have threads end soon that have nothing to do."""
    until_true(lambda: not lookout().worker.running)
    before = lookout().seconds
    lookout().seconds = 0.02
    yield
    lookout().seconds = before


def lookout() -> Lookout:
    """Return what watches in this process now."""
    return WATCH.lookout


def until_at_rest(*workers: Worker) -> None:
    """Return when none of these has a thread, and somebody watches for each."""
    until_true(lambda: all(worker.resting and not worker.ended.locked() for worker in workers))


def seen(path: Path, key: str) -> bytes | None:
    """Return what the last commit has for a key."""
    with Store(path, read_only=True) as reader:
        return reader.get(key)


def test_many_at_rest_have_one_thread(tmp_path: Path) -> None:
    stores = [Store(tmp_path / str(number), interval=0.02) for number in range(MANY)]
    for store in stores:
        store["key"] = "value"
    workers = [disk_of(store).worker for store in stores]
    assert sum(worker.ended.locked() for worker in workers) == MANY
    until_at_rest(*workers)
    assert lookout().worker.running
    stores[7]["key"] = "other"
    until_true(lambda: seen(tmp_path / "7", "key") == b"other")
    until_at_rest(*workers)
    for store in stores:
        store.close()
    assert not any(worker.resting or worker.ended.locked() for worker in workers)
    until_true(lambda: not lookout().worker.running)


def test_a_log_at_rest(tmp_path: Path) -> None:
    with Log(tmp_path / "log", durability="interval", interval=0.01) as log:
        log.append(b"first")
        worker = keeper_of_log(log).worker
        until_at_rest(worker)
        address = log.append(b"second")
        assert log.wait(address, timeout=60)
        until_at_rest(worker)
    assert not worker.resting
    assert id(worker) not in lookout().resting


def test_a_log_that_forgets_by_age_never_rests(tmp_path: Path) -> None:
    with Log(tmp_path / "log", durability="interval", interval=0.01, keep_seconds=1000) as log:
        log.append(b"first")
        assert log.wait(timeout=60)
        assert not keeper_of_log(log).quiet()


def test_a_session_waits_for_a_store_at_rest(tmp_path: Path) -> None:
    with Store(tmp_path / "store", interval=0.02) as store, store.session("name") as session:
        store["key"] = "value"
        until_at_rest(disk_of(store).worker)
        session.upsert("key", "other")
        assert session.wait_durable(timeout=60)


def test_a_checkpoint_of_a_store_at_rest(tmp_path: Path) -> None:
    with Store(tmp_path / "store", interval=0.02) as store:
        store["key"] = "value"
        until_at_rest(disk_of(store).worker)
        assert store.checkpoint().result(60).done()
        store["key"] = "other"
        assert store.checkpoint(kind="snapshot").result(60).done()


def test_a_step_of_the_log_needs_no_lookout(tmp_path: Path) -> None:
    """It starts the thread itself."""
    with Store(tmp_path / "store", durability="manual") as store:
        store["key"] = "value"
        worker = disk_of(store).worker
        until_at_rest(worker)
        disk_of(store).call()
        assert worker.running
        assert not worker.resting
        until_at_rest(worker)
        assert len(lookout().resting) == 1


def test_a_thread_that_cannot_be_watched_for_goes_on(tmp_path: Path) -> None:
    """As where the system has no more threads."""
    watch = Lookout()
    watch.seconds = 0.02
    watch.worker.stopping = True
    worker = Worker()
    worker.running = True
    assert not watch.take(worker, lambda: True, lambda: None)
    assert worker.running
    watch = Lookout()
    watch.seconds = 0.02
    assert not watch.take(worker, lambda: False, lambda: None)
    until_true(lambda: not watch.worker.running)
    assert watch.take(worker, lambda: True, lambda: None)
    watch.forget(worker)
    until_true(lambda: not watch.worker.running)


def test_what_cannot_be_started_now_is_tried_again() -> None:
    watch = Lookout()
    watch.seconds = 0.02
    worker = Worker()
    tries: list[None] = []

    def resume() -> None:
        tries.append(None)
        if len(tries) == 2:
            worker.running = True

    quiet = [True]
    assert watch.take(worker, lambda: quiet[0], resume)
    quiet[0] = False
    until_true(lambda: not watch.resting)
    assert len(tries) == 2
    until_true(lambda: not watch.worker.running)


@pytest.mark.parametrize("kind", ["store", "log"])
def test_a_thread_that_the_system_refuses_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = _thread.start_new_thread
    refused: list[None] = []

    def refuse(*_: object) -> int:
        refused.append(None)
        monkeypatch.setattr(_thread, "start_new_thread", inside)
        raise RuntimeError("can't start new thread")

    store: Any = (
        Store(tmp_path / "s", interval=0.02)
        if kind == "store"
        else Log(tmp_path / "s", durability="interval", interval=0.02)
    )
    with store:
        write = store.append if kind == "log" else lambda data: store.set("key", data)
        write(b"1")
        worker = disk_of(store).worker if kind == "store" else keeper_of_log(store).worker
        commits = handle_of(store).commits if kind == "store" else commits_of_log(store)
        until_at_rest(worker)
        monkeypatch.setattr(_thread, "start_new_thread", refuse)
        write(b"2")
        until_true(commits.all_durable)
        assert refused
        until_at_rest(worker)


def test_one_that_was_refused_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever starts the lookout then has both looked after."""
    inside = _thread.start_new_thread
    with Store(tmp_path / "a", interval=0.02) as first, Store(tmp_path / "b", interval=0.02) as second:

        def refuse(*_: object) -> int:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(_thread, "start_new_thread", refuse)
        first["key"] = "value"
        assert not disk_of(first).worker.ended.locked()
        monkeypatch.setattr(_thread, "start_new_thread", inside)
        second["key"] = "value"
        until_true(handle_of(first).commits.all_durable)
        until_at_rest(disk_of(first).worker, disk_of(second).worker)


def test_a_store_whose_closing_was_given_up(tmp_path: Path) -> None:
    """As a signal's handler does that raises: what is written then becomes durable by itself."""
    with Store(tmp_path / "s", interval=0.02) as store:
        for turn in range(5):
            store["key"] = b"%d" % turn
            if turn % 2:
                until_at_rest(disk_of(store).worker)
            disk_of(store).stop()
            handle_of(store).go_on()
            store["key"] = b"then %d" % turn
            until_true(handle_of(store).commits.all_durable)
    with Log(tmp_path / "log", durability="interval", interval=0.02) as log:
        log.append(b"first")
        keeper_of_log(log).stop()
        keeper_of_log(log).go_on()
        log.append(b"second")
        until_true(commits_of_log(log).all_durable)


@pytest.mark.filterwarnings("ignore:.*never closed:ResourceWarning")
def test_a_store_at_rest_that_nobody_has_is_closed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", interval=0.02)
    store["key"] = "value"
    until_at_rest(disk_of(store).worker)
    store["key"] = "other"
    gone = weakref.ref(store)
    del store
    gc.collect()
    assert gone() is None
    assert seen(tmp_path / "store", "key") == b"other"
    assert (tmp_path / "store" / "CLEAN").is_file()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_a_lookout_of_its_own(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import os, sys, time
        from pathlib import Path
        from oxidbm import Store
        from tests.inside import disk_of
        from tests.unit.test_lookout import lookout, seen, until_at_rest, until_true

        where = Path.cwd()
        lookout().seconds = 0.02
        with Store(where / "parent", interval=0.02) as parent:
            parent["key"] = "value"
            until_at_rest(disk_of(parent).worker)
            child = os.fork()
            if child == 0:
                assert not lookout().resting and not lookout().worker.running
                lookout().seconds = 0.02
                with Store(where / "child", interval=0.02) as store:
                    store["key"] = "value"
                    until_at_rest(disk_of(store).worker)
                    store["key"] = "other"
                    until_true(lambda: seen(where / "child", "key") == b"other")
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            parent["key"] = "other"
            until_true(lambda: seen(where / "parent", "key") == b"other")
            until_at_rest(disk_of(parent).worker)
            left = Store(where / "left", interval=0.02)
            left["key"] = "value"
            until_at_rest(disk_of(left).worker)
            left["key"] = "of the exit"
        """
    )
    done = run_snippet(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert seen(tmp_path / "left", "key") == b"of the exit"
