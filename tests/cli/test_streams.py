"""Streams that are closed or full, and files that dumps are written to: a sentence, an exit code, and nothing lost."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from oxidbm import dump
from tests.cli.helpers import command, contents, environment, invoke, make

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shell, devices and links of POSIX")

ITEMS = {b"a": b"1", b"b": b"2"}


def shell(arguments: tuple[object, ...], redirections: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command with redirections of a POSIX shell."""
    return subprocess.run(
        ["sh", "-c", f'("$@" {redirections})', "sh", *command(*arguments)],
        capture_output=True,
        timeout=300,
        env=environment(),
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "redirections", "code", "said"),
    [
        (("get", "s", "a"), ">&-", 7, b"oxidbm: stdout: it is closed, and the command needs it\n"),
        (("stat", "s"), ">&-", 7, b"oxidbm: stdout: it is closed, and the command needs it\n"),
        (("dump", "s"), ">&-", 7, b"oxidbm: stdout: it is closed, and the command needs it\n"),
        (("set", "s", "b"), "<&-", 7, b"oxidbm: stdin: it is closed, and the command needs it\n"),
        (("load", "s"), "<&-", 7, b"oxidbm: stdin: it is closed, and the command needs it\n"),
        (("set", "s", "b", "3"), "<&- >&- 2>&-", 0, b""),
        (("get", "s", "none"), "2>&-", 1, b""),
    ],
)
def test_a_closed_stream_is_no_traceback(
    arguments: tuple[str, ...], redirections: str, code: int, said: bytes, tmp_path: Path
) -> None:
    store = make(tmp_path / "s", ITEMS)
    done = shell((arguments[0], store, *arguments[2:]), redirections)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", said)
    assert contents(store) == ITEMS | ({b"b": b"3"} if code == 0 else {})


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_ends_early_is_told_by_the_exit_code(
    unbuffered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where stdout is not buffered, and a write to it may write a part."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    store = make(tmp_path / "s", {b"a": bytes(1 << 20)})
    for name in ("get", "scan", "dump"):
        key = ("a",) if name == "get" else ()
        done = shell((name, store, *key), "| head -c 1 > /dev/null; true")
        assert (done.returncode, done.stderr) == (0, b"")
        done = shell(
            (name, store, *key), f"2> {tmp_path / 'said'}; echo $? > {tmp_path / 'code'}) | (head -c 1 > /dev/null"
        )
        assert (tmp_path / "code").read_text() == "141\n"
        assert (tmp_path / "said").read_bytes() == b""
    assert shell(("get", store, "a", "--raw"), "| wc -c").stdout.strip() == b"1048576"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [("keys",), ("stat",), ("dump",), ("check",), ("--help",), ("--version",)])
def test_a_full_disk_is_a_sentence(arguments: tuple[str, ...], tmp_path: Path) -> None:
    store = [] if arguments[0].startswith("-") else [make(tmp_path / "s", ITEMS)]
    done = shell((*arguments, *store), "> /dev/full")
    assert done.returncode == 7
    assert done.stderr.startswith(b"oxidbm: ")
    assert done.stderr.endswith(b"No space left on device\n")
    assert done.stderr.count(b"\n") == 1
    assert shell((*arguments, *store), "> /dev/full 2> /dev/full").returncode == 7


def test_a_dump_leaves_its_neighbours_and_keeps_the_mode(tmp_path: Path) -> None:
    store = make(tmp_path / "s", ITEMS)
    target, neighbour = tmp_path / "file", tmp_path / "file.new"
    target.write_bytes(b"old")
    target.chmod(0o640)
    neighbour.write_bytes(b"mine")
    assert invoke("dump", store, "-o", target).exit_code == 0
    assert len(target.read_bytes().splitlines()) == 2
    assert target.stat().st_mode & 0o777 == 0o640
    assert neighbour.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "file.new", "s"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    store = make(tmp_path / "s", ITEMS)
    (tmp_path / "dumps").mkdir()
    (tmp_path / "latest").symlink_to(Path("dumps", "today"))
    for _ in range(2):  # where it leads nowhere yet, too
        assert invoke("dump", store, "-o", tmp_path / "latest").exit_code == 0
        assert (tmp_path / "latest").is_symlink()
        assert not (tmp_path / "dumps" / "today").is_symlink()
        assert invoke("load", tmp_path / "copy", tmp_path / "dumps" / "today").exit_code == 0
    assert contents(tmp_path / "copy") == ITEMS
    assert [path.name for path in (tmp_path / "dumps").iterdir()] == ["today"]


def test_a_dump_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make(tmp_path / "s", ITEMS)

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dump, "write_json_lines", fail)
    result = invoke("dump", store, "-o", tmp_path / "file")
    assert (result.exit_code, result.stderr) == (130, "oxidbm: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_ctrl_c_before_a_command_runs_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.core import TyperGroup

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TyperGroup, "make_context", interrupt)
    result = invoke("keys", "s")
    assert (result.exit_code, result.stderr) == (130, "oxidbm: interrupted\n")


def test_a_dump_into_a_pipe_and_to_stdout_by_its_name(tmp_path: Path) -> None:
    store = make(tmp_path / "s", ITEMS)
    expected = invoke("dump", store).stdout_bytes
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    assert invoke("dump", store, "-o", pipe).exit_code == 0
    reader.join()
    assert read == [expected]
    if os.path.exists("/dev/stdout"):
        assert shell(("dump", store, "-o", "/dev/stdout"), "| cat").stdout == expected
        (tmp_path / "log").write_bytes(b"before\n")
        assert shell(("dump", store, "-o", "/dev/stdout"), f">> {tmp_path / 'log'}").returncode == 0
        assert (tmp_path / "log").read_bytes() == b"before\n" + expected


def test_a_dump_goes_nowhere_where_it_would_do_harm(tmp_path: Path) -> None:
    store = make(tmp_path / "s", ITEMS)
    (tmp_path / "link").symlink_to(store / "STORE")
    for target, code in ((store / "STORE", 2), (store / "new", 2), (tmp_path / "link", 2), (tmp_path, 7)):
        result = invoke("dump", store, "-o", target)
        assert (result.exit_code, len(result.stderr.splitlines())) == (code, 1)
    missing = tmp_path / "none" / "file"
    result = invoke("dump", store, "-o", missing)
    assert (result.exit_code, result.stderr) == (3, f"oxidbm: {missing}: No such file or directory\n")
    assert contents(store) == ITEMS
