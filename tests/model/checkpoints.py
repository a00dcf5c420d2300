"""Rules of checkpoints: made at once or step by step, looked at, copied, purged, and gone back to.

Each is the state of the commit it began with, whatever came later; automatic ones come and go by themselves. A
snapshot's commit is durable once the snapshot is there, and not before.
"""

import shutil
from dataclasses import dataclass
from typing import Literal, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import oxidbm
from oxidbm import Checkpoint, Store
from oxidbm._core.durability.checkpointer import PURGE
from tests.inside import abandon, checkpointer_of, disk_of, handle_of, log_of
from tests.model.machine import PAGE_BYTES, FilesMachine

Kind = Literal["fold-over", "index", "log", "snapshot", "incremental"]

KEPT_MAX = 5
ASIDE = ("snapshot", "incremental")

kinds: st.SearchStrategy[Kind] = st.sampled_from(
    ["fold-over", "index", "log", "snapshot", "snapshot", "incremental", "incremental", "incremental"]
)


@dataclass
class Kept:
    """A checkpoint, and the state that it is of."""

    checkpoint: Checkpoint
    model: dict[bytes, bytes]
    sessions: dict[str, int]
    serial: int
    expiries: dict[bytes, float]
    durable: dict[str, int]  # the serial numbers of all sessions that are known
    commits: int = 0  # of the log, when it was cut

    def base(self) -> str | None:
        """Return the token of the one that it builds on."""
        return cast(str | None, self.checkpoint.metadata.base)  # type: ignore[attr-defined]


