"""Commands that change a store: set, del, reorganize. What they did is durable when they end."""

import sys
from typing import Annotated

import typer

from oxidbm import Store
from oxidbm.cli import common
from oxidbm.cli.common import InBase64, Key, StorePath
from oxidbm.codecs import RAW


def set_value(
    path: StorePath,
    key: Key,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="The value.", show_default="stdin")] = None,
    in_base64: InBase64 = False,
) -> None:
    """Store a value under a key; makes the store where there is none."""
    name = common.argument_bytes(key, in_base64)
    data = sys.stdin.buffer.read() if value is None else common.argument_bytes(value, in_base64)
    with Store(path, durability="manual", key=RAW, value=RAW) as store:
        store[name] = data


def delete(
    path: StorePath,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="The keys.", show_default=False)],
    in_base64: InBase64 = False,
) -> None:
    """Delete keys; exit code 1 where one has no value, the others are deleted all the same."""
    names = [common.argument_bytes(key, in_base64) for key in keys]
    with Store(path, durability="manual", create=False, key=RAW, value=RAW) as store:
        missing = [name for name in names if store.pop(name, None) is None]
    if missing:
        raise common.NoValue(f"no value to delete under {', '.join(common.readable(name) for name in missing)}")


def reorganize(path: StorePath) -> None:
    """Give back the space of old versions and deleted keys."""
    with common.progress("reorganizing"), Store(path, durability="manual", create=False, key=RAW, value=RAW) as store:
        before = store.stats()["file_bytes"]
        store.reorganize()
        after = store.stats()["file_bytes"]
    common.print_line(f"{path}: {common.size(before)} before, {common.size(after)} after")
