"""Commands that only read: stat, get, keys, scan, history, check. They see the last commit and work beside a writer."""

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oxidbm import CorruptionError, FormatError, Store, codecs
from oxidbm import check as check_files
from oxidbm._core.store.raw import entries
from oxidbm._plain import Plain, Refused
from oxidbm.cli import common, stores, streams, words
from oxidbm.cli.bar import progress
from oxidbm.cli.common import (
    AsJson,
    AtCheckpoint,
    Display,
    Escaped,
    InBase64,
    Key,
    Limit,
    OnError,
    StorePath,
    WhenDamaged,
)
from oxidbm.cli.failures import without_python
from oxidbm.cli.getting import get_value
from oxidbm.codecs import DecodeError

if TYPE_CHECKING:
    from rich.table import Table

# What Store.stats() says of this process's opening, which is over when the command ends.
OF_THIS_PROCESS = {
    "path",
    "unverified",
    "read_only_store",
    "durability",
    "readers",
    "compactions",
    "maintenance_failure",
    "poisoned",
    "checkpoint_running",
    "checkpoint_failure",
    "read_cache_bytes",
    "read_cache_records",
    "read_cache_hits",
    "read_cache_misses",
    "eviction_policy",
    "second_chances",
    "hits",
    "misses",
}
SETTLED_MAX = 10_000  # blind writes that a look settles; each may be a read of the disk, one after the other
ESSENTIAL = (
    "keys",
    "unverified",
    "key_codec",
    "value_codec",
    "live_bytes",
    "dead_bytes",
    "file_bytes",
    "index_bytes",
    "checkpoints",
    "checkpoint_bytes",
    "sessions",
    "commit_sequence",
    "size_limit",
    "opening_seconds",
)
OF_RECOVERY = ("checkpoint", "commit", "records", "bytes_cut", "seconds", "faults")


def figures(stats: dict[str, Any], title: str | None, rates: dict[str, float] | None = None) -> "Table":
    """Return the figures of a store as a table, sizes with units; with `rates`, what each changes by in a second."""
    from rich.table import Table
    from rich.text import Text

    said = None if title is None else Text(title)
    table = Table(title=said, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan")
    table.add_column(justify="right", min_width=12)
    if rates is not None:
        table.add_column(justify="right", style="green", min_width=12)
    for name, figure in stats.items():
        if name in OF_THIS_PROCESS:
            continue
        if name == "keys" and stats.get("unverified"):
            shown = f"{figure:,} to {figure + stats['unverified']:,}"
        elif name == "size_limit":
            shown = words.size(figure) if figure else "none"
        elif name.endswith("_bytes") or name == "memory_budget":
            shown = words.size(figure)
        else:
            shown = f"{figure:,}" if isinstance(figure, int) else str(figure) or "none"
        row = [name.replace("_", " "), shown]
        if rates is not None:
            row.append(f"{rates[name]:+,.0f}/s" if rates[name] else "")
        table.add_row(*row)
    return table


def figures_of(store: Store[Any, Any]) -> dict[str, Any]:
    """Return what a store says of itself; with the exact number of keys, where that costs no more than some reads."""
    if store.stats()["unverified"] <= SETTLED_MAX:
        len(store)
    return store.stats()


def stat(
    path: StorePath,
    every: Annotated[bool, typer.Option("--all", help="All figures, with the addresses of the log.")] = False,
    checkpoint: AtCheckpoint = None,
    as_json: AsJson = False,
) -> None:
    """Print a store's figures: keys, codecs, sizes; with --all those of its log, index and memory, too.

    Where more than 10,000 blind writes have not been verified yet, the number of keys is said as a range.
    """
    with stores.reading(path, checkpoint) as store:
        stats = figures_of(store)
        found = store.recovery
    if as_json:
        streams.print_json(stats | {"recovery": {name: getattr(found, name) for name in OF_RECOVERY}})
        return
    stats |= {
        "recovered_from": found.checkpoint or "",
        "replayed_records": found.records,
        "cut_bytes": found.bytes_cut,
        "opening_seconds": f"{found.seconds:.3f}",
    }
    streams.print_line(words.readable(os.fsencode(path)))
    common.print_table(figures(stats if every else {name: stats[name] for name in ESSENTIAL}, None))


def get(
    path: StorePath,
    key: Key,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write just the value to a file.", show_default="stdout"),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print the value's bytes in the store, no newline.")] = False,
    escaped: Escaped = False,
    in_base64: InBase64 = False,
    checkpoint: AtCheckpoint = None,
    as_json: AsJson = False,
) -> None:
    """Print a key's value; exit code 1 where it has none.

    On a terminal what is not printable is escaped; into a pipe or a file the value goes as it is.
    """
    get_value(
        path,
        key,
        in_base64=in_base64,
        escaped=escaped,
        raw=raw,
        as_json=as_json,
        output=output,
        checkpoint=checkpoint,
    )


