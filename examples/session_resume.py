"""Count every identifier of the standard library in a process that is killed again and again, and come out exact.

The counts are those of count_stdlib.py, one read-modify-write of a named session for each identifier. A process counts
from where its session is, and is killed by SIGKILL in the middle: nothing is flushed, no handler runs, and what the
last commit did not cover is lost. The next process opens the session by its name: `serial` says how many identifiers
are in the store, to the last one, so it goes on with the next. In the end every count is compared with those of a run
that was never interrupted. OXIDBM_SMOKE=1 takes a few files only. The exit code is 1 when a count is wrong.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from count_stdlib import ONE, SMOKE, add_one, count, identifiers, library_files

import oxidbm

KILLS = 5
COMMIT_EACH = 200 if SMOKE else 50_000  # operations: up to so many are done again after each kill


def all_identifiers() -> Iterator[bytes]:
    """Yield the identifiers of all files, the same ones in the same order each time: the input of the ingest."""
    for file in library_files():
        yield from identifiers(file.read_bytes())


def resume(path: str, end: int) -> None:
    """Count from where the session is; be killed at an identifier, unless there are no more before that."""
    with oxidbm.Store(path, durability="manual") as store, store.session("count") as session:
        print(f"goes on behind {session.serial:,}", flush=True)
        for name in islice(all_identifiers(), session.serial, None):
            if session.serial == end:
                os.kill(os.getpid(), signal.SIGKILL)
            session.rmw(name, add_one, ONE)
            if session.serial % COMMIT_EACH == 0:
                session.commit()


def run(path: Path, end: int) -> bool:
    """Count in a process of its own; return whether it came to the end of the input."""
    process = subprocess.run([sys.executable, __file__, str(path), str(end)], check=False)
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"the counting process ended with status {process.returncode}")
    return process.returncode == 0


def main() -> int:
    """Count without interruption, count with, and compare."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        whole, resumed = Path(directory) / "whole", Path(directory) / "resumed"
        expected, _ = count(whole, library_files())
        total = expected.total()
        print(f"{total:,} identifiers were counted without interruption")
        for end in sorted(random.sample(range(1, total), KILLS)):
            run(resumed, end)
            print(f"killed behind {end:,}")
        if not run(resumed, total):
            print("the last process did not come to the end")
            return 1
        with oxidbm.Store(whole, read_only=True) as one, oxidbm.Store(resumed, read_only=True) as other:
            wrong = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
            serial = other.session("count").serial
    print(f"killed {KILLS} times, {serial:,} identifiers were counted; {len(wrong)} of {len(expected):,} counts differ")
    return 1 if wrong or serial != total else 0


if __name__ == "__main__":
    if len(sys.argv) == 3:
        resume(sys.argv[1], int(sys.argv[2]))
    else:
        sys.exit(main())
