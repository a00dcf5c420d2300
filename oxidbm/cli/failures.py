"""What every error of the command line looks like: one sentence on stderr and a documented exit code.

Messages come from the library, whose words are those of Python. `sentence` says for each that names an argument or a
method what to type instead. Needs neither typer nor rich.
"""

import errno
import io
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import oxidbm
from oxidbm.cli import streams
from oxidbm.cli.stores import NoValue
from oxidbm.cli.words import one_line, readable
from oxidbm.codecs import DecodeError

NOT_FOUND: Final = 1
USAGE: Final = 2
MISSING: Final = 3
LOCKED: Final = 4
CORRUPT: Final = 5
BAD_INPUT: Final = 6
FAILED: Final = 7
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141

EXIT_CODES: Final = {
    0: "done",
    NOT_FOUND: "the key has no value (get, del, history), or nothing has the name",
    USAGE: "wrong arguments, or a package that is needed is not installed",
    MISSING: "there is no store, source or file at the path, or no such checkpoint",
    LOCKED: "another process has the store open to write, or backs up to it",
    CORRUPT: "the store is damaged; check found faults",
    BAD_INPUT: "what was to be read is something else, or damaged",
    FAILED: "reading or writing failed, for example on a full disk",
    INTERRUPTED: "interrupted (Ctrl-C) or declined; load and convert can be run again",
    PIPE_CLOSED: "the output was closed early, as by head",
}

# What the library says, and what a command says in its place. Each left side is found in a message of the library.
PHRASES: Final[list[tuple[str, str | Callable[[re.Match[str]], str]]]] = [
    (r"there is no (\w+) to open, and this call may not make one", r"there is no \1"),
    (r"the directory holds no (\w+), and this call may not make one", r"the directory holds no \1"),
    (r": use the one that has it open, from as many threads .* the last commit beside it", ""),
    (r"; close it there, or open it with read_only=True to read the last commit",
     "; end that first. Commands that only read work meanwhile"),
    (r"was opened with (?:none \()?(.*?)(?: as they are\))?; open it with the codec it was made with, .*$",
     r"not \1; leave --key and --value out, and it has its own"),
    (r"; leave codec= out", "; leave --codec out"),
    (r"; open it with [\w.]+$", ""),
    (r"; name a directory, or leave it out for one in memory", "; name a directory"),
    (r"call refresh\(\) again", "try again"),
    (r"Use what append\(\) returned", "`oxidbm log scan` shows the addresses"),
    (r"\. Open it with a larger memory=", "; only a program that opens it with a larger budget can"),
    (r"\. Open the store with a larger memory=", "; load and convert take a larger one with --memory"),
    (r"\. (?:Write it in parts, or open|Open) the (?:store|log|queue) with (?:a larger|more) memory=", ""),
    (r"; cookie= keeps more", "; --cookie keeps more"),
    (r", or both with keep=", ", or both with --keep"),
    (r", or call compact\(\), which goes file by file", ", or use `oxidbm compact`, which goes file by file"),
    (r"; truncate\(\) up to there, forget_reader\(\) it, or say past_readers=True",
     "; truncate up to there, `oxidbm log forget-reader` it, or say --past-readers"),
    (r"\bopen_pickles=True \(--open-pickles\)", "--open-pickles"),
    (r"\bkeep_pickles \(--keep-pickles\)", "--keep-pickles"),
    (r", database= \(--database\)", ", --database"),
    (r"--key-codec and --value-codec, in Python key= and value=", "--key and --value"),
    (r"--codec, in Python codec=", "--codec"),
    (r"What is left of the \w+ is read with read_only=True, on_error=\"skip\", and saved by oxidbm.salvage_log.*$",
     "--skip shows what is left"),
    (r"oxidbm\.salvage_log\(path, to\) saves what is left", "`oxidbm log salvage` saves what is left"),
    (r"open the queue with on_error=\"skip\"", "say --skip"),
    (r"\bcompact\(\)", "compact"),
    (r"\breorganize\(\)", "reorganize"),
    (r"give it one, as astimezone\(\) does, or use codecs\.NAIVE_DATETIME for what clocks show",
     "give its offset, as 2024-02-29T09:30+00:00; the codec 'naive-datetime' is for what clocks show"),
    (r"use codecs\.DATETIME for instants", "the codec 'datetime' is for instants"),
    (r"^expire is", "--expire is"),
    (r"^(memory|max_bytes|rate)=(?=.* is no size)", lambda found: f"--{found[1].replace('_', '-')} "),
    (r"^(memory|max_bytes|rate) (?=must be|is )", lambda found: f"--{found[1].replace('_', '-')} "),
    (r"^dead is", "--dead is"),
    (r"^keep is", "--keep is"),
    (r"^level is zstandard's(.*); leave it out.*$", r"--level is zstandard's\1"),
]  # fmt: skip


