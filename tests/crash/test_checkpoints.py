"""A power failure anywhere in scenarios with checkpoints: what was acknowledged is there, every checkpoint verifies.

A crash alone never makes a checkpoint be passed over: a RecoveryWarning is an error in these tests. Each checkpoint
that is there is opened, and is the state it was made of; what a crash interrupts of going back can be begun again.
"""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from tests.crash.checkpoint_scenarios import (
    CHECKPOINT_SCENARIOS,
    SNAPSHOT_SCENARIOS,
    CheckpointWriter,
    going_back,
)
from tests.crash.disk import Disk, Platter
from tests.crash.test_power_failure import VARIANTS, State, contents, held_by, open_store
from tests.inside import abandon
from tests.support import one_in

Scenario = Callable[[CheckpointWriter], None]


@dataclass
class Told:
    """What the story has told so far."""

    least: int = 0
    most: int = 0
    made: dict[str, int] = field(default_factory=dict)  # the state of each checkpoint that must be there
    index_of: dict[str, int] = field(default_factory=dict)  # of each that may be there
    purged: set[str] = field(default_factory=set)
    recovering: tuple[str, int] | None = None

    def hear(self, event: tuple[Any, ...]) -> bool:
        """Take a note into account; False where nothing can be wrong yet that was not before."""
        match event:
            case ("note", "began", index):
                self.most = index
                return False
            case ("note", "durable", index):
                self.least = index
            case ("note", "made", token, index):
                self.made[token] = self.index_of[token] = index
            case ("note", "purging", token):
                self.made.pop(token, None)
            case ("note", "purged", token):
                self.purged.add(token)
            case ("note", "recovering", token, index):
                self.recovering = (token, index)
            case ("note", "recovered", _):
                self.recovering = None
        return True


def record(scenario: Scenario, root: Path) -> tuple[Disk, list[State]]:
    """Run a scenario and return its story and its states."""
    disk = Disk(root)
    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        writer = CheckpointWriter(disk, root / "store")
        try:
            scenario(writer)
        finally:
            abandon(writer.store)
    return disk, writer.states


def check_checkpoints(path: Path, told: Told, states: list[State]) -> None:
    """Open the store at each checkpoint that is there."""
    try:
        store = open_store(path, read_only=True)
    except oxidbm.MissingError:
        assert told.least == 0  # a snapshot that is being made of a store that is not durable yet
        return
    with store:
        there = store.checkpoints()
    tokens = {made.token for made in there}
    assert told.made.keys() <= tokens
    assert not told.purged & tokens
    for made in there:
        if made.kind == "index":
            continue
        with open_store(path, read_only=True, checkpoint=made.token) as store:
            assert store.recovery.commit == made.commit
            assert made.kind not in ("fold-over", "snapshot") or store.recovery.records == 0
            found = held_by(store)
            assert store.check() == []
        if made.token in told.index_of:
            assert found == states[told.index_of[made.token]]
        else:
            assert found in states


@pytest.mark.slow
@pytest.mark.parametrize("scenario", CHECKPOINT_SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_power_failure_anywhere(scenario: Scenario, tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    disk, states = record(scenario, root)
    platter = Platter(str(root))
    told = Told()
    left = tmp_path / "left"
    every = one_in(11 if scenario in SNAPSHOT_SCENARIOS else 5, 37)  # primes: no event always meets the same variant
    for number, event in enumerate(disk.events):
        if not told.hear(event):
            continue
        platter.apply(event)
        for variant, (chance, keep) in enumerate(VARIANTS):
            if (number + variant) % every:
                continue
            platter.restore(left, random.Random(number) if chance else None, keep)
            place = f"after event {number}, {event[:3]}, keeping {keep} of the rest"
            if (left / "store" / "STORE").exists():
                check_checkpoints(left / "store", told, states)
            assert contents(left / "store", told.least) in states[told.least : told.most + 1], place
            if (left / "store" / "STORE").exists():
                check_checkpoints(left / "store", told, [*states, *with_more(states)])
            shutil.rmtree(left)
            if told.recovering is not None:
                token, index = told.recovering
                platter.restore(left, random.Random(number) if chance else None, keep)
                assert oxidbm.recover(left / "store", token).checkpoint == token
                assert contents(left / "store", told.least) == states[index], place
                shutil.rmtree(left)
    assert told.least > 0
    assert scenario is not going_back or len(told.purged) == 0


def with_more(states: list[State]) -> list[State]:
    """Return the states with the key that `contents` writes."""
    return [{**state, b"written after": b"the failure"} for state in states]
