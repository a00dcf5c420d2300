"""Sizes as users write them."""

from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (1, 1),
        (1 << 40, 1 << 40),
        ("1", 1),
        ("512", 512),
        ("1b", 1),
        ("4KiB", 4096),
        ("4 kib", 4096),
        (" 256MiB ", 256 << 20),
        ("1.5GiB", 3 << 29),
        ("2TiB", 2 << 40),
        ("1k", 1024),
        ("1M", 1 << 20),
        ("1G", 1 << 30),
        ("1t", 1 << 40),
        ("1kB", 1000),
        ("3MB", 3_000_000),
        ("1GB", 10**9),
        ("1TB", 10**12),
        ("1_000", 1000),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size("memory", text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1 XiB", "-1MiB", "0", "0.0GiB", "1e", "1..5M", "nan", "inf", "one"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="memory=") as caught:
        parse_size("memory", text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("size", [0, -1])
def test_not_positive(size: int) -> None:
    with pytest.raises(ValueError, match=f"page_size must be positive, not {size}"):
        parse_size("page_size", size)


@pytest.mark.parametrize("size", [None, 1.5, True, b"1M", [1]])
def test_other_types(size: object) -> None:
    with pytest.raises(TypeError, match=f"not {type(size).__name__}"):
        parse_size("memory", size)


@pytest.mark.parametrize("memory", [2**63, 2**60 + 1, "1e9TiB", "1e300"])
def test_a_size_that_no_machine_has(memory: int | str) -> None:
    with pytest.raises(ValueError, match="memory"):
        oxidbm.Store(memory=memory)


def test_more_pages_than_there_is_a_table_for(tmp_path: Path) -> None:
    for path in (None, tmp_path / "store"):
        with pytest.raises(ValueError, match="give it less, or make the store with a larger page_size="):
            oxidbm.Store(path, memory=1 << 50, page_size=4096)
