"""What the commands share that is typer's or rich's: arguments and options, how items are shown, and tables."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from oxidbm import Store
from oxidbm._core.store.raw import place
from oxidbm._plain import Plain, to_base64
from oxidbm.cli import completion, streams
from oxidbm.cli.failures import INTERRUPTED
from oxidbm.cli.words import ago, instant, items, readable, seconds_in, size, text_of
from oxidbm.dump import damaged

STORE: Final = typer.Argument(metavar="STORE", help="The store's directory.", show_default=False)
StorePath: TypeAlias = Annotated[Path, STORE]
Key: TypeAlias = Annotated[str, typer.Argument(metavar="KEY", help="The key.", show_default=False)]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, which holds everything exactly.")]
InBase64: TypeAlias = Annotated[
    bool, typer.Option("--base64", help="KEY is given as the base64 of its bytes in the store.")
]
Escaped: TypeAlias = Annotated[
    bool, typer.Option("--escaped", "-e", help=r"KEY is written as keys and scan print it, with \n, \x00 and \\.")
]
Limit: TypeAlias = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=0, help="Stop after so many.", show_default=False)
]
AtCheckpoint: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="TOKEN",
        autocompletion=completion.tokens,
        help="As of this checkpoint.",
        show_default="the last commit",
    ),
]
Memory: TypeAlias = Annotated[str, typer.Option("--memory", metavar="SIZE", help="The store's memory budget.")]
KeyCodec: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="CODEC",
        autocompletion=completion.codecs,
        help="The keys' codec, of a store that is made.",
        show_default="bytes",
    ),
]
ValueCodec: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--value",
        metavar="CODEC",
        autocompletion=completion.codecs,
        help="The values' codec, of a store that is made.",
        show_default="bytes",
    ),
]


class OnError(StrEnum):
    """What to do with a key or value that the store's codec did not write."""

    RAISE = "raise"
    SKIP = "skip"
    BYTES = "bytes"


WhenDamaged: TypeAlias = Annotated[
    OnError,
    typer.Option(
        "--on-error",
        metavar="raise|skip|bytes",
        help="Where a codec did not write it: end with an error, skip it, or take its bytes.",
    ),
]


def duration(text: str | None) -> float | None:
    """Return the seconds of an option that says a duration."""
    return None if text is None else seconds_in(text)


def shown_time(seconds: float | None) -> str:
    """Return a time: as people say it on a terminal, else as text that is still true when it is read later."""
    return ago(seconds) if streams.is_terminal() else instant(seconds)


# What stats() of a log or a queue says of this process's opening, which is over when the command ends.
OF_OPENING = ("memory_bytes", "memory_budget", "maintenance_failure", "poisoned", "read_only_log", "durability", "head")


def print_figures(figures: dict[str, Any]) -> None:
    """Print the figures of a log or a queue for people, one a line."""
    for name, value in figures.items():
        if name in OF_OPENING:
            continue
        if name.endswith("_bytes"):
            said = size(value)
        elif name.endswith("_time") and value is not None:
            said = shown_time(value)
        elif name.endswith("_seconds") and value is not None:
            said = f"{value:,.1f}"
        elif isinstance(value, int):
            said = f"{value:,}"
        else:
            said = "none" if value in (None, "") else readable(os.fsencode(str(value)))
        streams.print_line(f"{name.replace('_', ' '):<24} {said}")


class Display:
    """Shows the keys and values of a store as what they stand for; where a codec did not write them, as asked."""

    def __init__(self, store: Store[Any, Any], on_error: OnError, as_json: bool) -> None:
        self.store = store
        self.key = Plain(store.key_codec)
        self.value = Plain(store.value_codec)
        self.on_error = on_error
        self.as_json = as_json
        self.skipped = 0

    def item(self, key: bytes, value: bytes | None, address: int) -> tuple[Any, Any] | None:
        """Return a key and a value, None for none, as JSON or as a line of text; None for both where it is skipped."""
        what = "the key"
        try:
            shown_key = self.one(self.key, key)
            what = "the value of the key"
            shown_value = None if value is None else self.one(self.value, value)
        except ValueError as failure:
            if self.on_error is OnError.SKIP:
                self.skipped += 1
                return None
            name = readable(key) if what == "the key" else readable(self.key.to_text(key))
            raise damaged(what, name, place(self.store, address), failure) from None
        return shown_key, shown_value

    def one(self, codec: Plain, data: bytes) -> Any:
        """Return what bytes stand for."""
        try:
            return codec.to_json(data) if self.as_json else text_of(codec, data)
        except ValueError:
            if self.on_error is not OnError.BYTES:
                raise
            return {"base64": to_base64(data)} if self.as_json else readable(data)

    def end(self) -> None:
        """Say how much was skipped."""
        if self.skipped:
            streams.note(f"{items(self.skipped)} skipped, which the store's codecs did not write")


@contextmanager
def until_interrupted(code: int = INTERRUPTED) -> Iterator[None]:
    """Run what Ctrl-C is the way to end: it ends the line on which a terminal shows ^C, and says nothing."""
    try:
        yield
    except KeyboardInterrupt:
        if sys.stderr is not None and sys.stderr.isatty():
            streams.note("")
        raise typer.Exit(code) from None


def print_table(table: Any) -> None:
    """Print a table for people, without the blanks that fill its lines."""
    from rich.console import Console

    streams.stdout()
    console = Console(highlight=False)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        streams.print_line(line.rstrip())
