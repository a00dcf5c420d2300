"""What a key was before: its versions, newest first, each with the time of the commit that made it durable."""

import sys
import tempfile
import time
from pathlib import Path

import oxidbm


def main() -> int:
    """Change a price from commit to commit, delete it, and look back."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        clock = iter(range(1_700_000_000, 1_800_000_000, 3600)).__next__  # an hour for each look at it
        with oxidbm.Store(Path(directory) / "prices", key=str, value=int, clock=clock, durability="manual") as store:
            for price in (250, 270, 260):
                store["coffee"] = price
                store.sync()
            store["coffee"] = 280  # not committed yet

            print("coffee:")
            found = list(store.history("coffee"))
            for version in found:
                when = "not committed" if version.time is None else time.strftime("%H:%M", time.gmtime(version.time))
                print(f"  {when:13}  {version.value}")

            del store["coffee"]  # in the place of 280, which no commit has seen
            gone = list(store.history("coffee"))
            left = [version.value for version in store.history("coffee", scan=True)]
            print(f"deleted: {len(gone)} versions by the index, {len(left)} in the log: {left}")

            store.reorganize()  # gives the space of old versions back
            rest = list(store.history("coffee", scan=True))
            print(f"reorganized: {len(rest)}")
    right = [version.value for version in found] == [280, 260, 270, 250] and found[0].time is None
    return 0 if right and left == [None, 260, 270, 250] and not gone and not rest else 1


if __name__ == "__main__":
    sys.exit(main())
