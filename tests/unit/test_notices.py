"""Being told when a session's operations are durable: by waiting, by a callback, by an awaitable."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxidbm import BusyError, ClosedError, PoisonedError, Store
from oxidbm.testing import CrashDevice
from tests.inside import abandon, handle_of

PAGE_BYTES = 4096
WAIT_SECONDS = 60


def open_store(path: Path | None, **more: Any) -> Store:
    given: dict[str, Any] = {"memory": "1MiB", "page_size": PAGE_BYTES, "compaction": False, "durability": "manual"}
    return Store(path, **{**given, **more})


def pending(store: Store) -> int:
    """Return how many are still to be told."""
    return len(handle_of(store).commits.notices.pending)


def test_a_future_is_done_with_the_commit_of_its_operation(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store, store.session("one") as session:
        session.upsert(b"a", b"1")
        first = session.when_durable()
        store.sync()
        assert first.result(0) == 1
        session.upsert(b"a", b"2")
        session.upsert(b"a", b"3")
        second, third, old = session.when_durable(2), session.when_durable(), session.when_durable(1)
        assert (second.done(), third.done(), old.result(0)) == (False, False, 1)
        store.sync()
        assert (second.result(0), third.result(0)) == (2, 3)
        assert pending(store) == 0


@pytest.mark.parametrize("how", ["sync", "commit", "close", "clear and sync", "reorganize"])
def test_whoever_commits_tells(tmp_path: Path, how: str) -> None:
    store = open_store(tmp_path / "store")
    session = store.session()
    session.upsert(b"a", b"1")
    future = session.when_durable()

    def clear_and_sync() -> None:
        store.clear()
        store.sync()

    ways: dict[str, Callable[[], object]] = {
        "sync": store.sync,
        "commit": session.commit,
        "close": store.close,
        "clear and sync": clear_and_sync,
        "reorganize": store.reorganize,
    }
    ways[how]()
    assert future.result(0) == 1
    store.close()


def test_callbacks_may_raise_and_may_use_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_store(tmp_path / "store") as store, store.session() as session:
        session.upsert(b"a", b"1")
        seen: list[object] = []

        def fail(done: object) -> None:
            raise RuntimeError("a callback's own fault")

        def use(done: "concurrent.futures.Future[int]") -> None:
            store[b"by callback"] = b"%d" % done.result()
            store.sync()
            seen.append(threading.get_ident())

        session.when_durable().add_done_callback(fail)
        session.when_durable().add_done_callback(use)
        store.sync()
        assert seen == [threading.get_ident()]
        assert "a callback's own fault" in caplog.text
        assert store[b"by callback"] == b"1"


def test_what_ends_a_callback_comes_out_when_all_were_told(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store, store.session() as session:
        session.upsert(b"a", b"1")

        def leave(done: object) -> None:
            raise SystemExit(3)

        session.when_durable().add_done_callback(leave)
        last = session.when_durable()
        with pytest.raises(SystemExit):
            store.sync()
        assert last.result(0) == 1


def test_in_the_background_it_is_reported_and_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda said: reported.append(said.exc_value))
    with open_store(tmp_path / "store", durability="interval", interval=0.01) as store, store.session() as session:
        session.upsert(b"a", b"1")

        def leave(done: object) -> None:
            raise SystemExit(3)

        session.when_durable().add_done_callback(leave)
        assert session.wait_durable(timeout=WAIT_SECONDS)
        session.upsert(b"a", b"2")
        assert session.wait_durable(timeout=WAIT_SECONDS)  # the thread still commits
        assert [type(failure) for failure in reported] == [SystemExit]


def test_a_cancelled_future_is_passed_over(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store, store.session() as session:
        session.upsert(b"a", b"1")
        cancelled, other = session.when_durable(), session.when_durable()
        assert cancelled.cancel()
        store.sync()
        assert cancelled.cancelled()
        assert other.result(0) == 1


def test_it_can_be_awaited(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", durability="interval", interval=0.02) as store, store.session() as session:

        async def ingest() -> list[int]:
            for number in range(3):
                session.upsert(b"%d" % number, b"")
            futures = [asyncio.wrap_future(session.when_durable(serial)) for serial in (1, 3)]
            return await asyncio.wait_for(asyncio.gather(*futures), WAIT_SECONDS)

        assert asyncio.run(ingest()) == [1, 3]
        assert session.durable_serial == 3


def test_waiting_is_for_the_interval(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", durability="interval", interval=0.02) as store, store.session() as session:
        session.upsert(b"a", b"1")
        assert session.wait_durable()
        assert session.durable_serial == 1
        session.delete(b"not there")  # changes the number, and nothing else
        assert session.wait_durable(2)
    with open_store(tmp_path / "slow", durability="interval", interval=1000) as store, store.session() as session:
        session.upsert(b"a", b"1")
        assert not session.wait_durable(timeout=0.01)
        assert not session.wait_durable(timeout=0)
        assert pending(store) == 0
        thread = threading.Thread(target=lambda: found.append(session.wait_durable()))
        found: list[bool] = []
        thread.start()
        while pending(store) == 0:
            pass
        store.sync()
        thread.join(WAIT_SECONDS)
        assert found == [True]


def test_waiting_commits_where_nobody_else_does(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store, store.session() as session:
        session.upsert(b"a", b"1")
        assert session.wait_durable(timeout=0)
        assert store.stats()["durable_sequence"] == 1
    with open_store(tmp_path / "always", durability="always") as store, store.session() as session:
        session.upsert(b"a", b"1")
        assert session.wait_durable(timeout=0)
        assert store.stats()["durable_sequence"] == 1


def test_in_memory_nothing_is_awaited() -> None:
    with open_store(None) as store, store.session() as session:
        session.upsert(b"a", b"1")
        assert session.wait_durable()
        assert session.when_durable().result(0) == 1


def test_a_reader_has_done_nothing(tmp_path: Path) -> None:
    open_store(tmp_path / "store").close()
    with open_store(tmp_path / "store", read_only=True) as store, store.session() as session:
        assert session.wait_durable()
        assert session.when_durable().result(0) == 0


@pytest.mark.parametrize("wrong", [-1, 2])
def test_an_operation_that_has_not_been_is_refused(tmp_path: Path, wrong: int) -> None:
    with open_store(tmp_path / "store") as store, store.session() as session:
        session.upsert(b"a", b"1")
        for ask in (session.wait_durable, session.when_durable):
            with pytest.raises(ValueError, match=f"number 1, and none has {wrong}"):
                ask(wrong)
        with pytest.raises(ValueError, match="timeout is a number of seconds"):
            session.wait_durable(timeout=-1)
        session.close()
        with pytest.raises(ClosedError):
            session.wait_durable()


class BrokenDevice(CrashDevice):
    """A device whose sync fails when it is told to."""

    broken = False

    def sync(self) -> None:
        if self.broken:
            raise OSError("no disk")
        super().sync()


def test_those_who_wait_learn_that_the_store_is_poisoned(tmp_path: Path) -> None:
    device = BrokenDevice(PAGE_BYTES)
    store = open_store(tmp_path / "store", device=device, durability="interval", interval=1000)
    session = store.session()
    session.upsert(b"a", b"1")
    future = session.when_durable()
    raised: list[BaseException] = []

    def wait() -> None:
        with pytest.raises(PoisonedError, match="no disk") as failure:
            session.wait_durable()
        raised.append(failure.value)

    thread = threading.Thread(target=wait)
    thread.start()
    while pending(store) < 2:
        pass
    device.broken = True
    with pytest.raises(PoisonedError):
        store.sync()
    thread.join(WAIT_SECONDS)
    assert len(raised) == 1
    with pytest.raises(PoisonedError, match="no disk"):
        future.result(0)
    late = session.when_durable()
    with pytest.raises(PoisonedError):
        late.result(0)
    with pytest.raises(PoisonedError):
        session.wait_durable()
    with pytest.raises(PoisonedError):
        store.close()


def test_a_store_that_goes_without_a_commit_says_so(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    session = store.session()
    session.upsert(b"a", b"1")
    future = session.when_durable()
    abandon(store)
    with pytest.raises(ClosedError):
        future.result(0)


def test_waiting_in_the_middle_of_a_commit_is_refused(tmp_path: Path) -> None:
    refused: list[BaseException] = []

    class AskingDevice(CrashDevice):
        def sync(self) -> None:
            if session is not None:
                with pytest.raises(BusyError) as failure:
                    session.wait_durable()
                refused.append(failure.value)
            super().sync()

    session = None
    device = AskingDevice(PAGE_BYTES)
    for durability in ("manual", "interval"):
        store = open_store(tmp_path / durability, device=device, durability=durability, interval=1000)
        session = store.session()
        session.upsert(b"a", b"1")
        store.sync()
        session = None
        store.close()
        device = AskingDevice(PAGE_BYTES)
    assert len(refused) == 2
