"""The command for stores that do not open any more: salvage reads one and writes what is sound into a new one."""

from pathlib import Path
from typing import Annotated

import typer

import oxidbm
from oxidbm.cli import completion, streams, words
from oxidbm.cli.bar import progress
from oxidbm.cli.common import AsJson, Memory
from oxidbm.cli.failures import without_python
from oxidbm.cli.words import counted


def salvage(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The damaged store's directory.", show_default=False)
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The new store's directory, not there yet.", show_default=False)
    ],
    key_codec: Annotated[
        str | None,
        typer.Option(
            "--key",
            "--key-codec",
            metavar="CODEC",
            autocompletion=completion.codecs,
            help="The keys' codec, where STORE is lost.",
            show_default="bytes",
        ),
    ] = None,
    value_codec: Annotated[
        str | None,
        typer.Option(
            "--value",
            "--value-codec",
            metavar="CODEC",
            autocompletion=completion.codecs,
            help="The values' codec, where STORE is lost.",
            show_default="bytes",
        ),
    ] = None,
    committed_only: Annotated[
        bool, typer.Option("--committed-only", help="Leave out what stands behind the last commit that counts.")
    ] = False,
    memory: Memory = "256MiB",
    as_json: AsJson = False,
) -> None:
    """Write every sound record of a damaged store, which is only read, into a new store, and list what was lost."""
    with progress("salvaging") as report:
        found = oxidbm.salvage(
            source,
            target,
            key=key_codec,
            value=value_codec,
            committed_only=committed_only,
            memory=memory,
            progress=report,
        )
    if as_json:
        streams.print_json(found.as_dict())
        return
    for line in lines_of(found):
        streams.print_line(line)


def lines_of(found: oxidbm.SalvageReport) -> list[str]:
    """Return a report as lines for people."""
    lines = [*map(without_python, found.faults), *map(str, found.lost)]
    if found.lost_ranges > len(found.lost):
        lines.append(f"{counted(found.lost_ranges - len(found.lost), 'more range')} of bytes are lost")
    lines.append(f"{found.target}: {counted(found.keys, 'key')} of {counted(found.records, 'sound record')}")
    if found.lost_ranges:
        lines.append(f"lost: {words.size(found.lost_bytes)} in {counted(found.lost_ranges, 'range')}")
    if found.missing:
        lines.append(f"missing: {counted(found.missing, 'record')} that commits have counted")
    commit = "none"
    if found.commit_time is not None:
        commit = f"{found.commit_sequence}, {words.instant(found.commit_time)}"
    lines.append(f"last commit that counts: {commit}")
    if found.behind_commit:
        lines.append(f"behind it: {counted(found.behind_commit, 'record')}, taken as well")
    if found.below_begin:
        lines.append(f"left out: {counted(found.below_begin, 'record')} from before the log begins")
    return lines
