"""A long walk: everything that writes, keeps, copies, loses and reads a store, at random, beside a model.

    python -m tests.model.walk FIRST LAST [STEPS]

walks with each of the seeds, prints a line for each that fails and one at the end, also by Ctrl-C, and exits with 1
where one failed.
A walk is the same each time for a seed, but for durability "interval" and readers that follow by themselves.
"""

import contextlib
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

import oxidbm
from oxidbm import Checkpoint, Store
from oxidbm._core.durability.tokens import commit_in
from oxidbm._core.log.flush import flush_for
from oxidbm._core.table.settle import settle
from tests.inside import abandon, begin_compaction, checkpointer_of, compactor_of, disk_of, handle_of, log_of, table_of
from tests.model.walk_base import State, verify
from tests.model.walk_instants import at_instants
from tests.model.walk_readers import ReaderSteps
from tests.model.walk_writes import WriteSteps
from tests.support import pending_is_known

Kind = Literal["fold-over", "index", "log", "snapshot", "incremental"]

KINDS: tuple[Kind, ...] = ("fold-over", "index", "log", "snapshot", "snapshot", "incremental", "incremental")
STEPS = 250


class Walk(WriteSteps, ReaderSteps):
    """One walk."""

    def walk(self, steps: int) -> None:
        """Take so many steps, then end cleanly."""
        weights = {step: weight * self.chance.choice([0, 0.3, 1, 1, 3]) for step, weight in WEIGHTS.items()}
        weights[Walk.put] += 10
        for step in self.chance.choices(list(weights), list(weights.values()), k=steps):
            if self.alone() and self.chance.random() < 0.2 and not hasattr(ReaderSteps, step.__name__):
                self.watched(step)
            else:
                step(self)
            self.note()
            if self.chance.random() < 0.04:
                self.compare(f"behind {step.__name__}")
        self.compare("at the end")
        for reader in self.readers:
            self.hold(reader)
        self.reopen(crash=False)

    def watched(self, step: Callable[["Walk"], None]) -> None:
        """Take a step, and look at what kills in its middle would have left, and at what readers see there."""
        least = 0 if step is Walk.go_back else self.store.stats()["durable_sequence"]
        copies: list[Path] = []

        def act() -> None:
            if self.chance.random() < 0.5:
                self.refresh_within()
                return
            copy = self.directory / f"instant {len(copies)}"
            try:
                shutil.copytree(self.path, copy)
                copies.append(copy)
            except OSError:  # a file of a reader that follows, without a name by now
                shutil.rmtree(copy, ignore_errors=True)

        with at_instants(self.chance, act):
            step(self)
        self.note()
        self.look_at_seen()
        for copy in copies:
            with Store(copy, read_only=True, clock=self.clock) as other:
                number = other.recovery.commit
                states = [*self.states_of(number), *self.lost.get(number, [])]
                assert number >= least
                assert other.recovery.faults == []
                verify(other, states, self.clock.now, f"a kill within {step.__name__}, commit {number}")
            self.go_its_way(copy, states)
            shutil.rmtree(copy)

    def end(self) -> None:
        """Give up what is open."""
        self.close_readers()
        abandon(self.store)

    def checkpoint(self) -> None:
        self.finish_checkpoint()
        kind = self.chance.choice(KINDS)
        if len(self.kept) < self.kept_max:
            self.keep(self.store.checkpoint(kind, level=self.chance.choice([None, 1])))

    def begin_checkpoint(self) -> None:
        """Ask for one, which others steps bring on."""
        self.finish_checkpoint()
        if len(self.kept) < self.kept_max:
            if self.alone():
                self.begun = cast(Checkpoint, checkpointer_of(self.store).request(self.chance.choice(KINDS), None))
                number = int(checkpointer_of(self.store).sequence)
            else:
                self.begun = self.store.checkpoint(self.chance.choice(KINDS), wait=False)
                number = self.begun.commit
            self.commits.setdefault(number, [self.state.copy()])

    def step_checkpoint(self) -> None:
        for _ in range(self.chance.randrange(1, 4)):
            checkpointer_of(self.store).advance()

    def automatic_checkpoint(self) -> None:
        """Let the next cut begin one."""
        if not checkpointer_of(self.store).making():
            checkpointer_of(self.store).schedule.records = log_of(self.store).records - 1_000_000

    def purge_all_but(self) -> None:
        self.finish_checkpoint()
        gone = self.store.purge(keep=self.chance.choice([0, 0, 1, 2]))
        for token in gone:
            del self.kept[token]

    def purge_one(self) -> None:
        self.finish_checkpoint()
        if self.kept:
            token = self.chance.choice(list(self.kept))
            try:
                assert self.store.purge(token=token) == [token]
            except oxidbm.BusyError:
                assert any(made.base == token for made in self.kept.values())
            else:
                del self.kept[token]

    def list_checkpoints(self) -> None:
        self.finish_checkpoint()
        found = [made.token for made in self.store.checkpoints() if not made.automatic]
        assert sorted(found) == sorted(self.kept)

    def compact_slice(self) -> None:
        """Do some of a compaction, or begin one."""
        log = log_of(self.store)
        if not self.alone():
            return
        if self.compaction is None:
            log.device.roll()
            until = log.begin
            for _ in range(self.chance.randrange(1, 4)):
                end = log.device.segment_end(until)
                if until < end <= log.flushed and not end & log.offset_mask:
                    until = end
            if until == log.begin:
                return
            self.compaction = begin_compaction(self.store, until)
        current = self.compaction
        at = current.cursor.following
        if current.slice(self.chance.choice([100, 1000, 5000, 50_000]), False):
            if current.cursor.following == at:
                flush_for(log, current.wanted_room())
        elif compactor_of(self.store).finish(current):
            self.compaction = None

    def settle_some(self) -> None:
        settle(table_of(self.store), self.chance.randrange(1, 8))

    def roll_segment(self) -> None:
        if self.alone():
            log_of(self.store).device.roll()

    def reorganize(self) -> None:
        self.store.reorganize()
        self.compaction = None
        if self.alone():
            disk_of(self.store).stop()

    def compact(self) -> None:
        before = self.store.stats()
        dead = self.chance.choice([0.0, 0.1, 0.5])
        given_back = self.store.compact(dead, max_bytes=self.chance.choice([None, 2000, 40_000]))
        assert given_back <= self.store.stats()["begin"] - before["begin"]
        self.compaction = compactor_of(self.store).compaction
        if self.alone():
            disk_of(self.store).stop()

    def history(self) -> None:
        self.look_back(self.store, [self.state])

    def back_up(self) -> None:
        target = self.directory / "backup"
        self.store.backup(target, link=self.chance.random() < 0.3)
        self.note()
        with Store(target, read_only=True, clock=self.clock) as other:
            verify(other, self.states_of(other.recovery.commit), self.clock.now, "the backup")
        if self.chance.random() < 0.3:
            self.go_its_way(target, None)
            shutil.rmtree(target)

    def go_its_way(self, path: Path, states: list[State] | None) -> None:
        """Open a copy to write, and go on in it; None for the states of the commit that it says."""
        saved = dict(self.__dict__)
        store = self.open(path)
        try:
            number = store.recovery.commit
            state = verify(store, states or self.states_of(number), self.clock.now, "a copy").copy()
            self.store, self.state, self.passed, self.commits = store, state, [state.copy()], {0: [], number: []}
            self.kept, self.begun, self.compaction, self.sessions = {}, None, None, {}
            self.meet_expired()
            for step in self.chance.choices(WRITES, k=self.chance.randrange(20)):
                step(self)
                self.note()
            self.compare("a copy that was gone on in")
            store.sync()
            if self.chance.random() < 0.5:
                store.close()
        finally:
            abandon(store)
            self.__dict__.update(saved)
        with Store(path, read_only=True, clock=self.clock) as other:
            verify(other, [state], self.clock.now, "a copy that was gone on in")

    def kill(self) -> None:
        """Look at what the files are at this instant, as a kill would leave them."""
        if not self.alone():
            return
        target = self.directory / "killed"
        shutil.copytree(self.path, target)
        known = self.store.stats()["durable_sequence"]
        with Store(target, read_only=True, clock=self.clock) as other:
            number = other.recovery.commit
            assert number >= known
            verify(other, self.states_of(number), self.clock.now, f"a reader behind a kill, commit {number}")
        commits = handle_of(self.store).commits
        if self.chance.random() < 0.3 and commits.logged_durable == commits.sequence:
            shutil.rmtree(target / "checkpoints", ignore_errors=True)  # the log alone is the truth
        elif self.chance.random() < 0.5:
            self.go_back_in(target)
        self.go_its_way(target, None)
        shutil.rmtree(target)

    def a_state(self) -> Checkpoint | None:
        """Return one of the checkpoints that can be gone back to."""
        made = [made for made in self.kept.values() if made.kind != "index"]
        return self.chance.choice(made) if made else None

    def go_back_in(self, path: Path) -> None:
        """Go back to a checkpoint in a copy of the store, for good."""
        made = self.a_state()
        if made is not None:
            report = oxidbm.recover(path, made.token)
            assert report.commit == made.commit
            with Store(path, read_only=True, clock=self.clock) as other:
                assert other.recovery.commit == made.commit
                verify(other, self.states_of(made.commit), self.clock.now, f"gone back to {made.token}")

    def recover_copy(self) -> None:
        """Make a store of its own of a checkpoint."""
        made = self.a_state()
        if made is not None:
            target = self.directory / "recovered"
            report = oxidbm.recover(self.path, made.token, to=target)
            assert report.commit == made.commit
            self.go_its_way(target, None)
            shutil.rmtree(target)

    def go_back(self) -> None:
        """Go back to a checkpoint, for good; readers stay."""
        self.finish_checkpoint()
        made = self.a_state()
        if made is not None:
            self.give_up(self.chance.random() < 0.5)
            report = oxidbm.recover(self.path, made.token)
            assert report.commit == made.commit
            self.lose_behind(made.commit)
            self.kept = {token: other for token, other in self.kept.items() if commit_in(token) <= made.commit}
            shutil.rmtree(self.directory / "backup", ignore_errors=True)
            self.open_again(made.commit)

    def crash(self) -> None:
        self.reopen(crash=True)

    def close_and_open(self) -> None:
        self.reopen(crash=False)

    def give_up(self, crash: bool) -> None:
        """End the store, by a crash or cleanly, and what hangs on it."""
        if crash:
            abandon(self.store)
        else:
            self.state.serials = {name: serial for name, serial in self.state.serials.items() if serial}
            self.store.close()
        if not crash or not self.alone():
            with Store(self.path, read_only=True, clock=self.clock) as other:
                self.note_up_to(other.recovery.commit)
        self.sessions.clear()
        self.compaction = None
        begun = self.begun
        self.begun = None
        if begun is not None and (self.path / "checkpoints" / f"{begun.token}.json").exists():
            self.keep(begun)

    def reopen(self, crash: bool) -> None:
        """End the store and open it again, at once or when readers have looked at what is left."""
        pending: int | None = None
        if crash and self.alone() and self.chance.random() < 0.5:
            value = b"%d" % self.chance.getrandbits(30)  # without which no commit might be made
            self.store[b"last"] = value
            self.changed(b"last", value)
            self.store.sync()
            pending = self.store.stats()["unverified"]
        self.note()
        durable = self.store.stats()["durable_sequence"]
        self.give_up(crash)
        for _ in range(self.chance.randrange(3)):
            self.refresh_reader()
        with Store(self.path, read_only=True, clock=self.clock) as other:
            number = other.recovery.commit
            assert number >= durable
            assert pending is None or other.stats()["unverified"] in (0, pending)  # 0 by a replay of the whole log
            verify(other, self.states_of(number), self.clock.now, f"a reader behind the end, commit {number}")
        self.open_again(number, pending)

    def open_again(self, number: int, pending: int | None = None) -> None:
        """Open the store, which is to be at the commit of a number, with so many writes pending as it had then."""
        self.store = self.open()
        found = self.store.stats()["unverified"]
        assert pending is None or found == (0 if pending_is_known(self.store) else pending), (found, pending)
        assert self.store.recovery.commit == number
        assert self.store.recovery.faults == []
        states = self.commits.setdefault(number, self.states_of(number))
        self.state = verify(self.store, states, self.clock.now, f"opened at {number}").copy()
        self.lose_behind(number)
        self.passed = [self.state.copy()]
        self.meet_expired()
        self.note()
        for reader in self.readers:
            if self.chance.random() < 0.3:
                self.hold(reader)


