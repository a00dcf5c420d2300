"""The thread that does for the tasks of a queue what may take its time; imported where there are tasks.

An executor would do as well, but makes a future with a lock of its own for each call, and chains it to the loop's: a
durable put took 156 microseconds with one, and takes 139 so, where one without a loop takes 105.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from oxidbm._core.queue.waiting import Helping


class Job:
    """A call that a task waits for; it is begun by the thread, or given up by the task, whichever comes first."""

    __slots__ = ("function", "future", "left", "loop")

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.left = [True]

    def claim(self) -> bool:
        """Return whether it was neither begun nor given up; once, whoever asks."""
        try:
            return self.left.pop()
        except IndexError:
            return False

    def run(self) -> None:
        """Make the call, and tell the task, unless its loop was closed meanwhile."""
        failure: BaseException | None = None
        try:
            self.function()
        except BaseException as raised:
            failure = raised
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.finish, failure)

    def finish(self, failure: BaseException | None) -> None:
        """Be done, in the loop."""
        if self.future.done():
            return
        if failure is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(failure)


class Jobs:
    """What the thread is to do; it knows no Helper, which ends it when nobody holds that."""

    def __init__(self) -> None:
        self.line: SimpleQueue[Job | None] = SimpleQueue()
        self.over = False  # no thread comes for what is put there from now on

    def work(self) -> None:
        """Do one job after the other, until there is none to come."""
        while (job := self.line.get()) is not None:
            if job.claim():
                job.run()
            del job
        self.over = True
        self.do_rest()

    def put(self, job: Job) -> None:
        """Have a job be done; by the caller where the thread has ended, which this or that one finds out."""
        self.line.put(job)
        if self.over:
            self.do_rest()

    def do_rest(self) -> None:
        """Do what came when the thread was to end: that finds the queue closed, and its task is told so."""
        while True:
            try:
                job = self.line.get_nowait()
            except Empty:
                return
            if job is not None and job.claim():
                job.run()


class Helper(Helping):
    """The thread that does for the tasks of one queue what may take its time."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs = Jobs()
        self.stopped = False
        self.thread = threading.Thread(target=self.jobs.work, name="oxidbm-queue", daemon=True)
        self.thread.start()

    async def run(self, function: Callable[[], object], otherwise: Callable[[], object] | None = None) -> None:
        """Have the thread call a function, or call the other one here where the task is cancelled before it could."""
        job = Job(function)
        self.jobs.put(job)
        try:
            await job.future
        except asyncio.CancelledError:
            if job.claim() and otherwise is not None:
                otherwise()
            raise

    def stop(self) -> None:
        """End the thread, once it has done what it was given."""
        self.stopped = True
        self.jobs.line.put(None)

    def __del__(self) -> None:
        self.stop()
