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

from oxidbm import convert as conversion
from oxidbm import dump as dumps
from oxidbm.cli import completion, stores, streams, words
from oxidbm.cli.bar import progress
from oxidbm.cli.common import AtCheckpoint, KeyCodec, Memory, OnError, StorePath, WhenDamaged
from oxidbm.cli.failures import without_python
from oxidbm.cli.output import output_file


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
    SHELVE = "shelve"
    LMDB = "lmdb"
    DISKCACHE = "diskcache"


def dump(
    path: StorePath,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write.", show_default="stdout")
    ] = None,
    form: Annotated[
        Form, typer.Option("--format", metavar="json|binary", help="JSON lines, or binary with checksums.")
    ] = Form.JSON,
    on_error: WhenDamaged = OnError.RAISE,
    checkpoint: AtCheckpoint = None,
) -> None:
    """Write every item of a store's last commit, as JSON lines or in a binary form; load reads both."""
    if form is Form.BINARY and output is None and streams.is_terminal():
        raise ValueError("a binary dump is not for a terminal; name a file with --output")
    bar = output is not None or not streams.is_terminal()  # not between the lines of the dump
    with stores.reading(path, checkpoint) as store, progress("dumping", wanted=bar) as report:
        total = len(store)
        with output_file(output, path) as file:
            count = dumps.dump(
                store, file, form=form.value, on_error=on_error.value, progress=lambda done: report(done, total)
            )
    if output is not None:
        streams.note(f"{words.items(count)} written to {output}")
    if count < total and on_error is OnError.SKIP:
        streams.note(f"{words.items(total - count)} left out, which have expired or which no codec wrote")


def load(
    path: StorePath,
    source: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="What dump wrote, in either form.", show_default="stdin")
    ] = None,
    key_codec: Annotated[
        str | None,
        typer.Option(
            "--key",
            "--keys",
            metavar="CODEC",
            autocompletion=completion.codecs,
            help="The keys' codec, where FILE does not say it.",
            show_default="bytes",
        ),
    ] = None,
    value_codec: Annotated[
        str | None,
        typer.Option(
            "--value",
            "--values",
            metavar="CODEC",
            autocompletion=completion.codecs,
            help="The values' codec, where FILE does not say it.",
            show_default="bytes",
        ),
    ] = None,
    on_error: WhenDamaged = OnError.RAISE,
    memory: Memory = "256MiB",
) -> None:
    """Store what dump wrote, with codecs and expiry; makes the store where there is none, and keeps its other keys."""
    keys = stores.codec_name(key_codec, raw=True)
    values = stores.codec_name(value_codec, raw=True)
    with ExitStack() as opened:
        is_stdin = source is None or str(source) == "-"
        if is_stdin:
            streams.ask_for("lines of JSON")
        file = streams.stdin() if source is None or is_stdin else opened.enter_context(source.open("rb"))
        total = os.fstat(file.fileno()).st_size if file.seekable() and has_descriptor(file) else None
        report = opened.enter_context(progress("loading", total))

        def note_progress(done: int) -> None:
            if total is not None:
                report(file.tell(), total)

        loaded = dumps.load(
            file, path, memory=memory, keys=keys, values=values, on_error=on_error.value, progress=note_progress
        )
    streams.note(f"{words.items(loaded.stored)} loaded into {path}")
    if loaded.expired:
        streams.note(f"{words.items(loaded.expired)} left out, which have expired")
    if loaded.skipped:
        streams.note(f"{words.items(loaded.skipped)} skipped, which the codecs did not write")


def has_descriptor(file: BinaryIO) -> bool:
    """Tell whether a file is one of the system's."""
    try:
        return file.fileno() >= 0
    except OSError:
        return False


def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The database to read.", show_default=False)],
    path: StorePath,
    kind: Annotated[
        Kind,
        typer.Option(
            "--from", metavar="KIND", help="gdbm, ndbm, dumb, sqlite3, shelve, lmdb or diskcache.", show_default=False
        ),
    ],
    database: Annotated[
        str | None,
        typer.Option("--database", metavar="NAME", help="lmdb: the named database.", show_default="the unnamed one"),
    ] = None,
    keep_pickles: Annotated[
        bool, typer.Option("--keep-pickles", help="diskcache: store pickles as they are, unopened.")
    ] = False,
    open_pickles: Annotated[
        bool, typer.Option("--open-pickles", help="shelve: unpickle values. Only where you trust who wrote SOURCE.")
    ] = False,
    key_codec: KeyCodec = None,
    value_codec: Annotated[
        str | None,
        typer.Option(
            "--value",
            metavar="CODEC",
            autocompletion=completion.codecs,
            help="The values' codec, of a store that is made.",
            show_default="bytes; shelve: pickle",
        ),
    ] = None,
    memory: Memory = "256MiB",
) -> None:
    """Store every item of another database, which is only read; can be run again after an interruption."""
    keys = stores.codec_name(key_codec)
    values = stores.codec_name(value_codec, raw=True)
    with (
        conversion.open_source(kind.value, source, database=database, keep_pickles=keep_pickles) as opened,
        conversion.opened_target(path, opened, keys, values, open_pickles=open_pickles, memory=memory) as store,
        progress("converting") as report,
    ):
        count = conversion.copy(opened, store, report, open_pickles=open_pickles)
    if opened.left_out:
        streams.note(without_python(conversion.said_of_left_out(source, opened.left_out)))
    streams.note(f"{words.items(count)} of {source} stored in {path}")
