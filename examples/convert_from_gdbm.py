"""Bring a dbm database into a store: gdbm where this Python has it, else dbm.dumb. OXIDBM_SMOKE=1 makes it small."""

import dbm.dumb
import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import oxidbm
from oxidbm.convert import Kind, convert

ITEMS = 2_000 if os.environ.get("OXIDBM_SMOKE") else 100_000


def choose() -> tuple[Kind, Any]:
    """Return what to convert from, and the module that makes one."""
    try:
        return "gdbm", import_module("dbm.gnu")
    except ImportError:
        return "dumb", dbm.dumb


def main() -> None:
    """Make an old database, convert it twice, compare."""
    kind, module = choose()
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        old = Path(directory) / "people.db"
        new = Path(directory) / "people"
        with module.open(str(old), "n") as database:
            for number in range(ITEMS):
                database[b"person:%06d" % number] = b"name %d" % number
        before = {path.name: path.read_bytes() for path in Path(directory).iterdir()}

        start = time.perf_counter()
        count = convert(kind, old, new)
        print(f"{count:,} items from {kind} in {time.perf_counter() - start:.2f} s")

        convert(kind, old, new)  # once more, as after an interruption: the same items, nothing twice
        with oxidbm.Store(new, read_only=True) as store, module.open(str(old), "r") as database:
            if len(store) != ITEMS or any(store[key] != database[key] for key in database.keys()):  # noqa: SIM118
                sys.exit("wrong: the store does not hold what the database holds")
            print("person:000042 is", store["person:000042"].decode())

        if any((Path(directory) / name).read_bytes() != data for name, data in before.items()):
            sys.exit("wrong: converting changed its source")


if __name__ == "__main__":
    main()
