"""A store without its mapping: how it is opened, committed, looked into, reorganized and closed.

`Store` adds the mapping. Each method checks that the store is open and calls one thing below.
"""

import os
import warnings
from collections.abc import Callable
from types import GenericAlias
from typing import Any, Final, cast

from mypy_extensions import i64, mypyc_attr

from oxidbm import _breath
from oxidbm._core.arguments import as_flag, shown
from oxidbm._core.coder import KEYS, VALUES, Coders, coder_for
from oxidbm._core.cookies import to_cookie
from oxidbm._core.durability.check import check
from oxidbm._core.durability.checkpoint import Checkpoint
from oxidbm._core.durability.checkpoint_check import check_checkpoints
from oxidbm._core.durability.checkpointer import Checkpointer
from oxidbm._core.durability.compression import checked_level
from oxidbm._core.durability.source import Recovery
from oxidbm._core.errors import ClosedError, RecoveryWarning
from oxidbm._core.finalizers import finish
from oxidbm._core.life import COMMITTED, Life
from oxidbm._core.logbook import WARNING, tell
from oxidbm._core.seconds import checked_every, to_time
from oxidbm._core.sizes import parse_size
from oxidbm._core.store.arguments import to_key, to_name, to_token
from oxidbm._core.store.batch import Batch
from oxidbm._core.store.handle import Handle, checkpoints_of
from oxidbm._core.store.history import KeyHistory
from oxidbm._core.store.opening import open_memory
from oxidbm._core.store.options import STORED, Options
from oxidbm._core.store.ordered import KeyOrder
from oxidbm._core.store.over_budget import OverBudget
from oxidbm._core.store.reopening import attach_follower
from oxidbm._core.store.session import (
    Session,
    SessionInfo,
    forget_session,
    forget_sessions,
    known_sessions,
    open_session,
)
from oxidbm._core.store.sharing import life_behind, make_durable, open_or_join
from oxidbm._core.store.statistics import statistics
from oxidbm._core.table.extent import to_extent
from oxidbm._core.table.iterate import LogScan
from oxidbm._core.table.table import Table

SPLIT_SLICE: Final = 64


def checked_follow(follow: object, read_only: bool, checkpoint: str | None) -> float:
    """Return how often a reader looks for a newer commit; ValueError where it cannot."""
    seconds = checked_every("follow", follow)
    if not read_only:
        raise ValueError("follow= is for stores opened with read_only=True; one that is open to write is at its newest")
    if checkpoint is not None:
        raise ValueError("a checkpoint that is opened stays as it is; leave follow= out, or checkpoint=")
    return seconds


def checked_clock(clock: Any) -> Callable[[], float]:
    """Return a clock as it is; TypeError or ValueError for what cannot be called, or tells no time."""
    if not callable(clock):
        raise TypeError(f"clock is a function that returns seconds, not {shown(clock)}")
    read: Callable[[], object] = clock
    to_time(read())
    return cast(Callable[[], float], clock)


def order_of(handle: Handle) -> KeyOrder:
    """Return the ordered view of a handle, made for the first store that has it."""
    if handle.order is None:
        handle.order = KeyOrder(handle)
    return cast(KeyOrder, handle.order)


def opened(path: object, options: Options, flagged: bool) -> Handle:
    """Open a store, in memory where it has no path; ValueError for options that are none of such a one."""
    if path is not None:
        if options.evict:
            raise ValueError("evict=True is for stores without a path; a store on disk keeps everything")
        return open_or_join(made_way(os.fsdecode(os.fspath(cast(Any, path))), options), options)
    if flagged:
        raise ValueError("a store without a path is always new, so flag= makes no sense")
    if options.read_only:
        raise ValueError("a store without a path is always new, so read_only=True makes no sense")
    return open_memory(options)


def made_way(path: str, options: Options) -> str:
    """Return where the store is to be opened: behind a link, where one that was there is to be replaced."""
    if not options.replace:
        return path
    from oxidbm import _remove

    return _remove.make_way(path, _remove.A_STORE, lock=options.lock)


