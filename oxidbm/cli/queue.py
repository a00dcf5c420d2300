"""Commands for queues: `oxidbm queue ...`; they read the last commit, also beside the process that works with it."""

import warnings
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, cast

import typer

import oxidbm
from oxidbm._plain import Plain, to_base64
from oxidbm._queue_view import Peeked
from oxidbm.cli import common, completion, streams, words
from oxidbm.cli.bar import progress
from oxidbm.cli.common import AsJson
from oxidbm.cli.copies import LinkFiles, To, show_backup
from oxidbm.cli.failures import without_python
from oxidbm.cli.log import show_salvaged

QUEUE: Final = typer.Argument(metavar="QUEUE", help="The queue's directory.", show_default=False)
QueuePath: TypeAlias = Annotated[Path, QUEUE]
Skip: TypeAlias = Annotated[bool, typer.Option("--skip", help="Pass over what is damaged.")]
PEEK_ITEMS: Final = 10
FIGURES: Final = ("waiting", "in_flight", "delayed", "oldest_seconds", "skipped")


def reading(path: Path, skip: bool) -> "oxidbm.Queue[bytes]":
    """Open a queue to look at its last commit; items are their bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", oxidbm.queue.SkippedWarning)  # the figures say it
        return oxidbm.Queue(path, read_only=True, codec=oxidbm.codecs.RAW, on_error="skip" if skip else "raise")


def stat(path: QueuePath, skip: Skip = False, as_json: AsJson = False) -> None:
    """Show a queue's figures: how many items wait, are held and are delayed, the age of the oldest, and its log's."""
    with reading(path, skip) as queue:
        found = queue.stats()
    for given in ("maxsize", "durability"):  # which are those of whoever opens it
        del found[given]
    figures = {**{name: found[name] for name in FIGURES}, **found}
    if as_json:
        streams.print_json(figures)
        return
    common.print_figures(figures)


def peek(
    path: QueuePath,
    count: Annotated[int, typer.Option("--items", "-n", metavar="N", min=0, help="How many items.")] = PEEK_ITEMS,
    skip: Skip = False,
    as_json: AsJson = False,
) -> None:
    """Show the first items that are not acknowledged, in order: number, state, how often each was handed out, item."""
    with reading(path, skip) as queue:
        plain = Plain(queue.log.codec)
        for found in queue.peek(count):
            show(plain, found, as_json)


def show(plain: Plain, found: Peeked[bytes], as_json: bool) -> None:
    """Print an item: a line of text, or of JSON; one that the codec did not write as its bytes."""
    try:
        item = plain.to_json(found.data) if as_json else words.text_of(plain, found.data)
    except ValueError:
        item = {"base64": to_base64(found.data)} if as_json else words.readable(found.data)
    if as_json:
        streams.print_json({"id": found.id, "state": found.state, "attempts": found.attempts, "item": item})
    else:
        streams.print_line(f"{found.id}\t{found.state}\t{found.attempts}\t{item}")


def check(path: QueuePath, as_json: AsJson = False) -> None:
    """Verify every entry of a queue's log; list what is wrong, and end with exit code 5 where something is."""
    waiting: int | None = None
    try:
        with reading(path, True) as queue, progress("checking"):
            faults = queue.check()
            waiting = queue.qsize() + queue.in_flight
    except oxidbm.CorruptionError as failure:  # of a queue that does not open, all that can be told
        faults = [str(failure)]
    if as_json:
        streams.print_json({"items": waiting, "faults": faults})
    else:
        for fault in faults or [f"{path}: {words.items(waiting or 0)}, no faults"]:
            streams.print_line(without_python(fault))
    if faults:
        raise typer.Exit(5)


def backup(
    path: QueuePath,
    to: To,
    link: LinkFiles = False,
    as_json: AsJson = False,
) -> None:
    """Copy a queue as of its last commit, while it is worked with; onto an earlier backup of it, only what is new."""
    with reading(path, False) as queue, progress("backing up") as report:
        made = queue.backup(to, link=link, progress=report)
    show_backup(made, as_json)


def salvage(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The damaged queue's directory.", show_default=False)
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The new queue's directory, not there yet.", show_default=False)
    ],
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec",
            metavar="CODEC",
            autocompletion=completion.codecs,
            help="The items' codec, where STORE is lost.",
            show_default="bytes",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write every sound item of a damaged queue, which is only read, into a new queue, and list what was lost."""
    with progress("salvaging") as report:
        found = oxidbm.salvage_log(source, target, codec=codec, queue=True, progress=report)
    show_salvaged(found, as_json)


COMMANDS: Final[dict[str, Any]] = {"stat": stat, "peek": peek, "check": check, "backup": backup, "salvage": salvage}


def group(cls: type[Any], command: type[Any]) -> typer.Typer:
    """Return the commands of `oxidbm queue`."""
    made = typer.Typer(cls=cls, no_args_is_help=True, help="Look into queues, also while they are worked with.")
    for name, function in COMMANDS.items():
        made.command(name, cls=cast(Any, command))(function)
    return made
