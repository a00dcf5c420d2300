"""A reader keeps what it reads: compaction moves on, but deletes no file while an older iteration is inside.

An iteration enters the store's epoch when it begins. Compaction copies what is live, moves the log's begin and retires
the files before it; they are deleted when the last reader from before that moment has left.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
KEYS = 1_000 if SMOKE else 50_000
ROUNDS = 3
WAIT_SECONDS = 5.0


def segments(path: Path) -> set[str]:
    """Return the names of the log's files."""
    return {file.name for file in (path / "log").iterdir()}


def main() -> int:
    """Reorganize under an iteration, then end it."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "store"
        with oxidbm.Store(path, memory="4MiB", interval=0.05) as store:
            for number in range(ROUNDS):
                for key in range(KEYS):
                    store[b"key %d" % key] = b"round %d" % number
            store.sync()
            before = segments(path)

            reader = iter(store.items())
            first = next(reader)
            store.reorganize()
            kept = segments(path)
            print(f"reader inside: readers={store.stats()['readers']}, files {sorted(before)} -> {sorted(kept)}")

            seen = dict([first, *reader])  # to its end, so the reader leaves
            store.reorganize()
            deadline = time.monotonic() + WAIT_SECONDS
            while segments(path) & before and time.monotonic() < deadline:
                time.sleep(0.01)
            after = segments(path)
            print(f"reader gone:   readers={store.stats()['readers']}, files {sorted(after)}")

            last = b"round %d" % (ROUNDS - 1)
            whole = len(seen) == KEYS and set(seen.values()) == {last}
            print(f"the reader saw {len(seen):,} of {KEYS:,} keys, each with its last value: {whole}")
            return 0 if whole and before <= kept and not after & before else 1


if __name__ == "__main__":
    sys.exit(main())
