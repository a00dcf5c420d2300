"""Memoize: what takes long is computed once and found again, by later calls, by threads and tasks, and after a restart.

The work is parsing modules of the standard library. A file's result is kept under its path and the time of its last
change, so a changed file is parsed again.
"""

import ast
import asyncio
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import oxidbm

MODULES = [Path(module.__file__) for module in (ast, asyncio, tempfile) if module.__file__]
THREADS = 8


def ask_all(path: Path) -> tuple[list[dict[str, int]], list[int]]:
    """Ask for every module in several threads and tasks at once; return the answers and how often each function ran."""
    parsed: list[str] = []
    slept: list[int] = []
    with oxidbm.Store(path) as store:

        @store.memoize(name="nodes")
        def nodes(source: str, changed_ns: int) -> dict[str, int]:
            parsed.append(source)
            kinds: dict[str, int] = {}
            for node in ast.walk(ast.parse(Path(source).read_bytes())):
                kinds[type(node).__name__] = kinds.get(type(node).__name__, 0) + 1
            return kinds

        @store.memoize(expire=3600, name="answer")
        async def answer(number: int) -> int:
            slept.append(number)
            await asyncio.sleep(0.05)
            return number * number

        async def ask_together() -> list[int]:
            return await asyncio.gather(*(answer(7) for _ in range(THREADS)))

        calls = [(str(module), module.stat().st_mtime_ns) for module in MODULES] * THREADS
        with ThreadPoolExecutor(THREADS) as pool:
            answers = list(pool.map(nodes, *zip(*calls, strict=True)))
        if asyncio.run(ask_together()) != [49] * THREADS:
            raise RuntimeError("a task got a wrong answer")
    return answers, [len(parsed), len(slept)]


def main() -> int:
    """Ask, reopen the store, ask again."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "cache"
        started = time.perf_counter()
        first, first_runs = ask_all(path)
        between = time.perf_counter()
        second, second_runs = ask_all(path)
        ended = time.perf_counter()
    calls = len(MODULES) * THREADS
    for name, runs, seconds in [("first", first_runs, between - started), ("again", second_runs, ended - between)]:
        print(f"{name}   {calls} calls in {THREADS} threads parsed {runs[0]} files, {seconds * 1e3:.0f} ms")
    for module, kinds in zip(MODULES, first, strict=False):
        print(f"{module.parent.name + '/' + module.name:>24}  {sum(kinds.values()):>6,} nodes")
    return 0 if first == second and first_runs == [len(MODULES), 1] and second_runs == [0, 0] else 1


if __name__ == "__main__":
    sys.exit(main())
