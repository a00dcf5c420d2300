"""What the tests of queues share."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oxidbm import Queue


def drain(queue: Queue[Any]) -> list[Any]:
    """Take and acknowledge all that waits."""
    items = []
    for message in queue.messages(timeout=0):
        with message as item:
            items.append(item)
    return items


def flip(path: Path, text: bytes) -> None:
    """Flip a bit in the last of the log's bytes that are these."""
    for file in sorted((path / "log").iterdir(), reverse=True):
        data = bytearray(file.read_bytes())
        at = data.rfind(text)
        if at >= 0:
            data[at + len(text) - 1] ^= 1
            file.write_bytes(data)
            return
    raise AssertionError(text)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def waits_in(queue: Queue[Any], call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Have a thread make a call, and return it once it waits, with the list that gets the result, or what it raised."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as failure:
            results.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    lines = (queue.exchange.takers, queue.exchange.putters, queue.exchange.joiners)
    while not any(lines):
        time.sleep(0.001)
    return thread, results


class Picky:
    """A codec of str that cannot read one of them."""

    name = "picky"

    def encode(self, value: str) -> bytes:
        """Return the bytes of a str."""
        return value.encode()

    def decode(self, data: bytes) -> str:
        """Return the str, unless it is that one."""
        if data == b"bad":
            raise ValueError("not to be read")
        return data.decode()
