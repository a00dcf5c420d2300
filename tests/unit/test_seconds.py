"""Numbers of seconds that callers give: what is none is refused, and a very long time is waited for."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Log, Store
from oxidbm._core.worker import Wake, Worker
from tests.inside import keeper_of_log

NO_TIMES = [math.nan, math.inf, -math.inf, 0.0, -1.0]
NO_TIMEOUTS = [math.nan, -math.inf, -1.0]
LONG = [1e10, 1e300]


@pytest.mark.parametrize("seconds", NO_TIMES)
def test_what_comes_again_after_no_time(tmp_path: Path, seconds: float) -> None:
    for make in (Log, Store):
        for path in (None, tmp_path / make.__name__):
            with pytest.raises(ValueError, match="interval is a positive number of seconds"):
                make(path, interval=seconds)
    with Store(tmp_path / "store"):
        pass
    with pytest.raises(ValueError, match="follow is a positive number of seconds"):
        Store(tmp_path / "store", read_only=True, follow=seconds)
    with Store() as store:
        with pytest.raises(ValueError, match="expire is a number of seconds"):
            store.set("key", "value", expire=seconds)
        with pytest.raises(ValueError, match="expire is a number of seconds"):
            store.memoize(expire=seconds)
        with pytest.raises(ValueError, match="expire is a number of seconds"):
            store.memoize(expire=1e13)
    with pytest.raises(ValueError, match="keep_seconds is a number"):
        Log(tmp_path / "log", keep_seconds=seconds)


@pytest.mark.parametrize("seconds", NO_TIMEOUTS)
def test_what_is_no_timeout(tmp_path: Path, seconds: float) -> None:
    with Log(tmp_path / "log") as log:
        log.append(b"entry")
        log.commit()
        calls: list[Callable[[], Any]] = [
            lambda: log.wait(timeout=seconds),
            lambda: log.follow(timeout=seconds),
            lambda: log.reader("name", timeout=seconds),
            lambda: log.aiter(timeout=seconds),
        ]
        for call in calls:
            with pytest.raises(ValueError, match="timeout is a number of seconds"):
                call()
    with Store(tmp_path / "store") as store, store.session("name") as session:
        store["key"] = "value"
        with pytest.raises(ValueError, match="timeout is a number of seconds"):
            store.checkpoint().result(seconds)
        with pytest.raises(ValueError, match="timeout is a number of seconds"):
            session.wait_durable(timeout=seconds)
        with pytest.raises(ValueError, match="unused_for is a number of seconds"):
            store.forget_sessions(unused_for=seconds)


@pytest.mark.parametrize("seconds", LONG)
def test_a_very_long_interval(tmp_path: Path, seconds: float) -> None:
    with Log(tmp_path / "log", durability="interval", interval=seconds, commit_bytes="64KiB") as log:
        for turn in range(3):
            address = log.append_many([bytes(100_000)] * 2)[0]
            assert log.wait(address, timeout=60), turn
        assert log.stats()["maintenance_failure"] == ""
        assert keeper_of_log(log).worker.ended.locked()
        assert log.wait(timeout=60) or log.commit()
    with Store(tmp_path / "store", interval=seconds) as store, store.session("name") as session:
        session.upsert("key", "value")
        session.commit()
        assert session.wait_durable(timeout=seconds)
        assert store.checkpoint().result(seconds).done()
        assert store.stats()["maintenance_failure"] == ""
    with Store(tmp_path / "store", read_only=True, follow=seconds) as store:
        assert store.stats()["maintenance_failure"] == ""


def test_a_wait_for_longer_than_a_lock_can_be_waited_for() -> None:
    wake = Wake()
    timer = threading.Timer(0.01, wake.set)
    timer.start()
    wake.wait(1e300)
    timer.join()
    assert wake.is_set()


def test_what_ends_a_thread_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    worker = Worker()

    def work() -> None:
        raise SystemExit("by a callback")

    worker.start(work)
    worker.stop()
    assert worker.failure == "the background thread has ended: SystemExit('by a callback')"
    assert capfd.readouterr().err == ""


def test_what_ended_a_keeper_is_said(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log:
        keeper_of_log(log).worker.failure = "the background thread has ended: OverflowError()"
        assert log.stats()["maintenance_failure"] == "the background thread has ended: OverflowError()"


def test_a_clock_is_a_function() -> None:
    with pytest.raises(TypeError, match="clock is a function that returns seconds, not 5"):
        Store(clock=5)  # type: ignore[call-overload]
    with Store(clock=lambda: 5.0) as store:
        store.set("key", "value", expire=10)
        assert store.ttl("key") == 10
