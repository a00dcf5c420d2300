"""check() beside others: it finds no fault where there is none."""

import threading
from pathlib import Path

import pytest

from oxidbm import Store
from tests.support import run, scaled


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_beside_deletions_in_place(place: str, tmp_path: Path) -> None:
    """Which append nothing, so that the log does not tell that what was counted has changed meanwhile."""
    with Store(None if place == "memory" else tmp_path / "s", durability="manual") as store:
        count = scaled(8000, least=1000)
        stop = threading.Event()

        def churn() -> None:
            while not stop.is_set():
                for number in range(count):
                    store[b"%d" % number] = b"value"
                for number in range(0, count, 2):
                    store.pop(b"%d" % number, None)

        def check() -> None:
            try:
                for _ in range(scaled(30, least=4)):
                    assert store.check() == []
            finally:
                stop.set()

        run(churn, check)
        assert store.check() == []
