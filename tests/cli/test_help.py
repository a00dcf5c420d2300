"""Help, its examples, wrong arguments, and what the shell completes."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Store
from tests.cli.helpers import environment, invoke, make

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")


def paths() -> list[tuple[str, ...]]:
    """Return the words of each command."""
    from oxidbm.cli import app, log, queue

    groups = (("log", log.COMMANDS), ("queue", queue.COMMANDS))
    return [(name,) for name in app.COMMANDS] + [(group, name) for group, known in groups for name in known]


def typed() -> list[str]:
    from oxidbm.cli.examples import EXAMPLES

    return [command for examples in EXAMPLES.values() for _, command in examples]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_every_command_has_help_that_fits(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for path in [(), ("log",), ("queue",), *paths()]:
        result = invoke(*path, "-h")
        assert (result.exit_code, result.stderr) == (0, ""), path
        text = result.stdout
        assert text.startswith(f"Usage: {' '.join(('oxidbm', *path))} ")
        assert "Examples:" in text or path in (("log",), ("queue",))
        commands = typed()
        long = [line for line in text.splitlines() if len(line) > min(columns, 101) and line.strip() not in commands]
        assert [line for line in long if not line.startswith("Usage: ")] == []
        for word in ("None", "<class", "Ellipsis", "<bool>"):
            assert word not in text


def test_each_example_is_of_a_command_and_parses() -> None:
    import typer

    from oxidbm.cli.app import app
    from oxidbm.cli.examples import EXAMPLES

    assert set(EXAMPLES) == {(), *paths()}
    root: Any = typer.main.get_command(app)
    for line in typed():
        start = line.index("oxidbm ")
        words = shlex.split(line[start:].replace("; done", "").partition(" && ")[0], comments=False)[1:]
        words = words[: min((words.index(mark) for mark in ("|", ">", "<") if mark in words), default=len(words))]
        if words[0].startswith("--"):
            continue
        command = root.commands[words.pop(0)]
        if hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context("example", words)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("get",), "oxidbm: missing argument 'STORE'\nusage: oxidbm get STORE KEY [options]; `oxidbm get -h` "),
        (("frob",), "oxidbm: no such command 'frob'\nusage: oxidbm COMMAND ... [options]; `oxidbm -h` explains it\n"),
        (("log", "read", "a", "x"), "`oxidbm log read -h` explains it\n"),
        (("stat", "s", "--what"), "oxidbm: no such option: --what"),
        (("set", "s", "k", "-5"), "stands behind --, as in: set STORE KEY -- -5\n"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_two_lines(arguments: tuple[str, ...], said: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 2)
    assert said in result.stderr


def completed(line: str, directory: Path) -> list[str]:
    """Return what bash completes at the end of a line."""
    words = shlex.split(line)
    number = len(words) if line.endswith(" ") else len(words) - 1
    asked = {"_OXIDBM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(number)}
    done = subprocess.run(
        [sys.executable, "-m", "oxidbm"],
        capture_output=True,
        timeout=300,
        env=environment() | asked,
        cwd=directory,
        check=False,
    )
    assert done.stderr == b""
    return done.stdout.decode().split()


@pytest.mark.slow
def test_the_shell_completes_commands_options_codecs_and_checkpoints(tmp_path: Path) -> None:
    with Store(make(tmp_path / "s", {b"a": b"1"})) as store:
        token = store.checkpoint(name="first").token
    assert completed("oxidbm ch", tmp_path) == ["checkpoint", "checkpoints", "check"]
    assert "--escaped" in completed("oxidbm get -", tmp_path)
    assert completed("oxidbm log t", tmp_path) == ["tail", "truncate"]
    assert completed("oxidbm dump s --format ", tmp_path) == ["json", "binary"]
    assert completed("oxidbm set s k v --value m", tmp_path) == ["msgpack"]
    assert completed("oxidbm checkpoint s --kind in", tmp_path) == ["incremental", "index"]
    assert completed("oxidbm recover s ", tmp_path) == [token]
    assert completed("oxidbm recover nothing ", tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == ["s"]


def test_completion_says_how_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # it asks which shell has started the tests
    assert "_OXIDBM_COMPLETE=complete_bash" in invoke("--show-completion", "bash").stdout
