"""A writer and a reader in two processes: the reader follows, and each state that it sees is that of one commit.

The writer moves money between accounts, in batches, and commits now and then. Whenever the reader looks, the sum is the
same, and the number of transfers has not gone back.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
ACCOUNTS = 50
EACH = 1000
TRANSFERS = 500 if SMOKE else 20_000
WAIT_SECONDS = 60.0


def write(path: str) -> None:
    """Move money about."""
    with oxidbm.Store(path, key=str, value=int, interval=0.01) as store:
        for number in range(1, TRANSFERS + 1):
            source, target = f"account {number % ACCOUNTS}", f"account {number * 7 % ACCOUNTS}"
            with store.batch() as batch:
                batch[source] = store[source] - 1
                batch[target] = (store[target] if target != source else store[source] - 1) + 1
                batch["transfers"] = number


def main() -> int:
    """Open the accounts, start the writer, and follow it."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "accounts"
        with oxidbm.Store(path, key=str, value=int) as store:
            store.update({f"account {number}": EACH for number in range(ACCOUNTS)})
            store["transfers"] = 0

        with (
            oxidbm.Store(path, key=str, value=int, read_only=True) as reader,
            subprocess.Popen([sys.executable, __file__, str(path)]) as writer,
        ):
            states, last, right = 0, -1, True
            deadline = time.monotonic() + WAIT_SECONDS
            while last < TRANSFERS and right and time.monotonic() < deadline:
                reader.refresh()
                seen = dict(reader.items())
                done = seen.pop("transfers")
                right = sum(seen.values()) == ACCOUNTS * EACH and done >= last
                states += done > last
                last = done
            writer.wait()
            print(f"{last:,} transfers seen, in {states:,} states; the sum was right in each of them: {right}")
            return 0 if right and last == TRANSFERS and writer.returncode == 0 else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(sys.argv[1])
    else:
        sys.exit(main())
