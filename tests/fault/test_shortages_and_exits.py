"""What is no fault of the disk, and what one store's failure must not do to another: descriptors, exits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import oxidbm
from tests.support import ROOT


def run_python(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, in a directory."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.skipif(os.name == "nt", reason="descriptors are limited by setrlimit")
def test_a_shortage_of_descriptors_is_over_when_it_is_over(tmp_path: Path) -> None:
    """It is told as what it is, poisons nothing, and the next sync makes everything durable."""
    code = """
import resource, oxidbm
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
store = oxidbm.Store("s", durability="manual")
store["a"] = "1"
held = []
try:
    while True:
        held.append(open("/dev/null"))
except OSError:
    pass
for _ in range(2):
    try:
        store.sync()
    except oxidbm.error as failure:
        print("poisoned", failure)
    except OSError as failure:
        print("shortage", failure.errno)
for file in held:
    file.close()
store["b"] = "2"
store.sync()
store.close()
"""
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["shortage", "24", "shortage", "24"]
    with oxidbm.Store(tmp_path / "s", read_only=True) as store:
        assert dict(store) == {b"a": b"1", b"b": b"2"}
        assert store.check() == []


def test_each_store_has_its_own_chance_when_the_interpreter_exits(tmp_path: Path) -> None:
    """A store whose directory is gone is reported; the one behind it is committed."""
    code = """
import os, shutil, oxidbm
first = oxidbm.Store("a", durability="manual")
first["x"] = "1"
second = oxidbm.Store("b", durability="manual")
second["important"] = "1"
shutil.rmtree("a")
"""
    done = run_python(code, tmp_path)
    assert done.returncode == 0
    assert "the store a could not be closed" in done.stderr
    assert "is lost: 1 records" in done.stderr
    with oxidbm.Store(tmp_path / "b", read_only=True) as store:
        assert dict(store) == {b"important": b"1"}


def test_a_commit_that_fails_at_exit_is_said_with_what_it_lost(tmp_path: Path) -> None:
    """Nobody is left to catch it."""
    code = """
import oxidbm
from oxidbm.testing import CrashDevice, FaultyDevice

device = FaultyDevice(CrashDevice(4096))
store = oxidbm.Store("s", device=device, durability="manual", page_size=4096, memory="1MiB")
store["a"] = "1"
store.sync()
device.fail("write", 28)
store["b"] = "2"
store.session("s").upsert("c", "3")
"""
    done = run_python(code, tmp_path)
    assert done.returncode == 0
    assert "PoisonedError" in done.stderr or "the store s could not be closed" in done.stderr
    assert "No space left on device" in done.stderr
    assert "since its last durable commit is lost: 2 records" in " ".join(done.stderr.split())


def test_a_store_opened_while_the_interpreter_ends_works_and_does_not_keep_it(tmp_path: Path) -> None:
    """A handler that was registered before oxidbm's runs after it, when threads may no longer be started."""
    code = """
import atexit

def late():
    import oxidbm
    with oxidbm.Store("closed", memory="1MiB", page_size="4KiB") as store:
        store.update((str(i), "x" * 100) for i in range(20000))
    global left
    left = oxidbm.Store("left", memory="1MiB", page_size="4KiB")
    left.update((str(i), "x" * 100) for i in range(20000))
    left.sync()
    print(len(left), flush=True)

atexit.register(late)
import oxidbm
"""
    done = run_python(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "20000\n", "")
    for name in ("closed", "left"):
        with oxidbm.Store(tmp_path / name) as store:
            assert len(store) == 20000
            assert store.check() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_opens_a_store_does_not_keep_its_lock(tmp_path: Path) -> None:
    """The child lives on; the parent can close the store and open it again at once."""
    code = """
import os, signal, threading, time
import oxidbm

done = threading.Event()
def open_and_close():
    for i in range(150):
        oxidbm.Store("s", durability="manual").close()
    done.set()

thread = threading.Thread(target=open_and_close)
children = []
thread.start()
while not done.is_set():
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    children.append(child)
    time.sleep(0.002)
    if len(children) > 40:
        os.kill(children.pop(0), signal.SIGKILL)
thread.join()
oxidbm.Store("s").close()
for child in children:
    os.kill(child, signal.SIGKILL)
print("opened", 150)
"""
    done = run_python(code, tmp_path)
    assert (done.returncode, done.stdout) == (0, "opened 150\n"), done.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs setitimer")
def test_a_handler_that_raises_while_the_interpreter_closes_the_stores_loses_nothing(tmp_path: Path) -> None:
    """The close is begun again, and no loss is reported that was none."""
    code = """
import signal, oxidbm
store = oxidbm.Store("s", durability="manual", memory="4MiB", page_size="4KiB")
store.update((str(i), "x" * 100) for i in range(20000))
left = 3
def handler(number, frame):
    global left
    left -= 1
    if left >= 0:
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        raise TimeoutError("my own limit")
signal.signal(signal.SIGALRM, handler)
import atexit
atexit.register(signal.setitimer, signal.ITIMER_REAL, 0.0005)
"""
    done = run_python(code, tmp_path)
    assert done.returncode == 0
    assert "could not be closed" not in done.stderr
    with oxidbm.Store(tmp_path / "s") as store:
        assert len(store) == 20000
