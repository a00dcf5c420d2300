"""Commands for logs that stand alone: `oxidbm log ...`."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, cast

import typer

import oxidbm
from oxidbm._plain import Plain, Refused, bytes_to_json, to_base64
from oxidbm.cli import common, completion, stores, streams, words
from oxidbm.cli.bar import progress
from oxidbm.cli.common import AsJson, Limit
from oxidbm.cli.copies import LinkFiles, To, show_backup
from oxidbm.cli.failures import without_python
from oxidbm.cli.words import counted

LOG: Final = typer.Argument(metavar="LOG", help="The log's directory.", show_default=False)
LogPath: TypeAlias = Annotated[Path, LOG]
Address: TypeAlias = Annotated[int, typer.Argument(metavar="ADDRESS", help="An entry's address.", show_default=False)]
Skip: TypeAlias = Annotated[
    bool, typer.Option("--skip", help="Pass over what is damaged, also in a log that does not open any more.")
]
TAIL_ENTRIES: Final = 10
LOOK_SECONDS: Final = 0.5  # until it is looked again whether anybody reads what follows


def reading(path: Path, skip: bool = False) -> "oxidbm.Log[Any]":
    """Open a log to read its last commit, also beside a writer; entries are their bytes.

    With `skip` also one that is damaged: what kept it from opening is said, and its scans pass over what is damaged.
    """
    log = oxidbm.Log(path, read_only=True, codec=oxidbm.codecs.RAW, on_error="skip" if skip else "raise")
    for fault in log.recovery.faults:
        streams.note(without_python(fault))
    return log


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
            entry = self.plain.to_json(data) if self.as_json else words.text_of(self.plain, data)
        except ValueError:
            entry = {"base64": to_base64(data)} if self.as_json else words.readable(data)
        if self.as_json:
            streams.print_json({"address": address, "entry": entry})
        else:
            streams.print_line(f"{address}\t{entry}")


def stat(path: LogPath, as_json: AsJson = False) -> None:
    """Show a log's figures: entries, addresses, sizes, the last commit, and the named readers."""
    with reading(path) as log:
        figures = log.stats()
        figures["cookie"] = bytes_to_json(log.cookie)
        known = log.readers()
    if as_json:
        figures["readers"] = [reader_as_dict(reader) for reader in known]
        streams.print_json(figures)
        return
    common.print_figures(figures)
    for reader in known:
        streams.print_line(f"reader {reader_in_words(reader, 17)}")


def reader_as_dict(reader: oxidbm.ReaderInfo) -> dict[str, Any]:
    """Return what is known of a named reader for JSON."""
    return {"name": reader.name, "address": reader.address, "lag": reader.lag, "open": reader.is_open}


def reader_in_words(reader: oxidbm.ReaderInfo, width: int) -> str:
    """Return what is known of a named reader, its name at least so wide."""
    state = ", open" if reader.is_open else ""
    return f"{words.readable(reader.name.encode()):<{width}} at {reader.address}, {reader.lag} behind{state}"


def readers(path: LogPath, as_json: AsJson = False) -> None:
    """Show the named readers of a log: where each goes on, how many entries it is behind, and whether it is open."""
    with reading(path) as log:
        known = sorted(log.readers(), key=lambda reader: reader.name)
    if not (known or as_json):
        streams.note(f"{path} has no named readers")
    width = max((len(words.readable(reader.name.encode())) for reader in known), default=0)
    for reader in known:
        if as_json:
            streams.print_json(reader_as_dict(reader))
        else:
            streams.print_line(reader_in_words(reader, width))


def forget_reader(
    path: LogPath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The reader's name.", show_default=False)],
) -> None:
    """Forget a named reader, so that what it has not done may be truncated."""
    with reading(path) as log:
        if not log.forget_reader(name):
            raise stores.NoValue(f"{path} has no reader of the name {words.readable(name.encode())}")


def tail(
    path: LogPath,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is committed from now on.")] = False,
    count: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="How many entries.")] = TAIL_ENTRIES,
    skip: Skip = False,
    as_json: AsJson = False,
) -> None:
    """Show the last entries of a log, and with -f those that come, until Ctrl-C or until the log is gone."""
    with common.until_interrupted() if follow else nullcontext(), reading(path, skip) as log:
        shown = Shown(log, as_json)
        for address, data in log.last(count):
            shown.show(address, data)
        if follow:
            streams.flush()
            follower = log.follow(log.committed, timeout=LOOK_SECONDS)
            while streams.is_read():
                for address, data in follower:
                    shown.show(address, data)
                    streams.flush()
            raise BrokenPipeError


def append(
    path: LogPath,
    create: Annotated[bool, typer.Option("--create/--no-create", help="Make the log where there is none.")] = True,
) -> None:
    """Append each line of stdin as an entry, without its end, and commit. Prints how many, and where they begin."""
    with streams.of_stream(os.fspath(path)), writing(path, create) as log:
        plain = Plain(log.codec)
        first = log.tail
        appended = 0
        for number, line in enumerate(streams.lines_of_stdin(), 1):
            try:
                address = log.append(entry_of(plain, line.rstrip(b"\n"), number))
            except ValueError as failure:
                log.commit()
                were = "was" if appended == 1 else "were"
                failure.add_note(
                    f"line {number} of stdin is not appended, nor is what follows; before it, {entries(appended)} "
                    f"{were} appended and committed"
                )
                raise
            first = address if appended == 0 else first
            appended += 1
        following = log.tail
        log.commit()
    streams.print_line(f"{path}: {entries(appended)} from address {first} to {following}")


def entry_of(plain: Plain, line: bytes, number: int) -> bytes:
    """Return the entry that a line stands for; ValueError, which names the line, where it stands for none."""
    try:
        return plain.from_text(line)
    except Refused as failure:
        raise ValueError(f"line {number} of stdin, {words.readable(line[:80])}, {failure}") from None


