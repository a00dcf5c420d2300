"""Scenarios with checkpoints, for power cuts and failing calls: a writer that makes, purges and goes back to them.

Beside the writer's states the story says which checkpoint is there from now on, and of which state it is ("made"),
which one may be gone from now on ("purging") and is gone ("purged"), and to which state the store is being brought back
("recovering", until "recovered").
"""

from typing import cast

import oxidbm
from oxidbm._core.durability.checkpointer import COPY, DURABLE, IMAGE, PUBLISH, PURGE, SYNC
from oxidbm._core.durability.tokens import commit_in
from tests.crash.test_power_failure import Writer, held_by
from tests.inside import abandon, begin_compaction, checkpointer_of, compactor_of, disk_of, log_of
from tests.support import make_room

CHANGES = 3


class CheckpointWriter(Writer):
    """A writer that knows of checkpoints; in its store nothing happens in the background."""

    durable_state = 0  # the newest state that has to be found

    def open(self) -> oxidbm.Store:
        """As it says; the scenario does what a thread would do."""
        store = super().open()
        disk_of(store).stop()
        return store

    def durable(self) -> None:
        """As it says; of a snapshot that is finished later an older state may be durable, which then says nothing."""
        super().durable()
        self.durable_state = len(self.states) - 1

    def began_checkpoint(self, kind: str = "fold-over") -> tuple[oxidbm.Checkpoint, int]:
        """Ask for a checkpoint of the present state, which is durable with that, but for a snapshot's."""
        made = cast(oxidbm.Checkpoint, checkpointer_of(self.store).request(kind, None))
        if not checkpointer_of(self.store).snapshots.taking():
            self.durable()
        return made, len(self.states) - 1

    def finish(self, made: oxidbm.Checkpoint, index: int) -> str:
        """Bring a checkpoint to its end."""
        checkpointer_of(self.store).finish()
        made.result(0)
        self.disk.note("made", made.token, index)
        if index > self.durable_state:
            self.disk.note("durable", index)
            self.durable_state = index
        return made.token

    def checkpoint(self, kind: str = "fold-over") -> str:
        """Make a checkpoint."""
        return self.finish(*self.began_checkpoint(kind))

    def killed(self) -> None:
        """Be killed, and go on with what is found: the newest durable state."""
        abandon(self.store)
        self.store = self.open()
        found = held_by(self.store)
        assert found in self.states[self.durable_state :]
        self.began(found)
        self.durable()

    def due(self) -> None:
        """Let the next cut begin an automatic checkpoint, or the end leave an image."""
        checkpointer_of(self.store).schedule.records = log_of(self.store).records - 1_000_000

    def automatic(self) -> None:
        """Have an automatic checkpoint be made."""
        self.due()
        self.sync()
        checkpointer_of(self.store).finish()

    def purge(self, token: str) -> None:
        """Remove a checkpoint."""
        self.disk.note("purging", token)
        assert self.store.purge(token=token) == [token]
        self.disk.note("purged", token)

    def go_back(self, token: str, index: int) -> None:
        """Bring the store back to a checkpoint, and open it."""
        for known in self.store.checkpoints():
            if known.commit > commit_in(token):
                self.disk.note("purging", known.token)
        abandon(self.store)
        self.disk.note("durable", index)
        self.disk.note("recovering", token, index)
        oxidbm.recover(self.path, token)
        self.began(dict(self.states[index]))
        self.durable()
        self.disk.note("recovered", token)
        self.store = self.open()


def every_kind(w: CheckpointWriter) -> None:
    """One of each kind, over records in memory and on disk, with sessions and keys that expire."""
    w.change(a=b"1", b=b"2" * 3000)
    w.session("one", 2)
    w.checkpoint()
    w.expiring("e", b"value", 100)
    w.fill(12, 3000)
    w.checkpoint("log")
    w.change(fill3=None, a=b"11")
    w.checkpoint("index")
    w.checkpoint()  # of the same commit
    w.batch(fill1=b"in a batch", fill2=None)
    w.session("one", 1)
    w.forget("one")
    w.close()
    w.checkpoint()
    w.change(c=b"3")


def written_beside(w: CheckpointWriter) -> None:
    """Each phase is interrupted by changes, commits and pages that leave memory."""
    w.fill(10, 2000)
    for turn, phase in enumerate((IMAGE, DURABLE, SYNC, PUBLISH, PURGE)):
        w.change(turn=b"%d" % turn, **{f"fill{turn}": None})
        made, index = w.began_checkpoint()
        while checkpointer_of(w.store).making() and checkpointer_of(w.store).phase < phase:
            checkpointer_of(w.store).advance()
        w.change(turn=b"after the cut", **{f"fill{turn}": b"new" * 500})
        if turn % 2:
            w.sync()
        else:
            w.fill(CHANGES + turn, 2500)
        w.finish(made, index)
    w.clear()
    w.checkpoint()
    w.sync()


def automatic_ones(w: CheckpointWriter) -> None:
    """Each takes the place of the one before, beside one that stays; the end leaves an image too."""
    w.fill(5, 1500)
    w.automatic()
    w.change(a=b"1")
    w.checkpoint()
    w.change(a=b"2")
    w.automatic()
    w.fill(5, 900)
    w.automatic()
    w.change(a=b"3")
    w.due()
    w.close()
    w.change(a=b"4")
    w.due()
    w.close()
    w.change(a=b"5")


def purging(w: CheckpointWriter) -> None:
    """Checkpoints go, the oldest, the newest and the last, and with them the log that only they needed."""
    tokens = []
    for turn in range(3):
        w.fill(6, 2000 + turn)
        tokens.append(w.checkpoint("log" if turn == 1 else "fold-over"))
        log_of(w.store).device.roll()
    w.store.reorganize()
    w.durable()
    w.purge(tokens[0])
    w.change(a=b"1")
    w.purge(tokens[2])
    w.close()
    w.purge(tokens[1])
    w.change(a=b"2")
    w.sync()


