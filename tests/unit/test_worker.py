"""The background thread: one that was asked to end has an heir, also where nobody waited for its end."""

import signal
import threading

import pytest

from oxidbm._core.worker import Worker
from tests.faster_log.helpers import until_true

WAIT_SECONDS = 60


class Stop(Exception):
    """What the handler raises."""


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals that are sent to a thread")
def test_a_stop_that_is_interrupted() -> None:
    worker = Worker()
    going, over = threading.Event(), threading.Event()
    main = threading.get_ident()

    def handler(number: int, frame: object) -> None:
        if not over.is_set():
            over.set()
            raise Stop

    def interrupt() -> None:
        until_true(lambda: worker.stopping)
        while not over.wait(0.01):
            signal.pthread_kill(main, signal.SIGUSR1)

    def work() -> None:
        going.wait(WAIT_SECONDS)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        worker.start(work)
        other = threading.Thread(target=interrupt)
        other.start()
        with pytest.raises(Stop):
            worker.stop()
        other.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    worker.stopping = False  # as who goes on has it
    going.set()
    until_true(lambda: not worker.ended.locked())
    assert not worker.running
    done = threading.Event()
    worker.start(done.set)
    assert done.wait(WAIT_SECONDS)
    worker.stop()
    assert not worker.running


def test_a_thread_that_has_ended_by_itself_has_no_heir() -> None:
    """It would end in the same way."""
    worker = Worker()
    worker.start(lambda: None)
    until_true(lambda: not worker.ended.locked())
    assert worker.running
    worker.stop()
    assert not worker.running
