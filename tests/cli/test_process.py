"""The command as a process: exit codes, Ctrl-C, pipes that close early, a terminal."""

import dbm.dumb
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oxidbm import Store
from tests.cli.helpers import command, contents, environment, json_line, make, run
from tests.support import scaled, started

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")


def wait_for(condition: object, what: str) -> None:
    """Wait until a function returns something true."""
    assert callable(condition)
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.02)


@pytest.mark.slow
def test_exit_codes_and_streams(tmp_path: Path) -> None:
    assert run("set", tmp_path / "s", b"caf\xe9".decode("utf-8", "surrogateescape"), "1").returncode == 0
    assert contents(tmp_path / "s") == {b"caf\xe9": b"1"}
    got = run("get", tmp_path / "s", "none")
    assert (got.returncode, got.stdout, got.stderr) == (1, b"", b"oxidbm: the key none has no value\n")
    assert run("get", tmp_path / "nothing", "a").returncode == 3
    assert run("frobnicate").returncode == 2
    assert run("get", "--frobnicate").returncode == 2
    assert b"Traceback" not in run("convert", tmp_path, tmp_path / "x", "--from", "diskcache").stderr


def test_output_does_not_depend_on_the_locale(tmp_path: Path) -> None:
    make(tmp_path / "s", {"\u4e2d".encode(): b"1"})
    plain = environment() | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    for name in ("keys", "dump"):
        done = subprocess.run(command(name, tmp_path / "s"), capture_output=True, timeout=300, env=plain, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert "\u4e2d".encode() in done.stdout


@needs_signals
@pytest.mark.parametrize("name", ["keys", "dump", "scan"])
def test_a_pipe_that_closes_early_is_no_error(tmp_path: Path, name: str) -> None:
    make(tmp_path / "s", {b"%040d" % number: b"v" * 100 for number in range(5_000)})  # more than a pipe holds
    with started(
        command(name, tmp_path / "s"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(300) == 141


@pytest.mark.slow
@needs_signals
def test_an_interrupted_load_keeps_what_it_had_and_can_be_run_again(tmp_path: Path) -> None:
    lines = [json_line(b"%d" % number, b"v") for number in range(2_000)]
    with started(
        command("load", tmp_path / "s"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"".join(lines[:1_000]))
        process.stdin.flush()  # the rest never comes

        def has_items() -> bool:
            try:
                return bool(contents(tmp_path / "s"))  # the first commit, after a second
            except FileNotFoundError:
                return False

        wait_for(has_items, "the first commit")
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 130
        assert process.stderr.read() == b"oxidbm: interrupted\n"
    loaded = contents(tmp_path / "s")
    assert 0 < len(loaded) <= 1_000
    assert run("check", tmp_path / "s").returncode == 0
    assert run("load", tmp_path / "s", stdin=b"".join(lines)).returncode == 0
    assert len(contents(tmp_path / "s")) == 2_000


@pytest.mark.slow
@needs_signals
@pytest.mark.compiled_only("Ctrl-C can break into an operation of the interpreted core")
def test_an_interrupted_convert_can_be_run_again(tmp_path: Path) -> None:
    count = scaled(60_000, least=20_000)
    with dbm.dumb.open(str(tmp_path / "old"), "n") as database:
        for number in range(500):
            database[b"%d" % number] = b"v" * 500
    index = (tmp_path / "old.dir").read_text(encoding="latin-1").splitlines()
    first = index[0].partition(",")[2]
    more = [f"'{number}',{first}" for number in range(500, count)]  # keys that share one value
    (tmp_path / "old.dir").write_text("\n".join([*index, *more]) + "\n", encoding="latin-1")
    arguments = command("convert", tmp_path / "old", tmp_path / "s", "--from", "dumb")
    with started(arguments, stderr=subprocess.PIPE, env=environment()) as process:
        wait_for((tmp_path / "s" / "STORE").exists, "making the store")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
        assert b"Traceback" not in said, said.decode()
        assert process.wait(300) in (0, 130)
    again = subprocess.run(arguments, capture_output=True, timeout=300, env=environment(), check=False)
    assert again.returncode == 0
    assert len(contents(tmp_path / "s")) == count


@needs_signals
def test_a_killed_load_can_be_run_again(tmp_path: Path) -> None:
    data = b"".join(json_line(b"%d" % number, b"v" * 50) for number in range(500))
    with started(command("load", tmp_path / "s"), stdin=subprocess.PIPE, env=environment()) as process:
        assert process.stdin is not None
        process.stdin.write(data)
        process.stdin.flush()
        wait_for((tmp_path / "s" / "STORE").exists, "making the store")
        process.kill()
    assert run("load", tmp_path / "s", stdin=data).returncode == 0
    assert len(contents(tmp_path / "s")) == 500


@needs_signals
def test_watch_follows_a_writer_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    with Store(tmp_path / "s", durability="manual") as store:
        store["a"] = "1"
        store.sync()
        with started(
            command("watch", tmp_path / "s", "--interval", "0.05", "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert b'"keys": 1,' in process.stdout.readline()
            store["b"] = "2"
            store.sync()
            wait_for(lambda: b'"keys": 2,' in process.stdout.readline(), "the second key")
            process.send_signal(signal.SIGINT)
            assert process.wait(300) == 0
            assert process.stderr.read() == b""


@pytest.mark.slow
@needs_signals
def test_on_a_terminal_nothing_raw_is_printed_and_a_bar_is_shown(tmp_path: Path) -> None:
    import pty

    make(tmp_path / "s", {b"a": b"\x1b[31mred", **{b"%06d" % number: b"v" for number in range(3_000)}})

    at_once = "import oxidbm.cli.bar as bar; bar.DELAY_SECONDS = 0.0; from oxidbm.cli import main; main()"

    def on_terminal(*arguments: object, start: str | None = None) -> tuple[int, bytes]:
        ours, theirs = pty.openpty()
        terminal = environment() | {"TERM": "xterm-256color"}
        words = command(*arguments) if start is None else [sys.executable, "-c", start, *map(str, arguments)]
        process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=terminal)
        os.close(theirs)
        output = b""
        try:
            while piece := os.read(ours, 65_536):
                output += piece
        except OSError:
            pass  # Linux says so where the other end is closed
        os.close(ours)
        return process.wait(300), output

    assert on_terminal("get", tmp_path / "s", "a") == (0, b"\\x1b[31mred\r\n")
    code, output = on_terminal("dump", tmp_path / "s", "--format", "binary")
    assert code == 2
    assert b"is not for a terminal" in output
    code, output = on_terminal("dump", tmp_path / "s")
    assert code == 0
    assert b"dumping" not in output
    code, output = on_terminal("dump", tmp_path / "s", "-o", tmp_path / "file", start=at_once)
    assert code == 0
    assert b"dumping" in output
    assert output.index(b"recovering") < output.index(b"dumping")
    assert b"3,001 items written to" in output
