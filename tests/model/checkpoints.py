"""Rules of checkpoints: made at once or step by step, looked at, purged, and gone back to.

Each is the state of the commit it began with, whatever came later; automatic ones come and go by themselves.
"""

from dataclasses import dataclass
from typing import Literal, cast

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import oxidbm
from oxidbm import Checkpoint, Store
from oxidbm._core.durability.checkpointer import PURGE
from tests.inside import abandon, checkpointer_of, disk_of, log_of
from tests.model.machine import PAGE_BYTES, FilesMachine

Kind = Literal["fold-over", "index", "log"]

KEPT_MAX = 4

kinds: st.SearchStrategy[Kind] = st.sampled_from(["fold-over", "fold-over", "index", "log"])


@dataclass
class Kept:
    """A checkpoint, and the state that it is of."""

    checkpoint: Checkpoint
    model: dict[bytes, bytes]
    sessions: dict[str, int]
    serial: int
    expiries: dict[bytes, float]


class CheckpointRules(FilesMachine):
    """With checkpoints."""

    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self.begun: Kept | None = None  # one that is being made
        super().__init__()

    def expiries_now(self) -> dict[bytes, float]:
        """Return when keys expire; none in a machine whose keys do not."""
        return dict(getattr(self, "expiries", {}))

    def request(self, kind: Kind) -> Kept:
        """Ask for a checkpoint, which is a commit; the rules do what a thread would."""
        disk_of(self.store).stop()
        made = cast(Checkpoint, checkpointer_of(self.store).request(kind, None))
        self.commit_seen()
        return Kept(made, dict(self.model), dict(self.committed_sessions), self.serial, self.expiries_now())

    def keep(self, kept: Kept) -> None:
        """Keep one that is there."""
        assert kept.checkpoint.result(0) is kept.checkpoint
        self.kept.append(kept)

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
            checkpointer_of(self.store).records = log_of(self.store).records - 1_000_000

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
    def purge(self, which: int) -> None:
        kept = self.kept.pop(which % len(self.kept))
        assert self.store.purge(token=kept.checkpoint.token) == [kept.checkpoint.token]

    @rule(keep=st.integers(0, 2))
    def purge_all_but(self, keep: int) -> None:
        self.ended()
        gone = self.store.purge(keep=keep)
        assert len(gone) == max(0, len(self.kept) - keep)
        left = [kept for kept in self.kept if kept.checkpoint.token not in gone]
        assert len(left) == len(self.kept) - len(gone)
        sequences = [kept.checkpoint.commit for kept in self.kept if kept not in left]
        assert all(kept.checkpoint.commit >= max(sequences, default=0) for kept in left)  # two may be of one commit
        self.kept = left

    @precondition(lambda self: self.kept)
    @rule(which=st.integers(0, KEPT_MAX - 1), crash=st.booleans())
    def go_back(self, which: int, crash: bool) -> None:
        kept = self.kept[which % len(self.kept)]
        token = kept.checkpoint.token
        if kept.checkpoint.kind == "index":
            return
        if crash:
            abandon(self.store)
        else:
            self.store.close()
        self.drop_iterations()
        report = oxidbm.recover(self.directory / "store", token)
        assert report.commit == kept.checkpoint.commit
        self.kept = [other for other in self.kept if other.checkpoint.token <= token]
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
