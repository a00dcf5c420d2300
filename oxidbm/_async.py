"""The entries of a log for `async for`: a follower that is awaited instead of a thread that waits in it."""

import asyncio
import time
from types import GenericAlias
from typing import Any

from oxidbm._core.errors import ClosedError


class AsyncEntries:
    """An iterator over the entries of a log for `async for`; made by `Log.aiter`."""

    __module__ = "oxidbm"  # where users find it

    # follower: what `Log.follow` returns, with the same end. look_seconds: the time between two looks at the file,
    # where another process writes it.

    def __init__(self, follower: Any, timeout: float | None, look_seconds: float) -> None:
        self.follower = follower
        self.timeout = timeout
        self.look_seconds = look_seconds

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def __aiter__(self) -> "AsyncEntries":
        return self

    @property
    def overtaken(self) -> int:
        """How many entries were truncated before it came to them."""
        return int(self.follower.overtaken)

    async def __anext__(self) -> Any:
        follower = self.follower
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        while True:
            found = follower.next_now()
            if found is follower:
                raise StopAsyncIteration
            if found is not None:
                return found
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise StopAsyncIteration
            try:
                await self.more(left)
            except (ClosedError, asyncio.TimeoutError):  # noqa: UP041 - another class before Python 3.11
                continue

    async def more(self, left: float | None) -> None:
        """Return when there may be more, or raise what `asyncio.wait_for` does after so many seconds."""
        waiting = self.follower.more()
        if waiting is None:
            await asyncio.sleep(self.look_seconds)
            return
        try:
            await asyncio.wait_for(asyncio.wrap_future(waiting), left)
        finally:
            self.follower.forget()

    async def aclose(self) -> None:
        """End, also for who waits in it."""
        self.follower.close()
