"""Several writers: each process appends to a log of its own, and one process collects them in a central log.

Where the collector stands in each log is the cookie of the central log's commits, so it is durable with the entries
that came from there, or neither is: each is collected exactly once, however often the collector is killed. What it has
collected it says as a named reader, too, so that the writers can forget it.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
WRITERS = 2 if SMOKE else 4
ENTRIES = 200 if SMOKE else 5000
KILLS = 1 if SMOKE else 5
QUIET_SECONDS = 0.3 if SMOKE else 1.0


def write(path: Path) -> None:
    """Append to the log of this process, and forget what was collected."""
    with oxidbm.Log(path) as log:
        log.add_reader("collector")  # from now on nothing is forgotten that it has not done
        for number in range(ENTRIES):
            log.append(f"{path.name} {number}")
            if number % 20 == 0:
                log.commit()
                log.truncate()
                time.sleep(0.005)


def collect(writers: Path, to: Path) -> None:
    """Append what all have written to the central log, until nothing has come for a while."""
    central = oxidbm.Log(to)
    with ExitStack() as opened:
        opened.callback(central.close, commit=False)  # no entry without the cookie that counts it
        behind = json.loads(central.cookie or b"{}")  # the address behind what was collected of each log
        sources: dict[str, tuple[oxidbm.Log[bytes], oxidbm.LogReader[bytes]]] = {}
        last_seconds = time.monotonic()
        while time.monotonic() - last_seconds < QUIET_SECONDS:
            for path in writers.iterdir():
                if path.name not in sources:
                    try:
                        log = opened.enter_context(oxidbm.Log(path, read_only=True))
                    except oxidbm.MissingError:  # its writer is just making it
                        continue
                    sources[path.name] = log, opened.enter_context(log.reader("collector"))
            newest: dict[str, int] = {}
            for name, (log, _) in sources.items():
                log.refresh()
                for address, entry in log.scan(behind.get(name)):
                    central.append(entry)
                    newest[name] = address
                behind[name] = log.committed
            if not newest:
                time.sleep(0.01)
                continue
            central.commit(cookie=json.dumps(behind))
            for name, address in newest.items():
                sources[name][1].done(address)
            last_seconds = time.monotonic()


def main() -> int:
    """Let processes write, and kill the collector again and again."""
    context: Any = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        writers, to = Path(directory) / "writers", Path(directory) / "all"
        writers.mkdir()
        names = [f"writer-{number}" for number in range(WRITERS)]
        processes = [context.Process(target=write, args=(writers / name,)) for name in names]
        for process in processes:
            process.start()
        for _ in range(KILLS):
            collector = context.Process(target=collect, args=(writers, to))
            collector.start()
            collector.join(0.4)
            collector.kill()
            collector.join()
        for process in processes:
            process.join()
        collect(writers, to)
        with oxidbm.Log(to, read_only=True) as log:
            found = [entry.decode() for _, entry in log]
        in_order = all(
            [entry for entry in found if entry.startswith(f"{name} ")]
            == [f"{name} {number}" for number in range(ENTRIES)]
            for name in names
        )
        print(f"{len(found)} entries of {WRITERS} processes in one log; the collector was killed {KILLS} times")
        print("each once, and those of a process in order:", in_order)
        return 0 if in_order and len(found) == WRITERS * ENTRIES else 1


if __name__ == "__main__":
    sys.exit(main())
