"""Backups of a store that is being written: each is one commit, and onto an earlier one only what is new is copied."""

import sys
import tempfile
import threading
from pathlib import Path

import oxidbm

ACCOUNTS = 50
ROUNDS = 4


def move_money(store: oxidbm.Store[int, int], done: threading.Event) -> None:
    """Move money between accounts, in batches: the sum stays."""
    number = 0
    while not done.wait(0.0005):
        number += 1
        giving, taking = number % ACCOUNTS, number * 7 % ACCOUNTS
        if giving != taking:
            with store.batch() as batch:
                batch[giving] = store[giving] - 1
                batch[taking] = store[taking] + 1


def main() -> int:
    """Back up while a thread writes, and look whether each backup is one commit's state."""
    done = threading.Event()
    right = True
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        place = Path(directory)
        with oxidbm.Store(place / "bank", key=int, value=int) as store:
            store.update((account, 100) for account in range(ACCOUNTS))
            writer = threading.Thread(target=move_money, args=(store, done))
            writer.start()
            for number in range(ROUNDS):
                report = store.backup(place / "backup", link=number == ROUNDS - 1)
                with oxidbm.Store(place / "backup", key=int, value=int, read_only=True) as backup:
                    money = sum(backup.values())
                    right = right and money == 100 * ACCOUNTS and backup.check() == []
                print(f"commit {report.commit_sequence}: {money} in {ACCOUNTS} accounts")
            done.set()
            writer.join()
            store.clear()  # a mistake
        with oxidbm.Store(place / "backup", key=int, value=int, read_only=True) as backup:
            print(f"the store was cleared, the backup has {len(backup)} accounts")
            right = right and len(backup) == ACCOUNTS
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
