"""`oxidbm log`: what it shows, appends and forgets, and what it ends with."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import oxidbm
from oxidbm import codecs
from tests.cli.helpers import command, environment, invoke, run

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")


def made(path: Path, count: int) -> list[int]:
    """Make a log of so many entries; return their addresses."""
    with oxidbm.Log(path) as log:
        return [log.append(b"entry %d" % number) for number in range(count)]


def test_appending_lines(tmp_path: Path) -> None:
    """A last line needs no end; what is not UTF-8 is an entry as well."""
    path = tmp_path / "log"
    done = run("log", "append", path, stdin=b"one\n\n\xff\\\nlast")
    assert done.returncode == 0
    assert done.stdout.decode() == f"{path}: 4 entries from address 64 to 184\n"
    with oxidbm.Log(path) as log:
        assert [data for _, data in log] == [b"one", b"", b"\xff\\", b"last"]
    assert run("log", "append", tmp_path / "other", "--no-create", stdin=b"x").returncode == 3


def test_entries_of_a_codec(tmp_path: Path) -> None:
    """Text is what the log's codec makes of it, and what it does not take is refused with nothing appended."""
    path = tmp_path / "log"
    oxidbm.Log(path, codec=int).close()
    assert run("log", "append", path, stdin=b"12\n-5\n").returncode == 0
    assert invoke("log", "scan", path).stdout == "64\t12\n96\t-5\n"
    assert [json.loads(line) for line in invoke("log", "tail", path, "--json").stdout.splitlines()] == [
        {"address": 64, "entry": 12},
        {"address": 96, "entry": -5},
    ]
    assert run("log", "append", path, stdin=b"twelve\n").returncode == 2


@pytest.mark.parametrize("count", [0, 1, 10, 5000])
def test_the_last_entries(tmp_path: Path, count: int) -> None:
    path = tmp_path / "log"
    addresses = made(path, 5000)
    shown = invoke("log", "tail", path, "-n", count).stdout.splitlines()
    assert shown == [f"{addresses[number]}\tentry {number}" for number in range(5000 - count, 5000)]


def test_one_entry_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with oxidbm.Log(path) as log:
        address = log.append(b"\x00\xff\n")
    assert run("log", "read", path, address).stdout == b"\x00\xff\n"
    assert json.loads(run("log", "read", path, address, "--json").stdout) == {
        "address": address,
        "entry": {"base64": "AP8K"},
    }
    assert invoke("log", "read", path, address + 1).exit_code == 2
    assert invoke("log", "read", path, 9999).exit_code != 0


def test_figures(tmp_path: Path) -> None:
    path = tmp_path / "log"
    made(path, 3)
    with oxidbm.Log(path) as log, log.reader("billing") as reader:
        next(reader)
    figures = json.loads(invoke("log", "stat", path, "--json").stdout)
    assert figures["entries"] == 3
    assert figures["readers"] == [{"name": "billing", "address": 96, "lag": 2, "open": False}]
    assert "reader billing           at 96, 2 behind" in invoke("log", "stat", path).stdout


def test_truncating(tmp_path: Path) -> None:
    """Never past a named reader, unless it is said."""
    path = tmp_path / "log"
    addresses = made(path, 5)
    with oxidbm.Log(path) as log, log.reader("billing") as reader:
        reader.done(addresses[1])
    assert invoke("log", "truncate", path, addresses[3]).exit_code == 2
    assert (
        invoke("log", "truncate", path).stdout == f"{path}: 2 entries forgotten; it begins at address {addresses[2]}\n"
    )
    assert invoke("log", "truncate", path, addresses[3], "--past-readers").exit_code == 0
    with oxidbm.Log(path) as log:
        assert log.begin == addresses[3]
        log.forget_reader("billing")
        tail = log.tail
    refused = run("log", "truncate", path)
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert refused.stderr.decode() == (
        f"oxidbm: {path} has no named reader that says what is done: give the address before which to forget all; "
        f"{tail} stands behind the last entry\n"
    )
    assert invoke("log", "truncate", path, tail).stdout.startswith(f"{path}: 2 entries forgotten")


def test_damage(tmp_path: Path) -> None:
    """It is listed, and what is sound is shown."""
    path = tmp_path / "log"
    addresses = made(path, 5)
    assert invoke("log", "check", path).stdout == f"{path}: 5 entries, no faults\n"
    segment = path / "log" / "0000000000.seg"
    data = bytearray(segment.read_bytes())
    data[addresses[2] + 26] ^= 1
    segment.write_bytes(data)
    checked = invoke("log", "check", path)
    assert checked.exit_code == 5
    assert f"0000000000.seg at offset {addresses[2]}" in checked.stdout
    assert "4 sound entries of 5" in checked.stdout
    assert json.loads(invoke("log", "check", path, "--json").stdout)["entries"] == 5
    stopped = run("log", "scan", path)
    assert stopped.returncode == 5
    assert b"oxidbm log scan --skip" in stopped.stderr
    shown = invoke("log", "scan", path, "--skip")
    assert shown.exit_code == 0
    assert len(shown.stdout.splitlines()) == 4


