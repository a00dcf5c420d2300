"""stats() of a log: its figures, gathered when asked for; nothing is counted on the path of an append for them."""

from typing import Any

from oxidbm._core.faster_log.handle import LogHandle


def figures(handle: LogHandle) -> dict[str, Any]:
    """Return the figures of a log. Addresses and sizes are in bytes."""
    log = handle.log
    commits = handle.commits
    keeper = handle.keeper
    return {
        "path": handle.life.path or None,
        "entries": int(commits.length()),
        "begin": int(commits.begin),
        "head": int(log.head),
        "flushed": int(log.flushed),
        "tail": int(log.tail),
        "committed": int(commits.durable_tail),
        "committed_begin": int(commits.durable_begin),
        "commit_number": int(commits.durable_sequence),
        "commit_time": int(commits.time_ns) / 1e9,
        "log_bytes": int(log.tail - commits.begin),
        "file_bytes": int(log.device.size()),
        "memory_bytes": int(log.budget.total),
        "memory_budget": int(log.budget.limit),
        "page_bytes": int(log.page_bytes),
        "maintenance_failure": "" if keeper is None else keeper.said_failure(),
        "poisoned": handle.life.poison,
        "read_only_log": handle.options.read_only,
        "durability": handle.options.durability,
        "codec": handle.codec(),
    }