class CheckpointRules(FilesMachine):
    """With checkpoints."""

    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self.begun: Kept | None = None  # one that is being made
        self.commits = 0
        super().__init__()

    def commit_seen(self) -> None:
        """As it says, in the log."""
        super().commit_seen()
        self.commits += 1

    def forgot(self, name: str) -> None:
        """As it says; one of that name that comes later is another one."""
        super().forgot(name)
        if self.begun is not None:
            self.begun.durable.pop(name, None)

    def before_crash(self) -> None:
        """Take note of a checkpoint that is there."""
        super().before_crash()
        self.ended()

    def expiries_now(self) -> dict[bytes, float]:
        """Return when keys expire; none in a machine whose keys do not."""
        return dict(getattr(self, "expiries", {}))

    def request(self, kind: Kind) -> Kept:
        """Ask for a checkpoint, which is a commit; the rules do what a thread would."""
        disk_of(self.store).stop()
        made = cast(Checkpoint, checkpointer_of(self.store).request(kind, None))
        if not checkpointer_of(self.store).snapshots.taking():
            self.commit_seen()
        sessions = {name: serial for name, serial in self.sessions.items() if serial}
        return Kept(
            made, dict(self.model), sessions, self.serial, self.expiries_now(), dict(self.sessions), self.commits
        )

    def keep(self, kept: Kept) -> None:
        """Keep one that is there; a snapshot is the newest state unless the log has gone on to a commit."""
        assert kept.checkpoint.result(0) is kept.checkpoint
        self.kept.append(kept)
        if kept.checkpoint.kind in ASIDE and kept.commits == self.commits:
            self.committed, self.committed_serial = dict(kept.model), kept.serial
            self.committed_sessions, self.durable = dict(kept.sessions), dict(kept.durable)
            if hasattr(self, "committed_expiries"):
                self.committed_expiries = dict(kept.expiries)
            self.aside = kept.checkpoint.metadata.has_copy()  # type: ignore[attr-defined]

    def drop_iterations(self) -> None:
        """As it says; what was being made is there after a clean end, and is not after a crash."""
        super().drop_iterations()
        begun = self.begun
        self.begun = None
        if begun is not None and begun.checkpoint.done() and begun.checkpoint.failure is None:  # type: ignore[attr-defined]
            self.keep(begun)

    def ended(self) -> None:
        """Take note of one that somebody has brought to its end; from PURGE on it is listed, and may be purged."""
        if checkpointer_of(self.store).phase == PURGE:
            checkpointer_of(self.store).advance()
        if self.begun is not None and self.begun.checkpoint.done():
            self.keep(self.begun)
            self.begun = None

    @rule(kind=kinds)
    def checkpoint(self, kind: Kind) -> None:
        self.ended()
        if self.begun is None and len(self.kept) < KEPT_MAX:
            kept = self.request(kind)
            checkpointer_of(self.store).finish()
            self.keep(kept)

    @rule(kind=kinds)
    def begin_checkpoint(self, kind: Kind) -> None:
        self.ended()
        if self.begun is None and len(self.kept) < KEPT_MAX:
            self.begun = self.request(kind)

    @rule(steps=st.integers(1, 4))
    def step_checkpoint(self, steps: int) -> None:
        for _ in range(steps):
            checkpointer_of(self.store).advance()
        self.ended()

    @rule()
    def automatic_checkpoint(self) -> None:
        """Let the next cut begin one."""
        if not checkpointer_of(self.store).making():
            disk_of(self.store).stop()
            checkpointer_of(self.store).schedule.records = log_of(self.store).records - 1_000_000

    @precondition(lambda self: self.kept)
    @rule(which=st.integers(0, KEPT_MAX - 1))
    def look_at_checkpoint(self, which: int) -> None:
        kept = self.kept[which % len(self.kept)]
        if kept.checkpoint.kind == "index":
            return
        path = self.directory / "store"
        with Store(path, memory="1MiB", read_only=True, clock=self.clock, checkpoint=kept.checkpoint.token) as other:
            assert other.recovery.commit == kept.checkpoint.commit
            assert dict(other.items()) == self.living(kept)
            names = {known.name: known.serial for known in other.sessions()}
            assert names.pop("worker", 0) == kept.serial
            assert names == kept.sessions
            assert other.check() == []

    def living(self, kept: Kept) -> dict[bytes, bytes]:
        """Return what of a checkpoint's state has not expired by now."""
        return {key: value for key, value in kept.model.items() if kept.expiries.get(key, self.now + 1) > self.now}

    @rule()
    def list_checkpoints(self) -> None:
        self.ended()
        found = [made.token for made in self.store.checkpoints() if not made.automatic]
        assert sorted(found) == sorted(kept.checkpoint.token for kept in self.kept)

    @precondition(lambda self: self.kept)
    @rule(which=st.integers(0, KEPT_MAX - 1))
    def copy_checkpoint(self, which: int) -> None:
        """Have another store be at it, which then goes its own way."""
        kept = self.kept[which % len(self.kept)]
        if kept.checkpoint.kind == "index":
            return
        path = self.directory / "copy"
        report = oxidbm.recover(self.directory / "store", kept.checkpoint.token, to=path)
        assert report.commit == kept.checkpoint.commit
        with Store(path, memory="1MiB", clock=self.clock, durability="manual") as other:
            assert dict(other.items()) == self.living(kept)
            other[b"own"] = b"way"
            assert other.check() == []
        shutil.rmtree(path)

    def is_base(self, kept: Kept, left: list[Kept]) -> bool:
        """Return whether a checkpoint that is left, or is being made, builds on this one."""
        others = left if self.begun is None else [*left, self.begun]
        builds_on = checkpointer_of(self.store).snapshots.builds_on if self.begun is not None else None
        being_built_on = builds_on is not None and builds_on.token == kept.checkpoint.token
        return being_built_on or any(other.base() == kept.checkpoint.token for other in others)

    @precondition(lambda self: self.kept)
    @rule(which=st.integers(0, KEPT_MAX - 1))
    def purge(self, which: int) -> None:
        self.ended()
        kept = self.kept[which % len(self.kept)]
        token = kept.checkpoint.token
        if self.is_base(kept, self.kept):
            with pytest.raises(oxidbm.BusyError, match="builds on"):
                self.store.purge(token=token)
            return
        self.kept.remove(kept)
        logged = handle_of(self.store).commits.logged_durable
        assert self.store.purge(token=token) == [token]
        if handle_of(self.store).commits.logged_durable > logged:
            self.commit_seen()  # what it alone had is in the log now

    @rule(keep=st.integers(0, 2))
    def purge_all_but(self, keep: int) -> None:
        self.ended()
        logged = handle_of(self.store).commits.logged_durable
        gone = self.store.purge(keep=keep)
        if handle_of(self.store).commits.logged_durable > logged:
            self.commit_seen()
        left = [kept for kept in self.kept if kept.checkpoint.token not in gone]
        assert len(left) == len(self.kept) - len(gone)
        bound = [kept for kept in left if self.is_base(kept, left)]
        assert len(left) - len(bound) <= keep
        assert len(left) >= min(keep, len(self.kept))
        sequences = [kept.checkpoint.commit for kept in self.kept if kept not in left]
        unbound = [kept for kept in left if kept not in bound]
        assert all(kept.checkpoint.commit >= max(sequences, default=0) for kept in unbound)  # two may be of one commit
        self.kept = left

    @precondition(lambda self: self.kept)
    @rule(which=st.integers(0, KEPT_MAX - 1), crash=st.booleans())
    def go_back(self, which: int, crash: bool) -> None:
        kept = self.kept[which % len(self.kept)]
        token = kept.checkpoint.token
        if kept.checkpoint.kind == "index":
            return
        self.ended()
        if crash:
            abandon(self.store)
        else:
            self.store.close()
        self.drop_iterations()
        report = oxidbm.recover(self.directory / "store", token)
        assert report.commit == kept.checkpoint.commit
        self.kept = [other for other in self.kept if other.checkpoint.commit <= kept.checkpoint.commit]
        self.model, self.serial = dict(kept.model), kept.serial
        self.sessions = dict(kept.sessions)
        self.went_back(kept)

    def went_back(self, kept: Kept) -> None:
        """Open what was gone back to; what has expired meanwhile is met, and deleted durably."""
        self.store = self.open()
        if hasattr(self, "expiries"):
            self.expiries = dict(kept.expiries)
        assert dict(self.store.items()) == self.living(kept)
        for key, expiry in kept.expiries.items():
            if expiry <= self.now:
                self.store.delete_many([key])
                self.model.pop(key, None)
                self.expiries.pop(key, None)
        self.session = self.store.session("worker")
        assert self.session.serial == self.serial
        self.store.sync()
        self.commit_seen()
        assert dict(self.store.items()) == self.model
        assert len(self.store) == len(self.model)
        assert self.store.stats()["page_bytes"] == PAGE_BYTES
        self.compare_sessions()
