"""A typed store: dataclasses under int keys in their order, and keys that are tuples.

The codecs are chosen when the store is made and kept in it by name: it opens only with the same ones again. The values
are MessagePack, written and checked by msgspec (`pip install "oxidbm[codecs]"`), and reading them runs nothing.
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import oxidbm
from oxidbm import codecs

COUNT = 1_000 if os.environ.get("OXIDBM_SMOKE") else 20_000
START = 1_700_000_000
MINUTE = 60
HOUR = 60 * MINUTE


@dataclass
class Reading:
    """What a sensor measured."""

    celsius: float
    note: str = ""


# A name of its own keeps the store readable when the class moves; without, it would be "msgpack:__main__.Reading" here.
READING = codecs.Msgpack(Reading, name="reading")


def by_time(path: Path) -> bool:
    """Keep one sensor's readings by the second they were taken, and read an hour of them from the reopened store."""
    with oxidbm.Store(path, key=int, value=READING, ordered=True) as store:
        for minute in reversed(range(COUNT)):  # the order of writing is not that of the keys
            store[START + minute * MINUTE] = Reading(minute % 50 / 2, "window open" if minute % 7 == 0 else "")
    with oxidbm.Store(path, key=int, value=READING, ordered=True) as store:
        hour = list(store.range(START + HOUR, START + 2 * HOUR))
        times = [time for time, _ in hour]
        warmest = max(reading.celsius for _, reading in hour)
        print(f"{len(store)} readings, {len(hour)} of them in the second hour, the warmest {warmest} degrees")
        last, reading = next(store.range(reverse=True))
        print(f"the last: {last} {reading}")
        return times == list(range(START + HOUR, START + 2 * HOUR, MINUTE)) and len(store) == COUNT


def by_sensor_and_time(path: Path) -> bool:
    """Keep many sensors' readings under tuples of sensor and time, and read those of one sensor."""
    key = codecs.Tuple(str, int)
    with oxidbm.Store(path, key=key, value=READING, ordered=True) as store:
        for minute in range(3):
            for sensor in ("kitchen", "cellar", "cellar 2"):
                store[sensor, START + minute * MINUTE] = Reading(minute + len(sensor) / 2)
        cellar = list(store.prefix(("cellar",)))
        for (sensor, time), reading in cellar:
            print(f"{sensor:>10}  {time}  {reading.celsius}")
        return [found for found, _ in cellar] == [("cellar", START + minute * MINUTE) for minute in range(3)]


def main() -> int:
    """Run both parts, each with a store of its own."""
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        right = by_time(Path(directory) / "readings")
        return 0 if by_sensor_and_time(Path(directory) / "sensors") and right else 1


if __name__ == "__main__":
    sys.exit(main())