WEIGHTS: dict[Callable[[Walk], None], float] = {
    Walk.put: 30,
    Walk.put_same_size: 12,
    Walk.delete: 14,
    Walk.add_or_look: 8,
    Walk.take: 5,
    Walk.take_oldest: 2,
    Walk.look: 4,
    Walk.look_again: 3,
    Walk.count_up: 3,
    Walk.put_many: 4,
    Walk.delete_some: 3,
    Walk.apply_batch: 4,
    Walk.set_expiring: 4,
    Walk.wait: 2,
    Walk.use_session: 8,
    Walk.commit_session: 2,
    Walk.forget_session: 1,
    Walk.clear: 0.5,
    Walk.sync: 6,
    Walk.push: 5,
    Walk.fill: 2,
    Walk.settle_all: 1,
    Walk.settle_some: 2,
    Walk.grow_index: 0.3,
    Walk.checkpoint: 5,
    Walk.begin_checkpoint: 3,
    Walk.step_checkpoint: 4,
    Walk.automatic_checkpoint: 2,
    Walk.purge_all_but: 2,
    Walk.purge_one: 1,
    Walk.list_checkpoints: 1,
    Walk.compact_slice: 8,
    Walk.roll_segment: 2,
    Walk.reorganize: 1,
    Walk.compact: 2,
    Walk.history: 2,
    Walk.back_up: 1,
    Walk.kill: 1.5,
    Walk.recover_copy: 1,
    Walk.go_back: 0.7,
    Walk.crash: 4,
    Walk.close_and_open: 1.5,
    Walk.open_reader: 4,
    Walk.refresh_reader: 8,
    Walk.look_at_reader: 2,
    Walk.read_some_of_reader: 3,
    Walk.begin_iteration: 3,
    Walk.go_on_iterating: 4,
    Walk.history_of_reader: 1,
    Walk.close_reader: 2,
}