def keys(
    path: StorePath,
    prefix: Annotated[str, typer.Option("--prefix", metavar="TEXT", help="Only keys that begin with this.")] = "",
    limit: Limit = None,
    on_error: WhenDamaged = OnError.RAISE,
    checkpoint: AtCheckpoint = None,
    as_json: AsJson = False,
) -> None:
    """Print the keys, one a line, in the order of the log."""
    with stores.reading(path, checkpoint) as store:
        display = Display(store, on_error, as_json)
        start = prefix_bytes(display.key, prefix)
        chosen = ((key, address) for key, _, _, _, address in entries(store) if key.startswith(start))
        for key, address in islice(chosen, limit):
            shown = display.item(key, None, address)
            if shown is not None:
                (streams.print_json if as_json else streams.print_line)(shown[0])
        display.end()


def prefix_bytes(codec: Plain, prefix: str) -> bytes:
    """Return what the bytes of all keys with a prefix begin with; ValueError where the codec has no prefixes."""
    if not prefix or codec.is_bytes or codec.name == codecs.STR.name:
        return os.fsencode(prefix)
    if not isinstance(codec.codec, codecs.Tuple):
        raise ValueError(f"keys of the codec {codec.name!r} have no prefixes")
    try:
        return codec.prefix_from_text(os.fsencode(prefix))
    except Refused as failure:
        raise ValueError(f"the prefix {words.readable(os.fsencode(prefix))} {failure}") from None


def scan(
    path: StorePath,
    start: Annotated[
        int | None, typer.Option("--start", metavar="ADDRESS", help="First address.", show_default="begin")
    ] = None,
    stop: Annotated[
        int | None, typer.Option("--stop", metavar="ADDRESS", help="Address to stop at.", show_default="tail")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Old versions and tombstones too.")] = False,
    limit: Limit = None,
    on_error: WhenDamaged = OnError.RAISE,
    checkpoint: AtCheckpoint = None,
    as_json: AsJson = False,
) -> None:
    """Print the log's records in the order of writing: address, key, value."""
    with stores.reading(path, checkpoint) as store:
        display = Display(store, on_error, as_json)
        for record in islice(store.scan(start, stop, live=not every), limit):
            shown = display.item(record.key, None if record.tombstone else record.value, record.address)
            if shown is None:
                continue
            key, value = shown
            if as_json:
                streams.print_json(
                    {
                        "address": record.address,
                        "key": key,
                        "value": value,
                        "tombstone": record.tombstone,
                        "expiry": words.seconds_of(record.expiry),
                    }
                )
            else:
                streams.print_line(f"{record.address:>12}  {key}  {'(deleted)' if record.tombstone else value}")
        display.end()


def history(
    path: StorePath,
    key: Key,
    in_base64: InBase64 = False,
    escaped: Escaped = False,
    every: Annotated[
        bool, typer.Option("--scan", help="Read the whole log: deletions, and what was before them, too.")
    ] = False,
    limit: Limit = None,
    on_error: WhenDamaged = OnError.RAISE,
    checkpoint: AtCheckpoint = None,
    as_json: AsJson = False,
) -> None:
    """Print a key's versions, newest first: address, time of the commit, value; exit code 1 where there is none."""
    given = stores.Given("key", key, in_base64, escaped)
    with stores.reading(path, checkpoint) as store:
        name = given.coded(Plain(store.key_codec))
        display = Display(store, on_error, as_json)
        count = 0
        for version in islice(store.history(name, scan=every), limit):
            count += 1
            shown = display.item(name, version.value, version.address)
            if shown is None:
                continue
            if as_json:
                said = {"value": shown[1], "expiry": words.seconds_of(version.expiry)}
                streams.print_json(version._asdict() | said)
            else:
                value = "(deleted)" if version.tombstone else shown[1]
                streams.print_line(f"{version.address:>12}  {common.shown_time(version.time)}  {value}")
        display.end()
    if not count and limit != 0:
        more = "" if every else "; --scan looks for versions from before it was deleted"
        raise stores.NoValue(f"the key {given.name} has no value{given.hint() or more}")


def codec_faults(store: Store[Any, Any]) -> list[str]:
    """Return a sentence for each key or value that the store's codecs, as far as they are known here, did not write."""
    display = Display(store, OnError.RAISE, False)
    faults = []
    for key, value, _, _, address in entries(store):
        try:
            display.item(key, value, address)
        except DecodeError as failure:
            faults.append(str(failure))
    return faults


def check(path: StorePath, as_json: AsJson = False) -> None:
    """List every fault of a store, of which all is read; exit code 5 where there is one."""
    count: int | None = None
    try:
        with stores.reading(path, quiet=True) as store, progress("checking"):
            count = len(store)
            faults = store.check() or codec_faults(store)
    except (CorruptionError, FormatError) as failure:  # of a store that does not open, all that can be told
        faults = check_files(path) or [str(failure)]
    if as_json:
        streams.print_json({"keys": count, "faults": faults})
    else:
        for fault in faults or [f"{path}: {words.counted(count or 0, 'key')}, no faults"]:
            streams.print_line(without_python(fault))
    if faults:
        raise typer.Exit(5)
