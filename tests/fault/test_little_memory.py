"""A store of many keys where the system has little memory for it, and what a closed one gives back."""

import subprocess
import sys
from pathlib import Path

import pytest

import oxidbm
from tests.support import ROOT

KEYS = 1_200_000
MAKE = f"""
import sys, oxidbm
with oxidbm.Store(sys.argv[1], memory="64MiB", page_size="64KiB", durability="manual") as store:
    for first in range(0, {KEYS}, 100_000):
        store.set_many([(b"%d" % number, b"v") for number in range(first, first + 100_000)])
    store.checkpoint()
"""
MEASURE = """
def size(what):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what))
"""
LIMITED = f"""
import resource, sys, oxidbm
{MEASURE}
limit = (size("VmSize") << 10) + (6 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
oxidbm.Store(sys.argv[1], read_only=True, memory="1MiB", mapped=False)
"""
CLOSED = f"""
import sys, oxidbm
{MEASURE}
before = size("RssAnon")
for _ in range(3):
    store = oxidbm.Store(sys.argv[1], read_only=True, memory="64MiB", mapped=False)
    opened = size("RssAnon")
    store.close()
print(opened - before, size("RssAnon") - before)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits and sizes are those of Linux"),
    pytest.mark.compiled_only("more keys than the sources write in time"),
]


def in_process(program: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a program on a store."""
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of many keys, with an image."""
    made = tmp_path_factory.mktemp("large") / "store"
    done = in_process(MAKE, made)
    assert done.returncode == 0, done.stderr
    return made


def test_an_index_that_the_system_has_no_memory_for_is_told(path: Path) -> None:
    done = in_process(LIMITED, path)
    assert done.returncode == 1
    assert f"MemoryError: the store {path} has an index of" in done.stderr, done.stderr
    assert "does not let this process have that much: raise its limit" in done.stderr
    with oxidbm.Store(path, read_only=True) as store:
        assert len(store) == KEYS


def test_what_a_closed_store_took_is_given_back(path: Path) -> None:
    done = in_process(CLOSED, path)
    assert done.returncode == 0, done.stderr
    opened, closed = (int(found) for found in done.stdout.split())
    assert opened > 12_000, "kibibytes of an index"
    assert closed < opened // 2
