"""Store.memoize: one run for calls that come together, in threads and in asyncio, and none that waits for itself."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import oxidbm
from oxidbm import _memoize
from tests.support import ROOT, no_collection

THREADS = 16
WAIT = 30.0


@pytest.fixture
def store() -> Iterator[oxidbm.Store]:
    with oxidbm.Store(memory="4MiB") as store:
        yield store


def until(condition: Callable[[], object]) -> None:
    """Return when the condition holds; fail where it does not within the time."""
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_threads_that_ask_together_run_the_function_once(store: oxidbm.Store) -> None:
    barrier = threading.Barrier(THREADS)
    release = threading.Event()
    calls = []

    @store.memoize()
    def slow(x: int) -> list[int]:
        calls.append(x)
        assert release.wait(WAIT)
        return [x]

    def ask() -> list[int]:
        barrier.wait(WAIT)
        return slow(7)

    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(ask) for _ in range(THREADS)]
        until(lambda: calls)
        time.sleep(0.05)  # enough for some to wait; those that come later find the result
        release.set()
        results = [future.result(WAIT) for future in futures]
    assert results == [[7]] * THREADS
    assert calls == [7]
    assert len({id(result) for result in results}) == THREADS  # nobody shares a list that another may change


def test_other_keys_do_not_wait(store: oxidbm.Store) -> None:
    both = threading.Barrier(2)

    @store.memoize()
    def meet(x: int) -> int:
        both.wait(WAIT)
        return x

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(meet, [1, 2])) == [1, 2]


def test_the_leader_gets_the_exception_and_the_others_try_one_after_the_other(store: oxidbm.Store) -> None:
    barrier = threading.Barrier(THREADS)
    lock = threading.Lock()
    calls: list[int] = []

    @store.memoize()
    def fail(x: int) -> int:
        assert lock.acquire(blocking=False)
        try:
            calls.append(x)
            time.sleep(0.001)
            if len(calls) < 5:
                raise OSError(f"attempt {len(calls)}")
            return x
        finally:
            lock.release()

    def ask() -> str:
        barrier.wait(WAIT)
        try:
            return str(fail(1))
        except OSError as failure:
            return str(failure)

    with ThreadPoolExecutor(THREADS) as pool:
        results = sorted(future.result(WAIT) for future in [pool.submit(ask) for _ in range(THREADS)])
    assert results == ["1"] * (THREADS - 4) + ["attempt 1", "attempt 2", "attempt 3", "attempt 4"]
    assert len(calls) == 5


def test_a_result_that_came_between_the_look_and_the_flight_is_taken(store: oxidbm.Store) -> None:
    calls = []

    class Late:
        """A codec whose first reading takes so long that another thread's call begins and ends meanwhile."""

        name = "late"
        first = True

        def encode(self, value: int, /) -> bytes:
            return str(value).encode()

        def decode(self, data: bytes, /) -> int:
            if self.first:
                self.first = False
                with ThreadPoolExecutor(1) as pool:
                    assert pool.submit(double, 2).result(WAIT) == 4
            return int(data)

    @store.memoize(codec=Late())
    def double(x: int) -> int:
        calls.append(x)
        return 2 * x

    store[double.cache_key(2)] = b"not a number"
    assert double(2) == 4
    assert calls == [2]


def test_a_flight_is_freed(store: oxidbm.Store) -> None:
    @store.memoize()
    def f(x: int) -> int:
        if x < 0:
            raise ValueError(x)
        return x

    wrapper: Any = f
    for x in (1, -1):
        try:
            f(x)
        except ValueError:
            assert x < 0
    cells = dict(zip(wrapper.__code__.co_freevars, wrapper.__closure__, strict=True))
    assert cells["flights"].cell_contents == {}
    assert _memoize.LED.get() == ()


