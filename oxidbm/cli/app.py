"""The commands under one name, and what every error looks like: one sentence on stderr and a documented exit code."""

import errno
import os
import shlex
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

import oxidbm
from oxidbm.cli import checkpoints, common, copies, damage, live, log, queue, reading, sessions, transfer, writing
from oxidbm.cli.common import INTERRUPTED
from oxidbm.codecs import DecodeError
from oxidbm.convert import SourceError
from oxidbm.dump import BadInput

NOT_FOUND: Final = 1
USAGE: Final = 2
MISSING: Final = 3
LOCKED: Final = 4
CORRUPT: Final = 5
BAD_INPUT: Final = 6
FAILED: Final = 7
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
EPILOG: Final = "\n".join(["Exit codes:", *(f"{code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())])

# The first type that fits decides.
CODES: Final[list[tuple[type[BaseException], int]]] = [
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
    (common.NoValue, NOT_FOUND),
    (common.Declined, INTERRUPTED),
    (OSError, FAILED),
    (MemoryError, FAILED),
]


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


def flush_output() -> None:
    """Write what stdout still holds; where that fails, let it go nowhere, or the interpreter's end would fail again."""
    if sys.stdout is None:
        return
    try:
        with common.of_stream("stdout"):
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
        sys.stderr.write(f"oxidbm: {common.one_line(sentence(failure))}\n")
        for line in getattr(failure, "__notes__", ()):
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)


def hold_descriptors() -> None:
    """Put something in the place of a closed stdin, stdout or stderr, whose number a store's file would get else."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError as failure:
            if failure.errno == errno.EBADF:
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one


class Commands(TyperGroup):
    """The group of all commands, which turns errors into sentences and exit codes."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the arguments; Ctrl-C is here what it is in a command."""
        try:
            return super().make_context(*arguments, **options)
        except KeyboardInterrupt as failure:
            say(failure)
            raise typer.Exit(INTERRUPTED) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            try:
                result = super().invoke(ctx)
            finally:
                flush_output()
            return result
        except tuple(kind for kind, _ in CODES) as failure:
            code = next(code for kind, code in CODES if isinstance(failure, kind))
            if code != PIPE_CLOSED:
                say(failure)
            raise typer.Exit(code) from None


class Command(TyperCommand):
    """One command, which adds to its errors what can be done."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; a negative number that is taken for an option is told where it has to stand."""
        try:
            return super().parse_args(ctx, args)
        except Exception as failure:  # of click, which typer has from elsewhere in each of its versions
            if getattr(failure, "option_name", "")[1:].isdigit() and hasattr(failure, "message"):
                failure.message += "; a value that begins with a hyphen stands behind --, as in: set STORE KEY -- -5"
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command; damage of its store is followed by what finds all of it and what saves the rest.

        A path that is something else is followed by the commands that are about such things.
        """
        try:
            return super().invoke(ctx)
        except oxidbm.FormatError as failure:
            for kind in ("log", "queue"):
                if f" is a {kind}, not a " in str(failure):
                    failure.add_note(f"`oxidbm {kind} --help` lists what looks into a {kind}")
            raise
        except oxidbm.CorruptionError as failure:
            if "path" in ctx.params and ctx.info_name != "check":
                path = common.readable(os.fsencode(shlex.quote(os.fspath(ctx.params["path"]))))
                group = None if ctx.parent is None else ctx.parent.info_name
                if group == "queue":
                    found = f"`oxidbm queue check {path}` lists all faults, `oxidbm queue peek --skip {path}` shows"
                    failure.add_note(f"{found} what is sound, `oxidbm queue salvage {path} NEW` saves it")
                elif group == "log":
                    found = f"`oxidbm log check {path}` lists all faults, `oxidbm log scan --skip {path}` shows"
                    failure.add_note(f"{found} what is sound, `oxidbm log salvage {path} NEW` saves it")
                else:
                    found = f"`oxidbm check {path}` lists all faults, `oxidbm salvage {path} NEW` saves"
                    failure.add_note(f"{found} what is sound")
            raise


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    help="Look into oxidbm stores, change them, and bring data in and out.",
)
COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "stat": reading.stat,
    "get": reading.get,
    "set": writing.set_value,
    "del": writing.delete,
    "keys": reading.keys,
    "scan": reading.scan,
    "history": reading.history,
    "dump": transfer.dump,
    "load": transfer.load,
    "backup": copies.backup,
    "checkpoint": checkpoints.checkpoint,
    "checkpoints": checkpoints.checkpoints,
    "recover": checkpoints.recover,
    "purge": checkpoints.purge,
    "check": reading.check,
    "salvage": damage.salvage,
    "sessions": sessions.sessions,
    "compact": writing.compact,
    "reorganize": writing.reorganize,
    "watch": live.watch,
    "bench": live.bench,
    "convert": transfer.convert,
}
for name, command in COMMANDS.items():
    app.command(name, cls=Command)(command)
app.add_typer(log.group(TyperGroup, Command), name="log")
app.add_typer(queue.group(TyperGroup, Command), name="queue")


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"oxidbm {oxidbm.__version__}")
        raise typer.Exit


def run() -> None:
    """Run the command that the arguments name, and end."""
    hold_descriptors()
    warnings.simplefilter("ignore", oxidbm.BudgetWarning)  # a command has no memory= to give
    try:
        app(prog_name="oxidbm")
    except OSError as failure:  # of what typer prints by itself, as help
        silence(sys.stdout)
        say(failure)
        raise SystemExit(FAILED) from None


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Hold what stands before a command."""
