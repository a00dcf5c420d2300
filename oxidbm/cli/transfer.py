"""Commands that bring data out and in: dump, load, convert.

A dump to a file takes its name only when it is complete. Loading and converting store item by item, so that what came
before a fault or an interruption is there, and running them again does no harm.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from oxidbm import Store
from oxidbm import convert as conversion
from oxidbm import dump as dumps
from oxidbm.cli import common
from oxidbm.cli.common import Memory, Report, StorePath
from oxidbm.codecs import RAW

STEP = 1000


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


class Counted:
    """Items on their way, counted, with each thousandth reported."""

    def __init__(self, items: Iterable[dumps.Item], total: int, report: Report) -> None:
        self.items = items
        self.total = total
        self.report = report
        self.count = 0

    def __iter__(self) -> Iterator[dumps.Item]:
        for item in self.items:
            yield item
            self.count += 1
            if self.count % STEP == 0:
                self.report(self.count, self.total)


@contextmanager
def dump_file(path: Path | None) -> Iterator[BinaryIO]:
    """Open stdout, or a file that gets its name when all is written and durable."""
    if path is None:
        yield sys.stdout.buffer
        return
    if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced
        with path.open("wb") as file:
            yield file
        return
    unfinished = path.with_name(path.name + ".new")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def dump(
    path: StorePath,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="stdout")
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="JSON lines, or binary with checksums.")] = Form.JSON,
) -> None:
    """Write every item of a store's last commit, as JSON lines or in a binary form; load reads both."""
    if form is Form.BINARY and output is None and sys.stdout.isatty():
        raise ValueError("a binary dump is not for a terminal; name a file with --output")
    bar = output is not None or not sys.stdout.isatty()  # not between the lines of the dump
    with common.reading(path) as store, common.progress("dumping", wanted=bar) as report:
        counted = Counted(store.items(), len(store), report)
        with dump_file(output) as file:
            (dumps.write_binary if form is Form.BINARY else dumps.write_json_lines)(counted, file)
    if output is not None:
        common.note(f"{common.items(counted.count)} written to {output}")


def load(
    path: StorePath,
    source: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="What dump wrote, in either form.", show_default="stdin")
    ] = None,
    memory: Memory = "256MiB",
) -> None:
    """Store what dump wrote; makes the store where there is none, and leaves its other keys as they are."""
    if source is None or str(source) == "-":
        load_file(path, sys.stdin.buffer, memory)
    else:
        with source.open("rb") as file:
            load_file(path, file, memory)


def load_file(path: Path, file: BinaryIO, memory: str) -> None:
    """Store the items of a dump; BadInput says where a fault is and how many came before it."""
    total = os.fstat(file.fileno()).st_size if file.seekable() and has_descriptor(file) else None
    count = 0
    with Store(path, memory=memory, key=RAW, value=RAW) as store, common.progress("loading", total) as report:
        try:
            for key, value in dumps.read_items(file):
                store[key] = value
                count += 1
                if count % STEP == 0 and total is not None:
                    report(file.tell(), total)
        except dumps.BadInput as failure:
            raise dumps.BadInput(f"{failure}; loaded before it: {common.items(count)}") from None
        except ValueError as failure:
            loaded = common.items(count)
            raise dumps.BadInput(f"item {count + 1} does not fit: {failure}; loaded before it: {loaded}") from None
    common.note(f"{common.items(count)} loaded into {path}")


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
        common.progress("converting") as report,
    ):
        count = conversion.copy(opened, store, report)
    common.note(f"{common.items(count)} of {source} stored in {path}")
