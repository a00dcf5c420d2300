"""The store below its codecs: items as the bytes that stand in it, with the instant at which each expires.

It is for what copies and shows stores. Bytes that are put here have to be what the store's codecs write; whoever puts
them has seen to it.
"""

from typing import Any, cast

from mypy_extensions import i64

from oxidbm._core.log.record import KEY_LENGTH_MAX
from oxidbm._core.store.arguments import too_large
from oxidbm._core.store.iterator import ENTRIES, StoreIterator
from oxidbm._core.store.store import Store
from oxidbm._core.table import operations
from oxidbm._core.table.retry import put_tagged


def entries(store: object) -> Any:
    """Iterate a store's live records: key, value, expiry in milliseconds since 1970 or 0, tag or 0, address."""
    found = cast(Store, store)
    return StoreIterator(found.handle, ENTRIES, found, True)


def place(store: object, address: int) -> str:
    """Return where a record stands, as file and offset."""
    return cast(Store, store).table.log.device.place(i64(address))


def now_ms(store: object) -> int:
    """Return the instant by which a store's items expire, in milliseconds since 1970."""
    return int(cast(Store, store).table.now_ms())


def put_entry(store: object, key: bytes, value: bytes, expiry: int, tag: int) -> None:
    """Store a value under a key until an instant in milliseconds since 1970, 0 for ever; ValueError for lengths.

    tag: what `digest_of` returns of one, 0 for none.
    """
    found = cast(Store, store)
    found.check_writable()
    if len(key) > KEY_LENGTH_MAX:
        raise ValueError(f"a key of {len(key)} bytes is too long: at most {KEY_LENGTH_MAX} are possible")
    if len(value) > found.table.value_limit:
        raise too_large(found.handle, len(key), len(value))
    put_tagged(found.table, key, value, operations.ALWAYS, b"", i64(expiry), i64(tag))
    found.written()
