"""Commands for logs that stand alone: `oxidbm log ...`."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, cast

import typer

import oxidbm
from oxidbm._plain import Plain, bytes_to_json, to_base64
from oxidbm.cli import common
from oxidbm.cli.bar import progress
from oxidbm.cli.common import AsJson, Limit

LOG: Final = typer.Argument(metavar="LOG", help="The log's directory.", show_default=False)
LogPath: TypeAlias = Annotated[Path, LOG]
Address: TypeAlias = Annotated[int, typer.Argument(metavar="ADDRESS", help="An entry's address.", show_default=False)]
TAIL_ENTRIES: Final = 10


def reading(path: Path, **options: Any) -> "oxidbm.Log[Any]":
    """Open a log to read its last commit, also beside a writer; entries are their bytes."""
    return oxidbm.Log(path, read_only=True, codec=oxidbm.codecs.RAW, **options)


def writing(path: Path, create: bool) -> "oxidbm.Log[Any]":
    """Open a log to append to; what is appended is durable when it is closed."""
    return oxidbm.Log(path, create=create, codec=oxidbm.codecs.RAW)


class Shown:
    """Shows entries as what they stand for; one that the codec did not write as its bytes."""

    def __init__(self, log: "oxidbm.Log[Any]", as_json: bool) -> None:
        self.plain = Plain(log.codec)
        self.as_json = as_json

    def show(self, address: int, data: bytes) -> None:
        """Print one entry: a line of text, or of JSON."""
        try:
            entry = self.plain.to_json(data) if self.as_json else common.readable(self.plain.to_text(data))
        except ValueError:
            entry = {"base64": to_base64(data)} if self.as_json else common.readable(data)
        if self.as_json:
            common.print_json({"address": address, "entry": entry})
        else:
            common.print_line(f"{address}\t{entry}")


def stat(path: LogPath, as_json: AsJson = False) -> None:
    """Show a log's figures: entries, addresses, sizes, the last commit, and the named readers."""
    with reading(path) as log:
        figures = log.stats()
        figures["cookie"] = bytes_to_json(log.cookie)
        readers = log.readers()
    if as_json:
        figures["readers"] = [
            {"name": reader.name, "address": reader.address, "lag": reader.lag, "open": reader.is_open}
            for reader in readers
        ]
        common.print_json(figures)
        return
    for name, value in figures.items():
        common.print_line(f"{name:<24} {common.readable(os.fsencode(str(value)))}")
    for reader in readers:
        state = ", open" if reader.is_open else ""
        common.print_line(
            f"reader {common.readable(reader.name.encode()):<17} at {reader.address}, {reader.lag} behind{state}"
        )


def tail(
    path: LogPath,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is committed from now on.")] = False,
    count: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many entries.")] = TAIL_ENTRIES,
    as_json: AsJson = False,
) -> None:
    """Show the last entries of a log, and with -f those that come, until Ctrl-C."""
    with reading(path) as log:
        shown = Shown(log, as_json)
        for address, data in last_entries(log, count):
            shown.show(address, data)
        if follow:
            sys.stdout.flush()
            for address, data in log.follow(log.committed):
                shown.show(address, data)
                sys.stdout.flush()


def last_entries(log: "oxidbm.Log[Any]", count: int) -> list[tuple[int, bytes]]:
    """Return the last entries; ever longer pieces of the log's end are read until one has so many."""
    size = 1 << 16
    while count > 0:
        found = list(log.scan(max(log.committed - size, log.begin)))
        if len(found) >= count or size >= log.committed - log.begin:
            return found[-count:]
        size *= 8
    return []


def append(
    path: LogPath,
    create: Annotated[bool, typer.Option("--create/--no-create", help="Make the log where there is none.")] = True,
) -> None:
    """Append each line of stdin as an entry, without its end, and commit. Prints how many, and where they begin."""
    with common.of_stream("stdin"), writing(path, create) as log:
        plain = Plain(log.codec)
        before = len(log)
        first, following = log.append_many(plain.from_text(line.rstrip(b"\n")) for line in common.stdin())
        appended = len(log) - before
        log.commit()
    common.print_line(f"{path}: {entries(appended)} from address {first} to {following}")


def read(path: LogPath, address: Address, as_json: AsJson = False) -> None:
    """Write the entry at an address to stdout, as it is."""
    with reading(path) as log:
        data = log.read(address)
        if as_json:
            Shown(log, True).show(address, data)
            return
    common.write_bytes(data)


def scan(
    path: LogPath,
    begin: Annotated[
        int | None, typer.Option("--begin", help="From this address on.", show_default="its begin")
    ] = None,
    end: Annotated[int | None, typer.Option("--end", help="Up to this address.", show_default="its end")] = None,
    limit: Limit = None,
    skip: Annotated[bool, typer.Option("--skip", help="Pass over what is damaged.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the committed entries of a log in order, each with its address."""
    with reading(path) as log:
        shown = Shown(log, as_json)
        for number, (address, data) in enumerate(log.scan(begin, end, on_error="skip" if skip else "raise")):
            if limit is not None and number >= limit:
                break
            shown.show(address, data)


def truncate(
    path: LogPath,
    until: Annotated[
        int | None, typer.Argument(metavar="UNTIL", help="An entry's address.", show_default="all")
    ] = None,
    past_readers: Annotated[
        bool, typer.Option("--past-readers", help="Also what named readers have not done.")
    ] = False,
) -> None:
    """Forget the entries before an address, or all that the named readers have done."""
    with writing(path, False) as log:
        count = log.truncate(until, past_readers=past_readers)
        begin = log.begin
    common.print_line(f"{path}: {entries(count)} forgotten; it begins at address {begin}")


def check(path: LogPath, as_json: AsJson = False) -> None:
    """Verify every entry of a log; list what is wrong, and end with exit code 5 where something is."""
    count: int | None = None
    try:
        with reading(path) as log, progress("checking"):
            count = len(log)
            faults = log.check()
    except oxidbm.CorruptionError as failure:  # of a log that does not open, all that can be told
        faults = [str(failure)]
    if as_json:
        common.print_json({"entries": count, "faults": faults})
    else:
        for fault in faults or [f"{path}: {entries(count or 0)}, no faults"]:
            common.print_line(fault)
    if faults:
        raise typer.Exit(5)


def entries(count: int) -> str:
    """Return a number of entries in words."""
    return f"{count:,} entry" if count == 1 else f"{count:,} entries"


COMMANDS: Final[dict[str, Any]] = {
    "stat": stat,
    "tail": tail,
    "scan": scan,
    "append": append,
    "read": read,
    "truncate": truncate,
    "check": check,
}


def group(cls: type[Any], command: type[Any]) -> typer.Typer:
    """Return the commands of `oxidbm log`."""
    made = typer.Typer(cls=cls, no_args_is_help=True, help="Look into logs that stand alone, and append to them.")
    for name, function in COMMANDS.items():
        made.command(name, cls=cast(Any, command))(function)
    return made
