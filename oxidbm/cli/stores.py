"""How the commands open stores, and what keys and values that they are given stand for; without typer and rich."""

import os
from typing import Any, cast

from oxidbm import Store
from oxidbm._opened import opened_quietly
from oxidbm._plain import WRITTEN, Plain, Refused, from_base64, parse
from oxidbm.cli import bar
from oxidbm.cli.streams import note
from oxidbm.cli.words import one_line, readable, unescaped


class NoValue(LookupError):
    """A key that a command was given has no value."""


class Given:
    """What a command was given as a key or a value, before it is known which codec it is for.

    text: the argument, or bytes that were read.
    in_base64: whether it is the base64 of the bytes in the store; never of what was read.
    escaped: whether it is written as the commands show it.
    as_json: whether it is JSON, as --json shows it.
    """

    def __init__(
        self, what: str, text: str | bytes, in_base64: bool = False, escaped: bool = False, as_json: bool = False
    ) -> None:
        if in_base64 + escaped + as_json > 1:
            raise ValueError("--base64, --escaped and --json are three ways of writing a value: give one of them")
        self.what = what
        self.in_base64 = in_base64
        self.escaped = escaped
        self.as_json = as_json
        self.data = os.fsencode(text) if isinstance(text, str) else text
        if in_base64:
            self.data = bytes_of(cast(str, text))
        self.name = one_line(cast(str, text)[:80]) if escaped else readable(self.data[:80])

    def coded(self, codec: Plain) -> bytes:
        """Return the bytes in a store of the codec; ValueError where it does not take what was given."""
        try:
            if self.as_json:
                return codec.from_json(parse(self.data))
            if not self.in_base64:
                text = unescaped(self.data) if self.escaped and not codec.is_json else self.data
                return codec.from_text(text)
            codec.check(self.data)
            return self.data
        except Refused as failure:
            more = "" if codec.writes else "; give the bytes of its codec with --base64"
            raise ValueError(f"the {self.what} {self.name} {failure}{more}") from None
        except ValueError as failure:
            raise ValueError(f"the {self.what} {self.name} {failure}" if self.in_base64 else str(failure)) from None

    def hint(self) -> str:
        """Return what may be wrong with a key that is not there."""
        if b"\\" in self.data and not (self.escaped or self.in_base64):
            return "; --escaped takes it as keys and scan print it"
        return ""


def bytes_of(text: str) -> bytes:
    """Return what an argument is the base64 of."""
    try:
        return from_base64(text)
    except Refused:
        raise ValueError(f"{text!r} is not valid base64") from None


def codecs_asked_for(path: str | os.PathLike[str], key: str | None, value: str | None) -> dict[str, Any]:
    """Return the options that give a store that is made the codecs of these names, and demand them of another."""
    if key is None and value is None:
        return {}
    from oxidbm.dump import named_codecs

    return named_codecs(path, codec_name(key), codec_name(value))


def codec_name(name: str | None, *, raw: bool = False) -> str | None:
    """Return the name of a codec as stores keep it; ValueError for one that is not known here, unless it may be raw."""
    if name is None:
        return None
    found = name.replace(" ", "")
    if not (raw or Plain(found).writes):
        raise ValueError(
            f"the codec {one_line(found)!r} is none that a command can write: those are {', '.join(WRITTEN)} and so on"
        )
    return found


def opened(path: str | os.PathLike[str], *, quiet: bool = False, **options: Any) -> Store:
    """Open a store, with a bar where that takes long; say what is wrong with checkpoints, unless it is to be quiet."""
    with bar.opening():
        store: Store = cast(Any, opened_quietly(path, **options))
    for fault in [] if quiet else store.recovery.faults:
        note(f"oxidbm: passed over a checkpoint: {fault}")
    return store


def reading(path: str | os.PathLike[str], checkpoint: str | None = None, *, quiet: bool = False) -> Store:
    """Open a store to read its last commit, or a checkpoint, also beside a writer."""
    return opened(path, quiet=quiet, read_only=True, checkpoint=checkpoint)


def writing(path: str | os.PathLike[str], *, create: bool = False, **options: Any) -> Store:
    """Open a store to write; what is written is durable when it is closed."""
    return opened(path, durability="manual", create=create, **options)
