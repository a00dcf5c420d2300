"""No use of memory that was given up: a process whose malloc fills and unmaps it runs what gives up the most.

glibc's MALLOC_PERTURB_ fills what is freed, so that a pointer read from it leads nowhere; with a small
MALLOC_MMAP_THRESHOLD_ each larger block has a mapping of its own, which is gone when it is freed. Either ends the
process by a signal: so did every one of three seeds where `Frames.forget_last_spare` left its slots as they were.
"""

import os
import platform
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

VARIABLES = {"MALLOC_PERTURB_": "165", "MALLOC_MMAP_THRESHOLD_": "4096", "PYTHONMALLOC": "malloc"}


@pytest.mark.slow
@pytest.mark.compiled_only("the sources leave their memory to Python")
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the variables are glibc's")
def test_no_memory_is_used_after_it_was_given_up(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    arguments = [str(tmp_path), str(seed), "4"]
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.fault.memory_stress", *arguments],
        cwd=ROOT,
        env={**os.environ, **VARIABLES, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    ended = signal.Signals(-done.returncode).name if done.returncode < 0 else str(done.returncode)
    assert done.stdout == "done\n", f"seed {seed}: ended by {ended}\n{done.stderr}"
    assert done.returncode == 0
