"""What every test may need: which mode the core runs in, sizes that suit it, and whether the build is current."""

import contextlib
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from oxidbm import Checkpoint, EvictionPolicy, Store, _pure
from oxidbm._core.budget import INDEX
from oxidbm._core.device.device import Device
from oxidbm._core.log.room import Room
from tests.inside import log_of, table_of

ROOT = Path(__file__).resolve().parent.parent
PURE = not _pure.compiled()
PURE_DIVISOR = 20  # an operation costs 15 to 120 times as much on the sources
REBUILD = "rebuild it with `make build` (quick, not optimized) or run the tests with `make test`"

Durability = Literal["manual", "interval", "always"]


class Small(TypedDict):
    """Options of a store that has to leave its memory soon."""

    memory: str
    page_size: int


class Manual(Small):
    """The same, of a store whose commits are asked for."""

    durability: Durability


class Quiet(Manual):
    """The same, of a store in which nothing happens in the background."""

    compaction: bool


class Options(TypedDict, total=False):
    """Options that a test's own function hands on to the store."""

    memory: int | str
    page_size: int | str
    durability: Durability
    compaction: bool
    read_only: bool
    create: bool
    evict: bool
    ordered: bool


class MoreOptions(Options, total=False):
    """As Options, with those that only few hand on."""

    interval: float
    size_limit: int | str
    eviction_policy: EvictionPolicy
    count_reads: bool
    clock: Callable[[], float]
    read_cache: bool | int | str | None
    checkpoints: bool
    compaction_rate: int | str
    checkpoint: str | Checkpoint | None
    device: Device


Free = Callable[[int], None]  # the fixture `free`: have every disk say that so many bytes of it are free


def scaled(count: int, least: int = 1) -> int:
    """Return `count` where the core is compiled; a twentieth of it, but never under `least`, in pure mode."""
    return max(least, count // PURE_DIVISOR) if PURE else count


def soaked(count: int, least: int = 1) -> int:
    """Return `scaled`, as many times as OXIDBM_SOAK says: how often what depends on chance is tried."""
    return scaled(count, least) * int(os.environ.get("OXIDBM_SOAK", "1"))


def one_in(compiled: int, pure: int) -> int:
    """Return one of how many states of a long row is looked at: all where OXIDBM_SOAK asks for more than usual."""
    if PURE:
        return pure
    return 1 if soaked(1) > 1 else compiled


def leave_memory(store: Store[Any, Any], size: int) -> None:
    """Leave a store `size` bytes of memory beside its index."""
    budget = log_of(store).budget
    budget.limit = budget.held[INDEX] + size


def make_room(store: Store[Any, Any]) -> None:
    """Flush, so that the next page may have a frame."""
    table_of(store).maintainer.make_room(Room(1, []))


def shrink(store: Store[Any, Any], pages: int) -> None:
    """Leave a store memory for a few pages, and let one record or batch take half of it."""
    size = pages * store.stats()["page_bytes"]
    leave_memory(store, size)
    table_of(store).value_limit = size // 2


def run(*functions: Callable[[], None], seconds: float | None = None) -> None:
    """Run functions side by side until all are done, and raise what one of them raised.

    `seconds` is how long each may still take once those before it are done; then the test fails and leaves it behind.
    """
    failures: list[BaseException] = []

    def guarded(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(function,), daemon=seconds is not None) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive(), "a thread waits for ever"
    if failures:
        raise failures[0]


@contextlib.contextmanager
def started(arguments: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that finds this oxidbm; a test that fails leaves none behind, and waits for none."""
    here = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    options.setdefault("env", {**os.environ, "PYTHONPATH": here})
    with subprocess.Popen(arguments, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Where the stack is used up: a finalizer of somebody else's garbage, run there by chance, fails for want of it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def module_of(core: Path, path: Path, suffix: str) -> str:
    """Return a module's place below the directory `core`, with slashes and without its suffix."""
    return path.relative_to(core).as_posix().removesuffix(suffix)


def build_fault(core: Path) -> str | None:
    """Say why the compiled modules in the directory `core` are not those of its sources; None when they are.

    A module's library must be no older than its source, and the group's library than all of them.
    """
    suffix = EXTENSION_SUFFIXES[0]
    sources = {module_of(core, path, ".py"): path for path in core.rglob("*.py") if path.stem != "__init__"}
    libraries = {module_of(core, path, suffix): path for path in core.rglob(f"*{suffix}")}
    groups = [libraries.pop(name) for name in list(libraries) if name.endswith("__mypyc")]
    if not sources and not libraries:
        return None
    if not groups:
        return f"the core is not compiled for this Python ({suffix}): {REBUILD}, or set OXIDBM_PURE=1"
    for name in sorted(sources.keys() | libraries.keys()):
        if name not in libraries:
            return f"{name}.py was never compiled: {REBUILD}"
        if name not in sources:
            return f"{name}{suffix} has lost its source: {REBUILD}"
        built = min(path.stat().st_mtime_ns for path in [libraries[name], *groups])
        if built < sources[name].stat().st_mtime_ns:
            return f"the compiled core is older than {name}.py: {REBUILD}"
    return None


def pending_is_known(store: Store[Any, Any]) -> bool:
    """Return whether a store's opening found out what was pending: by all of the log there is, without an image."""
    used = [found for found in store.checkpoints() if found.token == store.recovery.checkpoint]
    if not used:
        return True
    metadata = cast(Any, used[0]).metadata  # of a snapshot that has a part of the log the image is always read
    return used[0].end <= store.stats()["begin"] and not metadata.has_copy()


def run_snippet(code: str, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run what a document shows, in a directory, by an interpreter of its own with these options."""
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
