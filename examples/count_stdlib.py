"""Count every identifier of the running interpreter's own standard library in a store on disk.

Each occurrence is one read-modify-write of a session. Then the store is closed and opened again, and every count is
checked against collections.Counter. OXIDBM_SMOKE=1 takes a few files only. The exit code is 1 when a count is wrong.
"""

import keyword
import os
import re
import shutil
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
SMOKE_BYTES = 200_000
KEYWORDS = frozenset(word.encode() for word in keyword.kwlist)
ONE = (1).to_bytes(8, "little")

# Strings, comments and numbers match first, so that no name is found inside them.
TOKEN = re.compile(
    rb'''(?:\b[rRbBfFuUtT]{1,2})?(?:"""(?:[^\\]|\\.)*?"""|\'\'\'(?:[^\\]|\\.)*?\'\'\'|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')'''
    rb"""|\#[^\n]*|\.?\d[\w.]*|([A-Za-z_\x80-\xff][\w\x80-\xff]*)""",
    re.DOTALL,
)


def add_one(old: bytes) -> bytes:
    """Return the count behind `old`, eight little-endian bytes, plus one."""
    return (int.from_bytes(old, "little") + 1).to_bytes(8, "little")


def library_files() -> list[Path]:
    """Return the standard library's sources: all, or some of the smaller ones in smoke mode."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [
        path
        for path in sorted(root.rglob("*.py"))
        if not {"site-packages", "dist-packages"}.intersection(path.relative_to(root).parts)
    ]
    if SMOKE:
        total = 0
        some: list[Path] = []
        for path in files[:: max(1, len(files) // 50)]:
            total += path.stat().st_size
            if total <= SMOKE_BYTES:
                some.append(path)
        return some
    return files


def identifiers(source: bytes) -> list[bytes]:
    """Return every identifier of a source in order, keywords left out."""
    return [name for name in TOKEN.findall(source) if name and name not in KEYWORDS]


def progress(files: list[Path]) -> Iterator[Path]:
    """Yield the files; show a bar and the time left where the output is a terminal."""
    if not sys.stdout.isatty():
        yield from files
        return
    sizes = [max(1, path.stat().st_size) for path in files]
    total = sum(sizes)
    done = 0
    started = drawn = time.monotonic()
    try:
        for number, (path, size) in enumerate(zip(files, sizes, strict=True), 1):
            yield path
            done += size
            now = time.monotonic()
            if now - drawn >= 0.05 or number == len(files):
                drawn = now
                left = (now - started) * (total - done) / done
                text = f" {done * 100 // total:3}%  {number:,} of {len(files):,} files, {left:.0f} s left"
                width = max(10, min(40, shutil.get_terminal_size().columns - len(text) - 3))
                full = width * done // total
                print(f"\r\033[K[{'#' * full}{'.' * (width - full)}]{text}", end="", flush=True)
    finally:
        print("\r\033[K", end="", flush=True)


def count(path: Path, files: list[Path]) -> tuple[Counter[bytes], float]:
    """Count into a store at `path`; return what Counter says of the same names, and the seconds inside the store."""
    expected: Counter[bytes] = Counter()
    seconds = 0.0
    with oxidbm.Store(path) as store, store.session("count") as session:
        for file in progress(files):
            names = identifiers(file.read_bytes())
            rmw = session.rmw
            started = time.perf_counter()
            for name in names:
                rmw(name, add_one, ONE)
            seconds += time.perf_counter() - started
            expected.update(names)
        started = time.perf_counter()
        session.commit()
        seconds += time.perf_counter() - started
    return expected, seconds


def main() -> int:
    """Count, reopen, check, report."""
    files = library_files()
    if not files:
        print("this interpreter has no standard library in source form; there is nothing to count")
        return 1
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"counting the identifiers of Python {version}'s standard library, {len(files):,} files, {megabytes:.1f} MB")
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "identifiers"
        expected, seconds = count(path, files)
        with oxidbm.Store(path) as store:
            wrong = [name for name, number in expected.items() if store.get(name) != number.to_bytes(8, "little")]
            if wrong or len(store) != len(expected):
                print(f"{len(wrong)} counts are wrong; {len(store)} keys are stored, {len(expected)} were counted")
                return 1
            counts = ((int.from_bytes(value, "little"), name) for name, value in store.items())
            top = sorted(counts, reverse=True)[:20]
            memory = store.stats()["memory_bytes"]
        on_disk = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    operations = expected.total()
    print("closed, reopened, and every count is the one that collections.Counter has\n")
    longest = len(str(top[0][0])) + 4
    for number, name in top:
        print(f"{number:>{longest},}  {name.decode(errors='replace')}")
    print()
    print(f"identifiers            {len(expected):>11,}")
    print(f"operations             {operations:>11,}")
    print(f"operations per second  {operations / seconds:>11,.0f}  session.rmw with a Python function, commit included")
    print(f"memory of the store    {memory / 2**20:>11.1f} MiB")
    print(f"size of its files      {on_disk / 2**20:>11.1f} MiB")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
