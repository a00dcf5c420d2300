"""Commands that only read: stat, get, keys, scan, check. They see the last commit and work beside a writer."""

import sys
from itertools import islice
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from oxidbm import CorruptionError, FormatError
from oxidbm import check as check_files
from oxidbm.cli import common
from oxidbm.cli.common import AsJson, InBase64, Key, Limit, StorePath
from oxidbm.dump import to_json

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
}


def figures(stats: dict[str, Any], title: str, rates: dict[str, float] | None = None) -> Table:
    """Return the figures of a store as a table, sizes with units; with `rates`, what each changes by in a second."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan")
    table.add_column(justify="right", min_width=12)
    table.add_column(justify="right", style="green", min_width=12)
    for name, figure in stats.items():
        if name in OF_THIS_PROCESS:
            continue
        if name.endswith("_bytes") or name == "memory_budget":
            shown = common.size(figure)
        else:
            shown = f"{figure:,}" if isinstance(figure, int) else str(figure) or "none"
        rate = rates[name] if rates is not None else 0.0
        table.add_row(name.replace("_", " "), shown, f"{rate:+,.0f}/s" if rate else "")
    return table


def stat(path: StorePath, as_json: AsJson = False) -> None:
    """Print a store's figures: keys, sizes, addresses of its log."""
    with common.reading(path) as store:
        keys = len(store)
        stats = store.stats() | {"keys": keys}
    if as_json:
        common.print_json(stats)
    else:
        Console(highlight=False).print(figures(stats, str(path)))


def get(
    path: StorePath,
    key: Key,
    in_base64: InBase64 = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print the value's bytes and nothing else, no newline.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a key's value; exit code 1 where it has none."""
    name = common.argument_bytes(key, in_base64)
    with common.reading(path) as store:
        value = store.get(name)
    if value is None:
        raise common.NoValue(f"the key {common.readable(name)} has no value")
    if as_json:
        common.print_json({"key": to_json(name), "value": to_json(value)})
    elif raw:
        common.write_bytes(value)
    elif sys.stdout.isatty():
        common.print_line(common.readable(value))
    else:
        common.write_bytes(value + b"\n")


def keys(
    path: StorePath,
    prefix: Annotated[str, typer.Option("--prefix", help="Only keys that begin with this.")] = "",
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Print the keys, one a line, in the order of the log."""
    start = common.argument_bytes(prefix, False)
    with common.reading(path) as store:
        for key in islice((key for key in store if key.startswith(start)), limit):
            if as_json:
                common.print_json(to_json(key))
            else:
                common.print_line(common.readable(key))


def scan(
    path: StorePath,
    start: Annotated[int | None, typer.Option("--start", help="First address.", show_default="begin")] = None,
    stop: Annotated[int | None, typer.Option("--stop", help="Address to stop at.", show_default="tail")] = None,
    every: Annotated[bool, typer.Option("--all", help="Old versions and tombstones too.")] = False,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Print the log's records in the order of writing: address, key, value."""
    with common.reading(path) as store:
        for record in islice(store.scan(start, stop, live=not every), limit):
            if as_json:
                value = None if record.tombstone else to_json(record.value)
                common.print_json(
                    {
                        "address": record.address,
                        "key": to_json(record.key),
                        "value": value,
                        "tombstone": record.tombstone,
                        "expiry": record.expiry,
                    }
                )
            else:
                value = "(deleted)" if record.tombstone else common.readable(record.value)
                common.print_line(f"{record.address:>12}  {common.readable(record.key)}  {value}")


def check(path: StorePath, as_json: AsJson = False) -> None:
    """Read everything and list every fault; exit code 5 where there is one."""
    count: int | None = None
    try:
        with common.progress("checking"), common.reading(path) as store:
            count = len(store)
            faults = store.check()
    except (CorruptionError, FormatError):
        faults = check_files(path)  # of a store that does not open
    if as_json:
        common.print_json({"keys": count, "faults": faults})
    else:
        for fault in faults or [f"{path}: {count:,} keys, no faults"]:
            common.print_line(fault)
    if faults:
        raise typer.Exit(5)
