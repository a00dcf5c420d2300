"""A cache on disk: values that expire, one caller that gets the job, a limit of requests, and a limit of size."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import oxidbm

REQUESTS_A_MINUTE = 3
PAGE_BYTES = 10_000


class Clock:
    """A clock that goes when it is told to, so that nothing here has to wait."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def main() -> int:
    """Show each in turn."""
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        cache: oxidbm.Store[str, Any] = oxidbm.Store(
            Path(directory) / "cache", key=str, value="objects", size_limit="2MiB", clock=clock
        )
        cache.set("session/7", {"user": "ann", "language": "de"}, expire=1800)
        print(f"session    {cache['session/7']}, {cache.ttl('session/7'):.0f} s left")
        clock.now += 1801
        gone = "session/7" not in cache
        print(f"           half an hour later: {cache.get('session/7', 'gone')}")

        workers = [name for name in ("one", "two", "three") if cache.add("job/report", name, expire=60)]
        print(f"job        goes to {workers}: add() stores only where there is nothing")

        allowed = [cache.incr("requests/ann", expire=60) <= REQUESTS_A_MINUTE for _ in range(5)]
        print(f"requests   {allowed}")
        clock.now += 61
        again = cache.incr("requests/ann", expire=60)
        print(f"           a minute later the count is {again}")

        for number in range(1000):
            cache[f"page/{number}"] = b"x" * PAGE_BYTES
        figures = cache.stats()
        left = [number for number in range(1000) if f"page/{number}" in cache]
        print(
            f"size       {figures['live_bytes'] / 2**20:.2f} of {figures['size_limit'] / 2**20:.0f} MiB: "
            f"{len(left)} pages are left, {left[0]} to {left[-1]}"
        )
        cache.close()
    right = gone and workers == ["one"] and allowed == [True, True, True, False, False] and again == 1
    return 0 if right and figures["live_bytes"] <= figures["size_limit"] and left[-1] == 999 else 1


if __name__ == "__main__":
    sys.exit(main())
