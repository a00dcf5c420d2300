"""kill -9 beside checkpoints: of a writer that makes and purges them, of what goes back to one, at any moment.

The writer and its operations are those of test_kill, so a checkpoint says by a session's serial number what it must
hold. A kill alone never makes a checkpoint be passed over: a RecoveryWarning is an error here.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from oxidbm._core.durability.tokens import commit_in
from tests.crash.test_kill import OPTIONS, apply, mixed, state
from tests.inside import checkpointer_of, log_of
from tests.support import soaked, started

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

ROUNDS = 5
KEPT = 3
KINDS = ("fold-over", "log", "snapshot", "index", "incremental", "incremental", "incremental")
COMMAND = "import sys; from tests.crash.test_killed_checkpoints import {}; {}(*sys.argv[1:])"


def report(what: str, about: object) -> None:
    """Tell the test: what is durable, a checkpoint that is there, that may be gone, that is gone."""
    os.write(1, f"{what} {about}\n".encode())


def write_for_ever(path: str, mode: str) -> None:
    """The writer: go on where the last one was killed, with checkpoints in between."""
    while True:
        store = Store(path, durability="interval", interval=0.005, **OPTIONS)
        session = store.session("writer")
        begun: list[oxidbm.Checkpoint] = []
        report("durable", session.serial)
        for _ in range(20):
            for _ in range(25):
                apply(session, session.serial + 1)
            turn = mixed(session.serial)
            if mode == "automatic":
                checkpointer_of(store).schedule.records = log_of(store).records - 1_000_000
            else:
                checkpoint_and_purge(store, turn, mode == "background", begun)
            if turn % 11 == 0:
                store.reorganize()
            report("durable", session.durable_serial)
        store.close()


def checkpoint_and_purge(store: Store, turn: int, background: bool, begun: list[oxidbm.Checkpoint]) -> None:
    """Make a checkpoint, or have it be made; remove old ones."""
    kind: Any = KINDS[turn % len(KINDS)]
    if not background:
        report("made", store.checkpoint(kind, name="by the writer").token)
    elif not begun or begun[-1].done():
        begun.append(store.checkpoint(kind, wait=False))
    there = [known.token for known in store.checkpoints() if not known.automatic]
    if len(there) > KEPT and turn % 2:
        for token in there[:-KEPT]:
            report("purging", token)
        for token in store.purge(keep=KEPT):
            report("purged", token)


def recover_once(path: str, token: str) -> None:
    """What is killed while it goes back."""
    report("recovering", token)
    oxidbm.recover(path, token)
    report("recovered", token)
    time.sleep(60)


def killed(function: str, path: Path, argument: str, seconds: float) -> list[list[str]]:
    """Run a function as a process, kill it some time after its first report, and return its reports."""
    command = [sys.executable, "-c", COMMAND.format(function, function), str(path), argument]
    with started(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, "the process ended before it reported anything"
        time.sleep(seconds)
        process.kill()
        lines = [first, *process.stdout.read().split(b"\n")[:-1]]
        assert process.wait() == -signal.SIGKILL
    return [line.decode().split() for line in lines]


def serial_of(store: Store) -> int:
    """Return how many operations a store holds, exactly whose state it is."""
    assert store.check() == []
    serial = next((known.serial for known in store.sessions() if known.name == "writer"), 0)
    assert dict(store.items()) == state(serial)
    return serial


class Rounds:
    """What is known of one store through all rounds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: set[str] = set()
        self.serial = 0

    def heard(self, reports: list[list[str]]) -> None:
        """Take reports into account, and look at what is there."""
        gone = set()
        for what, about in reports:
            if what == "durable":
                assert int(about) >= self.serial
                self.serial = int(about)
            elif what == "made":
                self.made.add(about)
            elif what == "purging":
                self.made.discard(about)
            elif what == "purged":
                gone.add(about)
        there = self.look()
        assert self.made <= there
        assert not gone & there

    def look(self) -> set[str]:
        """Open the store at each checkpoint that is there, and as it is; return the tokens."""
        with Store(self.path, durability="manual", **OPTIONS) as store:
            serial = serial_of(store)
            assert serial >= self.serial
            self.serial = serial
        with Store(self.path, read_only=True, memory="1MiB") as reader:  # closing may have made an image anew
            there = {known.token: known for known in reader.checkpoints()}
        for token, known in there.items():
            if known.kind != "index":
                with Store(self.path, read_only=True, checkpoint=token, memory="1MiB") as at:
                    assert at.recovery.commit == known.commit
                    assert serial_of(at) <= serial
        return set(there)

    def states(self) -> list[str]:
        """Return the tokens of the checkpoints that can be gone back to, the oldest first."""
        with Store(self.path, read_only=True, memory="1MiB") as store:
            return [known.token for known in store.checkpoints() if known.kind != "index"]

    def go_back(self, token: str, chance: random.Random) -> None:
        """Go back to a checkpoint, killed in the midst of it, and then to the end."""
        with Store(self.path, read_only=True, checkpoint=token, memory="1MiB") as store:
            self.serial = serial_of(store)
        killed("recover_once", self.path, token, chance.choice([0, 0, chance.uniform(0, 0.02)]))
        self.made = {known for known in self.made if commit_in(known) <= commit_in(token)}
        if chance.random() < 0.5:
            self.look()  # opened in between, for writing
            self.serial = 0
        assert token.startswith(f"{oxidbm.recover(self.path, token).commit:012d}-")
        with Store(self.path, read_only=True, memory="1MiB") as store:
            self.serial = serial_of(store)
        with Store(self.path, read_only=True, checkpoint=token, memory="1MiB") as store:
            assert serial_of(store) == self.serial
        self.look()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["explicit", "background", "automatic", "going back"])
def test_killed_beside_checkpoints(mode: str, tmp_path: Path) -> None:
    chance = random.Random(mode)
    rounds = Rounds(tmp_path / "store")
    for number in range(soaked(ROUNDS, least=2)):
        rounds.heard(killed("write_for_ever", rounds.path, mode, chance.uniform(0, 0.25)))
        states = rounds.states()
        if mode == "going back" and states and number % 2:
            rounds.go_back(chance.choice(states), chance)
        if rounds.serial > 30_000:  # what is compared grows with it
            rounds = Rounds(tmp_path / f"store {number}")
