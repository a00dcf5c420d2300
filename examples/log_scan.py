"""The log itself: every version that is still there, in the order of writing, resumable by address."""

import sys
import tempfile
from itertools import islice
from pathlib import Path

import oxidbm


def main() -> int:
    """Write versions of two keys with commits between, and scan them."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory, oxidbm.Store(Path(directory) / "store") as store:
        for version in range(3):
            store["a"] = f"a{version}"
            store["b"] = f"b{version}"
            store.sync()  # what was committed never changes in place: the next write makes a new version
        del store["b"]

        print("every version:")
        for record in store.scan(live=False):
            value = "deleted" if record.tombstone else record.value.decode()
            print(f"  at {record.address:3}  {record.key.decode()} = {value:8} before it: {record.previous_address}")

        live = [(record.key, record.value) for record in store.scan()]
        print(f"live only:\n  {live}")

        scan = store.scan(live=False)
        first_two = list(islice(scan, 2))
        position = scan.position  # another scan, in another process too, can go on from here
        scan.close()
        rest = list(store.scan(position, live=False))
        print(f"{len(first_two)} records, then {len(rest)} more from address {position} on")
        right = live == [(b"a", b"a2")] and len(rest) == 5 and rest[-1].tombstone
        return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
