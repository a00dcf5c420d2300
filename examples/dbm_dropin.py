"""A program written for dbm, run on oxidbm: once by its import, once without touching the program."""

import dbm
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
WORDS = 1_000 if SMOKE else 100_000


def program(module: Any, path: Path) -> int:
    """Count words in a database of `module`, which is all that the program knows of it."""
    with module.open(path, "n") as db:
        for i in range(WORDS):
            word = f"word {i % 1000}"
            db[word] = str(int(db.get(word.encode(), b"0")) + 1)
    with module.open(path, "r") as db:
        try:
            db["word 1"] = "0"
        except module.error as failure:
            print(f"open to read: {type(failure).__name__}")
        return sum(int(db[key]) for key in db.keys())  # noqa: SIM118 - as programs for dbm have it


def main() -> int:
    """Run the program twice, and see that both counted everything."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        first = program(oxidbm, Path(directory) / "imported")
        with oxidbm.dbm.install():
            second = program(dbm, Path(directory) / "installed")
            kind = dbm.whichdb(Path(directory) / "installed")
        print(f"import oxidbm as dbm: {first} words; oxidbm.dbm.install(): {second} words, made by {kind}")
    return 0 if first == second == WORDS and kind == "oxidbm" else 1


if __name__ == "__main__":
    sys.exit(main())
