"""Objects that stay: a shelf with the safe codec, and the standard library's own shelf on a store."""

import datetime as dt
import os
import shelve
import sys
import tempfile
from pathlib import Path
from typing import Any

import oxidbm

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
PEOPLE = 100 if SMOKE else 10_000


def person(number: int) -> dict[str, Any]:
    """Return an object with types that JSON has not."""
    born = dt.date(1950, 1, 1) + dt.timedelta(days=number)
    return {"name": f"person {number}", "born": born, "tags": {"even" if number % 2 == 0 else "odd"}}


def main() -> int:
    """Fill two shelves, open them again, and compare."""
    expected = {str(number): person(number) for number in range(PEOPLE)}
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        safe, pickled = Path(directory) / "safe", Path(directory) / "pickled"
        with oxidbm.shelve.open(safe) as shelf:
            shelf.update(expected)
        other: shelve.Shelf[Any] = shelve.Shelf(oxidbm.open(pickled, "c"))
        with other:
            other.update(expected)
        with oxidbm.shelve.open(safe, writeback=True) as shelf:
            shelf["7"]["tags"].add("prime")
        expected["7"]["tags"].add("prime")
        with oxidbm.shelve.open(safe, "r") as shelf:
            print(f"safe codec: {len(shelf)} objects, {shelf['7']}")
            kept = dict(shelf) == expected
        with oxidbm.shelve.open(pickled, "r") as shelf:
            try:
                shelf["7"]
            except oxidbm.shelve.DeserializeError as failure:
                print(f"a pickle, not asked for: {failure}")
            else:
                kept = False
        with oxidbm.shelve.open(pickled, "r", serializer="pickle") as shelf:
            print(f"asked for: {len(shelf)} objects")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
