"""Every console block of docs/command-line.md does what it says, one after the other in one directory."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.helpers import environment
from tests.support import ROOT

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^\$ ", re.MULTILINE)


def steps() -> list[tuple[str, str]]:
    """Return each command with the output that stands below it."""
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    found = []
    for block in BLOCK.findall(text):
        for step in PROMPT.split(block)[1:]:
            command, _, output = step.partition("\n")
            found.append((command, output))
    return found


@pytest.mark.slow
@pytest.mark.compiled_only("what the document shows is what readers have: the compiled core")
@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are for a POSIX shell")
def test_the_console_blocks_are_true(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    python = shlex.quote(sys.executable)
    programs = tmp_path_factory.mktemp("bin")  # and no functions, which xargs does not know
    for name, arguments in (("python", ""), ("oxidbm", " -m oxidbm")):
        (programs / name).write_text(f'#!/bin/sh\nexec {python}{arguments} "$@"\n')
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    status = 0
    assert len(steps()) > 15
    for command, output in steps():
        done = subprocess.run(
            ["sh", "-c", f"(exit {status}); {command}"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            env={**environment(), "PATH": path},
            check=False,
        )
        assert done.stdout.decode() == output, command
        status = done.returncode
