"""What the commands share: arguments, how stores are opened, and how bytes, figures and progress are shown.

Results go to stdout, all else to stderr. Text for people escapes what is not printable, so that a key is one line and
no value can steer the terminal; --json holds everything exactly, bytes that are not UTF-8 as {"base64": ...}.
"""

import base64
import binascii
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from oxidbm import Store
from oxidbm.codecs import RAW

STORE: Final = typer.Argument(metavar="STORE", help="The store's directory.", show_default=False)
StorePath: TypeAlias = Annotated[Path, STORE]
Key: TypeAlias = Annotated[str, typer.Argument(metavar="KEY", help="The key.", show_default=False)]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, which holds everything exactly.")]
InBase64: TypeAlias = Annotated[bool, typer.Option("--base64", help="KEY, and VALUE, are given in base64.")]
Limit: TypeAlias = Annotated[int | None, typer.Option("--limit", min=0, help="Stop after so many.", show_default=False)]
Memory: TypeAlias = Annotated[str, typer.Option("--memory", help="The store's memory budget.")]

Report: TypeAlias = Callable[[int, int | None], None]
UNITS: Final = ("KiB", "MiB", "GiB", "TiB")


class NoValue(LookupError):
    """A key that a command was given has no value."""


def argument_bytes(text: str, in_base64: bool) -> bytes:
    """Return the bytes that a command's argument stands for: those the shell gave, or what they are the base64 of."""
    if not in_base64:
        return os.fsencode(text)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{text!r} is not valid base64") from None


def reading(path: Path) -> Store:
    """Open a store to read its last commit, also beside a writer."""
    return Store(path, read_only=True, key=RAW, value=RAW)


def shown(character: str) -> str:
    """Return a character, or how it is written in Python where it is not printable."""
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    if 0xDC80 <= ord(character) <= 0xDCFF:  # surrogateescape: a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def readable(data: bytes) -> str:
    """Return bytes as one line of text; what is not printable UTF-8 as \\n, \\x00 and so on."""
    text = data.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(shown, text))


def size(count: int) -> str:
    """Return a number of bytes with a unit."""
    if count < 1024:
        return f"{count} B"
    amount = float(count)
    for unit in UNITS:
        amount /= 1024
        if amount < 1024 or unit == UNITS[-1]:
            break
    return f"{amount:.1f} {unit}"


def items(count: int) -> str:
    """Return a number of items in words."""
    return f"{count:,} item" if count == 1 else f"{count:,} items"


def print_line(text: str) -> None:
    """Print a line of text as UTF-8, whatever the locale."""
    write_bytes(text.encode("utf-8", "backslashreplace") + b"\n")


def print_json(data: Any) -> None:
    """Print an object as one line of JSON."""
    print_line(json.dumps(data, ensure_ascii=False))


def write_bytes(data: bytes) -> None:
    """Write bytes to stdout, in order with what was printed."""
    sys.stdout.buffer.write(data)


def note(text: str) -> None:
    """Say on stderr what was done."""
    sys.stderr.write(text + "\n")


@contextmanager
def progress(title: str, total: int | None = None, *, wanted: bool = True) -> Iterator[Report]:
    """Show a bar on stderr, where that is a terminal; yield what takes the progress made and the total."""
    console = Console(stderr=True)
    if not (console.is_terminal and wanted):
        yield lambda done, total: None
        return
    columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)
