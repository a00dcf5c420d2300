"""A store as it was at each of some checkpoints, read beside the program that goes on writing it."""

import sys
import tempfile
from pathlib import Path

import oxidbm

DAYS = ("Monday", "Tuesday", "Wednesday")


def main() -> int:
    """Keep a stock, with a checkpoint at the end of each day, and ask later what there was when."""
    stocks: list[dict[str, int]] = []
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "stock"
        with oxidbm.Store(path, key=str, value=int, durability="manual") as stock:
            stock.update({"apples": 100, "pears": 80})
            for day in DAYS:
                stock["apples"] -= 30
                stock["pears"] += 5
                stock.checkpoint("log", name=day)  # without an image: it is to be looked at, not to open fast
            stock.clear()  # a mistake

            for made in stock.checkpoints():
                with oxidbm.Store(path, key=str, value=int, read_only=True, checkpoint=made.token) as then:
                    print(f"{made.name}: {dict(then)}")
                    stocks.append(dict(then))
                    for key in then:  # what is wanted can be taken over into the store of today
                        stock[key] = then[key]
            print(f"today: {dict(stock)}")
            right = dict(stock) == stocks[-1] and stock.check() == []
            stock.purge(keep=1)
            print(f"after purging: {[made.name for made in stock.checkpoints()]}")
            right = right and [made.name for made in stock.checkpoints()] == [DAYS[-1]]
    return 0 if right and [then["apples"] for then in stocks] == [70, 40, 10] else 1


if __name__ == "__main__":
    sys.exit(main())
