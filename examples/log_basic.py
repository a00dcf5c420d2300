"""A log: sensors are written down by several threads, the process is killed, and what was committed is read again."""

import multiprocessing
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
READINGS = 1_000 if SMOKE else 100_000
SENSORS = 4
COMMITTED = 3


def measure(log: "oxidbm.Log[bytes]", sensor: int) -> None:
    """Append what one sensor reads; a log needs no lock."""
    for number in range(READINGS // SENSORS):
        log.append(f"sensor {sensor} reads {number}")


def write_until_killed(path: Path) -> None:
    """Commit a few entries, each commit with a cookie that says how far it came, then append without a commit."""
    with oxidbm.Log(path) as log:
        for day in range(1, COMMITTED + 1):
            log.append(f"end of day {day}")
            log.commit(cookie=f"day {day}")
        while True:
            log.append("never committed")
            time.sleep(0.001)


def main() -> int:
    """Append in threads, then in a process that is killed, and see what is there after each."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "readings"
        with oxidbm.Log(path) as log:
            threads = [threading.Thread(target=measure, args=(log, sensor)) for sensor in range(SENSORS)]
            started = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            number = log.commit()
            seconds = time.perf_counter() - started
            behind = log.tail
            print(f"{len(log):,} entries of {SENSORS} threads in {seconds:.2f} s, durable with commit {number}")
            orders = [[entry for _, entry in log if entry.startswith(b"sensor %d " % one)] for one in range(SENSORS)]
        ordered = all([int(entry.split()[-1]) for entry in one] == list(range(len(one))) for one in orders)
        print(f"the entries of each thread are in their order: {ordered}")

        process = multiprocessing.get_context("spawn").Process(target=write_until_killed, args=(path,))
        process.start()
        while True:  # another process reads what was committed, and does not disturb
            with oxidbm.Log(path, read_only=True) as reader:
                if reader.cookie == f"day {COMMITTED}".encode():
                    break
            time.sleep(0.01)
        time.sleep(0.1)
        process.kill()
        process.join()

        with oxidbm.Log(path) as log:
            left = [entry.decode() for _, entry in log.scan(behind)]
            print(f"killed, after which the log says {log.cookie.decode()!r} and ends with {left}")
            gone = log.truncate(behind)
            log.commit()
            print(f"{gone:,} entries truncated, {len(log)} left")
            right = left == [f"end of day {day}" for day in range(1, COMMITTED + 1)] and len(log) == len(left)
        return 0 if right and ordered else 1


if __name__ == "__main__":
    sys.exit(main())