def code_of(failure: BaseException) -> int | None:
    """Return the exit code of an error, the first type that fits; None for what is no error that is foreseen."""
    from oxidbm.convert import SourceError
    from oxidbm.dump import BadInput

    for kind, code in (
        (KeyboardInterrupt, INTERRUPTED),
        (BrokenPipeError, PIPE_CLOSED),
        (oxidbm.LockedError, LOCKED),
        (oxidbm.CorruptionError, CORRUPT),
        (BadInput, BAD_INPUT),
        (DecodeError, BAD_INPUT),
        (oxidbm.FormatError, BAD_INPUT),
        (SourceError, BAD_INPUT),
        (FileNotFoundError, MISSING),
        (ImportError, USAGE),
        (oxidbm.BusyError, USAGE),
        (ValueError, USAGE),
        (IndexError, USAGE),
        (OverflowError, USAGE),
        (NoValue, NOT_FOUND),
        (Declined, INTERRUPTED),
        (OSError, FAILED),
        (MemoryError, FAILED),
    ):
        if isinstance(failure, kind):
            return code
    return None


class Declined(Exception):
    """The user was asked, and said no."""


def sentence(failure: BaseException) -> str:
    """Return an error as one line for people."""
    if isinstance(failure, KeyboardInterrupt):
        return "interrupted"
    if isinstance(failure, OSError) and failure.filename is not None:
        return f"{os.fsdecode(failure.filename)}: {failure.strerror}"
    if isinstance(failure, OSError) and failure.strerror is not None:
        return failure.strerror
    if isinstance(failure, MemoryError):
        return "there is not enough memory"
    return (str(failure) or type(failure).__name__).replace("\n", " ")


def without_python(text: str) -> str:
    """Return a message of the library with options and commands in the place of arguments and methods."""
    for pattern, words in PHRASES:
        text = re.sub(pattern, words, text)
    return text


def flush_output() -> None:
    """Write what stdout still holds; where that fails, let it go nowhere, or the interpreter's end would fail again."""
    if sys.stdout is None:
        return
    try:
        with streams.of_stream("stdout"):
            sys.stdout.flush()
    except OSError:
        silence(sys.stdout)
        raise


def silence(stream: Any) -> None:
    """Let a stream go nowhere."""
    with suppress(OSError, ValueError, AttributeError):  # a stand-in without a file, or none
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(failure: BaseException) -> None:
    """Say on stderr what went wrong, where there is one."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"oxidbm: {one_line(without_python(sentence(failure)))}\n")
        for line in getattr(failure, "__notes__", ()):
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)


def advise(failure: BaseException, path: str | os.PathLike[str] | None, group: str | None = None) -> None:
    """Add to the error of a damaged store what finds all of it, and what saves the rest.

    A path that is something else is followed by the commands that are about such things.
    """
    if isinstance(failure, oxidbm.FormatError):
        if " is a store, not a " in str(failure):
            failure.add_note("`oxidbm -h` lists what looks into a store")
        for kind in ("log", "queue"):
            if f" is a {kind}, not a " in str(failure):
                failure.add_note(f"`oxidbm {kind} --help` lists what looks into a {kind}")
    elif isinstance(failure, oxidbm.CorruptionError) and path is not None:
        name = readable(os.fsencode(shlex.quote(os.fspath(path))))
        if group == "queue":
            found = f"`oxidbm queue check {name}` lists all faults, `oxidbm queue peek --skip {name}` shows"
            failure.add_note(f"{found} what is sound, `oxidbm queue salvage {name} NEW` saves it")
        elif group == "log":
            found = f"`oxidbm log check {name}` lists all faults, `oxidbm log scan --skip {name}` shows"
            failure.add_note(f"{found} what is sound, `oxidbm log salvage {name} NEW` saves it")
        else:
            found = f"`oxidbm check {name}` lists all faults, `oxidbm salvage {name} NEW` saves"
            failure.add_note(f"{found} what is sound")


def hold_descriptors() -> None:
    """Put something in the place of a closed stdin, stdout or stderr, whose number a store's file would get else."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError as failure:
            if failure.errno == errno.EBADF:
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one


def buffer_output() -> None:
    """Have stdout write all that it is given; with PYTHONUNBUFFERED it is a raw file, which may write less."""
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), sys.stdout.encoding, sys.stdout.errors)


def prepare() -> None:
    """Make this process ready for a command."""
    hold_descriptors()
    buffer_output()
    warnings.simplefilter("ignore", oxidbm.BudgetWarning)  # a command has no memory= to give


@contextmanager
def ending(store: str) -> Iterator[None]:
    """Run a command of a store that is read as a whole process: its errors are sentences, and SystemExit the code."""
    prepare()
    try:
        try:
            yield
        finally:
            flush_output()
    except BaseException as failure:
        code = code_of(failure)
        if code is None:
            raise
        advise(failure, store)
        if code != PIPE_CLOSED:
            say(failure)
        raise SystemExit(code) from None
