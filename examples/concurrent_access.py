"""Many threads, one store: each thread has a session, all count in the same keys, and no update is lost."""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
THREADS = 4
KEYS = 10
ROUNDS = 500 if SMOKE else 50_000


def add_one(old: bytes) -> bytes:
    """Return the decimal number behind `old`, plus one."""
    return b"%d" % (int(old) + 1)


def work(store: oxidbm.Store, number: int) -> None:
    """Add one to each key in turn, ROUNDS times; leaving the block commits."""
    with store.session(f"thread {number}") as session:
        for i in range(ROUNDS):
            session.rmw(b"counter %d" % (i % KEYS), add_one, initial=b"1")


def main() -> int:
    """Count with all threads, and add up."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "counters"
        with oxidbm.Store(path) as store:
            threads = [threading.Thread(target=work, args=(store, number)) for number in range(THREADS)]
            started = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.perf_counter() - started
        with oxidbm.Store(path, read_only=True) as store:
            total = sum(int(value) for value in store.values())
    increments = THREADS * ROUNDS
    print(f"{THREADS} threads, {increments:,} increments in {seconds:.2f} s; the {KEYS} counters add up to {total:,}")
    return 0 if total == increments else 1


if __name__ == "__main__":
    sys.exit(main())
