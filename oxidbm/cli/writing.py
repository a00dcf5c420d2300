"""Commands that change a store: set, del, compact, reorganize. What they did is durable when they end."""

from typing import Annotated, Any

import typer

from oxidbm import Store
from oxidbm._plain import Plain
from oxidbm.cli import common
from oxidbm.cli.bar import progress
from oxidbm.cli.common import InBase64, Key, StorePath


def set_value(
    path: StorePath,
    key: Key,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="The value.", show_default="stdin")] = None,
    in_base64: Annotated[
        bool, typer.Option("--base64", help="KEY and VALUE are given as the base64 of their bytes in the store.")
    ] = False,
    expire: Annotated[
        float | None, typer.Option("--expire", help="Seconds until the key expires.", show_default="never")
    ] = None,
) -> None:
    """Store a value under a key, as the store's codecs write them; makes a store of bytes where there is none."""
    given_key = common.argument_bytes(key, in_base64)
    given = common.stdin().read() if value is None else common.argument_bytes(value, in_base64)
    with common.writing(path, create=True) as store:
        check_known(store, "keys", store.key_codec)
        check_known(store, "values", store.value_codec)
        name = common.key_bytes(store, given_key, in_base64)
        store.set(name, common.coded("value", Plain(store.value_codec), given, in_base64 and value is not None), expire)


def check_known(store: Store[Any, Any], what: str, name: str) -> None:
    """Raise ValueError where only a program knows what a codec writes: what is stored has to be that."""
    if not Plain(name).writes:
        raise ValueError(
            f"{store.path} keeps {what} of the codec {name!r}, and only its program can write them; set the key there"
        )


def delete(
    path: StorePath,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="The keys.", show_default=False)],
    in_base64: InBase64 = False,
) -> None:
    """Delete keys; exit code 1 where one has no value, the others are deleted all the same."""
    given = [common.argument_bytes(key, in_base64) for key in keys]
    with common.writing(path) as store:
        names = [common.key_bytes(store, key, in_base64) for key in given]
        missing = [key for key, name in zip(given, names, strict=True) if store.pop(name, None) is None]
    if missing:
        raise common.NoValue(f"no value to delete under {', '.join(common.readable(name) for name in missing)}")


def compact(
    path: StorePath,
    dead: Annotated[float, typer.Option("--dead", help="The share of the log that may stay dead, 0 to below 1.")] = 0.1,
    max_bytes: Annotated[
        str | None, typer.Option("--max-bytes", help='Go over no more of the log, such as "1GiB".', show_default="all")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Seconds after which to end.", show_default="never")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", help='Go over no more of the log a second, such as "20MiB".', show_default="no limit"),
    ] = None,
) -> None:
    """Give back the space of old versions and deleted keys, the oldest first, as far as it takes and limits allow."""
    with common.writing(path) as store, progress("compacting"):
        before = store.stats()["file_bytes"]
        store.compact(dead, max_bytes=max_bytes, timeout=timeout, rate=rate)
        after = store.stats()["file_bytes"]
    common.print_line(f"{path}: {common.size(before)} before, {common.size(after)} after")


def reorganize(path: StorePath) -> None:
    """Give back the space of old versions and deleted keys."""
    with common.writing(path) as store, progress("reorganizing"):
        before = store.stats()["file_bytes"]
        store.reorganize()
        after = store.stats()["file_bytes"]
    common.print_line(f"{path}: {common.size(before)} before, {common.size(after)} after")
