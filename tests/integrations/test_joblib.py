"""oxidbm.integrations.joblib: what joblib.Memory keeps, in a store."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import oxidbm

joblib = pytest.importorskip("joblib", reason="joblib is not installed: pip install oxidbm[integrations]")

from oxidbm.integrations._open_stores import OPEN  # noqa: E402
from oxidbm.integrations.joblib import Backend  # noqa: E402

joblib.register_store_backend("oxidbm", Backend)

CALLS: list[Any] = []


def square(number: int, ignored: object = None) -> dict[str, int]:
    """Return a square, and note that it was computed."""
    CALLS.append(number)
    return {"square": number * number}


def total(values: Any) -> Any:
    """Return what is given twice, and note that it was computed."""
    CALLS.append("total")
    return values * 2


@pytest.fixture
def remember(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A function that makes a Memory of one location; its store is closed at the end."""
    CALLS.clear()
    made = []

    def make(**more: Any) -> Any:
        options = {"memory": "4MiB"}
        made.append(joblib.Memory(str(tmp_path), backend="oxidbm", verbose=0, backend_options=options, **more))
        return made[-1]

    yield make
    for memory in made:
        OPEN.close(memory.store_backend.location)


def close(memory: Any) -> None:
    """Close the store of a memory, as the end of its process does."""
    OPEN.close(memory.store_backend.location)


def test_results_are_kept_also_by_the_next_process(remember: Callable[..., Any], tmp_path: Path) -> None:
    for _ in range(2):
        memory = remember()
        cached = memory.cache(square, ignore=["ignored"])
        assert cached(7) == cached(7, ignored=1) == {"square": 49}
        assert cached.check_call_in_cache(7)
        assert not cached.check_call_in_cache(8)
        close(memory)
    assert CALLS == [7]
    assert oxidbm.whichdb(tmp_path / "joblib") == "oxidbm"
    assert [path.name for path in tmp_path.iterdir()] == ["joblib"]


@pytest.mark.parametrize("compress", [False, 3])
def test_arrays(remember: Callable[..., Any], compress: Any) -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    cached = remember(compress=compress).cache(total)
    values = numpy.arange(10_000)
    assert cached(values).tolist() == cached(values.copy()).tolist() == (values * 2).tolist()
    assert CALLS == ["total"]


def test_results_are_forgotten(remember: Callable[..., Any]) -> None:
    memory = remember()
    squares, totals = memory.cache(square), memory.cache(total)
    squares(1), squares(2), totals(3)
    squares.call_and_shelve(1).clear()
    squares(1), squares(2)
    assert CALLS == [1, 2, "total", 1]
    squares.clear(warn=False)
    squares(2), totals(3)
    assert CALLS == [1, 2, "total", 1, 2]
    memory.clear(warn=False)
    assert list(memory.store_backend.store) == []
    totals(3)
    assert CALLS[-1] == "total"


def test_a_result_that_is_shelved_is_read_later(remember: Callable[..., Any]) -> None:
    shelved = remember().cache(square).call_and_shelve(5)
    assert shelved.get() == {"square": 25}
    shelved.clear()
    with pytest.raises(KeyError):
        shelved.get()


def test_the_oldest_go(remember: Callable[..., Any]) -> None:
    memory = remember()
    cached = memory.cache(square)
    for number in range(5):
        cached(number)
    items = memory.store_backend.get_items()
    assert len(items) == 5
    assert all(item.size > 50 for item in items)
    assert all(abs(dt.datetime.now() - item.last_access) < dt.timedelta(hours=1) for item in items)  # noqa: DTZ005
    memory.reduce_size(items_limit=2)
    assert [number for number in range(5) if cached.check_call_in_cache(number)] == [3, 4]


def test_two_of_one_location_share_a_store(remember: Callable[..., Any]) -> None:
    first, second = remember(), remember()
    assert first.cache(square)(3) == second.cache(square)(3)
    assert CALLS == [3]
    assert first.store_backend.store is second.store_backend.store


def test_what_cannot_be_kept_is_not_half_there(remember: Callable[..., Any]) -> None:
    backend = remember().store_backend

    def fail() -> None:
        with backend._open_item("a", "wb") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not backend._item_exists("a")
    with pytest.raises(FileNotFoundError):
        backend._open_item("a", "rb")
    with backend._open_item("a", "wb") as file:
        file.write(b"whole")
    backend._move_item("a", "b")
    assert (backend._item_exists("a"), backend._item_exists("b")) == (False, True)
    assert backend._open_item("b", "rb").read() == b"whole"


def test_a_directory_is_what_is_in_it(remember: Callable[..., Any]) -> None:
    backend = remember().store_backend
    directory = str(Path(backend.location, "some", "directory"))
    backend.create_location(directory)
    assert not backend._item_exists(directory)
    for name in ("a", "b"):
        with backend._open_item(str(Path(directory, name)), "wb") as file:
            file.write(b"1")
    with backend._open_item(directory + " of another name", "wb") as file:
        file.write(b"2")
    assert backend._item_exists(directory)
    backend.clear_location(directory)
    assert list(backend.store) == [directory + " of another name"]
    assert backend.verbose == 0


def test_results_are_not_mapped(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mmap_mode"):
        joblib.Memory(str(tmp_path), backend="oxidbm", mmap_mode="r", verbose=0)