WRITES: tuple[Callable[[Walk], None], ...] = (
    Walk.put,
    Walk.put,
    Walk.put_same_size,
    Walk.delete,
    Walk.delete,
    Walk.add_or_look,
    Walk.take,
    Walk.put_many,
    Walk.push,
    Walk.push,
    Walk.fill,
    Walk.settle_some,
    Walk.compact_slice,
    Walk.reorganize,
    Walk.compact,
    Walk.use_session,
)


def walk_with(seed: int, directory: Path, steps: int = STEPS) -> None:
    """Walk with a seed in a directory."""
    walk = Walk(directory, seed)
    try:
        walk.walk(steps)
    finally:
        walk.end()


def main(first: int, last: int, steps: int = STEPS) -> int:
    """Walk with each seed, and say which ones fail; Ctrl-C ends it behind the last one that was walked to its end."""
    failed = 0
    seed = first
    with contextlib.suppress(KeyboardInterrupt):
        while seed <= last:
            failed += not walked(seed, steps)
            seed += 1
    print(f"seeds {first} to {seed - 1}: {failed} failed", flush=True)
    return 1 if failed else 0


def walked(seed: int, steps: int) -> bool:
    """Walk with a seed, and print a line where that fails."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            walk_with(seed, Path(directory), steps)
        except Exception as failure:
            frames = traceback.extract_tb(failure.__traceback__)[2:]
            where = " > ".join(f"{frame.name} {frame.lineno}" for frame in frames)
            print(f"seed {seed}: {failure!r:.300} in {where}", flush=True)
            return False
    return True


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
