"""Instructions an operation executes, counted by valgrind's callgrind: `make instructions ARGS='get\\ 100'`.

Counts can be repeated where times cannot, so that two versions of the core can be compared on a noisy machine. Each
operation runs in processes of its own, with few turns and with many; the difference, divided, is free of what starting
costs. A turn is one operation with the loop around it, and `empty` is that loop alone. What is drawn at random, the
hash seeds of Python and of the store, is fixed, so that both versions meet the same collisions. Needs valgrind, and
the optimized core, which make builds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.engines.base import optional_module

if TYPE_CHECKING:
    import oxidbm

PROJECT = Path(__file__).resolve().parent.parent
TOTAL = re.compile(r"^==\d+== Collected : (\d+)", re.MULTILINE)
MEMORY = "64MiB"
VALUES = {size: b"v" * size for size in (8, 100, 1000)}


@dataclass(frozen=True)
class Turns:
    """The two numbers of turns that are subtracted from each other; `few` divides `many`."""

    few: int
    many: int


USUAL = Turns(few=5_000, many=25_000)


@dataclass(frozen=True)
class Task:
    """What one process has to do, so many times. There are as many keys as the longest process takes."""

    store: oxidbm.Store
    path: str
    keys: Sequence[bytes]
    few: int
    turns: int


Operation = Callable[[Task], None]


def fill(task: Task, value: bytes) -> None:
    """Store every key, however many of them the turns take: both processes do the same before they differ."""
    for key in task.keys:
        task.store[key] = value


def empty(task: Task) -> None:
    """Run the loop alone."""
    for _ in task.keys[: task.turns]:
        pass


def getter(value: bytes) -> Operation:
    """Return the gets of values like this one."""

    def get(task: Task) -> None:
        fill(task, value)
        store = task.store
        for key in task.keys[: task.turns]:
            store[key]

    return get


def contains(task: Task) -> None:
    """Look whether keys are there that are."""
    fill(task, VALUES[100])
    store = task.store
    for key in task.keys[: task.turns]:
        _ = key in store


def setter(value: bytes) -> Operation:
    """Return the sets of values like this one, over those that are there."""

    def overwrite(task: Task) -> None:
        fill(task, value)
        store = task.store
        for key in task.keys[: task.turns]:
            store[key] = value

    return overwrite


def session_set(task: Task) -> None:
    """Store values over those that are there, in a session with a name."""
    fill(task, VALUES[100])
    with task.store.session("worker") as session:
        for key in task.keys[: task.turns]:
            session.upsert(key, VALUES[100])


def insert(task: Task) -> None:
    """Store keys that are new."""
    store, value = task.store, VALUES[100]
    for key in task.keys[: task.turns]:
        store[key] = value


def delete(task: Task) -> None:
    """Delete keys that are there."""
    fill(task, VALUES[100])
    store = task.store
    for key in task.keys[: task.turns]:
        del store[key]


def scan(task: Task) -> None:
    """Take items out of an iteration."""
    fill(task, VALUES[100])
    items = iter(task.store.items())
    for _ in task.keys[: task.turns]:
        next(items)


def replay(task: Task) -> None:
    """Open a store of `few` records on disk once for as many turns: each opening replays all of them."""
    store = type(task.store)
    with store(task.path, checkpoints=False) as disk:
        for key in task.keys[: task.few]:
            disk[key] = VALUES[100]
    for _ in range(task.turns // task.few):
        store(task.path, read_only=True).close()


def append(task: Task) -> None:
    """Append entries to a log on disk; they are sealed as well, and written when it is closed."""
    entry = VALUES[100]
    with log_of(task) as log:
        for _ in task.keys[: task.turns]:
            log.append(entry)


def append_many(task: Task) -> None:
    """As `append`, in one call."""
    with log_of(task) as log:
        log.append_many([VALUES[100]] * task.turns)


def scan_log(task: Task) -> None:
    """Take entries out of a scan of a log."""
    with filled_log(task) as log:
        entries = log.scan(uncommitted=True)
        for _ in task.keys[: task.turns]:
            next(entries)


def read_log(task: Task) -> None:
    """Read entries by their addresses."""
    with filled_log(task) as log:
        addresses = [address for address, _ in log.scan(uncommitted=True)]
        for address in addresses[: task.turns]:
            log.read(address)


def log_of(task: Task) -> oxidbm.Log[bytes]:
    """Return a new log on disk."""
    module = optional_module("oxidbm")
    assert module is not None
    made: oxidbm.Log[bytes] = module.Log(task.path, memory=MEMORY)
    return made


def filled_log(task: Task) -> oxidbm.Log[bytes]:
    """Return a log with as many entries as the turns of the longest process, all of them in memory."""
    log = log_of(task)
    log.append_many([VALUES[100]] * len(task.keys))
    return log


OPERATIONS: dict[str, Operation] = {
    "empty": empty,
    **{f"get {size}": getter(value) for size, value in VALUES.items()},
    "in 100": contains,
    **{f"set {size}": setter(value) for size, value in VALUES.items()},
    "session 100": session_set,
    "insert 100": insert,
    "delete 100": delete,
    "scan 100": scan,
    "replay 100": replay,
    "append 100": append,
    "appends 100": append_many,
    "entry 100": read_log,
    "entries 100": scan_log,
}


def perform(name: str, directory: str, turns: Turns, count: int) -> None:
    """Do one operation `count` times, in this process."""
    module = optional_module("oxidbm")
    assert module is not None
    keys = [b"%016d" % number for number in range(turns.many)]
    with module.Store(memory=MEMORY) as store:
        OPERATIONS[name](Task(store, os.path.join(directory, "store"), keys, turns.few, count))


def instructions_of_process(name: str, turns: Turns, count: int) -> int:
    """The instructions of a whole process that does an operation `count` times."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
        command += ["-m", "bench.instructions", "--process", name, directory]
        command += [str(number) for number in (turns.few, turns.many, count)]
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    found = TOTAL.search(done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(f"valgrind counted nothing for {name!r}; its last words:\n{done.stderr[-2000:]}")
    return int(found[1])


def instructions(name: str, turns: Turns) -> float:
    """The instructions of one operation."""
    few, many = (instructions_of_process(name, turns, count) for count in (turns.few, turns.many))
    return (many - few) / (turns.many - turns.few)


def process(name: str, directory: str, few: str, many: str, count: str) -> None:
    """What runs under valgrind; its randomness is fixed first."""
    os.urandom = lambda size: bytes(range(1, size + 1))
    perform(name, directory, Turns(int(few), int(many)), int(count))


def main(arguments: Sequence[str], turns: Turns = USUAL) -> int:
    """Print a line for each operation named, or for all; the exit status."""
    if arguments and arguments[0] == "--process":
        process(*arguments[1:])
        return 0
    unknown = [name for name in arguments if name not in OPERATIONS]
    if unknown:
        print(f"no operation is called {', '.join(unknown)}: there are {', '.join(OPERATIONS)}", file=sys.stderr)
        return 2
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: it counts the instructions", file=sys.stderr)
        return 2
    for name in arguments or OPERATIONS:
        print(f"{name:12} {instructions(name, turns):10,.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
