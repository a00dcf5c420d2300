"""Forked children: whatever the parent had open stays the parent's, and a child ends without a word about it."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import oxidbm
from oxidbm import shelve
from tests.inside import checkpointer_of, disk_of
from tests.support import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

OPENED = {
    "shelf": "oxidbm.shelve.open(path); thing['a'] = 1",
    "shelf with writeback": "oxidbm.shelve.open(path, writeback=True); thing['a'] = []; thing['a'].append(1)",
    "pickled shelf": "oxidbm.shelve.open(path, serializer='pickle'); thing['a'] = 1",
    "stdlib's shelf": "shelve.Shelf(oxidbm.open(path, 'c')); thing['a'] = 1",
    "database": "oxidbm.open(path, 'c'); thing['a'] = '1'; thing.firstkey(); thing.nextkey('a')",
    "store": "oxidbm.Store(path); thing['a'] = '1'; iterator = iter(thing.items()); next(iterator)",
    "session": "oxidbm.Store(path); session = thing.session('s'); session.upsert('a', '1')",
    "checkpoint": "oxidbm.Store(path, durability='manual'); thing['a'] = '1'; begin_image(thing)",
    "batch": "oxidbm.Store(path); thing['a'] = '1'; batch = thing.batch(); batch['b'] = '2'",
}
CHILDREN = {
    "sys.exit": "sys.exit(0)",
    "os._exit": "os._exit(0)",
    "close": "thing.close(); thing.close(); sys.exit(0)",
    "end of a with block": "thing.__exit__(None, None, None); sys.exit(0)",
    "dropped": "thing = iterator = session = batch = None; gc.collect(); sys.exit(0)",
}


def begin_image(store: oxidbm.Store) -> None:
    """Begin a checkpoint, and leave it when its image's first slice was compressed."""
    disk_of(store).stop()
    checkpoints = checkpointer_of(store)
    checkpoints.request("fold-over", None)
    checkpoints.advance()
    assert checkpoints.writer is not None


def run(program: str, path: Path) -> str:
    """Run a program in a directory, which has to end well and say nothing, and return what it printed."""
    before = (
        "import gc, multiprocessing, os, shelve, sys\nimport oxidbm, oxidbm.shelve\n"
        "from tests.facade.test_forks import begin_image\npath = sys.argv[1]\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", before + program, str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return result.stdout


@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("opened", OPENED)
def test_a_childs_end_leaves_the_parents_open(opened: str, child: str, tmp_path: Path) -> None:
    program = f"thing = {OPENED[opened]}\n" + textwrap.dedent(f"""
        child = os.fork()
        if child == 0:
            {CHILDREN[child]}
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        thing["after"] = "parent"
        thing.close()
        print("closed")
    """)
    assert run(program, tmp_path / "s") == "closed\n"
    with oxidbm.Store(tmp_path / "s") as store:
        assert store.check() == []
        assert {b"a", b"after"} <= set(store)
        if opened == "shelf with writeback":
            assert store["a"] == b"[1]"


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_child_of_multiprocessing(method: str, tmp_path: Path) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no such method")
    (tmp_path / "main.py").write_text(
        textwrap.dedent("""
            import multiprocessing, sys
            import oxidbm, oxidbm.shelve

            def work(number):
                if shelf is not None:
                    try:
                        shelf["child"] = number
                    except oxidbm.ClosedError:
                        pass
                return number * 2

            shelf = None
            if __name__ == "__main__":
                shelf = oxidbm.shelve.open(sys.argv[1], writeback=True)
                shelf["a"] = []
                shelf["a"].append(1)
                context = multiprocessing.get_context(sys.argv[2])
                process = context.Process(target=work, args=(1,))
                process.start()
                process.join()
                with context.Pool(2) as pool:
                    print(process.exitcode, pool.map(work, range(3)))
                shelf["b"] = 2
        """)
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(tmp_path / "main.py"), str(tmp_path / "s"), method],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "0 [0, 2, 4]\n"), result.stderr
    with shelve.open(tmp_path / "s", "r") as shelf:
        assert dict(shelf) == {"a": [1], "b": 2}


