"""Rules of backups: new ones, and onto the earlier one of the run, by the writer and by a reader beside it.

Each is exactly the state of one commit, whatever the store does later, also where the two share files. The model knows
when a backup onto the earlier one is refused: where that one's last commit is not the store's any more, because the
store went back to a checkpoint before it, or the backup went its own way.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import oxidbm
from oxidbm import BackupReport, Store
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES
from tests.inside import abandon, log_of
from tests.model.checkpoints import CheckpointRules, Kept

MOMENT = 0.125  # seconds, exact as a float and in milliseconds


@dataclass
class Made:
    """A backup, and the state that it is of."""

    commit: int
    tail: int
    model: dict[bytes, bytes]
    expiries: dict[bytes, float]
    sessions: dict[str, int]
    in_log: bool = True  # its last commit is one of the store's log
    in_snapshot: bool = False  # or stands in a snapshot of it, and not in the log before the store is opened with that
    untouched: bool = True  # nobody has opened it to write
    closed: bool = True


class BackupRules(CheckpointRules):
    """With backups."""

    def __init__(self) -> None:
        self.made: Made | None = None
        self.moments = 0
        super().__init__()

    def target(self) -> Path:
        """Return where the backup is."""
        return self.directory / "backup"

    def elsewhere(self) -> float:
        """Return the time where the backup goes its own way: nothing but the time tells two commits apart."""
        return self.now + MOMENT / 2

    def went_back(self, kept: Kept) -> None:
        """As it says, a moment later: see `elsewhere`."""
        same_time = getattr(self, "followed_at", None) == self.now
        self.now += MOMENT
        self.moments += 1
        if same_time and self.moments * MOMENT < 1:  # for all that expires does so after whole seconds
            self.followed_at = self.now
        made, commit = self.made, kept.checkpoint.commit
        if made is not None and made.commit > commit:
            made.in_log = made.in_snapshot = False
        elif made is not None and made.commit == commit and made.in_snapshot:
            made.in_log = True
        super().went_back(kept)

    def reopened(self) -> None:
        """As it says; what stood in a snapshot alone is put into the log."""
        aside, made = self.aside, self.made
        super().reopened()
        if aside and made is not None and made.in_snapshot and made.commit == self.store.recovery.commit:
            made.in_log = True

    def refusal(self, store: Store, begin: int) -> str | None:
        """Return what is said of the earlier backup where a store whose log was from `begin` on refuses it.

        What compaction has taken away nobody can compare; who has written to a backup is known by its own lock then.
        """
        commit = store.stats()["commit_sequence"]
        made = self.made
        if made is None:
            return None
        if not made.closed:
            return "was opened to write and not closed"
        if made.commit == 0:
            return None
        if made.commit > commit:
            return f"holds commit {made.commit}, and .* only {commit}"
        if made.tail - COMMIT_RECORD_BYTES >= begin:
            shown = made.in_snapshot and self.aside and made.commit == commit and store is not self.store
            return None if made.in_log or shown else f"holds another commit {made.commit}"
        return None if made.untouched else "was opened to write since it was made"

    def check_backup(self, made: Made, report: BackupReport | None = None) -> None:
        """See that the backup is what it was made of, opened to read."""
        living = {key: value for key, value in made.model.items() if made.expiries.get(key, self.now + 1) > self.now}
        with Store(self.target(), memory="1MiB", read_only=True, clock=self.clock, ordered=self.ordered) as other:
            assert other.recovery.faults == []
            assert other.recovery.commit == made.commit
            assert log_of(other).tail == made.tail
            assert dict(other.items()) == living
            for key in living:
                expiry = made.expiries.get(key)
                assert other.ttl(key) == (None if expiry is None else expiry - self.now)
            assert {known.name: known.serial for known in other.sessions()} == made.sessions
            assert len(other) >= len(living)
            assert other.check() == []
            if report is not None:
                assert other.recovery.checkpoint == report.checkpoint

    def back_up_from(self, store: Store, link: bool) -> BackupReport | None:
        """Make the backup, or see that it is refused, which changes nothing; None then."""
        begin = log_of(store).begin
        before = sorted(self.target().rglob("*")) if self.made is not None else []
        try:
            report = store.backup(self.target(), link=link)
        except oxidbm.FormatError as failure:
            said = str(failure)
            assert self.made is not None
            reason = self.refusal(store, begin)
            assert reason is not None, said
            assert re.search(reason, said)
            assert sorted(self.target().rglob("*")) == before
            self.check_backup(self.made)
            return None
        assert self.refusal(store, begin) is None
        return report

    def back_up(self, store: Store, link: bool, state: Made) -> None:
        """Make a backup of a state, and see that it has that."""
        report = self.back_up_from(store, link)
        if report is None:
            return
        assert report.commit_sequence == store.stats()["commit_sequence"]
        self.note_end(state)
        assert state.commit == report.commit_sequence
        self.made = state
        self.check_backup(state, report)
        assert not self.target().with_name("backup.unfinished").exists()

    @rule(link=st.booleans())
    def backup(self, link: bool) -> None:
        """Make a commit and a backup of it, onto the earlier one where there is one."""
        sessions = {name: serial for name, serial in [*self.sessions.items(), ("worker", self.serial)] if serial}
        committed = self.made is None or self.made.closed  # else it is refused before that
        self.back_up(self.store, link, Made(0, 0, dict(self.model), self.expiries_now(), sessions))
        if committed:
            self.commit_seen()

    @rule(link=st.booleans())
    def backup_by_a_reader(self, link: bool) -> None:
        """Make a backup of the last commit, beside the writer."""
        worker = ("worker", self.committed_serial)
        sessions = {name: serial for name, serial in [*self.committed_sessions.items(), worker] if serial}
        expiries = dict(getattr(self, "committed_expiries", {}))
        with self.beside() as other:
            state = Made(0, 0, dict(self.committed), expiries, sessions, not self.aside, self.aside)
            self.back_up(other, link, state)

    @precondition(lambda self: self.made is not None)
    @rule()
    def look_at_backup(self) -> None:
        """It stays what it is, whatever the store has done since with files that they share."""
        assert self.made is not None
        self.check_backup(self.made)

    @precondition(lambda self: self.made is not None)
    @rule(write=st.booleans(), killed=st.booleans())
    def own_way(self, write: bool, killed: bool) -> None:
        """Open the backup to write; what is written there is nowhere else."""
        made = self.made
        assert made is not None
        with self.opened_elsewhere() as other:
            if write:
                other[b"own"] = b"way"
                other.sync()
                made.model[b"own"] = b"way"
                made.expiries.pop(b"own", None)
                made.in_log = made.in_snapshot = False
            if killed:
                abandon(other)
        made.untouched = False
        made.closed = not killed or (made.closed and not write)
        self.note_end(made)
        self.check_backup(made)

    def opened_elsewhere(self) -> Store:
        """Return the backup, opened to write."""
        return Store(
            self.target(),
            memory="1MiB",
            durability="manual",
            compaction=False,
            clock=self.elsewhere,
            ordered=self.ordered,
        )

    def note_end(self, made: Made) -> None:
        """Take note of which commit the backup has, and where it ends."""
        with Store(self.target(), memory="1MiB", read_only=True, clock=self.clock) as other:
            made.commit = other.recovery.commit
            made.tail = int(log_of(other).tail)

    @rule()
    def drop_backup(self) -> None:
        """Have the next one be new."""
        shutil.rmtree(self.target(), ignore_errors=True)
        self.made = None
