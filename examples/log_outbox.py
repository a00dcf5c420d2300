"""An outbox: orders and what is to be sent for them are written down; each is sent exactly once, however often killed.

The shop appends an order to a log. The shipper reads the log by a name, and keeps the address up to which it came in
the same batch of its store as what it made of it: either both are there or none. It takes up to 500 orders at once, so
that a sync of the store serves as many as are there, and none waits for others.
"""

import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
ORDERS = 200 if SMOKE else 2000
KILLS = 2 if SMOKE else 5
QUIET_SECONDS = 1.0
GROUP = 500


def ship(log_path: Path, store_path: Path) -> None:
    """Count what was ordered; what the log's reader says comes again is passed over where the store has it."""
    with (
        oxidbm.Log(log_path, read_only=True) as log,
        oxidbm.Store(store_path, durability="manual") as store,
        log.reader("shipper") as reader,
    ):
        done = int(store.get("done", b"-1"))
        while True:
            orders = list(itertools.islice(reader, GROUP))  # what is there, and nothing that is to be waited for
            if orders:
                with store.batch() as batch:  # the parcels and the place in the log: all of them, or none
                    for address, order in orders:
                        if address > done:
                            batch[b"sent " + order] = str(int(store.get(b"sent " + order, b"0")) + 1)
                    done = max(done, orders[-1][0])
                    batch["done"] = str(done)
                store.sync()
                reader.done(orders[-1][0])
            elif not log.wait(log.tail, timeout=QUIET_SECONDS):
                break


def main() -> int:
    """Order, and kill the shipper again and again."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        log_path, store_path = Path(directory) / "orders", Path(directory) / "sent"
        with oxidbm.Log(log_path) as log:
            for turn in range(KILLS):
                shipper = context.Process(target=ship, args=(log_path, store_path))
                shipper.start()
                for number in range(turn * ORDERS // KILLS, (turn + 1) * ORDERS // KILLS):
                    log.append(f"order {number}")
                    log.commit()
                time.sleep(0.5)
                shipper.kill()
                shipper.join()
            last = context.Process(target=ship, args=(log_path, store_path))
            last.start()
            last.join()
            reader = log.readers()[0]
            print(f"the shipper was killed {KILLS} times and is {reader.lag} orders behind; {log.truncate()} forgotten")
        with oxidbm.Store(store_path, read_only=True) as store:
            sent = [int(value) for key, value in store.items() if key.startswith(b"sent ")]
        print(f"{len(sent)} orders sent, each {set(sent)} times")
        return 0 if sent == [1] * ORDERS and reader.lag == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
