"""Sharing: stores that one process opens at one path, each with the same options, have one handle between them.

A notebook's cell that is run twice, a web framework that imports a module twice, a traceback that keeps a store: none
of them is a second writer, since all of them are this process. A handle counts who holds it; the last one to close
closes it. Two that want different things are refused, with what differs.

1. Only what has a lock of its own is shared: not what was opened to read only, with a device, or with lock=False.
2. `Handle.holders` is counted where no other thread can run in between: a handle that is being closed by its last
   holder has none, and nobody joins it.
"""

import os
import time
from typing import Final

from oxidbm._core.coder import CALLED, Coder
from oxidbm._core.device.directory import LOCK
from oxidbm._core.device.directory_lock import NOTE_BYTES_MAX
from oxidbm._core.device.lock_file import HELD
from oxidbm._core.errors import BusyError, LockedError, error
from oxidbm._core.exits import HANDLES
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.life import CLOSED, FORKED, Life
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.opening import open_path
from oxidbm._core.store.options import Options

WAIT_SECONDS: Final = 10.0  # for a thread of this process that has the store's lock and is about to open or close it
PAUSE_SECONDS: Final = 0.002

SAME: Final = (  # options besides the codecs that stores have to share, since they are the handle's
    "memory",
    "durability",
    "interval",
    "ordered",
    "eviction_policy",
    "size_limit",
    "count_reads",
    "clock",
    "compaction",
    "compaction_rate",
    "checkpoints",
    "mapped",
    "read_cache",
)

Identity = tuple[int, int]


def open_or_join(path: str, options: Options) -> Handle:
    """Open or make the store at `path`, or hold with others what this process has open there."""
    if options.read_only or options.device is not None or not options.lock:
        return open_path(path, options)
    waited_to = -1.0
    while True:
        found = held_at(path)
        if found is not None:
            refuse_other(found.options, options, path)
            if found.holders > 0:  # nothing has run since it was found
                found.holders += 1
                return found
        try:
            return open_path(path, options)
        except LockedError:
            if not is_held(path):
                raise
            now = time.monotonic()
            if waited_to < 0:
                waited_to = now + WAIT_SECONDS
            if now > waited_to:
                raise
        time.sleep(PAUSE_SECONDS)


def identity_at(path: str) -> Identity:
    """Return what tells the lock's file of the store at a path from all others; (-1, -1) where there is none."""
    try:
        status = os.stat(os.path.join(path, LOCK))
    except OSError:
        return -1, -1
    return status.st_dev, status.st_ino


def is_held(path: str) -> bool:
    """Return whether this process has the lock of the store at a path, or had it last, or nobody says who has it."""
    identity = identity_at(path)
    if any(other.held and other.identity == identity for other in list(HELD.values())):
        return True
    try:
        with open(os.path.join(path, LOCK), "rb") as file:
            note = file.read(NOTE_BYTES_MAX)
    except OSError:
        return False
    return not note or f'"pid": {os.getpid()},'.encode() in note


def held_at(path: str) -> Handle | None:
    """Return the handle that this process has at a path, which somebody holds; None where there is none."""
    identity = identity_at(path)
    for found in list(HANDLES.values()):
        if isinstance(found, Handle) and found.holders > 0 and found.lock is not None and found.life.alive():
            if found.lock.file.held and found.lock.file.identity == identity:
                return found
    return None


def refuse_other(known: Options, wanted: Options, path: str) -> None:
    """Raise LockedError where a store is open with other options than it is asked for, and say which."""
    name = difference(known, wanted)
    if name:
        raise LockedError(
            f"{path} is open for writing in this very process (process {os.getpid()}), with another {name}=: open it "
            f"with the same one to share it, use the one that has it open, from as many threads as you like, or close "
            "that one first; read_only=True reads the last commit beside it"
        )


def difference(known: Options, wanted: Options) -> str:
    """Return the name of an option that is not the same; "" where all that matter to an open store are."""
    if not same_coder(known.coders.key, wanted.coders.key):
        return "key"
    if not same_coder(known.coders.value, wanted.coders.value):
        return "value"
    for name in SAME:
        if getattr(known, name) != getattr(wanted, name):
            return name
    return ""


def same_coder(known: Coder, wanted: Coder) -> bool:
    """Return whether two coders write and read alike, and give objects of the same classes."""
    if known.kind != wanted.kind or known.name != wanted.name:
        return False
    if known.kind != CALLED:
        return True
    from oxidbm import _codec_types

    return _codec_types.alike(known.codec, wanted.codec)


def make_durable(handle: Handle) -> error | None:
    """Commit what was written, for who leaves others with a handle; return why that failed, where it is the store's.

    BusyError, and what a signal's handler raises, come out of it: whoever was to leave has not, then.
    """
    if not handle.life.can_write():
        return None
    try:
        handle.commits.commit()
    except BusyError:
        raise
    except error as failure:
        if came_from_handler(failure):
            raise
        return failure
    return None


def life_behind(handle: Handle) -> Life:
    """Return the life of a store that was closed, while others go on with its handle."""
    life = Life(handle.life.path)
    life.state = FORKED if handle.life.state == FORKED else CLOSED
    return life
