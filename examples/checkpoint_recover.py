"""A checkpoint before a risky change: the store opens fast, and goes back where the change was a mistake."""

import sys
import tempfile
from pathlib import Path

import oxidbm

WORDS = 20_000


def main() -> int:
    """Fill a store, make a checkpoint, spoil the store in a later run, and go back."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "words"
        with oxidbm.Store(path, key=str, value=int) as store:
            store.set_many((f"word {number}", number) for number in range(WORDS))
            before = store.checkpoint(name="before the migration")
            store["one more"] = 1
        print(f"checkpoint {before.name!r}: commit {before.commit}, {before.bytes / WORDS:.1f} bytes a word")

        with oxidbm.Store(path, key=str, value=int) as store:
            print(f"opened with an image of the index: {store.recovery.records} records were replayed")
            fast = store.recovery.checkpoint is not None and store.recovery.records < 10
            for number in range(WORDS):  # the migration, which has a fault
                store[f"word {number}"] = -1
            del store["word 0"]

        copy = Path(directory) / "as it was"
        oxidbm.recover(path, before.token, to=copy)
        with oxidbm.Store(copy, key=str, value=int, read_only=True) as store:
            print(f"a copy of how it was: {len(store)} words, word 7 is {store['word 7']}")
            right = len(store) == WORDS and store["word 7"] == 7

        report = oxidbm.recover(path, before.token)  # for good: what came later is deleted
        with oxidbm.Store(path, key=str, value=int) as store:
            print(f"went back to commit {report.commit}: {len(store)} words, word 7 is {store['word 7']}")
            right = right and len(store) == WORDS and store["word 7"] == 7 and store.check() == []
            store.purge(keep=0)  # its part of the log is given back when nothing else needs it
            right = right and all(known.automatic for known in store.checkpoints())
    return 0 if right and fast else 1


if __name__ == "__main__":
    sys.exit(main())
