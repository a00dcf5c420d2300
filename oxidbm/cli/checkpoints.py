"""Commands for checkpoints: make one, list them, go back to one, remove some.

Listing and going back need not open the store as it is now, and so help where that is not possible any more.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import oxidbm
from oxidbm import _recover
from oxidbm._plain import bytes_to_json
from oxidbm._publish import path_of
from oxidbm.cli import completion, failures, stores, streams, words
from oxidbm.cli.bar import opening, progress
from oxidbm.cli.common import AsJson, StorePath, shown_time
from oxidbm.cli.copies import line_of

COLUMNS = ("token", "kind", "time", "size", "commit", "automatic", "name", "builds on", "cookie")
WHERE_NEEDED = ("automatic", "name", "builds on", "cookie")  # shown where one checkpoint has such
COOKIE_SHOWN = 32  # bytes of one in a table


def checkpoint(
    path: StorePath,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            metavar="KIND",
            autocompletion=completion.kinds,
            help="fold-over, snapshot, incremental, index or log.",
        ),
    ] = "fold-over",
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Kept with it, for people.", show_default="none")
    ] = None,
    cookie: Annotated[
        str | None, typer.Option("--cookie", metavar="TEXT", help="Kept with it, for programs.", show_default="none")
    ] = None,
    level: Annotated[
        int | None,
        typer.Option("--level", metavar="N", help="Of zstandard, -100 to 19, for its files.", show_default="-5"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a checkpoint of the last commit: it can be read and gone back to until it is purged."""
    with stores.writing(path) as store, progress("writing the checkpoint"):
        data = None if cookie is None else os.fsencode(cookie)
        made = store.checkpoint(kind, name, cookie=data, level=level)  # type: ignore[arg-type]  # it checks the kind
    if as_json:
        streams.print_json(said_of(made))
    else:
        streams.print_line(f"{path}: {made.kind} checkpoint {words_of(made)}, {words.size(made.bytes)}")
    if made.kind != kind:
        streams.note(f"oxidbm: {made.kind} and not {kind}: this process has made no snapshot that it could build on")


def checkpoints(path: StorePath, as_json: AsJson = False) -> None:
    """List a store's checkpoints, the oldest first, also of a store that does not open any more."""
    found, faults = _recover.checkpoints_at(path_of(path))
    if as_json:
        for made in found:
            streams.print_json(said_of(made))
    elif found:
        for line in lines_of(found):
            streams.print_line(line)
    else:
        streams.note(f"{path} has no checkpoints")
    for fault in faults:
        streams.note(f"oxidbm: {fault}")


def said_of(made: Any) -> dict[str, Any]:
    """Return a checkpoint as JSON can hold it."""
    names = ("token", "kind", "base", "name", "time", "bytes", "commit", "begin", "end", "automatic")
    said = {name: getattr(made, name) for name in names}
    said["cookie"] = None if made.cookie is None else bytes_to_json(made.cookie)
    return said


def words_of(made: Any) -> str:
    """Return which checkpoint it is, for people."""
    return f"{made.token} of commit {made.commit}, {words.instant(made.time)}"


def lines_of(found: list[Any]) -> list[str]:
    """Return checkpoints as a table for people, whose lines are as long as they are: a token is there to be copied."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    for made in found:
        name = words.readable((made.name or "").encode("utf-8", "surrogatepass"))
        automatic = "yes" if made.automatic else ""
        first = (made.token, made.kind, shown_time(made.time), words.size(made.bytes), str(made.commit))
        rows.append((*first, automatic, name, made.base or "", shown_cookie(made)))
    columns = [column for column in zip(*rows, strict=True) if column[0] not in WHERE_NEEDED or any(column[1:])]
    rows = list(zip(*columns, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if title in ("size", "commit") else cell.ljust(width)
            for title, cell, width in zip(rows[0], row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def shown_cookie(made: Any) -> str:
    """Return the beginning of a checkpoint's cookie."""
    cookie = made.cookie or b""
    return words.readable(cookie[:COOKIE_SHOWN]) + ("..." if len(cookie) > COOKIE_SHOWN else "")


def recover(
    path: StorePath,
    token: Annotated[
        str | None,
        typer.Argument(
            metavar="TOKEN", autocompletion=completion.tokens, help="The checkpoint.", show_default="the newest one"
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIRECTORY", help="Make a new store of it here, and leave STORE as it is."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is newer without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Go back to a checkpoint, and delete what was written since; with --to, copy its state to another place."""
    name = path_of(path)
    if to is not None:
        with opening():
            store = _recover.opened_at(name, token)
        with store, progress("copying") as report:
            copied = store.backup(to, progress=report)
        if as_json:
            streams.print_json(copied.as_dict())
        else:
            streams.print_line(line_of(copied))
        return
    loss = _recover.loss_of(name, token)
    if not yes:
        which = "automatic checkpoint" if loss.checkpoint.automatic else "checkpoint"
        ask(f"{path} goes back to the {which} {words_of(loss.checkpoint)}. {words_of_loss(loss)}")
    with opening():
        found = oxidbm.recover(name, loss.checkpoint.token)
    if as_json:
        streams.print_json({"token": found.checkpoint, "commit": found.commit, "bytes_cut": found.bytes_cut})
    else:
        streams.print_line(f"{path}: commit {found.commit}; {words.size(found.bytes_cut)} of the log deleted")


def words_of_loss(loss: _recover.Loss) -> str:
    """Return a sentence that says what goes."""
    newer = f", and {words.counted(len(loss.newer), 'newer checkpoint')}" if loss.newer else ""
    if not (loss.bytes or newer):
        return "Nothing was written to the log since."
    return f"This deletes what was written since, {words.size(loss.bytes)} of the log{newer}."


def ask(text: str) -> None:
    """Ask whether to go on; Declined where the answer is anything but yes, ValueError where nobody can be asked."""
    if sys.stdin is None or sys.stderr is None or not sys.stdin.isatty():
        raise ValueError(f"{text} Say --yes where that is meant")
    sys.stderr.write(f"{text} Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise failures.Declined("nothing was changed")


def purge(
    path: StorePath,
    token: Annotated[
        str | None,
        typer.Argument(
            metavar="TOKEN", autocompletion=completion.tokens, help="The one to remove.", show_default="see --keep"
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            metavar="N",
            min=0,
            help="Remove all that were asked for but the newest so many, and those they build on.",
        ),
    ] = None,
) -> None:
    """Remove one checkpoint, or all but the newest ones, and give back what only they held; print their tokens."""
    if token is not None and keep is not None:
        raise ValueError("purge takes the token of a checkpoint or --keep, not both")
    if token is None and keep is None:
        raise ValueError("name the checkpoint to remove, or say with --keep how many of the newest ones stay")
    with stores.writing(path) as store:
        removed = store.purge(token=token, keep=keep)
    for gone in removed:
        streams.print_line(gone)
