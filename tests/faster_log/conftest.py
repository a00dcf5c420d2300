"""The places of logs, as a fixture: in memory, in files and on a caller's own device, with small pages and large."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faster_log.helpers import LARGE_PAGE, SMALL_PAGE, Place

PLACES = [(kind, size) for kind in ("memory", "files", "device") for size in (SMALL_PAGE, LARGE_PAGE)]
IDS = [f"{kind}-{size >> 10}KiB" for kind, size in PLACES]
ON_DISK = [(kind, size) for kind, size in PLACES if kind != "memory"]
DISK_IDS = [f"{kind}-{size >> 10}KiB" for kind, size in ON_DISK]


@pytest.fixture(params=PLACES, ids=IDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place for a log."""
    kind, page_bytes = request.param
    place = Place(kind, page_bytes, tmp_path / "log")
    yield place
    place.close()


@pytest.fixture(params=ON_DISK, ids=DISK_IDS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place that keeps what was committed."""
    kind, page_bytes = request.param
    place = Place(kind, page_bytes, tmp_path / "log")
    yield place
    place.close()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Place]:
    """Files with small pages."""
    place = Place("files", SMALL_PAGE, tmp_path / "log")
    yield place
    place.close()
