"""kill -9 of a process that makes backups, or of the writer beside it: what is there of a backup is one commit's state.

The writer and its operations are those of test_kill, so a backup says by a session's serial number what it must hold.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import oxidbm
from oxidbm import Store
from tests.crash.test_kill import OPTIONS, apply, state
from tests.support import soaked, started

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

ROUNDS = 5


def write_for_ever(path: str, mode: str) -> None:
    """The writer: go on where the last one was killed; compact, and where asked for make backups, now and then."""
    store = Store(path, durability="interval", interval=0.005, **OPTIONS)
    session = store.session("writer")
    while True:
        for _ in range(200):
            apply(session, session.serial + 1)
        session.commit()
        if session.serial % 1000 == 0:
            store.reorganize()
        if mode == "one process" and session.serial % 400 == 0:
            store.backup(path + " backup", link=session.serial % 800 == 0)
        os.write(1, b"%d\n" % session.durable_serial)


def back_up_for_ever(path: str, mode: str) -> None:
    """The one who makes backups, as of what the writer has committed by then."""
    number = 0
    while True:
        number += 1
        with Store(path, read_only=True, memory="1MiB") as store:
            store.backup(path + " backup", link=number % 2 == 0)
        os.write(1, b"%d\n" % number)


def command(function: str, path: Path, mode: str) -> list[str]:
    """Return what runs one of them as a process."""
    code = f"import sys; from tests.crash.test_killed_backups import {function}; {function}(*sys.argv[1:])"
    return [sys.executable, "-c", code, str(path), mode]


def first_line(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has said something."""
    assert process.stdout is not None
    assert process.stdout.readline(), "it ended before it reported anything"


def serial_of(path: Path) -> int:
    """Return how many operations a backup holds, exactly whose state it is."""
    with Store(path, read_only=True, memory="1MiB") as store:
        assert store.check() == []
        serial = next((known.serial for known in store.sessions() if known.name == "writer"), 0)
        assert dict(store.items()) == state(serial)
    return serial


def check_remains(path: Path, least: int) -> int:
    """Check what was left of backups; what is not complete does not open. Return how many operations the backup has."""
    backup = path.with_name(path.name + " backup")
    for left in sorted(path.parent.glob(f"{backup.name}.*")):
        with contextlib.suppress(oxidbm.CorruptionError, oxidbm.MissingError):
            serial_of(left)
    serial = serial_of(backup)
    assert serial >= least
    return serial


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["backup", "writer", "one process"])
def test_what_a_kill_leaves_of_a_backup_is_one_commits_state(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "store"
    chance = random.Random(mode)
    serial = 0
    for _ in range(soaked(ROUNDS, least=2)):
        with started(command("write_for_ever", path, mode), stdout=subprocess.PIPE) as writer:
            first_line(writer)
            if mode == "one process":
                for _ in range(4):
                    first_line(writer)
                time.sleep(chance.uniform(0, 0.1))
                writer.kill()
                writer.communicate()
                serial = check_remains(path, serial)
                continue
            with started(command("back_up_for_ever", path, mode), stdout=subprocess.PIPE) as backup:
                first_line(backup)
                time.sleep(chance.uniform(0, 0.1))
                (backup if mode == "backup" else writer).kill()
                if mode == "writer":
                    writer.communicate()
                    first_line(backup)
                    backup.kill()
                backup.communicate()
                serial = check_remains(path, serial)
    with Store(path, **OPTIONS) as store:
        assert store.check() == []
        store.backup(tmp_path / "store backup")
        assert sorted(os.listdir(tmp_path)) == ["store", "store backup"]
        assert serial_of(tmp_path / "store backup") == store.session("writer").serial
