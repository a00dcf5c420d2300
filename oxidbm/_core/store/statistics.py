"""stats(): an open store's figures, gathered when asked for; nothing is counted on the hot path for them."""

from typing import Any

from mypy_extensions import i64

from oxidbm._core.budget import INDEX, ORDER, READ_CACHE
from oxidbm._core.durability.checkpoint import Checkpoint
from oxidbm._core.store.handle import Handle, checkpoints_of
from oxidbm._core.store.ordered import KeyOrder


def statistics(handle: Handle, order: KeyOrder | None, reset: bool) -> dict[str, Any]:
    """Return the figures of a store. Addresses and sizes are in bytes; keys are exact but for `unverified` ones.

    reset: hits and misses are counted from 0 on.
    """
    table = handle.table
    log = table.log
    index = table.index
    budget = log.budget
    cache = table.read_cache
    commits = handle.commits
    disk = handle.disk
    checkpoints = checkpoints_of(handle)
    if order is not None:
        order.catch_up()
    reads = table.reads
    marks = table.marks()
    hits, misses = reads.taken(reset) if reads is not None and handle.options.count_reads else (None, None)
    return {
        "path": handle.life.path or None,
        "keys": int(table.count),
        "unverified": int(table.pending.count()),
        "begin": int(log.begin),
        "head": int(log.head),
        "flushed": int(log.flushed),
        "read_only": int(log.read_only),
        "tail": int(log.tail),
        "durable_tail": int(commits.durable_tail),
        "commit_sequence": int(commits.sequence),
        "durable_sequence": int(commits.durable_sequence),
        "log_bytes": int(log.tail - log.begin),
        "live_bytes": int(table.live_bytes),
        "dead_bytes": int(table.dead_bytes()),
        "file_bytes": int(log.device.size()),
        "memory_bytes": int(budget.total),
        "memory_budget": int(budget.limit),
        "frame_bytes": int(budget.frame_bytes()),
        "index_bytes": int(budget.held[INDEX]),
        "order_bytes": int(budget.held[ORDER]),
        "read_cache_bytes": int(budget.held[READ_CACHE]),
        "read_cache_records": 0 if cache is None else int(cache.copies),
        "read_cache_hits": 0 if cache is None else int(cache.hits),
        "read_cache_misses": 0 if cache is None else int(cache.misses),
        "index_buckets": int(index.buckets()),
        "index_entries": int(index.entries),
        "overflow_buckets": int(index.overflow_in_use),
        "page_bytes": int(log.page_bytes),
        "readers": int(log.epoch.readers()) + len(handle.table.walks),
        "compactions": int(handle.counters.compactions),
        "sessions": len(commits.serials.known),
        "checkpoints": len(checkpoints),
        "checkpoint_bytes": 0 if handle.files is None else handle.files.size(),
        "held_bytes": held_bytes(handle, checkpoints),
        "checkpoint_running": disk is not None and disk.checkpoints.making(),
        "checkpoint_failure": disk.checkpoints.failure if disk is not None else "",
        "evicted_keys": int(handle.counters.evicted_keys),
        "eviction_policy": handle.options.eviction_policy,
        "second_chances": 0 if marks is None else int(marks.chances),
        "hits": hits,
        "misses": misses,
        "size_limit": int(handle.options.size_limit),
        "maintenance_failure": maintenance_failure(handle),
        "poisoned": handle.life.poison,
        "read_only_store": handle.options.read_only,
        "durability": handle.options.durability,
        "key_codec": handle.key_codec(),
        "value_codec": handle.value_codec(),
    }


def held_bytes(handle: Handle, checkpoints: list[Checkpoint]) -> int:
    """Return the bytes of files that hold what is before the log's begin, where checkpoints need that."""
    log = handle.table.log
    lowest: i64 = log.begin
    for made in checkpoints:
        lowest = min(lowest, i64(made.begin))
    if lowest == log.begin:
        return 0
    return int(max(log.device.size() - (log.device.end() - log.begin), i64(0)))


def maintenance_failure(handle: Handle) -> str:
    """Return what has ended the background thread, or what it could not do the last time; "" for nothing."""
    disk = handle.disk
    if disk is not None:
        return disk.worker.failure or disk.failure or disk.compactor.failure
    follower = handle.follower
    return "" if follower is None else follower.worker.failure or follower.failure
