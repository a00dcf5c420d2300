"""The one way from a public store or log to the core's own objects below it, typed with the core's classes.

The stub oxidbm/__init__.pyi hides them on purpose. A test that looks below the public face says so by asking here, and
the cast from the public class to the compiled one stands here alone.
"""

from typing import Any, cast

from oxidbm import Log, Queue, Store
from oxidbm._core.durability.checkpointer import Checkpointer
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.handle import LogHandle
from oxidbm._core.faster_log.keeper import LogKeeper
from oxidbm._core.faster_log.log import Log as CoreLog
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.store.compactor import Compactor
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.maintainers import DiskMaintainer
from oxidbm._core.store.ordered import KeyOrder
from oxidbm._core.store.store import Store as CoreStore
from oxidbm._core.table.compaction import Compaction
from oxidbm._core.table.table import Table


def core_of(store: Store[Any, Any]) -> CoreStore:
    """Return the store as the class that it is, which the stub stands in front of."""
    return cast(CoreStore, store)


def handle_of(store: Store[Any, Any]) -> Handle:
    """Return everything that an open store holds."""
    return core_of(store).handle


def table_of(store: Store[Any, Any]) -> Table:
    """Return the store's table: its index, log and counters."""
    return handle_of(store).table


def log_of(store: Store[Any, Any]) -> HybridLog:
    """Return the store's log."""
    return table_of(store).log


def disk_of(store: Store[Any, Any]) -> DiskMaintainer:
    """Return what commits and compacts a store that has a path or a device."""
    disk = handle_of(store).disk
    assert disk is not None
    return disk


def compactor_of(store: Store[Any, Any]) -> Compactor:
    """Return what compacts a store that has a path or a device."""
    return disk_of(store).compactor


def begin_compaction(store: Store[Any, Any], until: int) -> Compaction:
    """Begin a compaction as the background does; `finish` of the compactor ends it."""
    current = compactor_of(store).compaction = Compaction(table_of(store), until)
    return current


def checkpointer_of(store: Store[Any, Any]) -> Checkpointer:
    """Return what makes a store's checkpoints."""
    return disk_of(store).checkpoints


def order_of(store: Store[Any, Any]) -> KeyOrder:
    """Return the ordered keys of a store opened with ordered=True."""
    order = core_of(store).order
    assert order is not None
    return order


def abandon(store: Store[Any, Any]) -> None:
    """Close a store as a crash would: no commit and no mark of a clean end."""
    handle_of(store).abandon()


def handle_of_log(log: Log[Any]) -> LogHandle:
    """Return everything that an open log holds."""
    return cast(CoreLog, log).handle


def hybrid_log_of(log: Log[Any]) -> HybridLog:
    """Return the hybrid log below a log that stands alone."""
    return handle_of_log(log).log


def commits_of_log(log: Log[Any]) -> EntryCommits:
    """Return the commits of a log that stands alone."""
    return handle_of_log(log).commits


def keeper_of_log(log: Log[Any]) -> LogKeeper:
    """Return what keeps a log that is open to write."""
    keeper = handle_of_log(log).keeper
    assert keeper is not None
    return keeper


def abandon_log(log: Log[Any]) -> None:
    """Close a log as a crash would: no commit and no mark of a clean end."""
    handle_of_log(log).abandon()


def abandon_queue(queue: Queue[Any]) -> None:
    """Close a queue as a crash would, with what is written of its log, and nothing else."""
    queue.log.handle.abandon()
