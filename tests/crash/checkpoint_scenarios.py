"""Scenarios with checkpoints, for power cuts and failing calls: a writer that makes, purges and goes back to them.

Beside the writer's states the story says which checkpoint is there from now on, and of which state it is ("made"),
which one may be gone from now on ("purging") and is gone ("purged"), and to which state the store is being brought back
("recovering", until "recovered").
"""

from typing import cast

import oxidbm
from oxidbm._core.durability.checkpointer import DURABLE, IMAGE, PUBLISH, PURGE, SYNC
from oxidbm._core.table.compaction import Compaction
from tests.crash.test_power_failure import Writer
from tests.inside import abandon, checkpointer_of, disk_of, log_of, table_of
from tests.support import make_room

CHANGES = 3


class CheckpointWriter(Writer):
    """A writer that knows of checkpoints; in its store nothing happens in the background."""

    def open(self) -> oxidbm.Store:
        """As it says; the scenario does what a thread would do."""
        store = super().open()
        disk_of(store).stop()
        return store

    def began_checkpoint(self, kind: str = "fold-over") -> tuple[oxidbm.Checkpoint, int]:
        """Ask for a checkpoint of the present state, which is durable with that."""
        made = cast(oxidbm.Checkpoint, checkpointer_of(self.store).request(kind, None))
        self.durable()
        return made, len(self.states) - 1

    def finish(self, made: oxidbm.Checkpoint, index: int) -> str:
        """Bring a checkpoint to its end."""
        checkpointer_of(self.store).finish()
        made.result(0)
        self.disk.note("made", made.token, index)
        return made.token

    def checkpoint(self, kind: str = "fold-over") -> str:
        """Make a checkpoint."""
        return self.finish(*self.began_checkpoint(kind))

    def due(self) -> None:
        """Let the next cut begin an automatic checkpoint, or the end leave an image."""
        checkpointer_of(self.store).records = log_of(self.store).records - 1_000_000

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
            if known.token != token and known.token > token:
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
    job = Compaction(table_of(w.store), log.device.segment_end(log.begin))
    while job.slice(2000, False):
        make_room(w.store)
    disk_of(w.store).finish(job)
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


CHECKPOINT_SCENARIOS = [every_kind, written_beside, automatic_ones, purging, held_segments, going_back]
