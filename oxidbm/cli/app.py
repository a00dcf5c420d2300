"""The commands under one name, and how their arguments are read."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

import oxidbm
from oxidbm.cli import checkpoints, copies, damage, failures, live, log, queue, reading, sessions, transfer, writing
from oxidbm.cli.failures import EXIT_CODES, INTERRUPTED, PIPE_CLOSED, USAGE
from oxidbm.cli.help import usage, write_help

__all__ = ["COMMANDS", "EXIT_CODES", "app", "run"]


def in_our_words(text: str) -> str:
    """Return what click says of wrong arguments on one line, without words that are another library's."""
    text = re.sub(r"(?<=[:,])\s*\n\t", " ", text)  # its list of choices
    text = re.sub(r"^(Invalid value for '[^']*': )Value error, ", r"\1", text)
    return re.sub(
        r"^(Invalid value for '[^']*': )Input should be (.*?)(?:, unable to parse .*)?$", r"\1it has to be \2", text
    )


@contextmanager
def errors_in_words() -> Iterator[None]:
    """Say of wrong arguments in one line what is wrong, and in a second one how the command is written."""
    try:
        yield
    except Exception as failure:  # of click, which typer has from elsewhere in each of its versions
        ctx = getattr(failure, "ctx", None)
        if not hasattr(failure, "format_message") or ctx is None or type(failure).__name__ == "NoArgsIsHelpError":
            raise
        text = in_our_words(failure.format_message().rstrip("."))
        said = ValueError(text[:1].lower() + text[1:])
        said.add_note(f"usage: {usage(ctx)}; `{ctx.command_path} -h` explains it")
        failures.say(said)
        raise typer.Exit(USAGE) from None


class Group(TyperGroup):
    """A group of commands."""

    format_help = write_help


class Commands(Group):
    """The group of all commands, which turns errors into sentences and exit codes."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the arguments; Ctrl-C is here what it is in a command."""
        try:
            with errors_in_words():
                return super().make_context(*arguments, **options)
        except KeyboardInterrupt as failure:
            failures.say(failure)
            raise typer.Exit(INTERRUPTED) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            try:
                with errors_in_words():
                    result = super().invoke(ctx)
            finally:
                failures.flush_output()
            return result
        except (Exception, KeyboardInterrupt) as failure:
            code = None if isinstance(failure, typer.Exit) else failures.code_of(failure)
            if code is None:
                raise
            if code != PIPE_CLOSED:
                failures.say(failure)
            raise typer.Exit(code) from None


class Command(TyperCommand):
    """One command, which adds to its errors what can be done."""

    format_help = write_help

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; a negative number that is taken for an option is told where it has to stand."""
        try:
            return super().parse_args(ctx, args)
        except Exception as failure:  # of click, which typer has from elsewhere in each of its versions
            if getattr(failure, "option_name", "")[1:].isdigit() and hasattr(failure, "message"):
                failure.message += "; a value that begins with a hyphen stands behind --, as in: set STORE KEY -- -5"
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command; damage of its store is followed by what finds all of it and what saves the rest."""
        try:
            return super().invoke(ctx)
        except (oxidbm.FormatError, oxidbm.CorruptionError) as failure:
            group = None if ctx.parent is None else ctx.parent.info_name
            failures.advise(failure, None if ctx.info_name == "check" else ctx.params.get("path"), group)
            raise


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Look into oxidbm stores, change them, and bring data in and out.",
)
COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "get": reading.get,
    "set": writing.set_value,
    "del": writing.delete,
    "evict": writing.evict,
    "keys": reading.keys,
    "scan": reading.scan,
    "history": reading.history,
    "stat": reading.stat,
    "watch": live.watch,
    "dump": transfer.dump,
    "load": transfer.load,
    "convert": transfer.convert,
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
    "bench": live.bench,
}
for name, command in COMMANDS.items():
    app.command(name, cls=Command)(command)
app.add_typer(log.group(Group, Command), name="log")
app.add_typer(queue.group(Group, Command), name="queue")


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"oxidbm {oxidbm.__version__}")
        raise typer.Exit


def run() -> None:
    """Run the command that the arguments name, and end."""
    failures.prepare()
    try:
        app(prog_name="oxidbm")
    except OSError as failure:  # of what typer prints by itself, as help
        failures.silence(sys.stdout)
        failures.say(failure)
        raise SystemExit(failures.FAILED) from None


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Hold what stands before a command."""
