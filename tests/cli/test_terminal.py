"""What people see on a terminal of 60 columns: times, help, what is waited for, and how Ctrl-C ends a command."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oxidbm import Store
from tests.cli.helpers import command, contents, environment, make

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX"),
]

COLUMNS = 60


class Terminal:
    """A terminal in which a command runs."""

    def __init__(self, ours: int, process: subprocess.Popen[bytes]) -> None:
        self.ours = ours
        self.process = process
        self.seen = b""

    def read(self) -> bool:
        """Take what is shown next; False where the command has ended."""
        try:
            piece = os.read(self.ours, 65_536)
        except OSError:  # Linux says so where the other end is closed
            return False
        self.seen += piece
        return bool(piece)

    def wait_for(self, text: bytes) -> None:
        """Read until something is shown."""
        limit = time.monotonic() + 300
        while text not in self.seen:
            assert self.read(), self.seen
            assert time.monotonic() < limit, self.seen

    def end(self) -> tuple[int, str]:
        """Return the exit code and all that was shown."""
        while self.read():
            pass
        return self.process.wait(300), self.seen.decode().replace("\r\n", "\n")


@contextmanager
def terminal(*arguments: object) -> Iterator[Terminal]:
    """Run the command in a terminal."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    flags = termios.tcgetattr(theirs)
    flags[3] |= termios.NOFLSH  # else Ctrl-C may throw away what the command shows in answer to it
    termios.tcsetattr(theirs, termios.TCSANOW, flags)
    start = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", start, *command(*arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment() | {"TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait(300)
        os.close(ours)


def test_ctrl_c_ends_watch_with_a_line(tmp_path: Path) -> None:
    path = make(tmp_path / "s", {b"a": b"1"})
    for more, last in (((), b"index bytes"), (("--json",), b"index_bytes")):
        with terminal("watch", path, "--interval", "30s", *more) as shown:
            shown.wait_for(last)
            os.write(shown.ours, b"\x03")
            code, text = shown.end()
        assert (code, text.endswith("\n")) == (0, True), repr(text[-120:])
        assert "Traceback" not in text


def test_a_value_that_is_typed_is_asked_for(tmp_path: Path) -> None:
    with terminal("set", tmp_path / "s", "a") as shown:
        shown.wait_for(b"type the value, then Ctrl-D")
        os.write(shown.ours, b"red\n\x04")
        assert shown.end()[0] == 0
    assert contents(tmp_path / "s") == {b"a": b"red\n"}


def test_times_are_said_as_people_say_them(tmp_path: Path) -> None:
    path = make(tmp_path / "s", {b"a": b"1"})
    with Store(path) as store:
        store.checkpoint(name="now")
    for name in (("history", path, "a"), ("checkpoints", path)):
        with terminal(*name) as shown:
            code, text = shown.end()
        assert code == 0
        assert " ago" in text or "just now" in text
        assert " UTC" not in text


def test_help_fits() -> None:
    for name in ((), ("get",), ("load",), ("log",), ("queue", "peek")):
        with terminal(*name, "-h") as shown:
            code, text = shown.end()
        assert code == 0
        lines = text.partition("Examples:")[0].splitlines()
        assert [line for line in lines if len(line) > COLUMNS and not line.startswith("Usage:")] == []
