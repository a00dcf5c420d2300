"""The store as a dict that stays: write, read, change, delete, iterate, close, open again."""

import sys
import tempfile
from pathlib import Path

import oxidbm


def check(condition: bool, what: str) -> None:
    """End with exit code 1 where something is not as it should be."""
    if not condition:
        sys.exit(f"wrong: {what}")


def main() -> None:
    """Use one store twice."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "fruit"
        with oxidbm.Store(path) as store:
            store["apple"] = "red"  # str goes in as UTF-8, bytes come out
            store[b"banana"] = b"yellow"
            store.update({"cherry": "dark red", "date": "brown"})
            store["apple"] = "green"
            del store["date"]
            check(store["apple"] == b"green", "the last value wins")
            check(store.get("date") is None, "a deleted key has no value")
            check(b"banana" in store and len(store) == 3, "three keys are left")
            check(store.setdefault("banana", "blue") == b"yellow", "setdefault leaves what is there")
            store.sync()  # from here on this much survives a power cut; close() does the same
            print(f"{len(store)} keys written to {path.name}/: {sorted(p.name for p in path.iterdir())}")

        with oxidbm.Store(path) as store:
            expected = {b"apple": b"green", b"banana": b"yellow", b"cherry": b"dark red"}
            check(dict(store) == expected, "all is still there")
            for key, value in store.items():
                print(f"{key.decode():>8}  {value.decode()}")

        try:
            store["apple"]
        except oxidbm.ClosedError as failure:
            print(f"after close: {str(failure).replace(directory, '...')}")
        else:
            sys.exit("wrong: a closed store answered")


if __name__ == "__main__":
    main()
