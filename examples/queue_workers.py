"""A durable work queue: threads that work, one that fails, and items that a crash gives back."""

import contextlib
import sys
import tempfile
import threading
from pathlib import Path

import oxidbm


def work(queue: oxidbm.Queue[int], done: list[int], failed: list[int]) -> None:
    """Take items until the queue is shut down; each block acknowledges, or gives back by an exception."""
    for message in queue.messages():
        with contextlib.suppress(RuntimeError), message as number:
            if number % 10 == 0 and message.attempts == 1:
                failed.append(number)
                raise RuntimeError("it works the second time")
            done.append(number)


def main() -> int:
    """Put numbers, let a crash happen, and have four threads do what is left."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "work"
        with oxidbm.Queue(path, codec=int) as queue:
            queue.put_many(range(100))
            for _ in range(5):
                queue.get()
                queue.ack()
            queue.get()  # in flight, and never acknowledged: whoever opens the queue next gets it again
        done: list[int] = []
        failed: list[int] = []
        with oxidbm.Queue(path, codec=int, redeliver_after=60) as queue:
            print(f"{len(queue)} items are left")
            threads = [threading.Thread(target=work, args=(queue, done, failed)) for _ in range(4)]
            for thread in threads:
                thread.start()
            queue.join()
            queue.shutdown()
            for thread in threads:
                thread.join()
            left = queue.stats()["log_bytes"]
        print(f"{len(done)} done, {len(failed)} of them at the second attempt, and {left} bytes are left in the log")
        return 0 if sorted(done) == list(range(5, 100)) and len(failed) == 9 else 1


if __name__ == "__main__":
    sys.exit(main())