FORK = """
import os, signal, threading, time
import oxidbm
from oxidbm import _memoize

def hold():
    with _memoize.GUARD:
        held.set()
        time.sleep(0.2)

held = threading.Event()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    with oxidbm.Store() as store:
        os._exit(store.memoize(name="f")(lambda x: x)(3))
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_does_not_wait_for_a_thread_that_it_does_not_have() -> None:
    result = subprocess.run([sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "3\n"


def test_recursion_with_other_keys_stores_each(store: oxidbm.Store) -> None:
    calls = []

    @store.memoize(name="fib")
    def fib(n: int) -> int:
        calls.append(n)
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(90) == 2880067194370816120
    assert sorted(calls) == list(range(91))
    assert len(store) == 91


def test_recursion_over_threads(store: oxidbm.Store) -> None:
    @store.memoize(name="fib")
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fib, [60, 59, 58, 60])) == [1548008755920, 956722026041, 591286729879, 1548008755920]


def test_recursion_with_the_same_key_runs_the_function(store: oxidbm.Store) -> None:
    depth = 0
    calls = []

    @store.memoize()
    def f(x: int) -> int:
        nonlocal depth
        depth += 1
        calls.append(x)
        return f(x) + 1 if depth < 3 else x

    assert f(5) == 7
    assert calls == [5, 5, 5]
    assert f(5) == 7
    assert calls == [5, 5, 5]


def test_endless_recursion_ends(store: oxidbm.Store) -> None:
    @store.memoize()
    def endless(x: int) -> int:
        return endless(x)

    with no_collection(), pytest.raises(RecursionError):
        endless(1)
    assert len(store) == 0


def test_threads_that_need_each_others_results_do_not_wait_for_ever(store: oxidbm.Store) -> None:
    both = threading.Barrier(2)
    first = threading.local()

    @store.memoize()
    def f(x: int) -> int:
        if getattr(first, "done", False):
            return x
        first.done = True
        both.wait(WAIT)  # each thread leads one key now, and asks for the other's
        return f(3 - x) + 10

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(f, 1), pool.submit(f, 2)]
        one, two = (future.result(WAIT) for future in futures)
    # one of them finds that waiting would never end and runs the function; the other one waits for that
    assert (one, two) in [(12, 22), (21, 11)]


def test_tasks_that_ask_together_run_the_function_once(store: oxidbm.Store) -> None:
    calls = []

    @store.memoize()
    async def slow(x: int) -> list[int]:
        calls.append(x)
        await asyncio.sleep(0.01)
        return [x]

    async def main() -> list[list[int]]:
        return await asyncio.gather(*(slow(7) for _ in range(THREADS)), slow(8))

    assert asyncio.run(main()) == [[7]] * THREADS + [[8]]
    assert calls == [7, 8]
    assert asyncio.run(main()) == [[7]] * THREADS + [[8]]
    assert calls == [7, 8]


def test_none_and_exceptions_of_coroutines(store: oxidbm.Store) -> None:
    calls: list[int] = []

    @store.memoize()
    async def nothing(x: int) -> None:
        calls.append(x)
        await asyncio.sleep(0)
        if len(calls) < 3:
            raise OSError(f"attempt {len(calls)}")

    async def main() -> list[object]:
        return await asyncio.gather(*(nothing(1) for _ in range(6)), return_exceptions=True)

    results = asyncio.run(main())
    assert sorted(map(str, results)) == ["None"] * 4 + ["attempt 1", "attempt 2"]
    assert calls == [1, 1, 1]


def test_a_cancelled_leader_hands_over(store: oxidbm.Store) -> None:
    calls = []

    async def main() -> None:
        entered = asyncio.Event()
        release = asyncio.Event()

        @store.memoize()
        async def slow(x: int) -> int:
            calls.append(x)
            entered.set()
            await release.wait()
            return x

        leader, *waiters = (asyncio.create_task(slow(1)) for _ in range(4))
        await entered.wait()
        await asyncio.sleep(0)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        await asyncio.sleep(0)
        assert len(store) == 0
        release.set()
        assert await asyncio.wait_for(asyncio.gather(*waiters), WAIT) == [1, 1, 1]

    asyncio.run(main())
    assert calls == [1, 1]


def test_a_cancelled_waiter_takes_nobody_with_it(store: oxidbm.Store) -> None:
    calls = []

    async def main() -> None:
        release = asyncio.Event()

        @store.memoize()
        async def slow(x: int) -> int:
            calls.append(x)
            await release.wait()
            return x

        leader, first, second = (asyncio.create_task(slow(1)) for _ in range(3))
        for _ in range(3):
            await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        release.set()
        assert list(await asyncio.wait_for(asyncio.gather(leader, second), WAIT)) == [1, 1]

    asyncio.run(main())
    assert calls == [1]


def test_a_coroutine_that_asks_itself_through_a_task(store: oxidbm.Store) -> None:
    calls = []

    @store.memoize()
    async def f(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            own, other = await asyncio.gather(f(x), f(x + 1))
            return own + other
        return x

    async def main() -> int:
        return await asyncio.wait_for(f(5), WAIT)

    assert asyncio.run(main()) == 11
    assert sorted(calls) == [5, 5, 6]
    assert asyncio.run(main()) == 11
    assert len(calls) == 3


def test_a_function_that_asks_itself_through_a_thread(store: oxidbm.Store) -> None:
    calls = []

    @store.memoize()
    def f(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            return asyncio.run(asyncio.wait_for(asyncio.to_thread(f, x), WAIT)) + 1
        return x

    assert f(5) == 6
    assert calls == [5, 5]


def test_tasks_that_need_each_others_results_do_not_wait_for_ever(store: oxidbm.Store) -> None:
    running: list[int] = []

    @store.memoize()
    async def f(x: int) -> int:
        running.append(x)
        await asyncio.sleep(0)
        return x if len(running) > 2 else await f(3 - x) + 10

    async def main() -> list[int]:
        return list(await asyncio.wait_for(asyncio.gather(f(1), f(2)), WAIT))

    assert asyncio.run(main()) in ([12, 22], [21, 11])
    assert len(running) == 3


def test_a_wait_that_was_given_up_counts_no_longer(store: oxidbm.Store) -> None:
    calls = []

    async def main() -> list[int]:
        given_up = asyncio.Event()

        @store.memoize()
        async def f(x: int) -> int:
            calls.append(x)
            await asyncio.sleep(0)
            if x == 2:
                await given_up.wait()
                return await f(1) + 10  # waits for 1, which waited for 2 before
            wait = asyncio.create_task(f(2))
            await asyncio.sleep(0)
            wait.cancel()
            await asyncio.wait([wait])
            given_up.set()
            await asyncio.sleep(0.01)
            return x

        return list(await asyncio.wait_for(asyncio.gather(f(1), f(2)), WAIT))

    assert asyncio.run(main()) == [1, 11]
    assert calls == [1, 2]


def test_two_event_loops_do_not_wait_for_each_other(store: oxidbm.Store) -> None:
    both = threading.Barrier(2)

    @store.memoize()
    async def meet(x: int) -> int:
        both.wait(WAIT)
        return x

    def run() -> int:
        return asyncio.run(meet(1))

    with ThreadPoolExecutor(2) as pool:
        assert [future.result(WAIT) for future in [pool.submit(run), pool.submit(run)]] == [1, 1]


def test_a_loop_that_is_closed_with_a_call_under_way_leaves_no_flight(store: oxidbm.Store) -> None:
    @store.memoize()
    async def slow(x: int) -> int:
        await asyncio.sleep(0 if release else 3600)
        return x

    release = False
    loop = asyncio.new_event_loop()
    coroutines = [slow(1), slow(1)]
    tasks = [loop.create_task(coroutine) for coroutine in coroutines]
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # that they never end is the point
    loop.close()
    for coroutine in coroutines:
        coroutine.close()
    release = True
    assert asyncio.run(asyncio.wait_for(slow(1), WAIT)) == 1
