"""Keys in order: a day of measurements of several sensors, asked for by sensor, by time, and from the newest back."""

import os
import random
import sys
import tempfile
from pathlib import Path

import oxidbm
from oxidbm import codecs

SMOKE = os.environ.get("OXIDBM_SMOKE", "0") not in ("", "0")
SENSORS = ("attic", "cellar", "kitchen")
SECONDS = 60 if SMOKE else 1
DAY = 24 * 3600


def readings() -> list[tuple[tuple[str, int], float]]:
    """Return each sensor's temperatures over a day, in the order in which no one would want them."""
    draw = random.Random(7)
    made = [((sensor, at), round(draw.gauss(20, 2), 1)) for sensor in SENSORS for at in range(0, DAY, SECONDS)]
    draw.shuffle(made)
    return made


def main() -> int:
    """Write in any order, read in order."""
    written = readings()
    with (
        tempfile.TemporaryDirectory(prefix="oxidbm-") as directory,
        oxidbm.Store(Path(directory) / "temperatures", key=codecs.Tuple(str, int), value=float, ordered=True) as store,
    ):
        store.set_many(written)
        print(f"{len(store):,} readings from {store.first_key()} to {store.last_key()}")

        noon, one = 12 * 3600, 13 * 3600
        hour = [celsius for _, celsius in store.range(("cellar", noon), ("cellar", one))]
        print(f"cellar, noon to one: {len(hour):,} readings, {min(hour)} to {max(hour)} degrees")

        newest = [(at, celsius) for (_, at), celsius in store.range(("kitchen", 0), ("kitchen", DAY), reverse=True)][:3]
        print(f"kitchen, the newest three: {newest}")

        following = store.next_key(("attic", noon))
        print(f"attic, the reading after noon: {following}; before the cellar's first: {store.previous_key(('b', 0))}")

        of_cellar = {key: celsius for key, celsius in written if key[0] == "cellar"}
        right = dict(store.prefix(("cellar",))) == of_cellar and following == ("attic", noon + SECONDS)
        return 0 if right and len(hour) == 3600 // SECONDS and newest[0][0] == DAY - SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
