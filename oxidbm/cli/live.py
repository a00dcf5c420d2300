"""Commands that measure: watch shows a store's figures as they change, bench what this machine does."""

import itertools
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oxidbm import Store
from oxidbm.cli import common, reading, stores, streams, words
from oxidbm.cli.bar import progress
from oxidbm.cli.common import AsJson, StorePath
from oxidbm.cli.words import seconds_in

if TYPE_CHECKING:
    from rich.table import Table

PAUSE_MIN = 0.01  # seconds
VALUE_BYTES = (16, 128, 1024)
WATCHED = (
    "keys",
    "unverified",
    "commit_sequence",
    "begin",
    "tail",
    "log_bytes",
    "live_bytes",
    "dead_bytes",
    "file_bytes",
    "index_bytes",
)


def snapshot(path: Path) -> dict[str, Any]:
    """Return the figures of a store's last commit, and when they were taken."""
    with stores.reading(path, quiet=True) as store:
        stats = reading.figures_of(store)
    return {"time": time.time(), **{name: stats[name] for name in WATCHED}}


def snapshots(path: Path, interval: float, count: int | None) -> Iterator[dict[str, Any]]:
    """Yield a store's figures `count` times, or for ever, every `interval` seconds."""
    yield snapshot(path)
    for _ in range(count - 1) if count is not None else itertools.count():
        time.sleep(interval)
        yield snapshot(path)


def watched_table(path: Path, before: dict[str, Any], now: dict[str, Any]) -> "Table":
    """Return the figures as a table, with how much each changed a second."""
    elapsed = now["time"] - before["time"]
    rates = {name: (now[name] - before[name]) / elapsed if elapsed else 0.0 for name in WATCHED}
    return reading.figures(
        {name: now[name] for name in WATCHED},
        f"{words.readable(os.fsencode(path))}  {time.strftime('%H:%M:%S')}",
        rates,
    )


def watch(
    path: StorePath,
    interval: Annotated[
        str, typer.Option("--interval", metavar="TIME", help="Between two looks: 2, 500ms, 1m.")
    ] = "2s",
    count: Annotated[
        int | None,
        typer.Option("--count", metavar="N", min=1, help="End after so many looks.", show_default="Ctrl-C ends"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a store's figures as they change; each look opens the store anew, until Ctrl-C."""
    pause = seconds_in(interval)
    if pause < PAUSE_MIN:
        raise ValueError(f"--interval is {PAUSE_MIN} seconds or more")
    looks = snapshots(path, pause, count)
    with common.until_interrupted(0):
        if as_json:
            for now in looks:
                streams.print_json(now)
                sys.stdout.flush()
            return
        streams.stdout()
        before = next(looks)
        if not streams.is_terminal():
            for now in itertools.chain([before], looks):
                common.print_table(watched_table(path, before, now))
                sys.stdout.flush()
                before = now
            return
        from rich.console import Console
        from rich.live import Live

        shown = Live(
            watched_table(path, before, before),
            console=Console(highlight=False),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with streams.of_stream("stdout"):
            try:
                shown.start(refresh=True)  # by itself it is not ended by a Ctrl-C in here, and the cursor stays hidden
                for now in looks:
                    shown.update(watched_table(path, before, now), refresh=True)
                    before = now
            finally:
                shown.stop()


def per_operation(keys: list[bytes], work: Callable[[list[bytes]], None]) -> float:
    """Return how many nanoseconds a key took."""
    start = time.perf_counter_ns()
    work(keys)
    return (time.perf_counter_ns() - start) / len(keys)


def measure(mapping: MutableMapping[bytes, bytes], keys: list[bytes], value: bytes) -> dict[str, float]:
    """Return the nanoseconds of setting new keys, setting them again and getting them, in another order each time."""

    def write(keys: list[bytes]) -> None:
        for key in keys:
            mapping[key] = value

    def read(keys: list[bytes]) -> None:
        for key in keys:
            mapping[key]

    shuffled = random.Random(1).sample(keys, len(keys))
    return {
        "set_ns": per_operation(keys, write),
        "overwrite_ns": per_operation(shuffled, write),
        "get_ns": per_operation(shuffled, read),
    }


def bench(
    items: Annotated[int, typer.Option("--items", metavar="N", min=1, help="Keys in each store.")] = 100_000,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory", metavar="DIRECTORY", help="Where the temporary stores go.", show_default="the system's"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure gets and sets of this machine beside dict's, one thread, in a store that is deleted afterwards."""
    keys = [b"key:%012d" % number for number in range(items)]
    results = []
    with (
        tempfile.TemporaryDirectory(prefix="oxidbm-bench-", dir=directory) as temporary,
        progress("measuring", len(VALUE_BYTES)) as report,
    ):
        for done, length in enumerate(VALUE_BYTES):
            value = os.urandom(length)
            with Store(Path(temporary, str(length))) as store:
                figures = measure(store, keys, value)
                figures["sync_ms"] = per_operation([b""], lambda _: store.sync()) / 1e6
            results.append({"value_bytes": length, "oxidbm": figures, "dict": measure({}, keys, value)})
            report(done + 1, len(VALUE_BYTES))
    if as_json:
        streams.print_json({"items": items, "results": results})
        return
    from rich.table import Table

    table = Table(
        "value",
        "",
        "set",
        "overwrite",
        "get",
        "sync",
        title=f"{words.counted(items, 'key')} of 16 bytes; ns an operation",
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for result in results:
        for name in ("oxidbm", "dict"):
            row: Any = result[name]
            times = [f"{row[figure]:,.0f}" for figure in ("set_ns", "overwrite_ns", "get_ns")]
            sync = f"{row['sync_ms']:.1f} ms" if "sync_ms" in row else ""
            table.add_row(f"{result['value_bytes']:,} B", name, *times, sync)
    common.print_table(table)
