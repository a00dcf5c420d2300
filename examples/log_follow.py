"""Following a log: one process writes a log, another one shows what is committed as it comes, and nothing else."""

import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
COMMITS = 50 if SMOKE else 1000
QUIET_SECONDS = 5.0


def follow(path: Path, ready: Any, results: Any) -> None:
    """Follow from the begin on; say how many entries came, whether in order, and how long after their commit."""
    late: list[int] = []
    with oxidbm.Log(path, read_only=True) as log:
        ready.set()
        for _, entry in log.follow(timeout=QUIET_SECONDS):
            if entry == b"end":
                break
            number, committed_ns = map(int, entry.split())
            if number != len(late):
                break
            late.append(time.time_ns() - committed_ns)
    late.sort()
    results.put((len(late), late[len(late) // 2] / 1e6 if late else 0.0))


def main() -> int:
    """Write in this process, follow in another one."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "ticks"
        with oxidbm.Log(path) as log:
            ready, results = context.Event(), context.Queue()
            process = context.Process(target=follow, args=(path, ready, results))
            process.start()
            ready.wait()
            for number in range(COMMITS):
                log.append(f"{number} {time.time_ns()}")
                log.commit()
                time.sleep(0.001)
            log.append("end")
            log.commit()
            count, median = results.get()
            process.join()
        print(f"{count} entries of {COMMITS} followed in another process, in order, {median:.1f} ms after their append")
        return 0 if count == COMMITS else 1


if __name__ == "__main__":
    sys.exit(main())
