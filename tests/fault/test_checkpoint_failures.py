"""Every call that making, purging and going back to a checkpoint comes to fails once: nothing else is harmed by that.

The store is not poisoned, its index is imaged no more, the log is held for nobody, and the next checkpoint leaves
nothing in the directory that belongs to none.
"""

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.durability.checkpointer import REST
from tests.crash.checkpoint_scenarios import CHECKPOINT_SCENARIOS, CheckpointWriter
from tests.crash.test_checkpoints import Told, check_checkpoints
from tests.crash.test_power_failure import contents
from tests.fault.test_every_failure import run as run_failing
from tests.fault.test_interrupts import interrupts
from tests.inside import abandon, checkpointer_of, disk_of, handle_of, log_of, table_of
from tests.support import PURE, soaked
from tests.unit.helpers import disk_store, opened_at

CALLS = ("open", "write", "pwrite", "fsync", "fdatasync", "replace", "unlink", "mkdir")
NAMES = (".json", ".json.new", ".index.zst", ".snapshot.zst", "checkpoints")
FAILURES: dict[str, Callable[[], BaseException]] = {
    "ENOSPC": lambda: OSError(errno.ENOSPC, "no space"),
    "EIO": lambda: OSError(errno.EIO, "no luck"),
    "EMFILE": lambda: OSError(errno.EMFILE, "no descriptors"),
    "MemoryError": MemoryError,
    "KeyboardInterrupt": KeyboardInterrupt,
    "RuntimeError": lambda: RuntimeError("of a signal handler"),
}
STEP = 3 if PURE else 1  # of the calls one in so many fails, with the next kind of failure the next one


