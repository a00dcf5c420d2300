"""stats(): an open store's figures, gathered when asked for; nothing is counted on the hot path for them."""

from typing import Any

from oxidbm._core.store.opening import Handle
from oxidbm._core.store.ordered import KeyOrder


def statistics(handle: Handle, order: KeyOrder | None) -> dict[str, Any]:
    """Return the figures of a store. Addresses and sizes are in bytes; keys are exact but for `unverified` ones."""
    e = handle.e
    log = e.log
    index = e.index
    disk = handle.disk
    limit = handle.limit
    order_bytes = 0
    if order is not None:
        order.catch_up()
        order_bytes = int(order.size_bytes())
    return {
        "path": e.path or None,
        "keys": int(e.count),
        "unverified": int(e.pending_count()),
        "begin": int(log.begin),
        "head": int(log.head),
        "flushed": int(log.flushed),
        "read_only": int(log.read_only),
        "tail": int(log.tail),
        "durable_tail": int(e.durable_tail),
        "commit_sequence": int(e.commit_sequence),
        "durable_sequence": int(e.durable_sequence),
        "log_bytes": int(log.tail - log.begin),
        "live_bytes": int(e.live_bytes),
        "dead_bytes": int(e.dead_bytes()),
        "file_bytes": int(log.device.size()),
        "memory_bytes": int(e.memory_bytes()) + order_bytes,
        "memory_budget": int(log.memory),
        "frame_bytes": int(log.frames.frame_bytes),
        "index_bytes": int(index.size_bytes()),
        "order_bytes": order_bytes,
        "index_buckets": int(index.buckets()),
        "index_entries": int(index.entries),
        "overflow_buckets": int(index.overflow_in_use),
        "page_bytes": int(log.page_bytes),
        "readers": int(e.epoch.readers()),
        "compactions": int(disk.compactions) if disk is not None else 0,
        "evicted_keys": int(limit.evicted_keys) if limit is not None else 0,
        "size_limit": int(handle.options.size_limit),
        "maintenance_failure": disk.failure if disk is not None else "",
        "poisoned": e.poison,
        "read_only_store": handle.options.read_only,
        "durability": handle.options.durability,
        "key_codec": e.key_coder.name if handle.superblock is None else handle.superblock.key_codec,
        "value_codec": e.value_coder.name if handle.superblock is None else handle.superblock.value_codec,
    }
