"""The thread that does for the tasks of a queue what may take its time; imported where there are tasks."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Helper:
    """The thread that does for the tasks of one queue what may take its time."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="oxidbm-queue")

    async def run(self, function: Callable[[], object], otherwise: Callable[[], object] | None = None) -> None:
        """Have the thread call a function, or call the other one here where the task is cancelled before it could."""
        future = self.executor.submit(function)
        try:
            await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancel() and otherwise is not None:
                otherwise()
            raise

    def stop(self) -> None:
        """End the thread, once it has done what it was given."""
        self.executor.shutdown(wait=False)