def test_a_line_that_the_codec_does_not_take(tmp_path: Path) -> None:
    """It is named by its number, with how many before it are there to stay."""
    path = tmp_path / "log"
    oxidbm.Log(path, codec="json").close()
    done = run("log", "append", path, stdin=b'{"a":1}\n[2]\nnot json\n4\n')
    assert done.returncode == 2
    assert "line 3 of stdin is not appended, nor is what follows" in done.stderr.decode()
    assert "before it, 2 entries were appended and committed" in done.stderr.decode()
    with oxidbm.Log(path, codec="json") as log:
        assert [entry for _, entry in log] == [{"a": 1}, [2]]
    done = run("log", "append", path, stdin=b"")
    assert done.stdout.decode() == f"{path}: 0 entries from address 224 to 224\n"


def test_the_last_entries_of_a_damaged_log(tmp_path: Path) -> None:
    """Damage before them is none of theirs; --skip passes over what is, and over a log's end that is lost."""
    path = tmp_path / "log"
    addresses = made(path, 5)
    segment = path / "log" / "0000000000.seg"
    sound = segment.read_bytes()
    flip(segment, addresses[1] + 26)
    assert invoke("log", "tail", path, "-n", 1).stdout == f"{addresses[4]}\tentry 4\n"
    assert run("log", "tail", path, "-n", 4).returncode == 5
    assert len(invoke("log", "tail", path, "-n", 4, "--skip").stdout.splitlines()) == 4
    segment.write_bytes(sound)
    flip(path / "CLEAN", 20)
    stopped = run("log", "tail", path)
    assert stopped.returncode == 5
    assert f"oxidbm log salvage {path} NEW" in stopped.stderr.decode()
    shown = run("log", "tail", path, "--skip")
    assert (shown.returncode, shown.stdout.count(b"\n")) == (0, 5)
    assert b"CLEAN: the checksum" in shown.stderr
    checked = run("log", "check", path, "--json")
    assert checked.returncode == 5
    assert json.loads(checked.stdout)["entries"] == 5


def flip(file: Path, offset: int) -> None:
    """Change one byte of a file."""
    data = bytearray(file.read_bytes())
    data[offset] ^= 1
    file.write_bytes(data)


def test_a_backup_and_a_salvage(tmp_path: Path) -> None:
    path = tmp_path / "log"
    addresses = made(path, 5)
    with oxidbm.Log(path):  # beside a writer
        done = run("log", "backup", path, tmp_path / "copy")
        assert done.returncode == 0
        assert done.stdout.decode().startswith(f"{tmp_path / 'copy'}: commit 1, ")
        assert json.loads(run("log", "backup", path, tmp_path / "copy", "--json").stdout)["commit_sequence"] == 1
    flip(path / "log" / "0000000000.seg", addresses[1] + 26)
    done = run("log", "salvage", path, tmp_path / "new")
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert f"offset {addresses[1]}: 32 bytes are lost" in lines[0]
    assert lines[1:4] == [
        f"{tmp_path / 'new'}: 4 entries",
        "lost: 32 B in 1 range",
        "missing: 1 entry that commits have counted, or others lie around",
    ]
    found = json.loads(run("log", "salvage", path, tmp_path / "again", "--json").stdout)
    assert (found["entries"], found["missing"], found["cookie"]) == (4, 1, "")
    assert invoke("log", "scan", tmp_path / "new").stdout.count("\n") == 4
    assert run("log", "salvage", path, tmp_path / "new").returncode == 6


def test_what_is_no_log(tmp_path: Path) -> None:
    oxidbm.Store(tmp_path / "store").close()
    made(tmp_path / "log", 1)
    for arguments, code, said in (
        (("log", "stat", tmp_path / "store"), 6, "is a store, not a log\n`oxidbm -h` lists"),
        (("stat", tmp_path / "log"), 6, "is a log, not a store\n`oxidbm log --help` lists"),
        (("log", "stat", tmp_path / "nothing"), 3, "there is no log"),
    ):
        done = run(*arguments)
        assert done.returncode == code
        assert said in done.stderr.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a POSIX signal")
def test_following(tmp_path: Path) -> None:
    """What is committed comes, until Ctrl-C."""
    path = tmp_path / "log"
    with oxidbm.Log(path) as log:
        log.append(b"before")
        log.commit()
        shown = subprocess.Popen(command("log", "tail", path, "-f"), stdout=subprocess.PIPE, env=environment())
        assert shown.stdout is not None
        assert shown.stdout.readline() == b"64\tbefore\n"
        address = log.append(b"after")
        log.commit()
        assert shown.stdout.readline() == b"%d\tafter\n" % address
        shown.send_signal(signal.SIGINT)
        assert shown.wait(60) == 130
        shown.stdout.close()


def ends(process: "subprocess.Popen[bytes]") -> tuple[int, bytes, bytes]:
    """Return a process's exit code and what was left of its output, once it ends."""
    rest, said = process.communicate(timeout=60)
    return process.returncode, rest, said


