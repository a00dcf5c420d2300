"""Objects of your own: a dataclass behind a codec of ten lines, and a typed mapping over the store.

The codec is `struct`, not pickle: opening a file of somebody else's then runs none of their code.
"""

import struct
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

import oxidbm


@dataclass(frozen=True)
class Reading:
    """A sensor's reading."""

    time: int
    celsius: float
    note: str = ""

    LAYOUT = struct.Struct("<qd")

    def encode(self) -> bytes:
        """Return the reading as bytes: time, temperature, then the note."""
        return self.LAYOUT.pack(self.time, self.celsius) + self.note.encode()

    @classmethod
    def decode(cls, data: bytes) -> "Reading":
        """Return the reading that `encode` made the bytes of."""
        time, celsius = cls.LAYOUT.unpack_from(data)
        return cls(time, celsius, data[cls.LAYOUT.size :].decode())


class Readings(MutableMapping[str, Reading]):
    """Sensor names to readings, kept in a store."""

    def __init__(self, store: oxidbm.Store) -> None:
        self.store = store

    def __getitem__(self, name: str) -> Reading:
        return Reading.decode(self.store[name])

    def __setitem__(self, name: str, reading: Reading) -> None:
        self.store[name] = reading.encode()

    def __delitem__(self, name: str) -> None:
        del self.store[name]

    def __iter__(self) -> Iterator[str]:
        return (key.decode() for key in self.store)

    def __len__(self) -> int:
        return len(self.store)


def main() -> int:
    """Write readings, and read them from the reopened store."""
    written = {
        "cellar": Reading(1_700_000_000, 11.5),
        "kitchen": Reading(1_700_000_060, 21.25, "window open"),
        "Dachboden": Reading(1_700_000_120, -3.0, "kälter als draußen"),
    }
    with tempfile.TemporaryDirectory(prefix="oxidbm-") as directory:
        path = Path(directory) / "readings"
        with oxidbm.Store(path) as store:
            Readings(store).update(written)
        with oxidbm.Store(path) as store:
            readings = Readings(store)
            for name, reading in readings.items():
                print(f"{name:>10}  {reading}")
            return 0 if dict(readings) == written else 1


if __name__ == "__main__":
    sys.exit(main())