def test_a_childs_own_shelf_is_closed_at_its_exit(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        shelf = oxidbm.shelve.open(path + "/parents")
        shelf["a"] = 1
        child = os.fork()
        if child == 0:
            own = oxidbm.shelve.open(path + "/childs", writeback=True)
            own["l"] = []
            own["l"].append(1)
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert run(program, tmp_path) == "0\n"
    for name, expected in (("parents", {"a": 1}), ("childs", {"l": [1]})):
        with shelve.open(tmp_path / name, "r") as shelf:
            assert dict(shelf) == expected


def test_a_shelf_that_fails_at_exit_keeps_no_other_from_being_written(tmp_path: Path) -> None:
    """Each is closed in its turn, and what one could not write is said."""
    program = textwrap.dedent("""
        import sys
        import oxidbm.shelve
        shelves = [oxidbm.shelve.open(f"{sys.argv[1]}/{i}", writeback=True) for i in range(3)]
        for shelf in shelves:
            shelf["l"] = []
            shelf["l"].append(1)
        shelves[1]["l"].append(print)
    """)
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
                            check=False)  # fmt: skip
    assert "does not take builtins.builtin_function_or_method" in result.stderr
    for i in (0, 2):
        with shelve.open(tmp_path / str(i), "r") as shelf:
            assert dict(shelf) == {"l": [1]}
    with shelve.open(tmp_path / "1", "r") as shelf:
        assert dict(shelf) == {"l": []}


def test_a_queue_in_whose_middle_a_thread_is_at_the_fork(tmp_path: Path) -> None:
    """The lock which that one holds is given back by nobody in the child."""
    program = """
    import signal, threading
    queue = oxidbm.Queue(path, durability="manual")
    held, over = threading.Event(), threading.Event()
    def hold():
        with queue.exchange.lock:
            held.set()
            over.wait()
    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        put = lambda: queue.put(b"a")
        for call in (queue.commit, queue.take, queue.get, queue.join, queue.shutdown, queue.stats, put):
            try:
                call()
            except oxidbm.ClosedError:
                continue
            print("no ClosedError", call)
        queue.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    over.set()
    thread.join()
    queue.close()
    """
    assert run(textwrap.dedent(program), tmp_path / "queue") == ""


def test_a_memoized_function_is_called_in_a_forked_child(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import asyncio
        store = oxidbm.Store(path)
        runs = []

        @store.memoize(name="double")
        def double(x):
            runs.append(x)
            return 2 * x

        @store.memoize(name="later")
        async def later(x):
            runs.append(x)
            return 2 * x

        @store.memoize(name="forking")
        def forking():
            child = os.fork()
            return child

        print(double(1), double(1), asyncio.run(later(1)), asyncio.run(later(1)), runs, flush=True)
        child = os.fork()
        if child == 0:
            runs.clear()
            print(double(1), double(1), asyncio.run(later(1)), asyncio.run(later(1)), runs)
            own = oxidbm.Store(path + "2")
            print(own.memoize(name="double")(double.__wrapped__)(3), len(own), own.closed)
            try:
                double.forget(1)
            except oxidbm.ClosedError as failure:
                print("forked" in str(failure))
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        child = forking()
        if child == 0:
            print("returned in the child", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(forking() == child, double(1), runs)
    """)
    assert run(program, tmp_path / "s").splitlines() == [
        "2 2 2 2 [1, 1]",
        "2 2 2 2 [1, 1, 1, 1]",
        "6 1 False",
        "True",
        "0",
        "returned in the child",
        "True 2 [1, 1]",
    ]


def test_a_memoized_function_of_a_closed_store_is_not_called() -> None:
    store = oxidbm.Store()
    calls = []

    @store.memoize(name="f")
    def closing(x: int) -> int:
        calls.append(x)
        store.close()
        return x

    for _ in range(2):
        with pytest.raises(oxidbm.ClosedError):
            closing(1)
    assert calls == [1]