@pytest.mark.parametrize("address", ["0", "5000", "-1", "9" * 23, "-" + "9" * 23])
@pytest.mark.parametrize("arguments", [("log", "read"), ("log", "truncate", "--past-readers")])
def test_an_address_outside_of_the_log(arguments: tuple[str, ...], address: str, tmp_path: Path) -> None:
    """It is a wrong argument, and one line says so; what forgets entries takes the nearest one."""
    path = tmp_path / "log"
    made(path, 3)
    done = run(*arguments, "--", path, address)
    if "read" in arguments:
        assert (done.returncode, done.stdout) == (2, b"")
        assert (
            done.stderr.decode() == f"oxidbm: address {address} is not in the log, which begins at 64 and ends at 256\n"
        )
    else:
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("codec", "line", "said"),
    [
        ("json", b"not json", "line 2 of stdin, not json, is not JSON: "),
        ("float", b"a\x1bb", "line 2 of stdin, a\\x1bb, is not what the codec 'float' takes: "),
        ("str", b"\xff", "line 2 of stdin, \\xff, is not UTF-8, which texts are\n"),
    ],
)
def test_a_line_that_is_refused_is_named(codec: codecs.Name, line: bytes, said: str, tmp_path: Path) -> None:
    """The sentence has a subject, and the number of those before it is one."""
    path = tmp_path / "log"
    oxidbm.Log(path, codec=codec).close()
    done = run("log", "append", path, stdin=b"1\n" + line + b"\n")
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"oxidbm: {said}")
    assert "before it, 1 entry was appended and committed\n" in done.stderr.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="the limit of a POSIX shell stands for a full disk")
@pytest.mark.parametrize("blocks", [0, 512])
def test_a_disk_that_takes_no_more_is_not_stdin(blocks: int, tmp_path: Path) -> None:
    """The failure names a file of the log, or the log."""
    path = tmp_path / "log"
    done = subprocess.run(
        ["sh", "-c", f'ulimit -f {blocks}; "$@"', "sh", *command("log", "append", path)],
        input=b"x" * (2 << 20),
        capture_output=True,
        timeout=300,
        env=environment(),
        check=False,
    )
    assert done.returncode == 7
    assert str(path) in done.stderr.decode()
    assert "stdin" not in done.stderr.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="a directory that is open is not deleted there")
@pytest.mark.parametrize("anew", [False, True])
def test_following_a_log_that_is_deleted(anew: bool, tmp_path: Path) -> None:
    """It ends, and does not wait for ever for what nobody writes."""
    path = tmp_path / "log"
    made(path, 1)
    shown = subprocess.Popen(
        command("log", "tail", path, "-f"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert shown.stdout is not None
    assert shown.stdout.readline() == b"64\tentry 0\n"
    shutil.rmtree(path)
    if anew:
        made(path, 3)
    code, rest, said = ends(shown)
    assert (code, rest) == (7, b"")
    assert said.decode().startswith(f"oxidbm: the log {path} was deleted or replaced since this reader opened it. ")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a POSIX signal")
def test_ctrl_c_ends_following_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "log"
    made(path, 1)
    shown = subprocess.Popen(
        command("log", "tail", path, "-f"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert shown.stdout is not None
    assert shown.stdout.readline() == b"64\tentry 0\n"
    shown.send_signal(signal.SIGINT)
    assert ends(shown) == (130, b"", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell who reads a pipe")
def test_following_ends_when_nobody_reads_on(tmp_path: Path) -> None:
    """As behind head: at once, and not with the next entry, which may never come."""
    path = tmp_path / "log"
    made(path, 1)
    shown = subprocess.Popen(
        command("log", "tail", path, "-f"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert shown.stdout is not None
    assert shown.stderr is not None
    assert shown.stdout.readline() == b"64\tentry 0\n"
    shown.stdout.close()
    assert shown.wait(60) == 141
    assert shown.stderr.read() == b""
    shown.stderr.close()


def test_named_readers(tmp_path: Path) -> None:
    """They are listed by name, and forgotten unless they are open."""
    path = tmp_path / "log"
    addresses = made(path, 5)
    assert invoke("log", "readers", path).stdout == ""
    with oxidbm.Log(path) as log:
        log.add_reader("sending", begin=addresses[2])
        with log.reader("billing") as reader:
            reader.done(addresses[3])
            assert invoke("log", "readers", path).stdout == (
                f"billing at {addresses[4]}, 1 behind, open\nsending at {addresses[2]}, 3 behind\n"
            )
            assert [json.loads(line) for line in invoke("log", "readers", path, "--json").stdout.splitlines()] == [
                {"name": "billing", "address": addresses[4], "lag": 1, "open": True},
                {"name": "sending", "address": addresses[2], "lag": 3, "open": False},
            ]
            assert invoke("log", "forget-reader", path, "billing").exit_code == 2
        assert invoke("log", "forget-reader", path, "billing").exit_code == 0
        assert [reader.name for reader in log.readers()] == ["sending"]
    unknown = run("log", "forget-reader", path, "billing")
    assert (unknown.returncode, unknown.stdout) == (1, b"")
    assert unknown.stderr.decode() == f"oxidbm: {path} has no reader of the name billing\n"
