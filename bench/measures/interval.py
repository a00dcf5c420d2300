"""What a commit each second costs a writer that overwrites random keys, against no commit but the last."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Literal

from bench.measures.base import Settings, median
from bench.records import shuffled
from oxidbm import Store

SECONDS = 6.0  # a commit of a second's writes has its cost in the seconds behind it, too
Mode = Literal["manual", "interval"]
MODES: tuple[Mode, Mode] = ("manual", "interval")


def interval_cost(settings: Settings, value_size: int) -> tuple[dict[Mode, float], float]:
    """Nanoseconds of an overwrite in each mode, and how many times the first one's the second one's time is.

    In each round both run, each on a store of its own and the one that was last first, on the same keys; the ratio is
    the median of the rounds' own ratios, so that a slow minute falls on both.
    """
    num = settings.count(1_000_000)
    keys = [b"%016d" % number for number in range(num)]
    order = [keys[number] for number in shuffled(num, seed=1)]
    taken: dict[Mode, list[float]] = {mode: [] for mode in MODES}
    for number in range(settings.rounds):
        for mode in MODES if number % 2 == 0 else MODES[::-1]:
            settings.report(f"overwrites of {value_size} bytes, round {number + 1} of {settings.rounds}, {mode}")
            taken[mode].append(time_of_one(settings, mode, value_size, keys, order))
    ratios = [interval / manual for manual, interval in zip(taken["manual"], taken["interval"], strict=True)]
    return {mode: median(taken[mode]) for mode in MODES}, median(ratios)


def time_of_one(
    settings: Settings, mode: Mode, value_size: int, keys: Sequence[bytes], order: Sequence[bytes]
) -> float:
    """Nanoseconds of an overwrite, in a new store whose every key was overwritten once before."""
    value = b"v" * value_size
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=settings.directory))
    try:
        with Store(directory / "store", durability=mode) as store:
            store.set_many((key, value) for key in keys)
            for key in order:
                store[key] = value
            count = 0
            start = perf_counter()
            stop = start + (0.05 if settings.smoke else SECONDS)
            while perf_counter() < stop:
                for key in order:
                    store[key] = value
                count += len(order)
            return (perf_counter() - start) / count * 1e9
    finally:
        shutil.rmtree(directory)