def faults_of(handle: Handle) -> list[str]:
    """Return every fault found in an open store, as sentences."""
    recovery = handle.recovery_word if handle.options.read_only else None
    faults = check(handle.commits)
    try:
        return faults + check_checkpoints(handle.commits, handle.files, recovery)
    except ClosedError:
        handle.life.check_open()  # which says it of the store, and not of one of its directories
        raise


def say_at_opening(handle: Handle) -> None:
    """Issue the warnings of what was passed over, and of an index that is larger than the memory budget."""
    if handle.recovery.faults:
        tell(WARNING, "; ".join(handle.recovery.faults))
        warnings.warn("; ".join(handle.recovery.faults), RecoveryWarning, stacklevel=1)
    over_budget = OverBudget(handle.table) if handle.disk is None else handle.disk.over_budget
    over_budget.say(0)


@mypyc_attr(allow_interpreted_subclasses=True)
class StoreBase:
    """Documented in oxidbm/__init__.pyi, with Store."""

    # a default of the class is there even when __init__ failed or never ran, as the finalizer must expect
    owned: Handle | None = None
    holds: bool = False  # it is one of the handle's holders

    def __init__(
        self,
        path: object = None,
        *,
        memory: object = "256MiB",
        durability: object = "interval",
        read_only: object = False,
        page_size: object = "4MiB",
        evict: object = False,
        interval: object = 1.0,
        compaction: object = True,
        compaction_rate: object = None,
        mapped: object = None,
        read_cache: object = None,
        mode: object = 0o666,
        create: object = True,
        lock: object = True,
        device: object = None,
        clock: object = None,
        key: object = None,
        value: object = None,
        ordered: object = False,
        size_limit: object = None,
        eviction_policy: object = STORED,
        count_reads: object = False,
        checkpoints: object = True,
        checkpoint: object = None,
        follow: object = None,
        flag: object = None,
    ) -> None:
        if self.owned is not None:
            raise RuntimeError("a store is opened once, and its __init__ was called again; make another object")
        options = Options(parse_size("memory", memory), parse_size("page_size", page_size), durability, interval)
        options.open_as(read_only, mode, create, lock, device)
        options.flagged(flag)
        options.work_as(evict, compaction, checkpoints, mapped, ordered)
        options.compact_as(compaction_rate)
        options.cache_as(read_cache)
        options.checkpoint = to_token("checkpoint", checkpoint)
        options.coders = Coders(coder_for(KEYS, key), coder_for(VALUES, value))
        options.evict_as(size_limit, eviction_policy, count_reads)
        if clock is not None:
            options.clock = checked_clock(clock)
        if options.checkpoint is not None and not options.read_only:
            raise ValueError("a checkpoint is opened with read_only=True; oxidbm.recover() goes back to one")
        if follow is not None:
            options.follow = checked_follow(follow, options.read_only, options.checkpoint)
        handle = opened(path, options, flag is not None)
        self.handle: Handle = handle
        self.life: Life = handle.life
        self.owned = handle
        self.holds = True
        handle.belong()
        self.table: Table = handle.table
        self.coders: Coders = handle.coders
        self.typed: bool = handle.coders.typed
        self.typed_or_noted: bool = self.typed or handle.table.reads is not None
        self.always: bool = options.durability == "always" and path is not None
        if self.always and not options.read_only:
            self.life.writable = COMMITTED
        self.pop_position: i64 = 0
        self.memoized: dict[tuple[str, bytes], Any] = {}  # of memoize: where the functions of these names come from
        self.order: KeyOrder | None = None
        if options.ordered:
            self.order = order_of(handle)
        if options.read_only:
            attach_follower(handle)
        if handle.directory is not None:
            say_at_opening(handle)
        handle.handed = True

    def __enter__(self) -> "StoreBase":  # noqa: PYI034
        self.life.check_open()
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()

    def __del__(self) -> None:
        owned = self.owned
        if owned is not None and self.life is owned.life:  # else it was closed, and others go on with the handle
            finish(owned, self.drop)

    def __reduce__(self) -> Any:
        from oxidbm import _pickling

        return _pickling.reduced(self)

    def __copy__(self) -> Any:
        raise TypeError(
            "a store cannot be copied, since two objects would be one open directory; copy() is a dict of its items, "
            "and read_only=True opens its path once more"
        )

    def __deepcopy__(self, memo: object) -> Any:
        return self.__copy__()

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def check_writable(self) -> None:
        """Raise where nothing can be written."""
        self.life.check_writable()

    @property
    def path(self) -> str | None:
        """The store's directory; None for one in memory."""
        return self.life.path or None

    @property
    def key_codec(self) -> str:
        """The name of the codec of the keys, "bytes" for none."""
        return self.handle.key_codec()

    @property
    def value_codec(self) -> str:
        """The name of the codec of the values, "bytes" for none."""
        return self.handle.value_codec()

    @property
    def ordered(self) -> bool:
        """Whether the store was opened with ordered=True."""
        return self.order is not None

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return not self.life.alive()

    @property
    def read_only(self) -> bool:
        """Whether the store was opened read-only."""
        return self.handle.options.read_only

    def session(self, name: object = None) -> Session:
        """Return a session; one with a name goes on from its last durable serial number."""
        self.life.check_open()
        return open_session(self.handle, name, self.always, self)

    def sessions(self) -> list[SessionInfo]:
        """Return what is known of each session that has a name."""
        self.life.check_open()
        return known_sessions(self.handle)

    def forget_session(self, name: object) -> bool:
        """Know a session no more; False where it is not known."""
        self.check_writable()
        found = forget_session(self.handle, name)
        if self.always:
            self.handle.commits.commit()
        return found

    def forget_sessions(self, *, unused_for: object) -> list[str]:
        """Know no more the sessions that were not used for so many seconds; return their names."""
        self.check_writable()
        names = forget_sessions(self.handle, unused_for)
        if self.always:
            self.handle.commits.commit()
        return names

    def batch(self) -> Batch:
        """Return a batch: writes that become visible and durable together, or not at all."""
        self.check_writable()
        return Batch(self.handle, self.always, self)

    @property
    def recovery(self) -> Recovery:
        """What the opening found and did."""
        return self.handle.recovery

    def checkpoint(
        self,
        kind: str = "fold-over",
        name: str | None = None,
        wait: bool = True,
        *,
        cookie: object = None,
        level: object = None,
    ) -> Checkpoint:
        """Make a checkpoint; with wait=False return one that is being made."""
        self.check_writable()
        checkpoints = self.checkpointer()
        made = checkpoints.request(kind, to_name(name), to_cookie(cookie, "checkpoint"), checked_level(level))
        disk = self.handle.disk
        if wait:
            try:
                checkpoints.finish()
            except BaseException as failure:  # a signal handler's, which came between two steps
                checkpoints.cancel(made, failure)
                if disk is not None:
                    disk.call()  # what may be left of it is the background's again
                raise
            return made.result()
        if disk is not None:
            disk.call()
        return made

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that there are, the oldest first."""
        self.life.check_open()
        follower = self.handle.follower
        if follower is None:
            return checkpoints_of(self.handle)
        with follower.lock:
            return checkpoints_of(self.handle)

    def purge(self, *, keep: int | None = None, token: object = None) -> list[str]:
        """Remove a checkpoint, or all but the newest ones that were asked for; return their tokens."""
        self.check_writable()
        return self.checkpointer().purge(keep, to_token("token", token))

    def checkpointer(self) -> Checkpointer:
        """Return what makes checkpoints; ValueError for a store in memory."""
        disk = self.handle.disk
        if disk is None:
            raise ValueError("a store in memory has no checkpoints; give it a path")
        return disk.checkpoints

    def sync(self) -> None:
        """Return when everything written so far is durable."""
        self.check_writable()
        self.handle.commits.commit()

    def refresh(self) -> bool:
        """Move a store that is open to read only to the newest commit; False where it is there already."""
        self.life.check_open()
        follower = self.handle.follower
        if follower is not None:
            return follower.refresh()
        if self.handle.options.checkpoint is not None:
            raise ValueError(
                "a checkpoint that is opened stays as it is; open the store without checkpoint= to move on"
            )
        return False

    def close(self) -> None:
        """Commit and close; a second time does nothing."""
        self.let_go(True)

    def drop(self) -> None:
        """Close it for its finalizer, which may come in the middle of a commit: others who hold the handle commit."""
        self.let_go(False)

    def let_go(self, durably: bool) -> None:
        """Close the handle, where no other store of this process holds it; else make durable what was written.

        Its hold is given back once, whoever else is in here: other threads, and a signal's handler.
        """
        handle = self.handle
        if self.life is not handle.life:
            return  # it has let go
        if self.holds and handle.holders > 1 and handle.life.alive():
            gone = life_behind(handle)  # before the rest, since making a lock lets handlers run
            failure = make_durable(handle) if durably else None
            if self.part_from(handle, gone):
                if failure is not None:
                    raise failure
                return
            if self.life is not handle.life:
                return  # another thread, or a handler, has done it meanwhile
        if self.holds:
            self.holds = False
            handle.holders -= 1
        try:
            handle.close()
        except BaseException:
            if handle.life.alive() and handle.holders == 0:  # nobody has closed it, and it can be closed again
                handle.holders = 1
                self.holds = True
            raise

    def part_from(self, handle: Handle, gone: Life) -> bool:
        """Be closed, while others go on with the handle; False where none does, or it is. Nothing runs in between."""
        if not self.holds or handle.holders <= 1:
            return False
        self.holds = False
        handle.holders -= 1
        self.life = gone
        return True

    def check(self) -> list[str]:
        """Return every fault found in the store, as sentences."""
        self.life.check_open()
        handle = self.handle
        if handle.follower is None:
            return faults_of(handle)
        with handle.follower.lock:  # it moves to no newer commit meanwhile
            return faults_of(handle)

    def stats(self, *, reset: object = False) -> dict[str, Any]:
        """Return figures about the store, and with `reset` count lookups from 0 on; see docs."""
        self.life.check_open()
        again = as_flag("reset", reset)
        follower = self.handle.follower
        if follower is None:
            return statistics(self.handle, self.order, again)
        with follower.lock:
            return statistics(self.handle, self.order, again)

    def scan(self, start: int | None = None, stop: int | None = None, *, live: bool = True) -> LogScan:
        """Return an iterator over the records of a range of log addresses."""
        self.life.check_open()
        log = self.table.log
        first = int(log.begin) if start is None else max(start, int(log.begin))
        last = int(log.tail) if stop is None else min(stop, int(log.tail))
        return LogScan(self.table, first, last, live, self)

    def history(self, key: object, *, scan: bool = False) -> KeyHistory:
        """Return an iterator over a key's versions, newest first; see docs."""
        self.life.check_open()
        return KeyHistory(self.handle, to_key(self.handle, key), scan, self)

    def backup(self, to: object, *, link: bool = False, progress: Callable[[int, int], None] | None = None) -> Any:
        """Copy the store as of a commit that is made now to another directory; return a report."""
        self.life.check_open()
        handle = self.handle
        if handle.directory is None or handle.superblock is None:
            raise ValueError(
                "a store in memory has no files to copy; put its items into one that has, Store(path).update(store), "
                "or dump them with oxidbm.dump"
            )
        from oxidbm import _store_backup

        backup = _store_backup.StoreBackup(handle.commits, handle.directory, handle.superblock, cast(Any, to))
        if handle.follower is None:
            return backup.make(link, progress)
        with handle.follower.lock:
            return backup.make(link, progress)

    def grow_index(self) -> None:
        """Double the number of the index's buckets, in slices."""
        self.check_writable()
        index = self.table.index
        wanted = index.buckets() * 2
        while index.buckets() < wanted:
            left: i64 = SPLIT_SLICE
            before = index.buckets()
            while left > 0 and index.buckets() < wanted:
                index.split_one()
                left -= 1
            if index.buckets() == before:
                return
            _breath.breathe()

    def compact(
        self, dead: object = 0.1, *, max_bytes: object = None, timeout: object = None, rate: object = None
    ) -> int:
        """Give back space that holds no live record, segment by segment; return how many bytes; see docs."""
        extent = to_extent(dead, max_bytes, timeout, rate)
        self.check_writable()
        return int(self.table.maintainer.compact(extent))

    def reorganize(self) -> None:
        """Give back all space that holds no live record; returns when the files have shrunk."""
        self.check_writable()
        self.table.maintainer.compact_all()
