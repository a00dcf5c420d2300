"""kill -9 of a process that appends to a log, while another one opens it again and again: both see a prefix, in order.

Each entry says its own number and of how many its batch is, so that what is found tells whether it is a prefix and
whether the last batch is whole.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest

from oxidbm import Log
from tests.support import Durability, soaked, started

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

ROUNDS = 3
MODES = ["manual", "interval", "always", "commit_bytes", "truncating"]


def entry(number: int, left: int) -> bytes:
    """Return an entry by its number, and how many of its batch come behind it."""
    return b"%d %d " % (number, left) + b"x" * (number * 2654435761 % 97 * (40 if number % 50 == 0 else 3))


def number_of(data: bytes) -> tuple[int, int]:
    """Return an entry's number, and how many of its batch come behind it."""
    number, left, _ = data.split(b" ")
    assert data == entry(int(number), int(left))
    return int(number), int(left)


def check_prefix(log: Log) -> int:
    """Look whether a log holds what was appended, in order, and whole batches; return how many that is."""
    following = None
    left = 0
    for _, data in log:
        number, left = number_of(data)
        assert following in (None, number)
        following = number + 1
    assert left == 0, "half a batch"
    if log.cookie:
        assert int(log.cookie) <= (following or int(log.cookie))
    return following or int(log.cookie or b"0")


def open_log(path: str, mode: str) -> Log:
    """Open a log to append to."""
    return Log(
        path,
        memory="1MiB",
        page_size=4096,
        durability=cast(Durability, mode) if mode in ("interval", "always") else "manual",
        interval=0.002,
        commit_bytes=4096 if mode == "commit_bytes" else None,
    )


def append_for_ever(path: str, mode: str) -> None:
    """The writer: go on where the last one was killed, and report which entries are durable."""
    log = open_log(path, mode)
    number = check_prefix(log)
    marked = (0, number)  # the address of an entry, and how many there are with it
    while True:
        if number % 7 == 0:
            with log.batch() as batch:
                for left in range(4, -1, -1):
                    batch.append(entry(number, left))
                    number += 1
            address = batch.addresses[-1]
        else:
            address = log.append(entry(number, 0))
            number += 1
        if mode in ("manual", "truncating") and number % 13 == 0:
            log.commit(b"%d" % number)
        if mode == "truncating" and number % 40 == 0:
            log.truncate(address)
        if log.committed > marked[0]:
            os.write(1, b"%d\n" % marked[1])
            marked = (address, number)


def read_for_ever(path: str) -> None:
    """The reader: open the log to read only, time and again; what was there once stays, and what is there is sound."""
    seen = 0
    while True:
        with Log(path, read_only=True) as log:
            count = check_prefix(log)
        assert count >= seen, f"{count} after {seen}"
        seen = count
        os.write(1, b"%d\n" % seen)


def call(function: str, *arguments: str) -> list[str]:
    """Return the arguments of a process that calls a function of this module."""
    return [sys.executable, "-c", f"from tests.crash.test_log_kill import {function}; {function}(*{arguments!r})"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_killed_writer_leaves_a_prefix_also_beside_a_reader(mode: str, tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    chance = random.Random(mode)
    with open_log(path, "manual") as log:
        log.append(entry(0, 0))
    count = 1
    with started(call("read_for_ever", path), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        for _ in range(soaked(ROUNDS, least=2)):
            with started(call("append_for_ever", path, mode), stdout=subprocess.PIPE) as writer:
                assert writer.stdout is not None
                first = writer.stdout.readline()
                assert first, "the writer ended before it reported anything"
                time.sleep(chance.uniform(0.01, 0.2))
                writer.kill()
                reported = int([first, *writer.stdout.read().split(b"\n")[:-1]][-1])
                assert writer.wait() == -signal.SIGKILL
            with Log(path, read_only=True) as log:
                assert check_prefix(log) >= max(reported, count)
            with open_log(path, "manual") as log:
                count = check_prefix(log)
                assert count >= reported
                assert mode == "truncating" or len(log) == count
        assert reader.poll() is None, "the reader has found a fault"
        reader.kill()
        said, fault = reader.communicate()
    assert fault == b""
    numbers = [int(line) for line in said.split(b"\n")[:-1]]
    assert numbers == sorted(numbers)
    assert numbers[0] < numbers[-1] <= count
