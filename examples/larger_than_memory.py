"""More data than memory: the one number `memory=` is the budget, the rest lives on disk and is read from there."""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
MEMORY = (1 if SMOKE else 16) << 20
VALUE_BYTES = 1000
RECORDS = 8 * MEMORY // (VALUE_BYTES + 40)
READS = 2_000 if SMOKE else 100_000


def value_of(number: int) -> bytes:
    """Return the value that the key of a number has to have."""
    return number.to_bytes(8, "little") * (VALUE_BYTES // 8)


def main() -> int:
    """Write eight times the budget, then read at random and check each value."""
    with (
        tempfile.TemporaryDirectory(prefix="oxidbm-") as directory,
        oxidbm.Store(Path(directory) / "large", memory=MEMORY) as store,
    ):
        started = time.perf_counter()
        for number in range(RECORDS):
            store[b"key %08d" % number] = value_of(number)
        store.sync()
        print(f"wrote    {RECORDS:,} records of {VALUE_BYTES} bytes in {time.perf_counter() - started:.2f} s")

        figures = store.stats()
        newest = (figures["tail"] - figures["head"]) / 2**20
        print(f"log      {figures['log_bytes'] / 2**20:.1f} MiB, of which the newest {newest:.1f} are in memory")
        print(f"memory   {figures['memory_bytes'] / 2**20:.1f} MiB of a budget of {MEMORY / 2**20:.0f}")

        choose = random.Random(1)
        wrong = 0
        started = time.perf_counter()
        for _ in range(READS):
            number = choose.randrange(RECORDS)
            wrong += store[b"key %08d" % number] != value_of(number)
        seconds = time.perf_counter() - started
        print(f"read     {READS:,} at random in {seconds:.2f} s from files the system caches, {wrong} were wrong")
        return 0 if wrong == 0 and len(store) == RECORDS and figures["memory_bytes"] <= MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
