"""A power failure anywhere in a backup, and in what is done to the store's files that it shares afterwards.

Its place has nothing, or exactly the earlier or the new backup; the store has all that was durable; and the next backup
to the same place works, whatever is left of the one before, and leaves nothing else there.
"""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import _backup
from tests.crash.checkpoint_scenarios import CheckpointWriter
from tests.crash.disk import Disk, Platter
from tests.crash.test_power_failure import VARIANTS, State, contents, held_by, open_store
from tests.inside import abandon, log_of
from tests.support import one_in

NOTHING = -1  # in place of a state's number


class BackupWriter(CheckpointWriter):
    """A writer that makes backups, all to one place."""

    def back_up(self, link: bool = False) -> None:
        """Make a backup of the present state."""
        self.disk.note("backing up", len(self.states) - 1)
        self.store.backup(self.path.with_name("backup"), link=link)
        self.durable()
        self.disk.note("backed up", len(self.states) - 1)

    def back_up_as_read(self, link: bool = False) -> None:
        """Make a backup of the last commit, beside the writer."""
        self.disk.note("backing up", self.durable_state)
        with open_store(self.path, read_only=True) as reader:
            reader.backup(self.path.with_name("backup"), link=link)
        self.disk.note("backed up", self.durable_state)

    def segments(self, first: int, count: int = 2) -> None:
        """Write so many segments; the last one goes on."""
        for number in range(first, first + count):
            self.fill(4, 2000 + 300 * number)
            self.sync()
            log_of(self.store).close_tail_page()
            log_of(self.store).device.roll()
        self.change(last=b"%d" % first)


def new(w: BackupWriter) -> None:
    """Of a store that was never committed, then of one that is changed, and is killed meanwhile."""
    w.back_up()
    w.change(a=b"1", b=b"2" * 3000)
    w.back_up()
    w.change(a=b"2")
    w.killed()


def onto_the_earlier(w: BackupWriter) -> None:
    """Complete segments stay, what is new is copied."""
    w.segments(0)
    w.session("one", 2)
    w.back_up()
    w.segments(2)
    w.expiring("e", b"value", 100)
    w.back_up()
    w.change(a=b"1")
    w.back_up_as_read()


def linked(w: BackupWriter) -> None:
    """Complete segments are the store's own, which goes on, is killed, and has its last one cut."""
    w.segments(0)
    w.back_up(link=True)
    w.segments(2)
    w.back_up(link=True)
    w.change(a=b"1")
    w.killed()
    w.segments(4, 1)
    w.sync()
    w.back_up_as_read(link=True)


def behind_a_compaction(w: BackupWriter) -> None:
    """What the store has given back goes, also where it was its own file."""
    w.segments(0)
    w.back_up(link=True)
    w.store.reorganize()
    w.durable()
    w.segments(2, 1)
    w.back_up()
    w.change(fill1=None)
    w.store.reorganize()
    w.durable()
    w.back_up(link=True)


def with_an_image(w: BackupWriter) -> None:
    """The image of a checkpoint is copied, kept, linked, and left out."""
    w.segments(0)
    w.checkpoint()
    w.back_up()
    w.segments(2, 1)
    w.back_up()
    w.checkpoint("index")
    w.change(a=b"1")
    w.back_up(link=True)
    w.store.reorganize()
    w.durable()
    w.back_up()


def gone_back(w: BackupWriter) -> None:
    """The store goes back to a checkpoint, in the middle of a segment that it shares with the backup by then."""
    w.segments(0, 1)
    w.fill(4, 1500)
    token = w.checkpoint()
    index = len(w.states) - 1
    w.segments(2)
    w.back_up(link=True)
    w.change(a=b"1")
    w.go_back(token, index)
    w.change(b=b"another way")
    w.close()


SCENARIOS = [new, onto_the_earlier, linked, behind_a_compaction, with_an_image, gone_back]


@dataclass
class Told:
    """What the story has told so far."""

    least: int = 0
    most: int = 0
    may_have: tuple[int, ...] = (NOTHING,)  # the states that the backup may have
    may_be_refused: bool = False

    def hear(self, event: tuple[Any, ...]) -> bool:
        """Take a note into account; False where nothing can be wrong yet that was not before."""
        match event:
            case ("note", "began", index):
                self.most = index
                return False
            case ("note", "durable", index):
                self.least = index
            case ("note", "backing up", index):
                self.may_have = (*self.may_have, index)
            case ("note", "backed up", index):
                self.may_have = (index,)
            case ("note", "recovering", *_):
                self.may_be_refused = True
        return self.may_have != (NOTHING,)


def record(scenario: Callable[[BackupWriter], None], root: Path, exchange: bool) -> tuple[Disk, list[State]]:
    """Run a scenario, on a system that can exchange two names or on another one; return its story and its states."""
    disk = Disk(root, with_locks=True)
    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        if not exchange:
            patch.setattr(_backup, "exchange", lambda one, other: False)
        writer = BackupWriter(disk, root / "store")
        try:
            scenario(writer)
        finally:
            abandon(writer.store)
    return disk, writer.states


def state_in(path: Path) -> State:
    """Return what a backup holds, which is sound."""
    with open_store(path, read_only=True) as reader:
        assert reader.recovery.faults == []
        assert reader.recovery.bytes_cut == 0
        assert reader.check() == []
        return held_by(reader)


def check_remains(left: Path, told: Told, states: list[State], exchange: bool) -> None:
    """See that store and backup are what they have to be, and that the next backup is."""
    found = contents(left / "store", told.least)
    assert found in states[told.least : told.most + 1]
    backup = left / "backup"
    held = None
    if backup.exists():
        held = state_in(backup)
        assert held in [states[index] for index in told.may_have if index != NOTHING]
    elif exchange:
        assert NOTHING in told.may_have
    elif NOTHING not in told.may_have:
        assert state_in(left / "backup.earlier") in [states[index] for index in told.may_have]
    report = None
    with open_store(left / "store") as store:
        try:
            report = store.backup(backup)
        except oxidbm.FormatError:
            if not told.may_be_refused and told.least > 0:  # else it may be another store, made anew
                raise
        assert store.check() == []
        if report is not None:
            assert report.commit_sequence == store.stats()["commit_sequence"]
            assert state_in(backup) == held_by(store)
            assert sorted(os.listdir(left)) == ["backup", "store"]
        elif held is not None:
            assert state_in(backup) == held


@pytest.mark.slow
@pytest.mark.parametrize("exchange", [True, False], ids=["exchanged", "renamed"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_power_failure_anywhere(scenario: Callable[[BackupWriter], None], exchange: bool, tmp_path: Path) -> None:
    root = tmp_path.resolve() / "disk"
    root.mkdir()
    disk, states = record(scenario, root, exchange)
    platter = Platter(str(root))
    told = Told()
    left = tmp_path / "left"
    every = one_in(17, 79)  # primes: no event always meets the same variant
    for number, event in enumerate(disk.events):
        looked_at = told.hear(event)
        platter.apply(event)
        for variant, (chance, keep) in enumerate(VARIANTS):
            if not looked_at or (number + variant) % every:
                continue
            platter.restore(left, random.Random(number) if chance else None, keep)
            try:
                check_remains(left, told, states, exchange)
            except BaseException as failure:
                failure.add_note(f"after event {number}, {event[:3]}, keeping {keep} of the rest")
                raise
            shutil.rmtree(left)
    assert told.may_have != (NOTHING,)
