"""What the commands share: arguments, how stores are opened, and how bytes, figures and progress are shown.

Results go to stdout, all else to stderr. Text for people escapes what is not printable, so that a key is one line and
no value can steer the terminal; --json holds everything exactly, bytes that are not UTF-8 as {"base64": ...}.
"""

import errno
import json
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, TypeAlias, cast

import typer
from rich.console import Console

from oxidbm import Store
from oxidbm._core.store.raw import place
from oxidbm._plain import Plain, Refused, from_base64, to_base64
from oxidbm._recover import opened_quietly
from oxidbm.cli import bar
from oxidbm.dump import damaged

STORE: Final = typer.Argument(metavar="STORE", help="The store's directory.", show_default=False)
StorePath: TypeAlias = Annotated[Path, STORE]
Key: TypeAlias = Annotated[str, typer.Argument(metavar="KEY", help="The key.", show_default=False)]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, which holds everything exactly.")]
InBase64: TypeAlias = Annotated[
    bool, typer.Option("--base64", help="KEY is given as the base64 of its bytes in the store.")
]
Limit: TypeAlias = Annotated[int | None, typer.Option("--limit", min=0, help="Stop after so many.", show_default=False)]
AtCheckpoint: TypeAlias = Annotated[
    str | None,
    typer.Option("--checkpoint", metavar="TOKEN", help="As of this checkpoint.", show_default="the last commit"),
]
Memory: TypeAlias = Annotated[str, typer.Option("--memory", help="The store's memory budget.")]


class OnError(StrEnum):
    """What to do with a key or value that the store's codec did not write."""

    RAISE = "raise"
    SKIP = "skip"
    BYTES = "bytes"


WhenDamaged: TypeAlias = Annotated[
    OnError,
    typer.Option("--on-error", help="Where a codec did not write it: end with an error, skip it, or take its bytes."),
]

INTERRUPTED: Final = 130  # the exit code
UNITS: Final = ("KiB", "MiB", "GiB", "TiB")


class NoValue(LookupError):
    """A key that a command was given has no value."""


class Declined(Exception):
    """The user was asked, and said no."""


def argument_bytes(text: str, in_base64: bool) -> bytes:
    """Return the bytes that a command's argument stands for: those the shell gave, or what they are the base64 of."""
    if not in_base64:
        return os.fsencode(text)
    try:
        return from_base64(text)
    except Refused:
        raise ValueError(f"{text!r} is not valid base64") from None


def key_bytes(store: Store[Any, Any], given: bytes, in_base64: bool) -> bytes:
    """Return a key as the store has it: what its codec makes of text, or bytes that the codec is asked about."""
    return coded("key", Plain(store.key_codec), given, in_base64)


def coded(what: str, codec: Plain, given: bytes, in_base64: bool) -> bytes:
    """Return what a codec makes of text; of bytes, these, where it may have written them."""
    try:
        if not in_base64:
            return codec.from_text(given)
        codec.check(given)
        return given
    except ValueError as failure:
        more = "" if in_base64 or codec.writes else "; give the bytes of its codec with --base64"
        raise ValueError(f"the {what} {readable(given[:80])} {failure}{more}") from None


class Display:
    """Shows the keys and values of a store as what they stand for; where a codec did not write them, as asked."""

    def __init__(self, store: Store[Any, Any], on_error: OnError, as_json: bool) -> None:
        self.store = store
        self.key = Plain(store.key_codec)
        self.value = Plain(store.value_codec)
        self.on_error = on_error
        self.as_json = as_json
        self.skipped = 0

    def item(self, key: bytes, value: bytes | None, address: int) -> tuple[Any, Any] | None:
        """Return a key and a value, None for none, as JSON or as a line of text; None for both where it is skipped."""
        what = "the key"
        try:
            shown_key = self.one(self.key, key)
            what = "the value of the key"
            shown_value = None if value is None else self.one(self.value, value)
        except ValueError as failure:
            if self.on_error is OnError.SKIP:
                self.skipped += 1
                return None
            name = readable(key) if what == "the key" else readable(self.key.to_text(key))
            raise damaged(what, name, place(self.store, address), failure) from None
        return shown_key, shown_value

    def one(self, codec: Plain, data: bytes) -> Any:
        """Return what bytes stand for."""
        try:
            return codec.to_json(data) if self.as_json else readable(codec.to_text(data))
        except ValueError:
            if self.on_error is not OnError.BYTES:
                raise
            return {"base64": to_base64(data)} if self.as_json else readable(data)

    def end(self) -> None:
        """Say how much was skipped."""
        if self.skipped:
            note(f"{items(self.skipped)} skipped, which the store's codecs did not write")


