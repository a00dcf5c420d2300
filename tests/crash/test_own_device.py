"""The scenarios of the power failures, on a device in Python: each crash state that oxidbm.testing makes is sound.

tests/crash/test_power_failure.py does the same for files, and loses bytes of the directory's files too.
"""

import contextlib
import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from oxidbm.testing import CrashDevice, CrashState, FaultyDevice, crash_states
from tests.crash.checkpoint_scenarios import CheckpointWriter, purged_snapshots, snapshots, snapshots_beside
from tests.crash.test_power_failure import PAGE_BYTES, SCENARIOS, State, Writer, held_by, open_store
from tests.inside import abandon
from tests.support import leave_memory, scaled

STATES = 400


class DeviceWriter(Writer):
    """A writer whose log is on a device, which keeps the notes too."""

    def __init__(self, device: CrashDevice, path: Path) -> None:
        self.device = device
        super().__init__(self, path)

    def note(self, *words: Any) -> None:
        """Note the words."""
        self.device.note(words)

    def open(self) -> Store:
        """As it says."""
        store = open_store(self.path, device=self.device, **self.more)
        leave_memory(store, 8 * PAGE_BYTES)
        return store


class DeviceCheckpointWriter(CheckpointWriter, DeviceWriter):
    """One that knows of checkpoints, whose log is on a device."""


def number_of(state: CrashState, what: str) -> int:
    """Return the newest state of the writer that was noted before the crash, as begun or as durable."""
    return max((words[1] for words in state.notes if isinstance(words, tuple) and words[0] == what), default=0)


def contents(path: Path, device: CrashDevice) -> State:
    """Open what a crash left, twice: it is sound, can be written, and the second opening sees that."""
    with open_store(path, device=device, ordered=True) as store:
        found = held_by(store)
        assert list(store.range()) == sorted(store.items())
        assert store.check() == []
        store[b"written after"] = b"the failure"
    with open_store(path, device=device) as store:
        assert held_by(store) == {**found, b"written after": b"the failure"}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_every_crash_state_is_one_of_the_writers(scenario: Callable[[Writer], None], tmp_path: Path) -> None:
    check_states(scenario, DeviceWriter, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [snapshots, snapshots_beside, purged_snapshots], ids=lambda each: each.__name__)
def test_every_crash_state_of_one_that_takes_snapshots(
    scenario: Callable[[CheckpointWriter], None], tmp_path: Path
) -> None:
    check_states(scenario, DeviceCheckpointWriter, tmp_path)


def check_states(scenario: Callable[[Any], None], kind: type[DeviceWriter], tmp_path: Path) -> None:
    """Run a scenario, and see what each crash of it leaves."""
    device = CrashDevice(PAGE_BYTES, path=str(tmp_path / "store"))
    writer = kind(device, tmp_path / "store")
    try:
        scenario(writer)
    finally:
        abandon(writer.store)
    least = 0
    for number, state in enumerate(crash_states(device, limit=scaled(STATES, least=8), seed=1)):
        left = tmp_path / str(number)
        least, most = number_of(state, "durable"), number_of(state, "began")
        assert contents(left, state.restore(str(left))) in writer.states[least : most + 1], str(state)
        shutil.rmtree(left)
    assert least > 0 or scenario.__name__ == "never_synced"


@pytest.mark.parametrize("kind", ["snapshot", "incremental"])
def test_crashes_again_and_again_while_a_snapshot_goes_to_the_log(tmp_path: Path, kind: Any) -> None:
    """Each opening ends at the next call of the device, with a crash that leaves any part of what was not synced."""
    device = CrashDevice(PAGE_BYTES)
    store = open_store(tmp_path / "store", device=device, checkpoints=False)
    store.update((b"%d" % number, b"old" * (number % 50)) for number in range(150))
    store.sync()
    store.update((b"%d" % number, b"new" * (number % 60)) for number in range(0, 200, 3))
    store[b"run"] = bytes(3 * PAGE_BYTES)
    if kind == "incremental":
        store.checkpoint("snapshot")
        store.update((b"%d" % number, b"NEW" * (number % 60)) for number in range(0, 200, 6))
    assert store.checkpoint(kind).kind == kind
    state = held_by(store)
    store[b"0"] = b"lost"
    abandon(store)
    device = device.crash(seed=0)
    calls = ("write", "sync", "truncate_after")
    failures = 0
    while True:
        faulty = FaultyDevice(device)
        faulty.fail(calls, errno.EIO, after=failures, part=0.5)
        try:
            store = open_store(tmp_path / "store", device=faulty, checkpoints=False)
        except OSError as failure:
            assert failure.errno == errno.EIO  # noqa: PT017
        else:
            break
        failures += 1
        device = device.crash(seed=failures)
        faulty = FaultyDevice(device)  # and once more, before as much is done; it may be there already
        faulty.fail(calls, errno.EIO, after=failures // 2, part=0.5)
        with contextlib.suppress(OSError):
            abandon(open_store(tmp_path / "store", device=faulty, checkpoints=False))
        device = device.crash(seed=failures + 1000)
    assert failures > 5
    assert held_by(store) == state
    assert store.check() == []
    abandon(store)
    with open_store(tmp_path / "store", device=device.crash()) as store:
        assert held_by(store) == state


@pytest.mark.parametrize("kind", ["snapshot", "incremental"])
def test_a_sync_that_fails_while_one_is_made(tmp_path: Path, kind: Any) -> None:
    """The store is poisoned as by any sync; there is no such snapshot, and the state before is the newest one."""
    device = CrashDevice(PAGE_BYTES)
    faulty = FaultyDevice(device)
    with open_store(tmp_path / "store", device=faulty, checkpoints=False) as store:
        store[b"a"] = b"1"
        store.sync()
        if kind == "incremental":
            store[b"a"] = b"2"
            store.checkpoint("snapshot")
        state = held_by(store)
        store[b"a"] = b"3"
        faulty.fail("sync", errno.EIO)
        with pytest.raises(oxidbm.PoisonedError):
            store.checkpoint(kind)
        assert len(store.checkpoints()) == (kind == "incremental")
        with pytest.raises(oxidbm.PoisonedError):
            store[b"a"] = b"4"
        abandon(store)
    with open_store(tmp_path / "store", device=device.crash(), checkpoints=False) as store:
        assert held_by(store) == state
        assert store.check() == []
        store[b"a"] = b"5"
        assert store.checkpoint(kind).kind == "snapshot"