class Calls:
    """Counts the calls that concern checkpoints' files, and has one of them raise, before or after it is done."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.failing = -1
        self.after = False
        self.failure: Callable[[], BaseException] = MemoryError
        self.armed = False
        for name in CALLS:
            patch.setattr(os, name, self.watched(getattr(os, name)))

    def concerns(self, what: Any) -> bool:
        """Return whether a call's first argument names a checkpoint's file or directory."""
        if isinstance(what, int):
            what = os.readlink(f"/proc/self/fd/{what}")
        return str(os.fspath(what)).endswith(NAMES)

    def watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that raises where it is its turn."""

        def watched(*arguments: Any, **more: Any) -> Any:
            if not self.armed or not self.concerns(arguments[0]):
                return call(*arguments, **more)
            self.count += 1
            if self.count - 1 != self.failing:
                return call(*arguments, **more)
            if self.after:
                call(*arguments, **more)
            raise self.failure()

        return watched

    def run(self, operation: Callable[[], object], failing: int) -> BaseException | None:
        """Run an operation of which one call fails, and return what came out."""
        self.count, self.failing, self.armed = 0, failing, True
        try:
            operation()
        except BaseException as failure:
            return failure
        finally:
            self.armed = False
        return None


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """What counts calls and has them fail."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("which file a descriptor is of is read from /proc")
    made = Calls(monkeypatch)
    yield made
    made.armed = False


def at_rest(store: oxidbm.Store, begin: int = ADDRESS_MAX) -> None:
    """See that no checkpoint is being made, and for whom the log is held."""
    assert checkpointer_of(store).phase == REST
    assert not table_of(store).index.imaging
    assert handle_of(store).commits.holds.lowest() == begin


def as_after_a_failure(store: oxidbm.Store, path: Path) -> None:
    """See that a store works, and that the next checkpoint is the only one there is, with nothing beside it."""
    at_rest(store)
    state = dict(store.items())
    store[b"after"] = state[b"after"] = b"the failure"
    store.sync()
    made = store.checkpoint()
    assert store.checkpoints()[0].token == made.token
    names = sorted(os.listdir(path / "checkpoints"))
    assert names == [made.token + ".index.zst", made.token + ".json"]
    at_rest(store, made.begin)
    store.close()
    assert opened_at(path, made) == state
    with disk_store(path) as store:
        assert store.recovery.checkpoint == made.token
        assert dict(store.items()) == state


def filled(path: Path) -> oxidbm.Store:
    """Return a store with something in it, and no checkpoint."""
    store = disk_store(path, checkpoints=False)
    disk_of(store).stop()
    store.update((b"%d" % number, b"value") for number in range(300))
    store.sync()
    return store


def opened_to_go_on(path: Path) -> oxidbm.Store:
    """Return a store that was filled and closed, and is open again with a write behind that."""
    filled(path).close()
    store = disk_store(path)
    disk_of(store).stop()
    store[b"a"] = b"value"
    return store


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["fold-over", "log"])
@pytest.mark.parametrize("what", FAILURES)
def test_making_one_fails(calls: Calls, tmp_path: Path, kind: Any, what: str, after: bool) -> None:
    calls.failure, calls.after = FAILURES[what], after
    failing = list(FAILURES).index(what) % STEP
    while True:
        path = tmp_path / str(failing)
        store = filled(path)
        came = calls.run(lambda store=store: store.checkpoint(kind), failing)  # type: ignore[misc]
        if calls.count <= failing:
            assert came is None
            store.close()
            break
        if came is None:  # where the descriptor of a directory is closed, say, nothing is lost
            store.purge(keep=0)
        else:
            assert isinstance(came, type(calls.failure()))
        as_after_a_failure(store, path)
        failing += STEP
    assert failing > 4


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["snapshot", "incremental"])
@pytest.mark.parametrize("what", FAILURES)
def test_making_a_snapshot_fails(calls: Calls, tmp_path: Path, kind: Any, what: str, after: bool) -> None:
    """The signs of what has changed since are gone with it: the next incremental one is a whole one, and right."""
    calls.failure, calls.after = FAILURES[what], after
    failing = list(FAILURES).index(what) % STEP
    while True:
        path = tmp_path / str(failing)
        store = filled(path)
        store.update({b"in place": b"1", b"deleted": b"1", b"as it was": b"1"})
        if kind == "incremental":
            store.checkpoint("snapshot")
            store[b"in place"] = b"2"
        came = calls.run(lambda store=store: store.checkpoint(kind), failing)  # type: ignore[misc]
        if calls.count <= failing:
            assert came is None
            abandon(store)
            break
        assert came is None or isinstance(came, type(calls.failure()))
        check_after_a_failed_snapshot(store, path, whole=came is not None)
        failing += STEP
    assert failing > 4


def check_after_a_failed_snapshot(store: oxidbm.Store, path: Path, *, whole: bool) -> None:
    """See that the log is updated in place again, and that the next incremental one holds the present state."""
    assert checkpointer_of(store).phase == REST
    assert not table_of(store).index.imaging
    tail = log_of(store).tail
    store[b"in place"] = b"3"
    del store[b"deleted"]
    assert log_of(store).tail == tail
    state = dict(store.items())
    made = store.checkpoint("incremental")
    assert made.kind == ("snapshot" if whole else "incremental")
    tokens = {known.token for known in store.checkpoints()}
    assert {name.partition(".")[0] for name in os.listdir(path / "checkpoints")} == tokens
    assert store.check() == []
    abandon(store)
    assert opened_at(path, made) == state
    with disk_store(path) as store:
        assert dict(store.items()) == state
        assert store.recovery.faults == []


@pytest.mark.slow
@pytest.mark.parametrize("what", FAILURES)
def test_purging_one_fails(calls: Calls, tmp_path: Path, what: str) -> None:
    calls.failure = FAILURES[what]
    failing = list(FAILURES).index(what) % STEP
    while True:
        path = tmp_path / str(failing)
        store = filled(path)
        token = store.checkpoint().token
        came = calls.run(lambda store=store: store.purge(keep=0), failing)  # type: ignore[misc]
        if calls.count <= failing:
            assert came is None
            store.close()
            break
        assert isinstance(came, type(calls.failure()))
        assert store.purge(token=token) == [token]
        as_after_a_failure(store, path)
        failing += STEP
    assert failing > 2


@pytest.mark.slow
@pytest.mark.parametrize("what", FAILURES)
def test_closing_with_an_image_fails(calls: Calls, tmp_path: Path, what: str) -> None:
    """What is lost is an image; closing commits, and marks the end."""
    calls.failure = FAILURES[what]
    failing = list(FAILURES).index(what) % STEP
    while True:
        path = tmp_path / str(failing)
        store = opened_to_go_on(path)
        checkpointer_of(store).schedule.records_imaged = log_of(store).records - 1_000_000
        came = calls.run(store.close, failing)
        if calls.count <= failing:
            assert came is None
            break
        assert came is None or not isinstance(calls.failure(), OSError)
        store.close()
        store = disk_store(path, checkpoints=False)
        assert store[b"a"] == b"value"
        assert (path / "CLEAN").exists()
        for known in store.checkpoints():
            checkpointer_of(store).kept.remove(known.metadata)  # type: ignore[attr-defined]
        as_after_a_failure(store, path)
        failing += STEP
    assert failing > 4


@pytest.mark.slow
@pytest.mark.parametrize("what", FAILURES)
def test_an_automatic_one_fails(calls: Calls, tmp_path: Path, what: str) -> None:
    """A shortage is nobody's business; what a signal handler raises comes out of the call that it broke into."""
    calls.failure = FAILURES[what]
    failing = list(FAILURES).index(what) % STEP
    while True:
        path = tmp_path / str(failing)
        store = opened_to_go_on(path)
        checkpointer_of(store).schedule.records = log_of(store).records - 1_000_000
        store.sync()
        came = calls.run(checkpointer_of(store).finish, failing)
        if calls.count <= failing:
            assert came is None
            abandon(store)
            break
        if what in ("KeyboardInterrupt", "RuntimeError"):
            assert isinstance(came, type(calls.failure()))
        else:
            assert came is None
        for known in store.checkpoints():
            checkpointer_of(store).kept.remove(known.metadata)  # type: ignore[attr-defined]
        as_after_a_failure(store, path)
        failing += STEP
    assert failing > 4


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE], ids=["ENOSPC", "EIO", "EMFILE"])
@pytest.mark.parametrize("scenario", CHECKPOINT_SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_call_that_fails_loses_nothing_durable(
    scenario: Callable[[CheckpointWriter], None], code: int, tmp_path: Path
) -> None:
    """As tests/fault/test_every_failure.py has it, with the calls of the log too; each checkpoint verifies after it."""
    whole, _ = run_failing(scenario, tmp_path / "whole", 10**9, code, CheckpointWriter)
    step = max(1, whole.calls // soaked(12, least=3))
    for left in range(code % step, whole.calls, step):
        disk, writer = run_failing(scenario, tmp_path / str(left), left, code, CheckpointWriter)
        if writer is None:
            continue
        told = Told()
        for event in disk.events:
            told.hear(event)
        path = tmp_path / str(left) / "store"
        if told.recovering is not None:
            token, index = told.recovering
            assert oxidbm.recover(path, token).checkpoint == token
            assert contents(path, told.least) == writer.states[index]
            continue
        told.purged.clear()  # those that were gone back from
        check_checkpoints(path, told, writer.states)
        assert contents(path, told.least) in writer.states[told.least : told.most + 1], f"after call {left} failed"


@pytest.mark.slow
@pytest.mark.compiled_only("on the sources an exception may come between any two lines")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
@pytest.mark.parametrize("kind", ["fold-over", "snapshot", "incremental"])
def test_ctrl_c_at_any_moment(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "store"
    store = filled(path)
    store.update((b"%d" % number, b"value") for number in range(60_000))
    state = dict(store.items())
    came = 0
    with interrupts() as interrupted:

        def make() -> None:
            store.checkpoint(kind)

        def purge() -> None:
            store.purge(keep=1)

        for turn in range(6000):
            if turn >= 60 and came > 5:
                break  # where the disk is fast, few of them come in time
            store[b"turn"] = state[b"turn"] = b"%d" % turn
            if interrupted(make):
                came += 1
                at_rest(store, min((known.begin for known in store.checkpoints()), default=ADDRESS_MAX))
            while interrupted(purge):
                pass
            if kind == "fold-over" or turn % 7 == 0:
                store.sync()
    assert came > 5
    state[b"turn"] = store[b"turn"] = b"last"
    made = store.checkpoint(kind)
    tokens = {known.token for known in store.checkpoints()}
    assert {name.partition(".")[0] for name in os.listdir(path / "checkpoints")} == tokens
    assert store.check() == []
    store.close()
    assert opened_at(path, made) == state


def fill(file: Path) -> None:
    """Write a file until the disk is full."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass


@pytest.mark.parametrize(("kind", "files"), [("fold-over", 2), ("snapshot", 3), ("incremental", 3)])
def test_a_full_disk(small_disk: Path, kind: Any, files: int) -> None:
    """The image finds no room; the log's is not touched by that, and when there is room a checkpoint is made."""
    path = small_disk / "store"
    with disk_store(path, checkpoints=False) as store:
        store.update((b"%d" % number, b"value") for number in range(20_000))
        store.sync()
        if kind != "fold-over":  # which would begin with the log
            store[b"0"] = b"not in the log"
        fill(small_disk / "ballast")
        with pytest.raises(OSError, match="No space left"):
            store.checkpoint(kind)
        at_rest(store)
        (small_disk / "ballast").unlink()
        store[b"a"] = b"value"
        made = store.checkpoint(kind)
        assert len(list((path / "checkpoints").iterdir())) == files
        at_rest(store, made.begin)
    assert len(opened_at(path, made)) == 20_001
