"""Commands that change a store: set, del, evict, compact, reorganize. What they did is durable when they end."""

from pathlib import Path
from typing import Annotated, Any

import typer

from oxidbm import Store
from oxidbm._plain import Plain
from oxidbm.cli import stores, streams, words
from oxidbm.cli.bar import progress
from oxidbm.cli.common import Escaped, InBase64, Key, KeyCodec, StorePath, ValueCodec, duration
from oxidbm.cli.stores import Given, NoValue
from oxidbm.dump import Unmade


def set_value(
    path: StorePath,
    key: Key,
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="The value; - is stdin.", show_default="stdin")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--input", "-i", metavar="FILE", help="Take the value from a file, as it is.")
    ] = None,
    expire: Annotated[
        str | None,
        typer.Option("--expire", metavar="TIME", help="Until the key expires: 90, 15m, 2h, 3d.", show_default="never"),
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TEXT", help="By which evict deletes the key.", show_default="none")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="VALUE is JSON, as get --json prints it.")] = False,
    escaped: Annotated[
        bool, typer.Option("--escaped", "-e", help=r"KEY and VALUE are written as scan prints them, with \n and \x00.")
    ] = False,
    in_base64: Annotated[
        bool, typer.Option("--base64", help="KEY and VALUE are given as the base64 of their bytes in the store.")
    ] = False,
    key_codec: KeyCodec = None,
    value_codec: ValueCodec = None,
) -> None:
    """Store a value under a key, as the store's codecs write them; makes a store of bytes where there is none.

    What is read from stdin or a file is stored as it is, up to its last byte. CODEC is bytes, str, int, float,
    bool, json, msgpack, objects, datetime, naive-datetime, date, time, timedelta, uuid, decimal, or "tuple(str,int)"
    and so on; a store keeps its own.
    """
    seconds = duration(expire)
    name = Given("key", key, in_base64, escaped)
    given = given_value(value, source, in_base64, escaped, as_json)
    codecs = stores.codecs_asked_for(path, key_codec, value_codec)
    unmade = Unmade(path)
    with stores.writing(path, create=True, **codecs) as store, unmade.unless_filled(store):
        check_known(store, "keys", store.key_codec)
        check_known(store, "values", store.value_codec)
        key_bytes = name.coded(Plain(store.key_codec))
        store.set(key_bytes, given.coded(Plain(store.value_codec)), seconds, tag=tag)


def given_value(value: str | None, source: Path | None, in_base64: bool, escaped: bool, as_json: bool) -> Given:
    """Return the value that set was given, as an argument, in a file or on stdin."""
    if source is not None and value is not None:
        raise ValueError("give a value, or a file with --input, not both")
    if source is not None and str(source) != "-":
        data = source.read_bytes()
    elif value is None or value == "-":
        streams.ask_for("the value")
        with streams.of_stream("stdin"):
            data = streams.stdin().read()
    else:
        return Given("value", value, in_base64, escaped, as_json)
    return Given("value", data, as_json=as_json)


def check_known(store: Store[Any, Any], what: str, name: str) -> None:
    """Raise ValueError where only a program knows what a codec writes: what is stored has to be that."""
    if not Plain(name).writes:
        raise ValueError(
            f"{store.path} keeps {what} of the codec {name!r}, and only its program can write them; set the key there"
        )


def delete(
    path: StorePath,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="The keys.", show_default=False)],
    escaped: Escaped = False,
    in_base64: InBase64 = False,
) -> None:
    """Delete keys; exit code 1 where one has no value, the others are deleted all the same."""
    given = [Given("key", key, in_base64, escaped) for key in keys]
    with stores.writing(path) as store:
        codec = Plain(store.key_codec)
        names = [key.coded(codec) for key in given]
        missing = [key for key, name in zip(given, names, strict=True) if store.pop(name, None) is None]
    if missing:
        hint = next((key.hint() for key in missing if key.hint()), "")
        raise NoValue(f"no value to delete under {', '.join(key.name for key in missing)}{hint}")


def evict(
    path: StorePath,
    tag: Annotated[
        str, typer.Argument(metavar="TAG", help="The tag, a text as set --tag takes it.", show_default=False)
    ],
    is_int: Annotated[bool, typer.Option("--int", help="TAG is a whole number: the tag 7, not the text.")] = False,
    in_base64: Annotated[bool, typer.Option("--base64", help="TAG is bytes, given as their base64.")] = False,
) -> None:
    """Delete every key that was stored with a tag; goes over the whole log once.

    The text "7", the number 7 and the bytes are three tags. A program can use each; set --tag gives a text.
    """
    if is_int and in_base64:
        raise ValueError("--int and --base64 are two kinds of tags: give one of them")
    meant: str | int | bytes = whole(tag) if is_int else stores.bytes_of(tag) if in_base64 else tag
    with stores.writing(path) as store, progress("evicting"):
        count = store.evict(meant)
    streams.print_line(f"{path}: {words.items(count)} deleted")
    if not count and meant is tag and tag.removeprefix("-").isdecimal():
        streams.note(f"oxidbm: that was the text {tag}; --int is for tags that are numbers")


def whole(text: str) -> int:
    """Return the whole number that a tag is."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"the tag {words.one_line(text[:80])} is no whole number") from None


def compact(
    path: StorePath,
    dead: Annotated[
        float, typer.Option("--dead", metavar="SHARE", help="The share of the log that may stay dead, 0 to below 1.")
    ] = 0.1,
    max_bytes: Annotated[
        str | None,
        typer.Option(
            "--max-bytes", metavar="SIZE", help='Go over no more of the log, such as "1GiB".', show_default="all"
        ),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="After which to end: 90, 15m, 2h.", show_default="never"),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate",
            metavar="SIZE",
            help='Go over no more of the log a second, such as "20MiB".',
            show_default="no limit",
        ),
    ] = None,
) -> None:
    """Give back the space of old versions and deleted keys, file by file.

    The oldest files come first, until no more than a share of --dead of the log is dead, or a limit is reached.
    """
    with stores.writing(path) as store, progress("compacting"):
        before = store.stats()["file_bytes"]
        store.compact(dead, max_bytes=max_bytes, timeout=duration(timeout), rate=rate)
        after = store.stats()["file_bytes"]
    streams.print_line(words_of_space(path, before, after))


def words_of_space(path: Path, before: int, after: int) -> str:
    """Return what has become of a store's files, for people."""
    if after >= before:  # there was nothing, and what was done takes some bytes itself
        return f"{path}: nothing to give back; {words.size(after)}"
    return f"{path}: {words.size(before)} before, {words.size(after)} after"


def reorganize(path: StorePath) -> None:
    """Give back all the space of old versions and deleted keys at once; what is live is copied first."""
    with stores.writing(path) as store, progress("reorganizing"):
        before = store.stats()["file_bytes"]
        store.reorganize()
        after = store.stats()["file_bytes"]
    streams.print_line(words_of_space(path, before, after))
