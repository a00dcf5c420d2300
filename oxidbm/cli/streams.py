"""What is read from stdin and written to stdout and stderr. Needs neither typer nor rich.

Results go to stdout, all else to stderr; text is UTF-8 whatever the locale, and --json holds everything exactly.
"""

import errno
import json
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from oxidbm.cli.words import one_line


def print_line(text: str) -> None:
    """Print a line of text as UTF-8, whatever the locale."""
    write_bytes(text.encode("utf-8", "backslashreplace") + b"\n")


def json_text(data: Any) -> str:
    """Return an object as one line of JSON."""
    return json.dumps(data, ensure_ascii=False)


def print_json(data: Any) -> None:
    """Print an object as one line of JSON."""
    print_line(json_text(data))


def closed(name: str) -> OSError:
    """Return the error for a stream that the command was started without."""
    return OSError(errno.EBADF, "it is closed, and the command needs it", name)


def stdin() -> BinaryIO:
    """Return stdin for bytes; OSError where it is closed."""
    if sys.stdin is None:
        raise closed("stdin")
    return sys.stdin.buffer


def ask_for(what: str) -> None:
    """Say on a terminal what is waited for, and how it ends; keys that are typed would go nowhere else."""
    if sys.stdin is not None and sys.stdin.isatty():
        note(f"type {what}, then Ctrl-D")


def lines_of_stdin() -> Iterator[bytes]:
    """Yield the lines of stdin, which its errors name, and those of whoever takes the lines do not."""
    ask_for("lines")
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


def write_bytes(data: bytes) -> None:
    """Write bytes to stdout, in order with what was printed."""
    with of_stream("stdout"):
        stdout().write(data)


def flush() -> None:
    """Have stdout pass on what was printed."""
    with of_stream("stdout"):
        stdout().flush()


def note(text: str) -> None:
    """Say on stderr what was done, where there is one."""
    with suppress(OSError, AttributeError):
        sys.stderr.write(one_line(text) + "\n")
