"""The scenarios of the power failures, on a device in Python: each crash state that oxidbm.testing makes is sound.

tests/crash/test_power_failure.py does the same for files, and loses bytes of the directory's files too.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Store
from oxidbm.testing import CrashDevice, CrashState, crash_states
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
    device = CrashDevice(PAGE_BYTES, path=str(tmp_path / "store"))
    writer = DeviceWriter(device, tmp_path / "store")
    try:
        scenario(writer)
    finally:
        abandon(writer.store)
    least = 0
    for number, state in enumerate(crash_states(device, limit=scaled(STATES, least=20), seed=1)):
        left = tmp_path / str(number)
        least, most = number_of(state, "durable"), number_of(state, "began")
        assert contents(left, state.restore(str(left))) in writer.states[least : most + 1], str(state)
        shutil.rmtree(left)
    assert least > 0 or scenario.__name__ == "never_synced"
