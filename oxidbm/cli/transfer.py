"""Commands that bring data out and in: dump, load, convert.

A dump to a file takes its name only when it is complete. Loading and converting store item by item, so that what came
before a fault or an interruption is there, and running them again does no harm.
"""

import os
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from oxidbm import Store
from oxidbm import convert as conversion
from oxidbm import dump as dumps
from oxidbm.cli import common
from oxidbm.cli.bar import progress
from oxidbm.cli.common import AtCheckpoint, Memory, OnError, StorePath, WhenDamaged
from oxidbm.cli.output import output_file
from oxidbm.codecs import RAW


class Form(StrEnum):
    """The forms of a dump."""

    JSON = "json"
    BINARY = "binary"


class Kind(StrEnum):
    """What can be converted."""

    GDBM = "gdbm"
    NDBM = "ndbm"
    DUMB = "dumb"
    SQLITE3 = "sqlite3"
    LMDB = "lmdb"
    DISKCACHE = "diskcache"


def dump(
    path: StorePath,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="stdout")
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="JSON lines, or binary with checksums.")] = Form.JSON,
    on_error: WhenDamaged = OnError.RAISE,
    checkpoint: AtCheckpoint = None,
) -> None:
    """Write every item of a store's last commit, as JSON lines or in a binary form; load reads both."""
    if form is Form.BINARY and output is None and common.is_terminal():
        raise ValueError("a binary dump is not for a terminal; name a file with --output")
    bar = output is not None or not common.is_terminal()  # not between the lines of the dump
    with common.reading(path, checkpoint) as store, progress("dumping", wanted=bar) as report:
        total = len(store)
        with output_file(output, path) as file:
            count = dumps.dump(
                store, file, form=form.value, on_error=on_error.value, progress=lambda done: report(done, total)
            )
    if output is not None:
        common.note(f"{common.items(count)} written to {output}")
    if count < total and on_error is OnError.SKIP:
        common.note(f"{common.items(total - count)} left out, which have expired or which no codec wrote")


def load(
    path: StorePath,
    source: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="What dump wrote, in either form.", show_default="stdin")
    ] = None,
    keys: Annotated[
        str | None, typer.Option("--keys", help="The keys' codec, where FILE does not say it.", show_default="bytes")
    ] = None,
    values: Annotated[
        str | None,
        typer.Option("--values", help="The values' codec, where FILE does not say it.", show_default="bytes"),
    ] = None,
    on_error: WhenDamaged = OnError.RAISE,
    memory: Memory = "256MiB",
) -> None:
    """Store what dump wrote, with codecs and expiry; makes the store where there is none, and keeps its other keys."""
    with ExitStack() as opened:
        is_stdin = source is None or str(source) == "-"
        file = common.stdin() if source is None or is_stdin else opened.enter_context(source.open("rb"))
        total = os.fstat(file.fileno()).st_size if file.seekable() and has_descriptor(file) else None
        report = opened.enter_context(progress("loading", total))

        def note_progress(done: int) -> None:
            if total is not None:
                report(file.tell(), total)

        loaded = dumps.load(
            file, path, memory=memory, keys=keys, values=values, on_error=on_error.value, progress=note_progress
        )
    common.note(f"{common.items(loaded.stored)} loaded into {path}")
    if loaded.expired:
        common.note(f"{common.items(loaded.expired)} left out, which have expired")
    if loaded.skipped:
        common.note(f"{common.items(loaded.skipped)} skipped, which the codecs did not write")


def has_descriptor(file: BinaryIO) -> bool:
    """Tell whether a file is one of the system's."""
    try:
        return file.fileno() >= 0
    except OSError:
        return False


def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The database to read.", show_default=False)],
    path: StorePath,
    kind: Annotated[Kind, typer.Option("--from", help="What SOURCE is.", show_default=False)],
    database: Annotated[
        str | None, typer.Option("--database", help="lmdb: the named database.", show_default="the unnamed one")
    ] = None,
    keep_pickles: Annotated[
        bool, typer.Option("--keep-pickles", help="diskcache: store pickles as they are, unopened.")
    ] = False,
    memory: Memory = "256MiB",
) -> None:
    """Store every item of another database, which is only read; can be run again after an interruption."""
    with (
        conversion.open_source(kind.value, source, database=database, keep_pickles=keep_pickles) as opened,
        Store(path, memory=memory, key=RAW, value=RAW) as store,
        progress("converting") as report,
    ):
        count = conversion.copy(opened, store, report)
    if opened.left_out:
        common.note(conversion.said_of_left_out(source, opened.left_out))
    common.note(f"{common.items(count)} of {source} stored in {path}")
