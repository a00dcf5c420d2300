"""A power failure at every moment of a log: it opens to exactly one commit, the last acknowledged one or a later one.

On a device in Python, which loses what was not synced of the log; and on files, whose own bytes are lost, too.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxidbm.testing import CrashDevice, CrashState, crash_states
from tests.crash.disk import Disk, Platter
from tests.crash.log_scenarios import PAGE_BYTES, SCENARIOS, DeviceStory, LogWriter, contents, held_by, open_log
from tests.inside import abandon_log
from tests.support import PURE, soaked

STATES = 48
AGAIN = 4
FILE_STATES = 24
VARIANTS = ((None, 0.0), (None, 1.0), (0.5, 0.5), (0.9, 0.9))

Scenario = Callable[[LogWriter], None]


def noted(notes: list[Any], what: str) -> int:
    """Return the newest commit of the writer that was noted, as begun or as durable."""
    return max((words[1] for words in notes if words[0] == what), default=0)


@pytest.mark.filterwarnings("ignore:.*no commit is known that was durable:oxidbm.RecoveryWarning")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_every_crash_state_is_a_commit(scenario: Scenario, tmp_path: Path) -> None:
    device = CrashDevice(PAGE_BYTES, path=str(tmp_path / "log"))
    writer = LogWriter(DeviceStory(device), tmp_path / "log", device=device)
    scenario(writer)
    abandon_log(writer.log)
    states = soaked(STATES, least=12)
    least = 0
    for number, state in enumerate(crash_states(device, limit=states, seed=1)):
        least, most = noted(state.notes, "durable"), noted(state.notes, "began")
        left = tmp_path / str(number)
        found = contents(left, device=state.restore(str(left)))
        assert found in writer.commits[least : most + 1], str(state)
        if number % max(1, states // AGAIN) == 0:
            check_second_crash(state, left, found, tmp_path / "again")
        shutil.rmtree(left)
    assert least > 0


def check_second_crash(state: CrashState, path: Path, found: Any, room: Path) -> None:
    """Crash again while what the first crash left was opened and written: it is that commit, or the one made then."""
    with open_log(path, read_only=True, device=state.device) as log:
        later = held_by(log)
    for second in crash_states(state.device, limit=soaked(5, least=3), seed=2):
        assert contents(room, device=second.restore(str(room))) in (found, later), f"{state}, and then {second}"
        shutil.rmtree(room)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_power_failure_of_the_files(scenario: Scenario, tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    disk = Disk(root)
    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        writer = LogWriter(disk, root / "log")
        scenario(writer)
        abandon_log(writer.log)
    platter = Platter(str(root))
    every = 1 if soaked(1) > 1 else 1 + 4 * len(disk.events) // (FILE_STATES // 4 if PURE else FILE_STATES)
    notes: list[Any] = []
    for number, event in enumerate(disk.events):
        if event[0] == "note":
            notes.append(event[1:])
            continue
        platter.apply(event)
        for variant, (chance, keep) in enumerate(VARIANTS):
            if (4 * number + variant) % every:
                continue
            left = tmp_path / "left"
            platter.restore(left, random.Random(number) if chance else None, keep)
            found = contents(left / "log")
            shutil.rmtree(left)
            possible = writer.commits[noted(notes, "durable") : noted(notes, "began") + 1]
            assert found in possible, f"after event {number}, {event[:2]}, keeping {keep} of the rest"
    assert noted(notes, "durable") > 0