def held_segments(w: CheckpointWriter) -> None:
    """Compaction passes segments by that a checkpoint holds, and those that only an automatic one did."""
    w.fill(8, 1500)
    w.automatic()
    log_of(w.store).device.roll()
    w.fill(8, 2500)
    token = w.checkpoint()
    log_of(w.store).device.roll()
    w.fill(8, 900)
    w.sync()
    log = log_of(w.store)
    job = begin_compaction(w.store, log.device.segment_end(log.begin))
    while job.slice(2000, False):
        make_room(w.store)
    compactor_of(w.store).finish(job)
    w.durable()
    w.change(fill1=None)
    w.store.reorganize()
    w.durable()
    w.change(after=b"x" * 700)
    w.close()
    w.purge(token)
    w.store.reorganize()
    w.durable()
    w.change(fill2=b"last")


def going_back(w: CheckpointWriter) -> None:
    """The store is brought back, over several segments and newer checkpoints, is written on, and brought back again."""
    w.fill(6, 1500)
    w.session("one", 1)
    first = w.checkpoint()
    index = len(w.states) - 1
    for turn in range(3):
        log_of(w.store).device.roll()
        w.fill(6, 2000 + turn)
        w.checkpoint("log" if turn == 1 else "fold-over")
        w.change(turn=b"%d" % turn)
    w.sync()
    w.close()
    w.change(behind=b"the last commit")
    w.go_back(first, index)
    w.session("one", 1)
    w.change(other=b"way")
    second = w.checkpoint()
    other = len(w.states) - 1
    log_of(w.store).device.roll()
    w.fill(5, 3000)
    w.close()
    w.go_back(second, other)
    w.go_back(first, index)
    w.change(last=b"way")
    w.close()


def snapshots(w: CheckpointWriter) -> None:
    """A chain of them, over records that change and are deleted where they stand, on pages that leave memory."""
    w.change(a=b"1", b=b"2" * 300, c=b"3", d=b"4")
    w.checkpoint("snapshot")
    w.change(a=b"2", c=None, e=b"5")
    w.session("one", 2)
    w.checkpoint("incremental")
    w.change(a=b"3", e=None)
    w.sync()
    w.change(f=b"6", g=b"7" * 5000)
    w.checkpoint("incremental")
    w.fill(9, 2500)
    w.change(a=b"4", f=None)
    w.checkpoint("incremental")
    w.killed()
    w.change(a=b"5")
    w.checkpoint("incremental")  # with none that it could build on
    w.change(a=b"6", h=b"8")
    w.killed()
    w.change(h=b"9")
    w.close()
    w.change(h=b"10")


def snapshots_beside(w: CheckpointWriter) -> None:
    """Each phase is interrupted by changes, commits, pages that leave memory, and a kill behind it."""
    w.fill(4, 1200)
    for turn, phase in enumerate((IMAGE, COPY, DURABLE, SYNC, PUBLISH, PURGE)):
        w.change(turn=b"%d" % turn, own=b"value", **{f"fill{turn % 4}": None})
        made, index = w.began_checkpoint("incremental" if turn % 3 else "snapshot")
        while checkpointer_of(w.store).making() and checkpointer_of(w.store).phase < phase:
            checkpointer_of(w.store).advance()
        w.change(turn=b"after the cut", own=None, **{f"fill{turn % 4}": b"new" * 300})
        if turn % 3 == 1:
            w.sync()
        elif turn % 3 == 2:
            w.fill(CHANGES + 1, 2500)
        w.finish(made, index)
        if turn in (2, 3):
            w.killed()
            w.fill(4, 600)
    w.clear()
    w.checkpoint("incremental")
    w.killed()


def purged_snapshots(w: CheckpointWriter) -> None:
    """What a snapshot alone has goes to the log before it goes; what another one builds on stays."""
    w.change(a=b"1", b=b"2")
    first = w.checkpoint("snapshot")
    w.change(a=b"2")
    second = w.checkpoint("incremental")
    w.change(b=None)
    w.purge(second)
    w.durable()
    w.change(c=b"3")
    third = w.checkpoint("incremental")
    w.change(c=b"4")
    w.purge(first)
    w.killed()
    w.purge(third)
    w.change(d=b"5")
    w.close()


def back_to_snapshots(w: CheckpointWriter) -> None:
    """The store is brought back to each link of a chain, the newest one first, and goes on from there."""
    w.change(a=b"1", b=b"2", c=b"3" * 700)
    w.sync()
    w.change(a=b"2")  # on the page that a commit ends on
    made = [(w.checkpoint("snapshot"), len(w.states) - 1)]
    for turn in range(2):
        w.change(a=b"%d" % (3 + turn), b=None if turn else b"changed", **{f"more{turn}": b"x" * 1500})
        made.append((w.checkpoint("incremental"), len(w.states) - 1))
    w.fill(4, 2500)
    w.sync()
    for token, index in reversed(made):
        w.go_back(token, index)
        w.change(other=b"way %d" % index)
        w.checkpoint("incremental")
        w.killed()
    w.change(last=b"way")
    w.close()


SNAPSHOT_SCENARIOS = [snapshots, snapshots_beside, purged_snapshots, back_to_snapshots]
CHECKPOINT_SCENARIOS = [
    every_kind,
    written_beside,
    automatic_ones,
    purging,
    held_segments,
    going_back,
    *SNAPSHOT_SCENARIOS,
]
