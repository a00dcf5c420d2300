"""Batches: money is moved between accounts, both balances at once, and what a killed process leaves still adds up."""

import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
ACCOUNTS = [f"account {number}" for number in range(100)]
EACH = 1000
TRANSFERS = 200 if SMOKE else 20_000


def transfer(store: "oxidbm.Store[str, int]", lock: threading.Lock, draw: random.Random) -> None:
    """Move an amount; the lock keeps two threads from working on the same balance."""
    source, target = draw.sample(ACCOUNTS, 2)
    with lock, store.batch() as batch:
        amount = min(draw.randrange(100), store[source])
        batch[source] = store[source] - amount
        batch[target] = store[target] + amount


def work(store: "oxidbm.Store[str, int]", lock: threading.Lock, seed: int) -> None:
    """Make some transfers."""
    draw = random.Random(seed)
    for _ in range(TRANSFERS // 4):
        transfer(store, lock, draw)


def work_until_killed(path: Path) -> None:
    """Make transfers without end; the interval makes them durable meanwhile."""
    with oxidbm.Store(path, key=str, value=int, interval=0.05) as store:
        lock, draw = threading.Lock(), random.Random(3)
        while True:
            transfer(store, lock, draw)


def main() -> int:
    """Transfer in threads, then in a process that is killed, and add up after each."""
    total = EACH * len(ACCOUNTS)
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "accounts"
        with oxidbm.Store(path, key=str, value=int) as store:
            store.set_many(dict.fromkeys(ACCOUNTS, EACH))
            lock = threading.Lock()
            threads = [threading.Thread(target=work, args=(store, lock, seed)) for seed in range(4)]
            started = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.perf_counter() - started
            sums = [sum(store.values())]
        print(f"{TRANSFERS:,} transfers in 4 threads in {seconds:.2f} s; the accounts add up to {sums[0]:,}")

        process = multiprocessing.get_context("spawn").Process(target=work_until_killed, args=(path,))
        process.start()
        time.sleep(1)
        process.kill()
        process.join()
        with oxidbm.Store(path, key=str, value=int) as store:
            sums.append(sum(store.values()))
            sequence = store.stats()["commit_sequence"]
        print(f"killed in the middle of transfers, after commit {sequence}; the accounts add up to {sums[1]:,}")
        return 0 if sums == [total, total] else 1


if __name__ == "__main__":
    sys.exit(main())
