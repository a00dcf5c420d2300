"""How the tests run the command: in this process through typer's runner, or as a process of its own."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oxidbm import Store, dump
from tests.support import ROOT

ODD_ITEMS = {
    b"plain": b"text",
    "\u00fcml\u00e4ut\u2028".encode(): "\u4e2d\u6587".encode(),
    b"": b"",
    b"empty": b"",
    b"lines\nand\rmore\x00": b'{"key": 1}\n\n',
    b"\xff\xfe": bytes(range(256)),
    b'quote"\\': b"\xed\xa0\x80",
    b"k" * 65_535: b"v" * 100_000,
}


def invoke(*arguments: object, stdin: bytes | None = None) -> Any:
    """Run the command in this process; the result has exit_code, stdout_bytes, stdout and stderr."""
    from typer.testing import CliRunner

    from oxidbm.cli.app import app

    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, prog_name="oxidbm")


def environment() -> dict[str, str]:
    """Return an environment in which a child finds this oxidbm, and writes plain text."""
    clean = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "COLUMNS")}
    return clean | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TERM": "dumb"}


def command(*arguments: object) -> list[str]:
    """Return what starts the command as a process."""
    return [sys.executable, "-m", "oxidbm", *map(str, arguments)]


def run(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command as a process."""
    return subprocess.run(
        command(*arguments), input=stdin, capture_output=True, timeout=300, env=environment(), check=False
    )


def json_line(key: bytes, value: bytes) -> bytes:
    """Return a line of a dump."""
    file = io.BytesIO()
    dump.write_json_lines([dump.Item(key, value)], file)
    return file.getvalue()


def make(path: Path, items: dict[bytes, bytes]) -> Path:
    """Make a store of items."""
    with Store(path) as store:
        store.update(items)
    return path


def contents(path: Path) -> dict[bytes, bytes]:
    """Return a store's items."""
    with Store(path, read_only=True) as store:
        return dict(store.items())


def files(path: Path) -> Iterator[tuple[str, bytes, int]]:
    """Yield name, content and time of change of a path's files, its siblings of the same beginning included."""
    for found in sorted(path.parent.rglob("*")):
        if found.is_file() and found.relative_to(path.parent).parts[0].startswith(path.name):
            yield str(found), found.read_bytes(), found.stat().st_mtime_ns
