"""Instructions an operation executes, counted by valgrind's callgrind: `make instructions ARGS='get\\ 100'`.

Counts are repeatable where times are not, so two versions of the core can be compared on a noisy machine. Each
operation runs in a process of its own, once with few and once with many turns; the difference, divided, is free of what
starting costs. A turn is one call from Python with the loop around it; `empty` is that loop alone. The hash seed is
fixed, so both versions meet the same collisions. Needs valgrind and the optimized core, which make builds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FEW = 5_000
MANY = 25_000
TOTAL = re.compile(r"^==\d+== Collected : (\d+)", re.MULTILINE)
SMALL = b"v" * 8
MIDDLE = b"v" * 100
LONG = b"v" * 1000

Operation = Callable[[object, list[bytes], int], None]


def keys_of(turns: int) -> list[bytes]:
    """Return as many different 16-byte keys."""
    return [b"%016d" % number for number in range(turns)]


def empty(store: object, keys: list[bytes], turns: int) -> None:
    """Run the loop alone."""
    for _ in keys[:turns]:
        pass


def getter(value: bytes) -> Operation:
    """Return a loop of gets of values like this one, over all keys."""

    def get(store: object, keys: list[bytes], turns: int) -> None:
        for key in keys:
            store[key] = value  # type: ignore[index]
        for key in keys[:turns]:
            store[key]  # type: ignore[index]

    return get


def setter(value: bytes) -> Operation:
    """Return a loop of overwriting sets."""

    def overwrite(store: object, keys: list[bytes], turns: int) -> None:
        for key in keys:
            store[key] = value  # type: ignore[index]
        for key in keys[:turns]:
            store[key] = value  # type: ignore[index]

    return overwrite


def insert(store: object, keys: list[bytes], turns: int) -> None:
    """Store keys that are new."""
    for key in keys[:turns]:
        store[key] = MIDDLE  # type: ignore[index]


def delete(store: object, keys: list[bytes], turns: int) -> None:
    """Delete keys that are there."""
    for key in keys:
        store[key] = MIDDLE  # type: ignore[index]
    for key in keys[:turns]:
        del store[key]  # type: ignore[attr-defined]


def scan(store: object, keys: list[bytes], turns: int) -> None:
    """Visit records in an iteration of the items."""
    for key in keys:
        store[key] = MIDDLE  # type: ignore[index]
    iterator = iter(store.items())  # type: ignore[attr-defined]
    for _ in keys[:turns]:
        next(iterator)


def replay(store: object, keys: list[bytes], turns: int) -> None:
    """Replay a log of `turns` records; the store is one on disk, closed as by a crash and opened again."""
    import oxidbm

    path = os.environ["OXIDBM_INSTRUCTIONS_PATH"]
    shutil.rmtree(path, ignore_errors=True)
    with oxidbm.Store(path) as disk:
        for key in keys:
            disk[key] = MIDDLE
    for _ in range(turns // FEW):
        oxidbm.Store(path, read_only=True).close()


OPERATIONS: dict[str, Operation] = {
    "empty": empty,
    "get 8": getter(SMALL),
    "get 100": getter(MIDDLE),
    "get 1000": getter(LONG),
    "set 8": setter(SMALL),
    "set 100": setter(MIDDLE),
    "set 1000": setter(LONG),
    "insert 100": insert,
    "delete": delete,
    "scan 100": scan,
    "replay 100": replay,
}


def run(name: str, turns: int) -> None:
    """Do one operation so often, in this process."""
    os.urandom = lambda size: bytes(range(1, size + 1))  # every store gets this seed
    import oxidbm

    keys = keys_of(FEW if name == "replay 100" else MANY)
    with oxidbm.Store(memory="64MiB") as store:
        OPERATIONS[name](store, keys, turns)


def count(name: str, turns: int, directory: str) -> int:
    """Return the instructions of a whole process that does an operation so often."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
    command += ["-m", "bench.instructions", "--run", name, str(turns)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OXIDBM_INSTRUCTIONS_PATH": os.path.join(directory, "store")}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    found = TOTAL.search(done.stderr)
    if found is None:
        raise SystemExit(f"valgrind counted nothing for {name!r}; its last words:\n{done.stderr[-2000:]}")
    return int(found[1])


def main(arguments: list[str]) -> None:
    """Print a line for each operation named, or for all."""
    import tempfile

    if arguments[:1] == ["--run"]:
        run(arguments[1], int(arguments[2]))
        return
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed; it counts the instructions")
    unknown = set(arguments) - OPERATIONS.keys()
    if unknown:
        raise SystemExit(f"no operation {', '.join(sorted(unknown))}; there are {', '.join(OPERATIONS)}")
    with tempfile.TemporaryDirectory() as directory:
        for name in arguments or OPERATIONS:
            few, many = count(name, FEW, directory), count(name, MANY, directory)
            print(f"{name:12} {(many - few) / (MANY - FEW):10.1f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