def opened(path: Path, *, quiet: bool = False, **options: Any) -> Store:
    """Open a store, with a bar where that takes long; say what is wrong with checkpoints, unless it is to be quiet."""
    with bar.opening():
        store: Store = cast(Any, opened_quietly(path, **options))
    for fault in [] if quiet else store.recovery.faults:
        note(f"oxidbm: passed over a checkpoint: {fault}")
    return store


def reading(path: Path, checkpoint: str | None = None, *, quiet: bool = False) -> Store:
    """Open a store to read its last commit, or a checkpoint, also beside a writer."""
    return opened(path, quiet=quiet, read_only=True, checkpoint=checkpoint)


def writing(path: Path, *, create: bool = False) -> Store:
    """Open a store to write; what is written is durable when it is closed."""
    return opened(path, durability="manual", create=create)


def shown(character: str) -> str:
    """Return a character, or how it is written in Python where it is not printable."""
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    if 0xDC80 <= ord(character) <= 0xDCFF:  # surrogateescape: a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def one_line(text: str) -> str:
    """Return a message as one line, in which no name that it holds can steer the terminal."""
    if text.isprintable():
        return text
    return "".join(character if character == "\\" else shown(character) for character in text)


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


def counted(count: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def items(count: int) -> str:
    """Return a number of items in words."""
    return counted(count, "item")


def print_line(text: str) -> None:
    """Print a line of text as UTF-8, whatever the locale."""
    write_bytes(text.encode("utf-8", "backslashreplace") + b"\n")


def print_json(data: Any) -> None:
    """Print an object as one line of JSON."""
    print_line(json.dumps(data, ensure_ascii=False))


def closed(name: str) -> OSError:
    """Return the error for a stream that the command was started without."""
    return OSError(errno.EBADF, "it is closed, and the command needs it", name)


def stdin() -> BinaryIO:
    """Return stdin for bytes; OSError where it is closed."""
    if sys.stdin is None:
        raise closed("stdin")
    return sys.stdin.buffer


def lines_of_stdin() -> Iterator[bytes]:
    """Yield the lines of stdin, which its errors name, and those of whoever takes the lines do not."""
    with of_stream("stdin"):
        yield from stdin()


def stdout() -> BinaryIO:
    """Return stdout for bytes; OSError where it is closed."""
    if sys.stdout is None:
        raise closed("stdout")
    return sys.stdout.buffer


def is_terminal() -> bool:
    """Tell whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def is_read() -> bool:
    """Tell whether somebody may read what is printed; False for a pipe that nobody has open to read any more."""
    try:
        poll = select.poll()  # which Windows has not
        poll.register(stdout().fileno(), 0)
        return not poll.poll(0)
    except (AttributeError, ValueError):
        return True


@contextmanager
def of_stream(name: str) -> Iterator[None]:
    """Name a stream, or a path, in the errors of reading and writing it that name nothing."""
    try:
        yield
    except OSError as failure:
        if failure.filename is None and failure.errno is not None and type(failure).__module__ == "builtins":
            failure.filename = name
        raise


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Run what Ctrl-C is the way to end: it ends the line on which a terminal shows ^C, and says nothing."""
    try:
        yield
    except KeyboardInterrupt:
        if sys.stderr is not None and sys.stderr.isatty():
            note("")
        raise typer.Exit(INTERRUPTED) from None


def write_bytes(data: bytes) -> None:
    """Write bytes to stdout, in order with what was printed."""
    with of_stream("stdout"):
        stdout().write(data)


def flush() -> None:
    """Have stdout pass on what was printed."""
    with of_stream("stdout"):
        stdout().flush()


def print_table(table: Any) -> None:
    """Print a table for people, without the blanks that fill its lines."""
    stdout()
    console = Console(highlight=False)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        print_line(line.rstrip())


def note(text: str) -> None:
    """Say on stderr what was done, where there is one."""
    with suppress(OSError, AttributeError):
        sys.stderr.write(one_line(text) + "\n")
