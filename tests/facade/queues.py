"""What the tests of queues share."""

from typing import Any

from oxidbm import Queue


def drain(queue: Queue[Any]) -> list[Any]:
    """Take and acknowledge all that waits."""
    items = []
    for message in queue.messages(timeout=0):
        with message as item:
            items.append(item)
    return items
