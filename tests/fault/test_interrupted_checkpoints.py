"""What a signal handler raises while a checkpoint is made, or gone back to: it comes out, and nothing is left behind.

A timer sends signals again and again, also while the call that was interrupted cleans up.
"""

import contextlib
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import oxidbm
from tests.inside import checkpointer_of
from tests.support import scaled

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer"),
    pytest.mark.compiled_only("on the sources an exception may come between any two lines"),
]

RAISED = (KeyboardInterrupt, TimeoutError, MemoryError, ValueError)
ROUNDS = scaled(3000, 300)
Storm = Callable[[Callable[[], object]], bool]


@contextlib.contextmanager
def storms(longest: float) -> Iterator[Storm]:
    """Yield a function that calls another one while handlers raise; True when it came to its end all the same."""
    chance = random.Random(1)
    armed = False

    def handler(number: int, frame: object) -> None:
        if armed:
            raise chance.choice(RAISED)("of the handler")

    def stormed(operation: Callable[[], object]) -> bool:
        nonlocal armed
        try:
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, longest), chance.uniform(1e-5, longest))
                operation()
                armed = False
            finally:
                armed = False
        except RAISED as failure:
            if "of the handler" not in str(failure):
                raise
            return False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return True

    before, reported = signal.signal(signal.SIGALRM, handler), sys.unraisablehook
    sys.unraisablehook = lambda lost: None  # what came in a finalizer
    try:
        yield stormed
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = reported


def test_no_checkpoint_is_left_that_nobody_makes(tmp_path: Path) -> None:
    """The background thread may be at a step of it when the call that has asked for it is interrupted."""
    with oxidbm.Store(tmp_path / "store", memory="16MiB", durability="manual") as store, storms(0.0005) as stormed:
        checkpoints = checkpointer_of(store)
        store.checkpoint()  # the library is imported: what comes in the middle of that may leave Python's own lock held
        for number in range(ROUNDS):
            store[b"%d" % (number % 5000)] = b"%d" % number
            stormed(store.checkpoint)
            wanted = checkpoints.wanted
            assert wanted is None or wanted.unwanted is not None
            if number % 50 == 0:
                store.purge(keep=0)
        store.checkpoint()
        assert store.check() == []


def test_no_lock_is_left_of_a_return(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with oxidbm.Store(path) as store:
        store.update((b"%d" % number, b"value") for number in range(2000))
        token = store.checkpoint().token
        items = dict(store)
    oxidbm.recover(path, token)  # an import takes an OSError of a handler for the lack of the module
    with storms(0.003) as stormed:
        for _ in range(ROUNDS // 10):
            stormed(lambda: oxidbm.recover(path, token))
            with oxidbm.Store(path, checkpoints=False) as store:  # nobody has it open
                assert len(store) == len(items)
    with oxidbm.Store(path) as store:
        assert dict(store) == items
        assert store.check() == []
