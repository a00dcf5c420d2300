"""The command for backups: it copies a store as of its last commit, beside whoever writes it.

What those of logs and queues take and show is here, too.
"""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

import oxidbm
from oxidbm.cli import stores, streams, words
from oxidbm.cli.bar import progress
from oxidbm.cli.common import AsJson, StorePath

To: TypeAlias = Annotated[
    Path,
    typer.Argument(metavar="TO", help="The backup's directory: a new one, or an earlier backup.", show_default=False),
]
LinkFiles: TypeAlias = Annotated[  # of a log or a queue
    bool, typer.Option("--link", help="Take complete files as hard links, where that is possible.")
]


def backup(
    path: StorePath,
    to: To,
    link: Annotated[
        bool, typer.Option("--link", help="Take complete segments as hard links, where that is possible.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a store as of its last commit; onto an earlier backup of it, only what is new."""
    with stores.reading(path) as store, progress("backing up") as report:
        made = store.backup(to, link=link, progress=report)
    show_backup(made, as_json)


def show_backup(made: oxidbm.BackupReport, as_json: bool) -> None:
    """Print the report of a backup."""
    if as_json:
        streams.print_json(made.as_dict())
    else:
        streams.print_line(line_of(made))


def line_of(made: oxidbm.BackupReport) -> str:
    """Return a report as a line for people."""
    commit = "no commit"
    if made.commit_time is not None:
        commit = f"commit {made.commit_sequence}, {words.instant(made.commit_time)}"
    parts = [f"{words.size(made.bytes_copied)} copied"]
    if made.bytes_linked:
        parts.append(f"{words.size(made.bytes_linked)} linked")
    if made.bytes_kept:
        parts.append(f"{words.size(made.bytes_kept)} kept")
    if made.checkpoint is not None:
        parts.append(f"and an index of {words.size(made.checkpoint_bytes)}")
    return f"{made.path}: {commit}: {', '.join(parts)}"