def read(path: LogPath, address: Address, as_json: AsJson = False) -> None:
    """Write the entry at an address to stdout, as it is."""
    with reading(path) as log:
        data = log.read(address)
        if as_json:
            Shown(log, True).show(address, data)
            return
    streams.write_bytes(data)


def scan(
    path: LogPath,
    begin: Annotated[
        int | None, typer.Option("--begin", metavar="ADDRESS", help="From this address on.", show_default="its begin")
    ] = None,
    end: Annotated[
        int | None, typer.Option("--end", metavar="ADDRESS", help="Up to this address.", show_default="its end")
    ] = None,
    limit: Limit = None,
    skip: Skip = False,
    as_json: AsJson = False,
) -> None:
    """Show the committed entries of a log in order, each with its address."""
    with reading(path, skip) as log:
        shown = Shown(log, as_json)
        for number, (address, data) in enumerate(log.scan(begin, end)):
            if limit is not None and number >= limit:
                break
            shown.show(address, data)


def truncate(
    path: LogPath,
    until: Annotated[
        int | None,
        typer.Argument(metavar="UNTIL", help="An entry's address.", show_default="what every named reader has done"),
    ] = None,
    past_readers: Annotated[
        bool, typer.Option("--past-readers", help="Also what named readers have not done.")
    ] = False,
) -> None:
    """Forget the entries before an address; without one, all that the named readers have done."""
    with writing(path, False) as log:
        if until is None and not past_readers and not log.readers():
            raise ValueError(
                f"{path} has no named reader that says what is done: give the address before which to forget all; "
                f"{log.tail} stands behind the last entry"
            )
        count = log.truncate(until, past_readers=past_readers)
        begin = log.begin
    streams.print_line(f"{path}: {entries(count)} forgotten; it begins at address {begin}")


def check(path: LogPath, as_json: AsJson = False) -> None:
    """Verify every entry of a log; list what is wrong, and end with exit code 5 where something is."""
    count: int | None = None
    try:
        with oxidbm.Log(path, read_only=True, codec=oxidbm.codecs.RAW, on_error="skip") as log, progress("checking"):
            count = len(log)
            faults = log.check()
    except oxidbm.CorruptionError as failure:  # of a superblock, without which no entry can be told from other bytes
        faults = [str(failure)]
    if as_json:
        streams.print_json({"entries": count, "faults": faults})
    else:
        for fault in faults or [f"{path}: {entries(count or 0)}, no faults"]:
            streams.print_line(without_python(fault))
    if faults:
        raise typer.Exit(5)


def backup(
    path: LogPath,
    to: To,
    link: LinkFiles = False,
    as_json: AsJson = False,
) -> None:
    """Copy a log as of its last commit, also beside a writer; onto an earlier backup of it, only what is new."""
    with reading(path) as log, progress("backing up") as report:
        made = log.backup(to, link=link, progress=report)
    show_backup(made, as_json)


def salvage(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The damaged log's directory.", show_default=False)],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The new log's directory, not there yet.", show_default=False)
    ],
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec",
            metavar="CODEC",
            autocompletion=completion.codecs,
            help="The entries' codec, where STORE is lost.",
            show_default="bytes",
        ),
    ] = None,
    committed_only: Annotated[
        bool, typer.Option("--committed-only", help="Leave out what stands behind the last commit that is left.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write every sound entry of a damaged log, which is only read, into a new log, and list what was lost."""
    with progress("salvaging") as report:
        found = oxidbm.salvage_log(source, target, codec=codec, committed_only=committed_only, progress=report)
    show_salvaged(found, as_json)


def show_salvaged(found: oxidbm.LogSalvageReport, as_json: bool) -> None:
    """Print what a salvage has found."""
    if as_json:
        streams.print_json({**found.as_dict(), "cookie": bytes_to_json(found.cookie)})
        return
    for line in [*map(without_python, found.faults), *map(str, found.lost)]:
        streams.print_line(line)
    if found.lost_ranges > len(found.lost):
        streams.print_line(f"{counted(found.lost_ranges - len(found.lost), 'more range')} of bytes are lost")
    streams.print_line(f"{found.target}: {entries(found.entries)}")
    if found.lost_ranges:
        streams.print_line(f"lost: {words.size(found.lost_bytes)} in {counted(found.lost_ranges, 'range')}")
    if found.missing:
        streams.print_line(f"missing: {entries(found.missing)} that commits have counted, or others lie around")
    commit = "none"
    if found.commit_time is not None:
        commit = f"{found.commit_number}, {words.instant(found.commit_time)}"
    streams.print_line(f"last commit that is left: {commit}")
    if found.behind_commit:
        streams.print_line(f"behind it: {entries(found.behind_commit)}, taken as well")
    if found.below_begin:
        streams.print_line(f"left out: {entries(found.below_begin)} from before the log begins")


def entries(count: int) -> str:
    """Return a number of entries in words."""
    return counted(count, "entry", "entries")


COMMANDS: Final[dict[str, Any]] = {
    "stat": stat,
    "tail": tail,
    "scan": scan,
    "append": append,
    "read": read,
    "truncate": truncate,
    "readers": readers,
    "forget-reader": forget_reader,
    "check": check,
    "backup": backup,
    "salvage": salvage,
}


def group(cls: type[Any], command: type[Any]) -> typer.Typer:
    """Return the commands of `oxidbm log`."""
    made = typer.Typer(cls=cls, no_args_is_help=True, help="Look into logs that stand alone, and append to them.")
    for name, function in COMMANDS.items():
        made.command(name, cls=cast(Any, command))(function)
    return made
