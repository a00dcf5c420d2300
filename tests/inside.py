"""The one way from a public store to the core's own objects below it, typed with the core's classes.

The stub oxidbm/__init__.pyi hides them on purpose. A test that looks below the public face says so by asking here, and
the cast from the public class to the compiled one stands here alone.
"""

from typing import Any, cast

from oxidbm import Store
from oxidbm._core.durability.checkpointer import Checkpointer
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.maintainers import DiskMaintainer
from oxidbm._core.store.ordered import KeyOrder
from oxidbm._core.store.store import Store as CoreStore
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
